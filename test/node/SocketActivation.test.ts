import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SocketActivation from "../../src/node/SocketActivation.ts"

const pid = 4711
const handed = { LISTEN_PID: "4711", LISTEN_FDS: "3", LISTEN_FDNAMES: "rtmp:notify:rtmps" }

describe("fromEnvironment", () => {
  it("counts descriptors from 3 and gives them their names", () => {
    assert.deepStrictEqual(SocketActivation.fromEnvironment(handed, pid), [
      { fd: 3, name: "rtmp" },
      { fd: 4, name: "notify" },
      { fd: 5, name: "rtmps" }
    ])
  })

  it("takes nothing that was handed to another process", () => {
    assert.deepStrictEqual(SocketActivation.fromEnvironment(handed, pid + 1), [])
    assert.deepStrictEqual(SocketActivation.fromEnvironment({ ...handed, LISTEN_PID: undefined }, pid), [])
    assert.deepStrictEqual(SocketActivation.fromEnvironment({ ...handed, LISTEN_PID: "04711" }, pid), [])
  })

  it("takes nothing where the count is missing or broken", () => {
    for (const count of [undefined, "", "-1", "1.5", "0x2", "two", " 2", "99999"]) {
      assert.deepStrictEqual(SocketActivation.fromEnvironment({ ...handed, LISTEN_FDS: count }, pid), [], count)
    }
  })

  it("calls a descriptor without a name unknown, and bounds their number", () => {
    const unnamed = { LISTEN_PID: "4711", LISTEN_FDS: "2" }
    assert.deepStrictEqual(
      SocketActivation.fromEnvironment(unnamed, pid).map((it) => it.name),
      ["unknown", "unknown"]
    )
    assert.deepStrictEqual(
      SocketActivation.fromEnvironment({ ...unnamed, LISTEN_FDNAMES: ":b:c" }, pid).map((it) => it.name),
      ["unknown", "b"]
    )
    assert.strictEqual(SocketActivation.fromEnvironment({ ...unnamed, LISTEN_FDS: "9999" }, pid).length, 1024)
  })
})

describe("listeners", () => {
  it("leaves out the descriptor for notifications, and keeps the numbers of the others", () => {
    assert.deepStrictEqual(SocketActivation.listeners(handed, pid), [
      { fd: 3, name: "rtmp" },
      { fd: 5, name: "rtmps" }
    ])
  })

  it.effect("finds none in a process that was started without", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* SocketActivation.activatedSockets, [])
    })
  )
})
