/**
 * Text that is safe to log: from the network, and without secrets.
 *
 * Whatever a client sent is hostile text, and a query string is where stream keys travel. Who logs such text calls
 * `escapeForLog` and `redactUrl`; the loggers escape once more, and call `withoutSecrets` as the last line of defence.
 */

import * as Redactable from "effect/Redactable"

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

/** What stands in the log in place of a secret. */
export const hidden = "***"

/** What stands in the log in place of a value that fails when it is looked at. */
export const unprintable = "[unprintable]"

/**
 * Tells whether a field may hold a secret, by the end of its name: `key` as a word of its own (`key`, `streamKey`,
 * `API_KEY`, but not `keyframe` or `monkey`) and `query` likewise; `token`, `password`, `secret`, `authorization`, `cookie`
 * and the like wherever a name ends in them.
 */
export const isSecretName = (name: string): boolean => {
  let answer = secretNames.get(name)
  if (answer === undefined) {
    answer = secretEnd.test(name) || secretWord.test(name) || secretCamel.test(name)
    // Nearly all names are written in the code; those that are not must not fill the memory.
    if (secretNames.size < maxRememberedNames && name.length < 64) secretNames.set(name, answer)
  }
  return answer
}

/**
 * Replaces the values of secret fields by `***`, in nested objects and lists too. What holds none comes back as it is.
 *
 * **Details**
 *
 * A number or a boolean under a name in the plural is a count or a switch (`keys: 3`) and stays. What is nested deeper
 * than six levels, or stands behind the first 1,000 members, becomes `…`. Values that Effect redacts stay as they are, and
 * so do objects that print themselves (`toJSON`), unless a member of their own is a secret.
 */
export const withoutSecrets = (value: unknown): unknown => {
  try {
    return hide(value, 0, { left: maxMembers, hidden: 0 })
  } catch {
    // A getter that throws must not end who logs.
    return unprintable
  }
}

/** The value of a field as it may be logged: `***` where the name says that it is a secret. */
export const safeField = (name: string, value: unknown): unknown => {
  if (isSecretName(name) && !isCount(name, value)) return hidden
  return typeof value === "object" && value !== null ? withoutSecrets(value) : value
}

/** Tells whether a value is an object without a class. */
export const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> => {
  if (typeof value !== "object" || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Writes the unsafe characters, which JSON leaves mostly in clear, as `\uXXXX`: JSON reads them back as they were. */
export const escapeJson = (json: string): string => {
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

/** Cuts text that is longer than so many characters; the end is `…` then. */
export const cut = (text: string, maxCharacters: number): string =>
  text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1)}…`

const ellipsisBytes = 3
const maxDepth = 6
const maxMembers = 1_000
const maxRememberedNames = 1_000

const secretNames = new Map<string, boolean>()
const secretEnd = /(?:token|password|passwd|passphrase|secret|authorization|cookie|credential|(?:stream|api)_?key)s?$/i
const secretWord = /^(?:.*[^a-z0-9])?(?:keys?|query)$/i
const secretCamel = /[^A-Z](?:Keys?|KEYS?|Query|QUERY)$/

const isCount = (name: string, value: unknown): boolean =>
  (typeof value === "number" || typeof value === "boolean") && /s$/i.test(name)

interface Budget {
  /** Members that may still be looked at. */
  left: number
  /** Values that were hidden so far. */
  hidden: number
}

const hide = (value: unknown, depth: number, budget: Budget): unknown => {
  if (typeof value !== "object" || value === null || Redactable.isRedactable(value)) return value
  if (Array.isArray(value)) return hideList(value, depth, budget)
  const plain = isPlainObject(value)
  if (!plain && "toJSON" in value && !Object.keys(value).some(isSecretName)) return value
  if (depth >= maxDepth) return "…"
  const before = budget.hidden
  const out: Record<string, unknown> = value instanceof Error ? { name: value.name, message: value.message } : {}
  for (const [name, member] of Object.entries(value)) {
    if (--budget.left < 0) {
      out["…"] = "…"
      break
    }
    if (isSecretName(name) && !isCount(name, member)) {
      out[name] = hidden
      budget.hidden++
    } else out[name] = hide(member, depth + 1, budget)
  }
  // An instance of a class prints itself in its own way, unless that would show a secret.
  return plain || budget.hidden > before || budget.left < 0 ? out : value
}

const hideList = (list: ReadonlyArray<unknown>, depth: number, budget: Budget): unknown => {
  if (depth >= maxDepth) return "…"
  const out: Array<unknown> = []
  for (const item of list) {
    if (--budget.left < 0) {
      out.push("…")
      break
    }
    out.push(hide(item, depth + 1, budget))
  }
  return out
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
