/**
 * What access control needs of the machine: a place for stream keys, files with public keys, and a way to ask a callback.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as Scope from "effect/Scope"
import type { AccessSettingsError } from "../access/AccessMethod.ts"

/**
 * The TLS of a callback.
 *
 * - `pins`: SHA-256 of the public keys (SPKI) that its server may have, in base64; empty for any.
 * - `caFile`, `certFile`, `keyFile`: paths of PEM files; empty for none.
 */
export interface CallbackTls {
  readonly pins: ReadonlyArray<string>
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

/** The machine. `NodeAccess` is it on Node. */
export class AccessPlatform extends Context.Service<
  AccessPlatform,
  {
    /** Opens the store of stream keys in a directory. */
    readonly openStore: (directory: string) => Effect.Effect<KeyValueStore.KeyValueStore, AccessSettingsError>
    /** Reads the file that a setting names. */
    readonly readText: (setting: string, path: string) => Effect.Effect<string, AccessSettingsError>
    /** Makes a client that follows no redirect. */
    readonly httpClient: (tls: CallbackTls) => Effect.Effect<HttpClient.HttpClient, AccessSettingsError, Scope.Scope>
  }
>()("effect-rtmp/server/AccessPlatform") {}
