/**
 * `effect-rtmp sign`: makes a signed address, with the secret of the configuration, or by the server that has it.
 */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SignedGrant } from "../../access/SignedUrls.ts"
import type { ConfigError } from "../../config/ConfigError.ts"
import { type CommandError, fail } from "./CommandError.ts"
import * as Flags from "./Flags.ts"
import * as Remote from "./Remote.ts"
import * as Table from "./Table.ts"

const usualMs = 3_600_000

/** Makes a signed address. */
export const command = Command.make(
  "sign",
  {
    action: Argument.Literals("action", ["publish", "play"]).pipe(
      Argument.withDescription("What the address is for: publish or play")
    ),
    key: Flags.streamKey,
    expiresIn: Flags.duration("expires-in", "How long it counts; otherwise an hour"),
    address: Flag.String("address").pipe(
      Flag.withMetavar("IP"),
      Flag.withDescription("IP address of the only client that may use it"),
      Flag.optional
    ),
    ...Flags.server
  },
  ({ action, address, expiresIn, key, ...target }) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const slash = key.lastIndexOf("/")
      if (slash <= 0 || slash === key.length - 1) {
        return yield* fail("usage", "the key of a stream is its application and its name, such as live/camera")
      }
      const spanMs = Option.isSome(expiresIn) ? Duration.toMillis(expiresIn.value) : usualMs
      const grant: SignedGrant = {
        action,
        application: key.slice(0, slash),
        stream: key.slice(slash + 1),
        expiresAtMs: now + spanMs,
        ...(Option.isSome(address) ? { address: address.value } : {})
      }
      yield* Console.log(`${Table.safe(key)}?${yield* signed(yield* Flags.configPath, target, grant)}`)
    })
).pipe(
  Command.withDescription(
    "Make an address that lets whoever holds it publish or play one stream until it expires. It is signed with the first of\n  auth.signedUrls.secrets of the configuration; where that has none, or with --url, the server signs it."
  ),
  Command.withShortDescription("Make a signed address for a stream"),
  Command.withExamples([
    { command: "effect-rtmp sign play live/camera --expires-in 12h" },
    { command: "effect-rtmp sign publish live/camera --address 192.0.2.7", description: "For one client alone" }
  ])
)

const signed = (
  path: string | undefined,
  target: Remote.Target,
  grant: SignedGrant
): Effect.Effect<string, CommandError | ConfigError> =>
  Effect.gen(function* () {
    if (Option.isNone(target.url)) {
      const ServeConfig = yield* Effect.promise(() => import("./ServeConfig.ts"))
      const { auth } = yield* ServeConfig.loadToAsk(path)
      if (auth.signedUrls.secrets.length > 0) return yield* here(auth.signedUrls.secrets, grant)
    }
    const { expiresAtMs, ...payload } = grant
    const { query } = yield* Remote.call(path, target, (client) =>
      client.access.sign({ payload: { ...payload, expiresAt: expiresAtMs } })
    )
    return query
  })

const here = (
  secrets: ReadonlyArray<Redacted.Redacted<string>>,
  grant: SignedGrant
): Effect.Effect<string, CommandError> =>
  Effect.gen(function* () {
    const [SignedUrls, NodeCrypto] = yield* Effect.promise(() =>
      Promise.all([import("../../access/SignedUrls.ts"), import("../NodeCrypto.ts")])
    )
    const { sign } = yield* Effect.provide(SignedUrls.make({ secrets }), NodeCrypto.layer)
    return Redacted.value(yield* Effect.fromResult(sign(grant)))
  }).pipe(Effect.mapError((error) => fail("failed", error.message)))
