/**
 * The machine for access control on Node: stream keys in a directory, files with keys and certificates, and an HTTP client
 * for callbacks with pins and a certificate of its own.
 */
import { createHash, X509Certificate } from "node:crypto"
import * as FsPromises from "node:fs/promises"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { AccessSettingsError } from "../access/AccessMethod.ts"
import { AccessControl } from "../server/AccessControl.ts"
import { AccessPlatform, type CallbackTls } from "../server/AccessPlatform.ts"

/** Provides the machine. What it needs is loaded when it is used. */
export const layerPlatform: Layer.Layer<AccessPlatform> = Layer.sync(AccessPlatform, () =>
  AccessPlatform.of({
    openStore: (directory) =>
      Effect.flatMap(
        Effect.promise(() => import("./NodeKeyStore.ts")),
        (NodeKeyStore) =>
          Effect.mapError(
            NodeKeyStore.make(directory),
            ({ message }) => new AccessSettingsError({ setting: "auth.keys.directory", problem: message })
          )
      ),
    readText,
    httpClient
  })
)

/** Access control as the configuration says, on Node. */
export const layer = AccessControl.layer.pipe(Layer.provide(layerPlatform))

const readText = (setting: string, path: string): Effect.Effect<string, AccessSettingsError> =>
  Effect.tryPromise({
    try: () => FsPromises.readFile(path, "utf8"),
    catch: (error) => {
      const code = error instanceof Error && "code" in error ? String(error.code) : ""
      const why = code === "ENOENT" ? "does not exist" : code === "EACCES" ? "may not be read" : "cannot be read"
      return new AccessSettingsError({ setting, problem: `${path} ${why}` })
    }
  })

const httpClient = (tls: CallbackTls): Effect.Effect<HttpClient.HttpClient, AccessSettingsError, Scope.Scope> =>
  Effect.gen(function* () {
    const NodeHttpClient = yield* Effect.promise(() => import("@effect/platform-node/NodeHttpClient"))
    const read = (name: "caFile" | "certFile" | "keyFile") =>
      tls[name] === "" ? Effect.succeed(undefined) : readText(`auth.callback.${name}`, tls[name])
    const ca = yield* read("caFile")
    const cert = yield* read("certFile")
    const key = yield* read("keyFile")
    yield* checked(cert, key)
    const agent = yield* NodeHttpClient.makeAgent({
      keepAlive: true,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(tls.pins.length === 0 ? {} : { checkServerIdentity: identityWith(tls.pins) })
    })
    return yield* NodeHttpClient.makeNodeHttp.pipe(Effect.provideService(NodeHttpClient.HttpAgent, agent))
  })

/** Finds out at the start, and not with the first question, that a certificate does not go with its key. */
const checked = (cert: string | undefined, key: string | undefined): Effect.Effect<void, AccessSettingsError> =>
  cert === undefined || key === undefined
    ? Effect.void
    : Effect.try({
        try: () => {
          Tls.createSecureContext({ cert, key })
        },
        catch: () =>
          new AccessSettingsError({
            setting: "auth.callback.certFile",
            problem: "is no certificate, or not the one of auth.callback.keyFile"
          })
      })

const identityWith =
  (pins: ReadonlyArray<string>): typeof Tls.checkServerIdentity =>
  (host, certificate) => {
    const problem = Tls.checkServerIdentity(host, certificate)
    if (problem !== undefined) return problem
    const spki = new X509Certificate(certificate.raw).publicKey.export({ type: "spki", format: "der" })
    const pin = createHash("sha256").update(spki).digest("base64")
    return pins.some((it) => it.replace(/^sha256[/:]/, "") === pin)
      ? undefined
      : new Error("the public key of the callback is none of auth.callback.pins")
  }
