/**
 * Logging: one structured line per event, readable on a terminal and as JSON elsewhere.
 *
 * The server logs with Effect's own `Effect.logInfo` and its siblings; this module is the loggers behind them, and the
 * helpers that make text from the network safe to log. It is not a logging interface of its own, and it opens no files.
 *
 * An event is a message and, as a second argument, an object of fields; annotations (`Effect.annotateLogs`) join them:
 *
 * ```ts
 * Effect.logInfo("stream published", { stream: Log.escapeForLog(name), codec: "avc1" })
 * ```
 *
 * **Gotchas**
 *
 * - Whatever a client sent is hostile text: names go through `escapeForLog`, addresses through `redactUrl`, and a query
 *   string, where stream keys travel, is never logged. The loggers escape control characters once more, but they
 *   cannot know a secret.
 * - Never log per message or per frame.
 */
import * as Cause from "effect/Cause"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"

/** The levels that can be configured, from the most to the least talkative; `none` is silence. */
export const levels = ["trace", "debug", "info", "warn", "error", "fatal", "none"] as const

/** A level by its name in the configuration. */
export type Level = (typeof levels)[number]

/** The formats that can be configured: `auto` is `pretty` on a terminal and `json` elsewhere. */
export const formats = ["auto", "pretty", "json"] as const

/** A log format by its name in the configuration. */
export type Format = (typeof formats)[number]

/**
 * What the log layer needs to know.
 *
 * `isTerminal` tells whether standard output is a terminal; only the Node room can know. Without it `auto` is `json`.
 */
export interface LogSettings {
  readonly level: Level
  readonly format: Format
  readonly isTerminal?: boolean
}

/** Turns the name of a level in the configuration into Effect's. */
export const toLogLevel = (level: Level): LogLevel.LogLevel => effectLevels[level]

/**
 * Formats an event as one line of JSON: `time` (ISO 8601, UTC), `level`, `message`, the fields, the annotations, the log
 * spans as `<label>Ms`, and `cause` with its stack where there is one.
 *
 * A field that is called like one of the members above gets an underscore behind its name.
 */
export const formatJson: Logger.Logger<unknown, string> = Logger.make((options) => {
  const event = eventOf(options)
  const line: Record<string, unknown> = {
    time: options.date.toISOString(),
    level: options.logLevel.toLowerCase(),
    message: event.message
  }
  for (const [name, value] of Object.entries(event.fields)) {
    line[jsonReserved.has(name) ? `${name}_` : name] =
      typeof value === "string" ? escapeForLog(value, maxFieldBytes) : value
  }
  if (event.cause !== undefined) line.cause = event.cause
  return escapeJson(Formatter.formatJson(line))
})

/**
 * Formats an event for people: time of day (UTC), level, message, then the fields as `name=value`. The stack of a cause
 * follows, indented.
 */
export const formatPretty: Logger.Logger<unknown, string> = prettyWith(false)

/**
 * The logger layer: writes to the console in the given format, and drops what is below the level.
 *
 * It replaces the loggers that were there before.
 */
export const layer = (settings: LogSettings): Layer.Layer<never> => {
  const isTerminal = settings.isTerminal === true
  const pretty = settings.format === "pretty" || (settings.format === "auto" && isTerminal)
  const logger = Logger.withConsoleLog(pretty ? prettyWith(isTerminal) : formatJson)
  return Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel)(toLogLevel(settings.level)))
}

/**
 * Makes text from the network safe to log: control characters, line separators, bidirectional controls, invisible
 * characters and lone surrogates become `\u{…}`, and what is longer than `maxBytes` bytes of UTF-8 is cut and ends in `…`.
 *
 * The result is never longer than `maxBytes`, and escaping it again changes nothing.
 */
export const escapeForLog = (text: string, maxBytes: number = 64): string => {
  if (text.length <= maxBytes && plain.test(text)) return text
  let out = ""
  let bytes = 0
  // Where the text has to be cut if it turns out too long, so that the ellipsis still fits.
  let cut = 0
  for (const character of text) {
    const point = character.codePointAt(0)!
    const piece = isUnsafe(character) ? `\\u{${point.toString(16)}}` : character
    bytes += piece === character ? utf8Length(point) : piece.length
    if (bytes > maxBytes) return maxBytes < ellipsisBytes ? "" : `${out.slice(0, cut)}…`
    out += piece
    if (bytes <= maxBytes - ellipsisBytes) cut = out.length
  }
  return out
}

/** Stands for a query string in the log: the empty string for an empty one, `?***` for any other. */
export const redactQuery = (query: string): string => (query === "" || query === "?" ? "" : "?***")

/**
 * Makes an address or a name with a query safe to log: the query becomes `?***`, a user name and password in front of the
 * host become `***@`, and the rest is escaped and cut like any text.
 */
export const redactUrl = (url: string, maxBytes: number = 256): string => {
  const question = url.indexOf("?")
  const address = question === -1 ? url : url.slice(0, question)
  const query = question === -1 ? "" : redactQuery(url.slice(question))
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(address)?.[0] ?? ""
  const slash = address.indexOf("/", scheme.length)
  const authority = address.slice(scheme.length, slash === -1 ? undefined : slash)
  const path = slash === -1 ? "" : address.slice(slash)
  const at = scheme === "" ? -1 : authority.lastIndexOf("@")
  const host = at === -1 ? authority : `***@${authority.slice(at + 1)}`
  return escapeForLog(`${scheme}${host}${path}`, maxBytes - query.length) + query
}

const effectLevels: Readonly<Record<Level, LogLevel.LogLevel>> = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  fatal: "Fatal",
  none: "None"
}

const ellipsisBytes = 3
const maxFieldBytes = 1024
const jsonReserved: ReadonlySet<string> = new Set(["time", "level", "message", "cause"])

interface Event {
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly cause: string | undefined
}

/** Takes the parts of a log call apart: texts make the message, plain objects are fields. */
const eventOf = (options: Logger.Options<unknown>): Event => {
  const fields: Record<string, unknown> = {
    ...options.fiber.getRef(References.CurrentLogAnnotations)
  }
  const texts: Array<string> = []
  for (const part of Array.isArray(options.message) ? options.message : [options.message]) {
    if (isPlainObject(part)) Object.assign(fields, part)
    else texts.push(typeof part === "string" ? part : Formatter.format(part))
  }
  const now = options.date.getTime()
  for (const [label, startedAt] of options.fiber.getRef(References.CurrentLogSpans)) {
    fields[`${label}Ms`] = now - startedAt
  }
  return {
    message: texts.join(" "),
    fields,
    cause: options.cause.reasons.length === 0 ? undefined : Cause.pretty(options.cause)
  }
}

const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> => {
  if (typeof value !== "object" || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const colors: Readonly<Record<string, string>> = {
  Trace: "90",
  Debug: "34",
  Info: "32",
  Warn: "33",
  Error: "31",
  Fatal: "41"
}

function prettyWith(color: boolean): Logger.Logger<unknown, string> {
  return Logger.make((options) => {
    const event = eventOf(options)
    const paint = (text: string, code: string): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text)
    const level = paint(options.logLevel.toUpperCase().padEnd(5), colors[options.logLevel] ?? "0")
    let line = `${options.date.toISOString().slice(11, 23)} ${level} ${escapeForLog(event.message, maxFieldBytes)}`
    for (const [name, value] of Object.entries(event.fields)) {
      line += ` ${paint(`${escapeForLog(name)}=`, "90")}${prettyValue(value)}`
    }
    if (event.cause === undefined) return line
    return `${line}\n${event.cause
      .split("\n")
      .map((text) => `  ${escapeForLog(text, maxFieldBytes)}`)
      .join("\n")}`
  })
}

/** A value as one word: text with spaces, quotes or equals signs stands in quotes. */
const prettyValue = (value: unknown): string => {
  const text = escapeForLog(typeof value === "string" ? value : Formatter.format(value), maxFieldBytes)
  return typeof value === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : text
}

const utf8Length = (point: number): number => (point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4)

/**
 * Controls, format characters (bidirectional controls, joiners, tags), line and paragraph separators, lone surrogates:
 * what moves the cursor, hides or reorders text, or ends a line in some viewer.
 */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u

// What nearly every line consists of, told in one step: printable ASCII, and the same without the escape character.
const printable = /^[\x20-\x7e]*$/
const plain = /^[\x20-\x5b\x5d-\x7e]*$/

const isUnsafe = (character: string): boolean => unsafe.test(character)

/** JSON leaves most of the unsafe characters in clear: writes them as `\uXXXX`, which JSON reads back as they were. */
const escapeJson = (json: string): string => {
  if (printable.test(json)) return json
  let out = ""
  for (const character of json) {
    if (!isUnsafe(character)) out += character
    else {
      for (let i = 0; i < character.length; i++) {
        out += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`
      }
    }
  }
  return out
}
