import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type { AccessMethod } from "../../src/access/AccessMethod.ts"
import type { AccessDenied, AccessGrant, AccessRequest } from "../../src/access/Authenticator.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"

/** A request as a publisher makes it, with some members changed. */
export const request = (changes: Partial<AccessRequest> = {}): AccessRequest => ({
  action: "publish",
  application: "live",
  stream: "camera",
  query: "",
  remoteAddress: "192.0.2.1",
  connectionId: "c1",
  ...changes
})

/** Random bytes, HMAC, and a store in memory. */
export const services = Layer.merge(NodeCrypto.layer, KeyValueStore.layerMemory)

/** What a method says: a grant, a refusal, or `undefined` for no opinion. */
export const ask = (
  method: AccessMethod,
  changes: Partial<AccessRequest> = {}
): Effect.Effect<AccessGrant | AccessDenied | undefined> =>
  Effect.catch(method.check(request(changes)), (denied) => Effect.succeed(denied))

/** The reason of a refusal, `Granted`, or `undefined` for no opinion. */
export const outcome = (
  method: AccessMethod,
  changes: Partial<AccessRequest> = {}
): Effect.Effect<string | undefined> =>
  Effect.map(ask(method, changes), (answer) =>
    answer === undefined ? undefined : "reason" in answer ? answer.reason : "Granted"
  )

/** One of some values. */
export const oneOf = <A>(...values: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(integer(0, values.length - 1), (index) => values[index]!)

/** A text of some letters. */
export const textOf = (letters: string, minLength: number, maxLength: number): Arbitrary.Arbitrary<string> =>
  Arbitrary.map(Arbitrary.array(oneOf(...letters), { minLength, maxLength }), (text) => text.join(""))
