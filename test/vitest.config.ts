import { defineConfig } from "vitest/config"

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: [
      { extends: true, test: { name: "house", include: ["test/**/*.test.ts"], exclude: ["test/interop/**"] } },
      {
        extends: true,
        // Encoders and players in real time: beside each other they would starve on a small machine.
        test: { name: "interop", include: ["test/interop/**/*.test.ts"], fileParallelism: false }
      }
    ]
  }
})
