import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Replies } from "../../src/server/Replies.ts"
import type { Connection } from "../../src/server/Transport.ts"

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

/** A connection that keeps what it is given, and takes it at once or never. */
const recording = (takes: boolean) => {
  const written: Array<Uint8Array> = []
  let unsent = 0
  const connection: Connection = {
    remote: { host: "192.0.2.1", port: 1 },
    pull: Effect.never,
    write: (array) => {
      written.push(array)
      if (!takes) unsent += array.length
      return takes
    },
    bufferedBytes: () => unsent,
    onDrain: () => undefined,
    end: () => undefined,
    destroy: () => undefined
  }
  return { connection, written }
}

describe("Replies", () => {
  it("puts kept replies and what follows them into one segment, in the order of their making", () => {
    const { connection, written } = recording(true)
    const replies = new Replies(connection, () => assert.fail("nothing is unread"))
    replies.hold()
    replies.send(bytes(2, 1))
    replies.send(bytes(3, 2))
    assert.deepStrictEqual([...replies.before(bytes(2, 9))], [1, 1, 2, 2, 2, 9, 9])
    assert.strictEqual(replies.bytes, 5, "what follows is counted by whoever writes it")
    replies.release()
    assert.lengthOf(written, 0, "nothing is said twice")
  })

  it("writes kept replies on their own before something large, which is not copied", () => {
    const { connection, written } = recording(true)
    const replies = new Replies(connection, () => assert.fail("nothing is unread"))
    replies.hold()
    replies.send(bytes(4, 1))
    const media = bytes(64 * 1024, 9)
    assert.strictEqual(replies.before(media), media)
    assert.deepStrictEqual(written, [bytes(4, 1)])
  })

  it("hands back what follows as it is where nothing is kept", () => {
    const { connection } = recording(true)
    const media = bytes(10, 9)
    assert.strictEqual(new Replies(connection, () => undefined).before(media), media)
  })

  it("tells of a client that asks and does not read", () => {
    const { connection } = recording(false)
    let told = 0
    const replies = new Replies(connection, () => told++)
    for (let i = 0; i < 4; i++) replies.send(bytes(64 * 1024, 1))
    assert.strictEqual(told, 0)
    replies.send(bytes(1, 1))
    assert.strictEqual(told, 1)
  })
})
