/**
 * Keys, rules and certificates as an operator writes them: one line each.
 *
 * ```text
 * 3f2b9c…c1 application=live stream=cam* actions=publish          a stream key, or sha256:… instead of it
 * deny 198.51.100.0/24 2001:db8::/32 application=live             a rule of the access list
 * "CN=studio-1,O=Example Ltd" application=live actions=publish    a certificate
 * ```
 *
 * A line is words with blanks between them; what holds blanks stands in double quotes. Options are `name=value` and come
 * last. Problems never repeat what was written, because it may be secret.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { AccessRule } from "./AccessList.ts"
import * as AccessList from "./AccessList.ts"
import * as AccessScope from "./AccessScope.ts"
import type { AccessAction } from "./Authenticator.ts"
import type { CertificateRule } from "./CertificateAuth.ts"
import * as CertificateAuth from "./CertificateAuth.ts"
import type { StaticKey } from "./StreamKeys.ts"

/** Everything that can be asked for. */
export const actions: ReadonlyArray<AccessAction> = ["connect", "publish", "play"]

/** Reads a stream key: the key itself or `sha256:` with its hash, and what it is good for. Fails with what is wrong. */
export const key = (id: string, line: string): Result.Result<StaticKey, string> =>
  Result.gen(function* () {
    const { bare, options } = yield* parse(line, [...scopeOptions, "publishAs", "login"])
    const [secret] = bare
    if (bare.length !== 1 || secret === undefined)
      return yield* Result.fail("a key is one word, with options behind it")
    const scope = yield* scopeOf(options)
    const publishAs = options.get("publishAs")
    const login = options.get("login")
    if (login !== undefined && login !== "true" && login !== "false")
      return yield* Result.fail("login is true or false")
    return {
      id,
      ...(secret.startsWith(hashPrefix) ? { sha256: secret.slice(hashPrefix.length) } : { key: Redacted.make(secret) }),
      ...scope,
      ...(publishAs === undefined ? {} : { publishAs }),
      ...(login === "true" ? { login: true } : {})
    }
  })

/** Reads a rule: `allow` or `deny`, networks or addresses or `all`, and for what it is. Fails with what is wrong. */
export const rule = (line: string): Result.Result<AccessRule, string> =>
  Result.gen(function* () {
    const { bare, options } = yield* parse(line, ["application", "actions"])
    const [word, ...networks] = bare
    if (word !== "allow" && word !== "deny") return yield* Result.fail("a rule begins with allow or deny")
    const { actions, application } = yield* scopeOf(options)
    const made: AccessRule = {
      rule: word,
      networks,
      ...(application === undefined ? {} : { application }),
      ...(actions === undefined ? {} : { actions })
    }
    yield* Result.mapError(AccessList.make({ rules: [made] }), ({ problem }) => problem)
    return made
  })

/** Reads who may come by certificate: a pattern for a name of it, and what it is good for. Fails with what is wrong. */
export const certificate = (id: string, line: string): Result.Result<CertificateRule, string> =>
  Result.gen(function* () {
    const { bare, options } = yield* parse(line, [...scopeOptions, "publishAs"])
    const [name] = bare
    if (bare.length !== 1 || name === undefined)
      return yield* Result.fail("a certificate is one word, with options behind it")
    const publishAs = options.get("publishAs")
    const made: CertificateRule = {
      id,
      name,
      ...(yield* scopeOf(options)),
      ...(publishAs === undefined ? {} : { publishAs })
    }
    yield* Result.mapError(CertificateAuth.make([made]), ({ problem }) => problem)
    return made
  })

const hashPrefix = "sha256:"

const scopeOptions = ["application", "stream", "actions", "expires"]

interface Line {
  readonly bare: ReadonlyArray<string>
  readonly options: ReadonlyMap<string, string>
}

const parse = (line: string, known: ReadonlyArray<string>): Result.Result<Line, string> => {
  const words = wordsOf(line)
  if (words === undefined) return Result.fail("a quote is not closed")
  const bare: Array<string> = []
  const options = new Map<string, string>()
  for (const word of words) {
    const equals = word.indexOf("=")
    const name = word.slice(0, equals)
    // A name of a certificate and a key may have equals signs of their own.
    if (equals > 0 && known.includes(name)) {
      if (options.has(name)) return Result.fail(`${name} stands there twice`)
      options.set(name, word.slice(equals + 1))
    } else if (options.size > 0) return Result.fail(`the options are ${known.join(", ")}`)
    else bare.push(word)
  }
  return Result.succeed({ bare, options })
}

/** Splits at blanks; double quotes hold together what stands between them, and are dropped. */
const wordsOf = (line: string): ReadonlyArray<string> | undefined => {
  const words: Array<string> = []
  let word = ""
  let isQuoted = false
  let isWord = false
  for (const character of line) {
    if (character === '"') {
      isQuoted = !isQuoted
      isWord = true
    } else if (!isQuoted && /\s/.test(character)) {
      if (isWord) words.push(word)
      word = ""
      isWord = false
    } else {
      word += character
      isWord = true
    }
  }
  if (isQuoted) return undefined
  return isWord ? [...words, word] : words
}

const scopeOf = (options: ReadonlyMap<string, string>): Result.Result<AccessScope.AccessScope, string> =>
  Result.gen(function* () {
    const application = options.get("application")
    const stream = options.get("stream")
    const named = options.get("actions")?.split("+")
    const expires = options.get("expires")
    const expiresAtMs = expires === undefined ? undefined : Date.parse(expires)
    if (expiresAtMs !== undefined && !(expiresAtMs >= 0)) {
      return yield* Result.fail("expires is a time such as 2030-01-31T12:00:00Z")
    }
    if (named?.some((word) => !isAction(word)) === true) {
      return yield* Result.fail("actions are connect, publish and play, with a plus between them")
    }
    const scope: AccessScope.AccessScope = {
      ...(application === undefined ? {} : { application }),
      ...(stream === undefined ? {} : { stream }),
      ...(named === undefined ? {} : { actions: named.filter(isAction) }),
      ...(expiresAtMs === undefined ? {} : { expiresAtMs })
    }
    yield* Result.mapError(AccessScope.make(scope), ({ message }) => message)
    return scope
  })

const isAction = (word: string): word is AccessAction => (actions as ReadonlyArray<string>).includes(word)
