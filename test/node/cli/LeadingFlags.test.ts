import { assert, describe, it } from "@effect/vitest"
import { CommandError } from "../../../src/node/cli/CommandError.ts"
import * as LeadingFlags from "../../../src/node/cli/LeadingFlags.ts"

const settle = (line: string): string => {
  const settled = LeadingFlags.settle(line === "" ? [] : line.split(" "))
  return settled instanceof CommandError ? `${settled.outcome}: ${settled.message}` : settled.join(" ")
}

describe("flags that set keys, before a command", () => {
  it.each([
    ["--set listen.port=1 serve", "serve --set listen.port=1"],
    ["--set=a=b --profile mobile serve --log-level debug", "serve --set=a=b --profile mobile --log-level debug"],
    ["--config x.yaml --set a=b config check --json", "--config x.yaml config check --set a=b --json"],
    ["config --set a=b show", "config show --set a=b"]
  ])("%s means %s", (line, meant) => {
    assert.strictEqual(settle(line), meant)
  })

  it.each(["", "serve --set a=b", "--set a=b", "--config x status", "--help", "--set a=b --help", "--set", "-x serve"])(
    "leave alone what is right, or wrong in another way: %s",
    (line) => {
      assert.strictEqual(settle(line), line)
    }
  )

  it.each(["--set a=b status", "--profile=mobile stop --force", "--log-level debug config diff"])(
    "are refused with a hint where nothing is served: %s",
    (line) => {
      assert.match(settle(line), /^usage: --[a-z-]+ is for a server that is started, not for ".*": it goes with serve/)
    }
  )
})
