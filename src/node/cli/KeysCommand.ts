/**
 * `effect-rtmp keys`: stream keys, asked of the running server, or of its store where none runs.
 */
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { NewKey, StreamKeyError, StreamKeys } from "../../access/StreamKeys.ts"
import type { ConfigError } from "../../config/ConfigError.ts"
import type * as Access from "../../http/AccessSchema.ts"
import type { AdminClient } from "../../http/AdminClient.ts"
import { type CommandError, fail } from "./CommandError.ts"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import * as Table from "./Table.ts"
import * as Words from "./Words.ts"

type Key = typeof Access.KeyInfo.Type

/** Where something was done: by the server, or in the store in a directory. */
type Where =
  | { readonly _tag: "Server" }
  | { readonly _tag: "Store"; readonly directory: string; readonly enabled: boolean }

const list = Command.make("list", Flags.reading, (flags) => listed(flags)).pipe(
  Command.withDescription(
    "List the keys: those of the configuration, then the others by age. The keys themselves are kept nowhere."
  ),
  Command.withShortDescription("List the keys"),
  Command.withExamples([{ command: "effect-rtmp keys list --json" }])
)

const listed = ({ json, ...target }: Command.Command.Config.Infer<typeof Flags.reading>) =>
  Effect.gen(function* () {
    const { answer, where } = yield* ask(
      target,
      (client) => client.access.keys(),
      (keys, described) => Effect.map(keys.list, (all) => all.map((key) => described(key, [])))
    )
    const now = yield* Clock.currentTimeMillis
    yield* Output.either(json, answer, (style) =>
      answer.length === 0 ? ["there are no keys"] : Table.table(columns(now), answer, style)
    )
    yield* tellWhere(where, "these are")
  })

const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const create = Command.make(
  "create",
  {
    label: text("label", "TEXT", "What it is for; no secret"),
    application: text(
      "application",
      "PATTERN",
      "Applications that it is good for, such as live or live*; otherwise all"
    ),
    stream: text("stream", "PATTERN", "Streams that it is good for; otherwise all"),
    action: Flag.Literals("action", ["publish", "play"]).pipe(
      Flag.withDescription("What it allows; may be repeated; otherwise both"),
      Flag.atLeast(0)
    ),
    expiresIn: Flags.duration("expires-in", "How long it counts; otherwise for ever"),
    publishAs: text("publish-as", "NAME", "Name under which its stream is published"),
    login: Flag.Boolean("login").pipe(
      Flag.withDescription("Let it be used as a password too, with its id as the user"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    ...Flags.reading
  },
  ({ action, application, expiresIn, json, label, login, publishAs, stream, ...target }) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const expiresAtMs = Option.map(expiresIn, (span) => now + Duration.toMillis(span))
      const wanted: NewKey = {
        ...optional("label", label),
        ...optional("application", application),
        ...optional("stream", stream),
        ...optional("publishAs", publishAs),
        ...(action.length === 0 ? {} : { actions: action }),
        ...(login ? { login } : {}),
        ...optional("expiresAtMs", expiresAtMs)
      }
      const { expiresAtMs: expiresAt, ...rest } = wanted
      const { answer, where } = yield* ask(
        target,
        (client) => client.access.createKey({ payload: expiresAt === undefined ? rest : { ...rest, expiresAt } }),
        (keys, described) =>
          Effect.map(keys.create(wanted), ({ info, key }) => ({
            key: Redacted.value(key),
            enabled: true,
            info: described(info, [])
          }))
      )
      yield* Output.either(json, answer, (style) => [
        ...Table.fields(
          [
            ["key", answer.key],
            ["id", answer.info.id],
            ["good for", scopeOf(answer.info)],
            ["publishes as", answer.info.publishAs],
            ["until", answer.info.expiresAt === 0 ? "" : Words.moment(answer.info.expiresAt)]
          ],
          style
        ),
        "the key is shown only now"
      ])
      const enabled = where._tag === "Server" ? answer.enabled : where.enabled
      if (!enabled) yield* Console.error("nobody is asked for a key yet: set auth.keys.enabled to true")
      yield* tellWhere(where, "it was written")
    })
).pipe(
  Command.withDescription("Make a key. It is printed once, and only its hash is kept."),
  Command.withShortDescription("Make a key, and print it once"),
  Command.withExamples([
    { command: "effect-rtmp keys create --label 'camera 1' --application live --stream camera --action publish" },
    {
      command: "effect-rtmp keys create --publish-as show --expires-in 12h",
      description: "Where keys travel as names"
    },
    { command: "effect-rtmp keys create --login", description: "For the user and password box of OBS" }
  ])
)

const revoke = Command.make(
  "revoke",
  {
    id: Argument.String("id").pipe(Argument.withDescription("Id of the key, as `effect-rtmp keys` lists it")),
    drop: Flag.Boolean("drop").pipe(
      Flag.withDescription("Also end what is published and played with it"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    ...Flags.server
  },
  ({ drop, id, ...target }) =>
    Effect.gen(function* () {
      const { answer, where } = yield* ask(
        target,
        (client) => client.access.revokeKey({ payload: { id, ...(drop ? { drop } : {}) } }),
        (keys) => Effect.as(keys.revoke(id), { id, sessions: [] as ReadonlyArray<string>, dropped: false })
      )
      yield* Console.log(`the key ${Table.safe(id)} is revoked`)
      const { dropped, sessions } = answer
      if (sessions.length > 0) {
        const counted = Words.counted(sessions.length, "connection")
        const left = sessions.length === 1 ? "is left as it is" : "are left as they are"
        yield* Console.log(
          dropped
            ? `what ${counted} did with it is ended`
            : `${counted} with it ${left}: ${sessions.map(Table.safe).join(", ")} (--drop ends what they do with it)`
        )
      }
      yield* tellWhere(where, "it was removed")
    })
).pipe(
  Command.withDescription("Revoke a key for good. Whoever uses it goes on, unless --drop is given."),
  Command.withShortDescription("Revoke a key, and end who uses it"),
  Command.withExamples([{ command: "effect-rtmp keys revoke kccrd2w0ebrvd06j6 --drop" }])
)

/** The group of commands about stream keys. Without one of them it lists the keys. */
export const command = Command.make("keys", Flags.reading, (flags) => listed(flags)).pipe(
  Command.withDescription(
    "Make, list and revoke stream keys. The running server is asked; where none runs, its store (auth.keys.directory) is read\n  and changed, and that is said."
  ),
  Command.withShortDescription("Make, list and revoke stream keys"),
  Command.withSubcommands([{ group: "COMMANDS", commands: [list, create, revoke] }]),
  Command.withExamples([{ command: "effect-rtmp keys" }, { command: "effect-rtmp keys create --label studio" }])
)

const optional = <Name extends string, A>(name: Name, value: Option.Option<A>): { readonly [N in Name]?: A } =>
  // The compiler does not see that a computed name is the one of the type.
  (Option.isSome(value) ? { [name]: value.value } : {}) as { readonly [N in Name]?: A }

type Describe = (
  key: Parameters<typeof import("../../http/AccessHandlers.ts").described>[0],
  sessions: ReadonlyArray<string>
) => Key

/** Asks the server, or, where none answers and no address was given, its store. */
const ask = <A, E extends Remote.Failure>(
  target: Remote.Target,
  remote: (client: AdminClient) => Effect.Effect<A, E>,
  local: (keys: StreamKeys["Service"], described: Describe) => Effect.Effect<A, StreamKeyError>
) =>
  Effect.gen(function* () {
    const path = yield* Flags.configPath
    const server: Where = { _tag: "Server" }
    const answered = Effect.map(Remote.call(path, target, remote), (answer) => ({ answer, where: server as Where }))
    if (Option.isSome(target.url)) return yield* answered
    return yield* Effect.catch(answered, (error) =>
      error._tag === "CommandError" && Remote.isAbsent(error) ? inStore(path, local) : Effect.fail(error)
    )
  })

const inStore = <A>(
  path: string | undefined,
  use: (keys: StreamKeys["Service"], described: Describe) => Effect.Effect<A, StreamKeyError>
): Effect.Effect<{ readonly answer: A; readonly where: Where }, CommandError | ConfigError> =>
  Effect.gen(function* () {
    const [ServeConfig, AccessParts, NodeAccess, NodeCrypto, AccessHandlers, ConfigAccess] = yield* Effect.promise(() =>
      Promise.all([
        import("./ServeConfig.ts"),
        import("../../server/AccessParts.ts"),
        import("../NodeAccess.ts"),
        import("../NodeCrypto.ts"),
        import("../../http/AccessHandlers.ts"),
        import("../../config/ConfigAccess.ts")
      ])
    )
    const config = yield* ServeConfig.loadToAsk(path)
    const answer = yield* AccessParts.keysOf(config, undefined).pipe(
      Effect.flatMap((keys) => use(keys, AccessHandlers.described)),
      Effect.scoped,
      Effect.provide([NodeAccess.layerPlatform, NodeCrypto.layer]),
      Effect.mapError((error) => fail("failed", Table.safe(error.message)))
    )
    const enabled = ConfigAccess.methodsOf(config.auth).some((method) => method === "key" || method === "login")
    return { answer, where: { _tag: "Store", directory: Path.resolve(config.auth.keys.directory), enabled } }
  })

const tellWhere = (where: Where, what: string): Effect.Effect<void> =>
  where._tag === "Server"
    ? Effect.void
    : Console.error(
        `no server answers: ${what} in the store in ${Table.safe(where.directory)}, which a server reads at its start`
      )

const scopeOf = ({ actions, application, stream }: Key): string =>
  [
    application === "" && stream === ""
      ? ""
      : `${application === "" ? "**" : application}/${stream === "" ? "**" : stream}`,
    actions.join(" and ")
  ]
    .filter((it) => it !== "")
    .join(" to ") || "everything"

const columns = (now: number): ReadonlyArray<Table.Column<Key>> => [
  { title: "ID", cell: ({ id }) => id },
  { title: "LABEL", cell: ({ label }) => label, give: true },
  { title: "GOOD FOR", cell: scopeOf, give: true },
  { title: "PUBLISHES AS", cell: ({ publishAs }) => publishAs, give: true },
  { title: "LOGIN", cell: ({ login }) => (login ? "yes" : "") },
  { title: "FROM", cell: ({ createdAt, origin }) => (origin === "static" ? "configuration" : Words.moment(createdAt)) },
  {
    title: "EXPIRES",
    cell: ({ expiresAt }) => (expiresAt === 0 ? "" : expiresAt <= now ? "expired" : `in ${Words.span(expiresAt - now)}`)
  },
  { title: "USED BY", cell: ({ sessions }) => sessions.join(", "), give: true }
]
