/**
 * `effect-rtmp logs` and `effect-rtmp log-level`: what the server says, and how much.
 */

import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { AdminClient } from "../../http/AdminClient.ts"
import * as LogFormat from "../../observability/LogFormat.ts"
import { type LineLevel, levels, rooms } from "../../observability/LogLevels.ts"
import { fail } from "./CommandError.ts"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import * as Table from "./Table.ts"

const lineLevels = levels.filter((level): level is LineLevel => level !== "none")

const room = (description: string) =>
  Flag.String("room").pipe(Flag.withMetavar("ROOM"), Flag.withDescription(description), Flag.optional)

const knownRooms = `${rooms.slice(0, -1).join(", ")} and ${rooms.at(-1)}`

const logFlags = {
  follow: Flag.Boolean("follow").pipe(
    Flag.withAlias("f"),
    Flag.withDescription("Go on with new lines as they come"),
    Flag.withDefault(false),
    Flag.withoutNegation
  ),
  level: Flag.Literals("level", lineLevels).pipe(Flag.withDescription("Lowest level that is shown"), Flag.optional),
  room: room("Only lines of this room of the server"),
  lines: Flag.Int("lines").pipe(
    Flag.withAlias("n"),
    Flag.withMetavar("COUNT"),
    Flag.filter(
      (count) => count >= 0 && count <= 1_000,
      (count) => `Expected a number from 0 to 1000, found ${count}`
    ),
    Flag.withDescription("How many of the last lines are shown; 100 where left out"),
    Flag.withDefault(100)
  ),
  ...Flags.reading
}

interface Entry {
  readonly id: number
  readonly level: LineLevel
  readonly room: string
  readonly line: string
}

/** Shows the last lines of the log, and follows it. */
export const logs = Command.make("logs", logFlags, ({ follow, json, level, lines, room, ...target }) =>
  Effect.gen(function* () {
    const config = yield* Flags.configPath
    const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
    const print = (entries: ReadonlyArray<Entry>) =>
      Output.lines(entries.map(({ line }) => (json ? line : pretty(line, canColor))))
    const filter: Filter = {
      ...(Option.isSome(level) ? { level: level.value } : {}),
      ...(Option.isSome(room) ? { room: room.value } : {})
    }
    if (follow) {
      const watch = (client: AdminClient) => following(client, filter, lines, print)
      yield* Remote.call(config, target, watch, Duration.infinity)
      return yield* Console.error("the server has ended the log")
    }
    yield* print(yield* Remote.call(config, target, (client) => past(client, filter, lines)))
  })
).pipe(
  Command.withDescription(
    `Show the last lines that the server has logged, and follow it. The server keeps them in memory: lines from before its\n  start are in the journal, or where the log goes. The rooms are ${knownRooms}.`
  ),
  Command.withShortDescription("Show and follow the log of the server"),
  Command.withExamples([
    { command: "effect-rtmp logs --follow --level warn", description: "Watch what goes wrong" },
    { command: "effect-rtmp logs --room session -n 1000 --json", description: "One JSON object on each line" }
  ])
)

interface Filter {
  readonly level?: LineLevel
  readonly room?: string
}

/** The last lines; at least one is asked for, whatever is shown. */
const past = (client: AdminClient, filter: Filter, count: number) =>
  Effect.map(
    client.log.lines({ query: { ...filter, limit: Math.max(1, count) } }),
    (entries): ReadonlyArray<Entry> => (count === 0 ? [] : entries)
  )

/** Follows first and asks for the past then, so that no line falls between the two; none is printed twice. */
const following = (
  client: AdminClient,
  filter: Filter,
  count: number,
  print: (entries: ReadonlyArray<Entry>) => Effect.Effect<void>
) =>
  Effect.gen(function* () {
    const { level = "trace", room } = filter
    const events = yield* client.events.follow({ query: { logs: level, ...(room === undefined ? {} : { room }) } })
    let last: number | undefined
    yield* Stream.runForEach(events, (event) =>
      Effect.gen(function* () {
        if (last === undefined) {
          const entries = yield* past(client, filter, count)
          last = entries.at(-1)?.id ?? 0
          yield* print(entries)
        }
        if (event.type !== "log" || event.entry.id <= last) return
        last = event.entry.id
        yield* print([event.entry])
      })
    ).pipe(
      Effect.mapError((error) =>
        // The server asks to be called again: it has nothing more to say.
        "message" in error ? error : fail("unavailable", "the server has broken off the log")
      )
    )
  })

/** Shows the levels, or sets one. */
export const logLevel = Command.make(
  "log-level",
  {
    level: Argument.Literals("level", [...levels, "reset"]).pipe(
      Argument.withDescription(
        "The new level; reset takes the own level of a room away; without it, the levels are shown"
      ),
      Argument.optional
    ),
    room: room("Room of the server that is meant; without it, everything that has no level of its own"),
    ...Flags.reading
  },
  ({ json, level, room, ...target }) =>
    Effect.gen(function* () {
      const config = yield* Flags.configPath
      const table = yield* Remote.call(config, target, (client) =>
        Effect.gen(function* () {
          if (Option.isNone(level)) return yield* client.log.levels()
          if (level.value !== "reset") {
            const where = Option.isSome(room) ? { room: room.value } : {}
            return yield* client.log.setLevel({ payload: { level: level.value, ...where } })
          }
          if (Option.isSome(room)) return yield* client.log.resetLevel({ payload: { room: room.value } })
          return yield* fail("usage", "reset needs --room: the level for everything can only be set")
        })
      )
      yield* Output.either(json, table, (style) =>
        Table.fields([["everything", table.level], ...Object.entries(table.rooms)], style)
      )
    })
).pipe(
  Command.withDescription(`Show how loud the server is, or change it until it ends. The rooms are ${knownRooms}.`),
  Command.withShortDescription("Show and set the levels of the log"),
  Command.withExamples([
    { command: "effect-rtmp log-level", description: "Show the levels" },
    { command: "effect-rtmp log-level debug --room session", description: "Look closer at one room" },
    { command: "effect-rtmp log-level reset --room session", description: "And away again" }
  ])
)

/** Draws a line of JSON as the server would have on a terminal; what is no such line is escaped. */
export const pretty = (line: string, color: boolean): string => {
  const fields = parse(line)
  if (fields === undefined) return Table.safe(line)
  const { cause, level, message, room, time, ...rest } = fields
  const date = new Date(String(time))
  if (Number.isNaN(date.getTime()) || !lineLevels.includes(level as LineLevel)) return Table.safe(line)
  return LogFormat.pretty(
    {
      date,
      level: level as LineLevel,
      message: typeof message === "string" ? message : "",
      room: typeof room === "string" ? room : undefined,
      fields: rest,
      cause: typeof cause === "string" ? cause : undefined
    },
    color
  )
}

const parse = (line: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
