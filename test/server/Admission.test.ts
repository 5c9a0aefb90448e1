import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Admission, type AdmissionState, MemoryStatus } from "../../src/server/Admission.ts"
import * as TestServer from "../support/TestServer.ts"

const state = (change: Partial<AdmissionState> = {}): AdmissionState => ({
  nowMs: 0,
  isDraining: false,
  connections: 0,
  handshakes: () => 0,
  ...change
})

const limits = { maxConnections: 10, maxPendingHandshakes: 4, minFreeMemory: 1_000, minFreeFiles: 0 }
const plenty = { freeBytes: () => 1e12 }
const files = { freeFiles: () => 1e6 }

describe("admission", () => {
  it("lets in up to each limit, and names the one that is reached", () => {
    const admission = new Admission(limits, plenty, files)
    const refusal = (change: Partial<AdmissionState>) => admission.refusal(state(change))
    assert.strictEqual(refusal({ connections: 9, handshakes: () => 3 }), undefined)
    assert.deepStrictEqual(refusal({ connections: 10 }), { limit: "connections", max: 10 })
    assert.deepStrictEqual(refusal({ connections: 5, handshakes: () => 4 }), { limit: "handshakes", max: 4 })
    assert.deepStrictEqual(refusal({ isDraining: true }), { limit: "draining", max: 0 })
  })

  it("follows new limits at once", () => {
    const admission = new Admission(limits, plenty, files)
    admission.limits = { ...limits, maxConnections: 1 }
    assert.deepStrictEqual(admission.refusal(state({ connections: 1 })), { limit: "connections", max: 1 })
  })

  it("looks at memory once a second at most, and only when somebody comes", () => {
    let looks = 0
    let freeBytes = 1_000
    const memory = {
      freeBytes: () => {
        looks++
        return freeBytes
      }
    }
    const admission = new Admission(limits, memory, files)
    const at = (nowMs: number) => admission.refusal(state({ nowMs }))?.limit
    assert.strictEqual(looks, 0)
    assert.strictEqual(at(0), undefined)
    freeBytes = 999
    assert.strictEqual(at(999), undefined)
    assert.strictEqual(looks, 1)
    assert.strictEqual(at(1_000), "memory")
    freeBytes = 1_000
    assert.strictEqual(at(1_999), "memory")
    assert.strictEqual(at(2_000), undefined)
    assert.strictEqual(looks, 3)
  })

  it("does not look at all where no memory is to be kept free", () => {
    const memory = {
      freeBytes: (): number => {
        throw new Error("asked")
      }
    }
    assert.strictEqual(new Admission({ ...limits, minFreeMemory: 0 }, memory, files).refusal(state()), undefined)
  })

  it("keeps files free, counting those who came in since it looked", () => {
    let freeFiles = 12
    const admission = new Admission({ ...limits, minFreeFiles: 10 }, plenty, { freeFiles: () => freeFiles })
    const at = (nowMs: number) => admission.refusal(state({ nowMs }))
    // The one that asks has been opened already, and is not free any more.
    assert.deepStrictEqual([at(0), at(1), at(2)], [undefined, undefined, undefined])
    assert.deepStrictEqual(at(3), { limit: "files", max: 10 })
    freeFiles = 9
    assert.deepStrictEqual(at(1_000), { limit: "files", max: 10 })
    freeFiles = 10
    assert.strictEqual(at(2_000), undefined)
    assert.deepStrictEqual(at(2_001), { limit: "files", max: 10 })
  })

  it.effect("turns a connection away with an event that names the memory, and leaves those who are there", () => {
    let freeBytes = 1e12
    return Effect.gen(function* () {
      const log = yield* TestServer.events
      const first = yield* TestServer.client
      yield* first.open("live")
      freeBytes = 1
      yield* TestServer.pass("1 second")
      const second = yield* TestServer.client
      yield* second.waitForClose
      yield* TestServer.settle
      assert.deepInclude(
        log.find((event) => event._tag === "ConnectionRefused"),
        { limit: "memory", max: 65_536, freeBytes: 1 }
      )
      yield* first.createStream
    }).pipe(
      Effect.provide(TestServer.layer({ limits: { minFreeMemory: "64KiB" } })),
      Effect.provideService(MemoryStatus, { freeBytes: () => freeBytes })
    )
  })
})
