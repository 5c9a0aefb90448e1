/**
 * RTMP addresses, and the one canonical name of an application and a stream.
 *
 * Clients cut the same URL differently (`rtmp://host/a/b/c?k` is `a/b` and `c?k` to FFmpeg, `a/b` and `c` with the query
 * elsewhere to others), so names are brought into one form here, once, before anything compares, authorises or logs
 * them. The query, where stream keys travel, is taken off and kept apart.
 *
 * Canonical names are percent-decoded once, have no empty, `.` or `..` segments, and no leading or trailing slash. They
 * are case-sensitive.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Bytes from "./Bytes.ts"

/** A name that is not accepted, and why. `part` tells whether the application, the stream or the query is at fault. */
export class NameError extends Data.TaggedError("NameError")<{
  readonly part: "application" | "stream" | "query"
  readonly reason:
    | "Empty"
    | "TooLong"
    | "ControlCharacter"
    | "InvalidUtf8"
    | "Backslash"
    | "RelativeSegment"
    | "TypePrefix"
    | "TrailingDotOrSpace"
    | "EncodedQuery"
    | "Url"
    | "TooManyParameters"
}> {
  override get message(): string {
    return `${this.part} name not accepted: ${this.reason}`
  }
}

/** Bounds on names, in bytes of UTF-8, and on the number of query parameters. */
export interface NameLimits {
  readonly maxNameBytes: number
  readonly maxQueryBytes: number
  readonly maxParameters: number
}

/** 255 bytes for each name, 4,096 bytes and 64 parameters for the query. */
export const defaultNameLimits: NameLimits = { maxNameBytes: 255, maxQueryBytes: 4096, maxParameters: 64 }

/** A canonical name, and the query that came with it (without its question mark; empty where there was none). Secret. */
export interface CanonicalName {
  readonly name: string
  readonly query: string
}

/** Brings the `app` of a connect command into its canonical form. An empty application is accepted: cameras send it. */
export const application = (
  raw: string,
  limits: NameLimits = defaultNameLimits
): Result.Result<CanonicalName, NameError> => {
  const { path, query: sent } = splitQuery(raw)
  // librtmp, where it was built with nettle (Debian's, and with it GStreamer's rtmpsink), does not end the base64 of a login:
  // what lies behind it in memory comes along.
  const query = /(?:^|&)authmod=/.test(sent) ? sent.replace(/[^\x21-\x7e]/g, "") : sent
  const stripped = path.replace(/\/_definst_\/*$/, "")
  return canonical("application", stripped, query, limits)
}

/**
 * Brings the stream name of a publish or play command into its canonical form. The empty name is an error.
 *
 * **Gotchas**
 *
 * Some IP cameras send a whole `rtmp://host/app/name` URL as the name: scheme, host and the given application are
 * taken off.
 */
export const stream = (
  raw: string,
  applicationName: string,
  limits: NameLimits = defaultNameLimits
): Result.Result<CanonicalName, NameError> => {
  const isWhole = /^rtmps?(?::|%3a)(?:\/|%2f){2}/i.test(raw)
  // A whole URL that was sent percent-encoded is decoded before its query is looked for.
  const split = splitQuery(isWhole && !/^rtmps?:\/\//i.test(raw) ? percentDecode(raw) : raw)
  const path = isWhole ? withoutServer(split.path, applicationName) : split.path
  const result = canonical("stream", path, split.query, limits)
  if (Result.isFailure(result)) return result
  if (result.success.name === "") return fail("stream", "Empty")
  // "mp4:name" asks Flash servers for a recorded file, of which a live server has none.
  if (/^(?:mp4|flv|f4v|mp3|id3|raw):/i.test(result.success.name)) return fail("stream", "TypePrefix")
  return result
}

/** The key of a stream in the registry: application and stream name joined by a slash. */
export const streamKey = (applicationName: string, streamName: string): string =>
  applicationName === "" ? streamName : `${applicationName}/${streamName}`

/**
 * Joins the queries of stream name, application and tcUrl, in the order in which they win: for every parameter the
 * first occurrence counts.
 */
export const mergeQueries = (...queries: ReadonlyArray<string>): string =>
  queries.filter((query) => query !== "").join("&")

/** The query of a tcUrl, empty where there is none or it is no URL. Quotes around it are tolerated. */
export const queryOf = (url: string): string => splitQuery(url.replace(/^'|'$/g, "")).query

/** The query of a tcUrl where it keeps to the limits of all queries; empty where it does not, since it is only a hint. */
export const boundedQueryOf = (url: string, limits: NameLimits = defaultNameLimits): string => {
  const query = queryOf(url)
  return faultOf(query, limits) === undefined ? query : ""
}

/**
 * The first value of a query parameter, percent-decoded; `undefined` where it is absent. A parameter without `=` has
 * the empty value.
 */
export const parameter = (query: string, name: string): string | undefined => {
  for (const pair of query.split("&")) {
    const equals = pair.indexOf("=")
    const key = equals < 0 ? pair : pair.slice(0, equals)
    if (percentDecode(key) === name) return equals < 0 ? "" : percentDecode(pair.slice(equals + 1))
  }
  return undefined
}

/** The parts of an `rtmp://` or `rtmps://` URL, as a client needs them. */
export interface RtmpUrl {
  readonly secure: boolean
  readonly host: string
  readonly port: number
  readonly application: string
  readonly stream: string
  /** What the connect command carries as `tcUrl`: scheme, host, port and application. */
  readonly tcUrl: string
}

/** A text that is no RTMP URL. */
export class RtmpUrlError extends Data.TaggedError("RtmpUrlError")<{
  readonly reason: "Scheme" | "Host" | "Port" | "Path"
}> {
  override get message(): string {
    return `not an RTMP URL (${this.reason.toLowerCase()}): expected rtmp://host[:port]/application/stream[?query]`
  }
}

/**
 * Parses an RTMP URL. The last path segment (with the query) is the stream name, everything before it the application,
 * as librtmp and GStreamer do. Default ports: 1935, and 443 for rtmps.
 */
export const parse = (text: string): Result.Result<RtmpUrl, RtmpUrlError> => {
  const match = /^(rtmps?):\/\/(\[[^\]]*\]|[^/:?#]*)(?::([^/?#]*))?\/(.*)$/i.exec(text)
  if (match === null) {
    return Result.fail(new RtmpUrlError({ reason: /^rtmps?:\/\//i.test(text) ? "Path" : "Scheme" }))
  }
  const scheme = match[1]!.toLowerCase()
  const host = match[2]!.replace(/^\[|\]$/g, "")
  if (host === "") return Result.fail(new RtmpUrlError({ reason: "Host" }))
  const secure = scheme === "rtmps"
  const port = match[3] === undefined ? (secure ? 443 : 1935) : Number(match[3])
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return Result.fail(new RtmpUrlError({ reason: "Port" }))
  const { path, query } = splitQuery(match[4]!)
  const slash = path.lastIndexOf("/")
  const applicationName = slash < 0 ? "" : path.slice(0, slash)
  const streamName = path.slice(slash + 1)
  if (streamName === "") return Result.fail(new RtmpUrlError({ reason: "Path" }))
  return Result.succeed({
    secure,
    host,
    port,
    application: applicationName,
    stream: query === "" ? streamName : `${streamName}?${query}`,
    tcUrl: `${scheme}://${match[2]}:${port}/${applicationName}`
  })
}

const fail = (part: NameError["part"], reason: NameError["reason"]): Result.Result<never, NameError> =>
  Result.fail(new NameError({ part, reason }))

const splitQuery = (text: string): { readonly path: string; readonly query: string } => {
  const mark = text.indexOf("?")
  // A second question mark starts an authentication suffix that some encoders append to an existing query.
  return mark < 0
    ? { path: text, query: "" }
    : { path: text.slice(0, mark), query: text.slice(mark + 1).replace(/\?/g, "&") }
}

const withoutServer = (url: string, applicationName: string): string => {
  const path = url.replace(/^rtmps?:\/\/[^/]*\/?/i, "")
  return applicationName !== "" && path.startsWith(`${applicationName}/`)
    ? path.slice(applicationName.length + 1)
    : path
}

const percentDecode = (text: string): string => {
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

// C0 and C1 controls, DEL, line separators, and the marks that reverse the direction of text in logs and pages.
const isControl = (code: number): boolean =>
  code < 0x20 ||
  (code >= 0x7f && code <= 0x9f) ||
  code === 0x2028 ||
  code === 0x2029 ||
  (code >= 0x200e && code <= 0x200f) ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2066 && code <= 0x2069)

const hasControl = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (isControl(text.charCodeAt(i))) return true
  return false
}

const faultOf = (query: string, limits: NameLimits): NameError["reason"] | undefined => {
  if (query === "") return undefined
  if (query.length > limits.maxQueryBytes) return "TooLong"
  if (Bytes.fromUtf8(query).length > limits.maxQueryBytes) return "TooLong"
  if (query.split("&", limits.maxParameters + 1).length > limits.maxParameters) return "TooManyParameters"
  return hasControl(query) ? "ControlCharacter" : undefined
}

const canonical = (
  part: "application" | "stream",
  path: string,
  query: string,
  limits: NameLimits
): Result.Result<CanonicalName, NameError> => {
  // Checked before anything else looks at the text: a decoded name is never longer than its source.
  if (path.length > limits.maxNameBytes * 3) return fail(part, "TooLong")
  const queryFault = faultOf(query, limits)
  if (queryFault !== undefined) return fail("query", queryFault)
  const decoded = percentDecode(path)
  // An encoded question mark would carry a query, and with it a key, into the name and so into logs.
  if (/[?#]/.test(decoded)) return fail(part, "EncodedQuery")
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(decoded)) return fail(part, "Url")
  if (decoded.includes("\uFFFD") || !decoded.isWellFormed()) return fail(part, "InvalidUtf8")
  if (hasControl(decoded)) return fail(part, "ControlCharacter")
  if (decoded.includes("\\")) return fail(part, "Backslash")
  const segments = decoded.split("/").filter((segment) => segment !== "")
  for (const segment of segments) {
    if (segment === "." || segment === "..") return fail(part, "RelativeSegment")
    if (/[. ]$/.test(segment)) return fail(part, "TrailingDotOrSpace")
  }
  const name = segments.join("/")
  if (Bytes.fromUtf8(name).length > limits.maxNameBytes) return fail(part, "TooLong")
  return Result.succeed({ name, query })
}
