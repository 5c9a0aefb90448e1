import { assert, describe, it } from "@effect/vitest"
import { nextUpdateMs } from "../../src/node/RevocationList.ts"
import * as TestAuthority from "../support/TestAuthority.ts"

describe("a revocation list", () => {
  it("tells when the next one was promised, in both forms of a time, and not when it is cut off", async () => {
    const authority = await TestAuthority.make("An authority")
    const host = await TestAuthority.forHosts(authority, "a.test")
    for (const time of [
      "1999-12-31T23:59:59Z",
      "2030-01-02T03:04:05Z",
      "2049-12-31T23:59:59Z",
      "2050-01-01T00:00:00Z"
    ]) {
      for (const revoked of [[], [host]]) {
        const list = await authority.revoke(revoked, new Date(time))
        assert.strictEqual(nextUpdateMs(list), Date.parse(time), time)
      }
    }
    const list = await authority.revoke([host])
    const der = Buffer.from(list.replace(/-----[^-]*-----/g, ""), "base64")
    for (let length = 0; length < der.length; length++) {
      assert.strictEqual(nextUpdateMs(der.toString("base64", 0, length)), Number.POSITIVE_INFINITY)
    }
  })

  it("may promise none, and is no harm where it is not one", () => {
    const pem = (...bytes: ReadonlyArray<number>) => Buffer.from(bytes).toString("base64")
    const now = [0x17, 13, ...Buffer.from("300102030405Z")]
    const then = [0x18, 15, ...Buffer.from("20300102030406Z")]
    const listOf = (...times: ReadonlyArray<number>) => {
      const signed = [0x30, 0, 0x30, 0, ...times]
      return pem(0x30, signed.length + 2, 0x30, signed.length, ...signed)
    }
    assert.strictEqual(nextUpdateMs(listOf(...now, ...then)), Date.parse("2030-01-02T03:04:06Z"))
    for (const other of [
      listOf(...now),
      listOf(...now, 0x30, 0),
      listOf(...now, 0x17, 2, 0x33, 0x30),
      listOf(),
      pem(),
      pem(0x30),
      pem(0x30, 0x85, 1, 1, 1, 1, 1),
      pem(0x30, 0x84, 0xff, 0xff, 0xff, 0xff),
      pem(0x31, 0),
      "no list"
    ]) {
      assert.strictEqual(nextUpdateMs(other), Number.POSITIVE_INFINITY)
    }
  })
})
