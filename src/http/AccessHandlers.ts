/**
 * What the endpoints about access control do. A server that was put together without an `AccessControl` answers that it has
 * none.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { AccessSettingsError } from "../access/AccessMethod.ts"
import type * as StreamKeys from "../access/StreamKeys.ts"
import { AccessControl } from "../server/AccessControl.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import type { KeyInfo } from "./AccessSchema.ts"
import { AdminApi } from "./AdminApi.ts"
import { Conflict, NotFound } from "./AdminErrors.ts"

const revoked = "The key was revoked."

/** The endpoints about access control. */
export const layer = HttpApiBuilder.group(
  AdminApi,
  "access",
  Effect.fnUntraced(function* (handlers) {
    const server = yield* RtmpServer
    const service = yield* Effect.serviceOption(AccessControl)
    const control = Option.isSome(service)
      ? Effect.succeed(service.value)
      : Effect.fail(new Conflict({ message: "this server has an authenticator of its own, which knows no keys" }))
    return handlers.handleAll({
      info: Effect.fnUntraced(function* () {
        const access = yield* control
        const { methods, open, required } = yield* access.state
        return { open, required, methods, blocked: yield* access.blocked }
      }),
      keys: Effect.fnUntraced(function* () {
        const access = yield* control
        const keys = yield* Effect.mapError(access.listKeys, conflict)
        return yield* Effect.forEach(keys, (key) =>
          Effect.map(access.sessions(key.credential), (sessions) => described(key, sessions))
        )
      }),
      createKey: Effect.fnUntraced(function* ({ payload: { expiresAt, ...key } }) {
        const access = yield* control
        const scope = expiresAt === undefined ? key : { ...key, expiresAtMs: expiresAt }
        const created = yield* Effect.mapError(access.createKey(scope), conflict)
        const { keysEnabled } = yield* access.state
        return { key: Redacted.value(created.key), enabled: keysEnabled, info: described(created.info, []) }
      }),
      revokeKey: Effect.fnUntraced(function* ({ payload: { drop, id } }) {
        const access = yield* control
        const end = ({ credential }: StreamKeys.KeyInfo) =>
          drop === true ? server.withdraw(credential, revoked) : access.sessions(credential)
        const key = yield* Effect.catch(
          access.revokeKey(id),
          Effect.fnUntraced(function* (error) {
            if (error._tag !== "StreamKeyError") return yield* conflict(error)
            if (error.reason === "NotFound") return yield* new NotFound({ message: "there is no key with this id" })
            if (error.revoked === undefined) return yield* conflict(error)
            yield* end(error.revoked)
            const message = `${error.detail}; here it counts no more, and it is removed when the store works again`
            return yield* new Conflict({ message })
          })
        )
        return { id, sessions: yield* end(key), dropped: drop === true }
        // Whoever hangs up meanwhile has revoked the key all the same, and could not ask for the rest again.
      }, Effect.uninterruptible),
      sign: Effect.fnUntraced(function* ({ payload: { expiresAt, ...grant } }) {
        const access = yield* control
        const query = yield* Effect.mapError(access.sign({ ...grant, expiresAtMs: expiresAt }), conflict)
        return { query: Redacted.value(query) }
      }),
      unblock: Effect.fnUntraced(function* ({ payload: { address } }) {
        const access = yield* control
        return { address, changed: yield* access.unblock(address) }
      })
    })
  })
)

const conflict = (error: AccessSettingsError | StreamKeys.StreamKeyError): Conflict =>
  new Conflict({
    message: error instanceof AccessSettingsError ? error.message : error.detail
  })

/** Describes a key for the API, and for commands that read the store themselves. */
export const described = (key: StreamKeys.KeyInfo, sessions: ReadonlyArray<string>): typeof KeyInfo.Type => ({
  id: key.id,
  label: key.label,
  origin: key.origin,
  application: key.application ?? "",
  stream: key.stream ?? "",
  actions: key.actions ?? [],
  publishAs: key.publishAs ?? "",
  login: key.login,
  createdAt: key.createdAtMs ?? 0,
  expiresAt: key.expiresAtMs ?? 0,
  sessions
})
