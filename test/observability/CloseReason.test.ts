import { assert, describe, it } from "@effect/vitest"
import * as CloseReason from "../../src/observability/CloseReason.ts"

describe("CloseReason", () => {
  it("describes every reason in one sentence without a full stop, each differently", () => {
    const sentences = CloseReason.all.map(CloseReason.describe)
    for (const sentence of sentences) assert.match(sentence, /^[a-z][^.\n]+[^.\s]$/)
    assert.strictEqual(new Set(sentences).size, CloseReason.all.length)
  })

  it("names every reason in a form that is a metric label and a log field as it is", () => {
    for (const reason of CloseReason.all) assert.match(reason, /^[A-Z][A-Za-z]+$/)
  })

  it("recognises its own reasons and nothing that an object inherits", () => {
    assert.isTrue(CloseReason.all.every(CloseReason.isCloseReason))
    for (const other of ["clientClosed", "toString", "__proto__", "", 1, undefined, null]) {
      assert.isFalse(CloseReason.isCloseReason(other))
    }
  })

  it("keeps `error` for faults of the server itself", () => {
    assert.deepStrictEqual(
      CloseReason.all.filter((reason) => CloseReason.level(reason) === "error"),
      ["Defect"]
    )
  })
})
