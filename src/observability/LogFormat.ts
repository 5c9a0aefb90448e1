/**
 * From a log call to one line of text: as JSON, for people, or plain for a system that keeps time and level itself.
 *
 * An event is taken apart once, and written in as many formats as there are outputs. The length of everything in a line is
 * bounded: a message at 4,096 characters, a text at 1,024 bytes, another value at 2,048 characters, a stack at 8,192,
 * and 64 fields. Nothing here decides what is logged, or where it goes.
 */
import * as Cause from "effect/Cause"
import * as Formatter from "effect/Formatter"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import type { LineLevel } from "./LogLevels.ts"
import { fromLogLevel } from "./LogLevels.ts"
import { cut, escapeForLog, escapeJson, isPlainObject, safeField, unprintable, withoutSecrets } from "./LogText.ts"

/** How a line is written: `json`, `pretty` for people, or `plain` without time and level. */
export type LineFormat = "json" | "pretty" | "plain"

/** A log call, taken apart. */
export interface LogEvent {
  readonly date: Date
  readonly level: LineLevel
  readonly message: string
  /** The room that the event belongs to, where it names one. */
  readonly room: string | undefined
  /** What else the event says, without secrets. The room is not among them. */
  readonly fields: Readonly<Record<string, unknown>>
  /** The cause with its stack, over several lines. */
  readonly cause: string | undefined
}

/**
 * Takes a log call apart: texts make the message, plain objects are fields over the annotations, log spans are fields
 * `<label>Ms`. The values of fields whose name says that they are secret become `***`.
 */
export const eventOf = (options: Logger.Options<unknown>): LogEvent => {
  const fields: Record<string, unknown> = {}
  let room = addFields(fields, options.fiber.getRef(References.CurrentLogAnnotations))
  let message = ""
  for (const part of Array.isArray(options.message) ? options.message : [options.message]) {
    if (isPlainObject(part)) room = addFields(fields, part) ?? room
    else {
      const text = typeof part === "string" ? part : Formatter.format(withoutSecrets(part))
      message = message === "" ? text : `${message} ${text}`
    }
  }
  const now = options.date.getTime()
  for (const [label, startedAt] of options.fiber.getRef(References.CurrentLogSpans)) {
    fields[`${label}Ms`] = now - startedAt
  }
  return {
    date: options.date,
    level: fromLogLevel(options.logLevel),
    message: cut(message, maxMessage),
    room,
    fields,
    cause: options.cause.reasons.length === 0 ? undefined : cut(Cause.pretty(options.cause), maxCause)
  }
}

/**
 * Writes an event as one line of JSON: `time` (ISO 8601, UTC), `level`, `room`, `message`, the fields, and `cause`.
 *
 * A field that is called like one of the members above gets an underscore behind its name.
 */
export const json = (event: LogEvent): string => {
  let line = `{"time":"${timeOf(event.date)}",${jsonMembers(event)}`
  if (event.cause !== undefined) line += `,"cause":${JSON.stringify(event.cause)}`
  return escapeJson(`${line}}`)
}

/**
 * Writes an event as one line without its time and level: the room in brackets, the message, the fields as `name=value`, and
 * the cause as a field.
 */
export const plain = (event: LogEvent): string => {
  const line = words(event, false)
  return event.cause === undefined ? line : `${line} cause=${prettyValue(event.cause, maxCause)}`
}

/** Writes an event as one line of JSON without its time and level, for a system that keeps both itself. */
export const plainJson = (event: LogEvent): string => {
  const line = `{${jsonMembers(event, false)}`
  return escapeJson(`${event.cause === undefined ? line : `${line},"cause":${JSON.stringify(event.cause)}`}}`)
}

/**
 * Writes an event for people: time of day (UTC), level, room in brackets, message, then the fields as `name=value`. The
 * stack of a cause follows, indented, on lines of its own.
 */
export const pretty = (event: LogEvent, color: boolean): string => {
  const level = paint(event.level.toUpperCase().padEnd(5), colors[event.level], color)
  const line = `${timeOf(event.date).slice(11, 23)} ${level} ${words(event, color)}`
  if (event.cause === undefined) return line
  return `${line}\n${event.cause
    .split("\n")
    .map((text) => `  ${escapeForLog(text, maxField)}`)
    .join("\n")}`
}

/** Formats a log call as one line of JSON, see `json`. */
export const formatJson: Logger.Logger<unknown, string> = Logger.make((options) => json(eventOf(options)))

/** Formats a log call for people, without colours, see `pretty`. */
export const formatPretty: Logger.Logger<unknown, string> = Logger.make((options) => pretty(eventOf(options), false))

/** Formats a log call for people, in the colours of a terminal. */
export const formatPrettyColor: Logger.Logger<unknown, string> = Logger.make((options) =>
  pretty(eventOf(options), true)
)

const maxField = 1_024
const maxMessage = 4_096
const maxValue = 2_048
const maxCause = 8_192
const maxFields = 64
const jsonReserved: ReadonlySet<string> = new Set(["time", "level", "room", "message", "cause"])

/** Adds fields to those that are there; gives back the room that they name, which is not a field. */
const addFields = (fields: Record<string, unknown>, more: Readonly<Record<string, unknown>>): string | undefined => {
  let room: string | undefined
  for (const name in more) {
    // A plain assignment to the last of these would set the prototype.
    if (!Object.hasOwn(more, name) || name === "__proto__") continue
    const value = more[name]
    if (name === "room" && typeof value === "string") room = escapeForLog(value)
    else fields[name] = safeField(name, value)
  }
  return room
}

// The lines of a rush stand in the same millisecond.
let lastTime = Number.NaN
let lastText = ""
const timeOf = (date: Date): string => {
  const time = date.getTime()
  if (time !== lastTime) {
    lastTime = time
    lastText = date.toISOString()
  }
  return lastText
}

// Printable ASCII without the quotation mark and the backslash.
const bare = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

const quoted = (text: string): string =>
  text.length <= maxField && bare.test(text) ? `"${text}"` : JSON.stringify(escapeForLog(text, maxField))

const quotedNames = new Map<string, string>()
const quotedName = (name: string): string => {
  let text = quotedNames.get(name)
  if (text === undefined) {
    text = JSON.stringify(jsonReserved.has(name) ? `${name}_` : cut(name, maxField))
    // Nearly all names are written in the code; those that are not must not fill the memory.
    if (quotedNames.size < 1_000 && name.length < 64) quotedNames.set(name, text)
  }
  return text
}

const jsonMembers = (event: LogEvent, withLevel = true): string => {
  let line = withLevel ? `"level":"${event.level}",` : ""
  if (event.room !== undefined) line += `"room":${JSON.stringify(event.room)},`
  line += `"message":${JSON.stringify(event.message)}`
  let count = 0
  for (const name in event.fields) {
    const value = jsonValue(event.fields[name])
    if (value === undefined) continue
    if (++count > maxFields) return `${line},"…":"…"`
    line += `,${quotedName(name)}:${value}`
  }
  return line
}

/** A value as JSON; `undefined` for what JSON has no word for. */
const jsonValue = (value: unknown): string | undefined => {
  switch (typeof value) {
    case "string":
      return quoted(value)
    case "number":
      return Number.isFinite(value) ? String(value) : `"${value}"`
    case "boolean":
      return value ? "true" : "false"
    case "undefined":
    case "function":
    case "symbol":
      return undefined
    default:
      try {
        const text = Formatter.formatJson(value)
        return text.length <= maxValue ? text : JSON.stringify(cut(text, maxValue))
      } catch {
        return JSON.stringify(unprintable)
      }
  }
}

const words = (event: LogEvent, color: boolean): string => {
  let line = event.room === undefined ? "" : `${paint(`[${event.room}]`, "36", color)} `
  line += escapeForLog(event.message, maxMessage)
  let count = 0
  for (const name in event.fields) {
    if (++count > maxFields) return `${line} …`
    line += ` ${paint(`${escapeForLog(name)}=`, "90", color)}${prettyValue(event.fields[name], maxField)}`
  }
  return line
}

/** A value as one word: text with spaces, quotes or equals signs stands in quotes. */
const prettyValue = (value: unknown, maxBytes: number): string => {
  const text = escapeForLog(typeof value === "string" ? value : Formatter.format(value), maxBytes)
  return typeof value === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : text
}

const paint = (text: string, code: string, color: boolean): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text)

const colors: Readonly<Record<LineLevel, string>> = {
  trace: "90",
  debug: "34",
  info: "32",
  warn: "33",
  error: "31",
  fatal: "41"
}
