/**
 * The keys of the configuration about who may do what: `auth` and `acl`.
 *
 * Keys, rules and certificates are written on a line each (see `AccessLines`), so that they fit into a variable as well as
 * into a file.
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AccessLines from "../access/AccessLines.ts"
import type { AccessAction } from "../access/Authenticator.ts"
import type { JwtAlgorithm } from "../access/Jwt.ts"
import { group, type KeyOptions, key } from "./ConfigKey.ts"
import {
  alternatives,
  type ConfigValue,
  choice,
  convert,
  count,
  duration,
  flag,
  formatDuration,
  record,
  secretList,
  secretText,
  text
} from "./ConfigValue.ts"

/** Texts with commas between them, or a list; each one must be accepted. */
const listOf = <A extends string>(
  expected: string,
  accepts: (text: string) => text is A,
  json: { readonly [keyword: string]: unknown } = {}
): ConfigValue<ReadonlyArray<A>, string | ReadonlyArray<string>> => ({
  kind: "list",
  unit: "",
  expected,
  secret: false,
  json: { anyOf: [{ type: "array", items: { type: "string", ...json } }, { type: "string" }] },
  codec: Schema.Union([Schema.String, Schema.Array(Schema.String)]).pipe(
    Schema.decodeTo(
      Schema.Array(Schema.declare((input): input is A => typeof input === "string" && accepts(input))),
      convert<ReadonlyArray<A>, string | ReadonlyArray<string>>(
        (input) => {
          const texts = (typeof input === "string" ? input.split(",") : input)
            .map((text) => text.trim())
            .filter((text) => text !== "")
          return texts.every(accepts) ? texts : undefined
        },
        (value) => value
      )
    )
  )
})

const isOneOf =
  <A extends string>(words: ReadonlyArray<A>) =>
  (text: string): text is A =>
    (words as ReadonlyArray<string>).includes(text)

const actions = listOf<AccessAction>(
  `a list of ${alternatives(AccessLines.actions)} with commas between them`,
  isOneOf(AccessLines.actions),
  { enum: AccessLines.actions }
)

/** The algorithms that a token may be signed with. */
export const jwtAlgorithms: ReadonlyArray<JwtAlgorithm> = [
  "HS256",
  "HS384",
  "HS512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519"
]

const parameter = text("a name of letters, digits, dashes and underscores", /^[A-Za-z0-9_-]{1,64}$/)
const path = text("the path of a file, or nothing", /^\P{Cc}*$/u)
const secret = (expected: string, pattern = /^[\x21-\x7e]*$/) => secretText(expected, pattern)
const pattern = text("a pattern such as `live`, `live*` or `**`", /^\S{1,512}$/)

const scopeWords = "`application=`, `stream=`, `actions=publish+play`, `expires=2030-01-31T12:00:00Z`"

/** A stream key on a line. It is kept as it was written, and read again where it is used. */
const keyLine: ConfigValue<Redacted.Redacted<string>, string> = {
  ...secretText("a stream key", /./),
  codec: Schema.RedactedFromValue(
    Schema.String.check(Schema.makeFilter((line) => Result.isSuccess(AccessLines.key("id", line))))
  )
}

const certificateLine: ConfigValue<string, string> = {
  ...text("a certificate", /./),
  codec: Schema.String.check(Schema.makeFilter((line) => Result.isSuccess(AccessLines.certificate("id", line))))
}

const isRule = (line: string): line is string => Result.isSuccess(AccessLines.rule(line))

const isPin = (text: string): text is string => /^(?:sha256[/:])?[A-Za-z0-9+/]{43}=$/.test(text)

const restart: KeyOptions = { restart: true }

/** Who may connect, publish and play, and how they show who they are. */
export const auth = {
  required: key(
    actions,
    "",
    "Actions that need a credential; empty is `publish` as soon as keys, tokens, logins or certificates are set up here, and none before"
  ),
  keys: group({
    enabled: key(
      flag,
      false,
      "Accept stream keys, those made by `effect-rtmp keys` too; without it nobody is asked for one"
    ),
    in: key(
      choice(["query", "name"]),
      "query",
      "Where a key travels: behind the name (`camera?key=…`), or instead of it, and then every key has its public name"
    ),
    parameter: key(parameter, "key", "Name of the query parameter with the key"),
    allow: key(
      record(
        keyLine,
        `keys by their ids (\`ann=KEY application=live\`, or a mapping), each a key of at least 8 characters or \`sha256:\` and its hash, with ${scopeWords}, \`publishAs=\` and \`login=true\` behind it`
      ),
      "",
      "Keys that always hold, by their ids"
    ),
    directory: key(
      text("the path of a directory", /^[^\p{Cc}]+$/u),
      "data/keys",
      "Directory with the keys that were made at run time; only their hashes are kept",
      restart
    ),
    max: key(count({ min: 1, max: 1_000_000, unit: "keys" }), 10_000, "Keys that can be made at run time")
  }),
  adobe: group({
    enabled: key(
      flag,
      false,
      "Let encoders log in with the id of a key as the user and the key as the password, as the box in OBS does; only keys with a login"
    ),
    application: key(
      pattern,
      "**",
      "Applications in which encoders that connect without another credential are asked to log in, and players where `auth.required` has more than `publish`; a pattern"
    ),
    dialect: key(choice(["adobe", "llnw"]), "adobe", "Dialect that clients are asked for; both are understood")
  }),
  signedUrls: group({
    secrets: key(
      secretList("a list of secrets of at least 16 bytes with commas between them, without blanks"),
      "",
      "Secrets of signed addresses: the first one signs, all of them verify; empty accepts none"
    )
  }),
  jwt: group({
    secret: key(
      secret("a secret of at least 32 bytes without blanks, or nothing", /^(?:[\x21-\x7e]{32,})?$/),
      "",
      "Secret that tokens are signed with (HS256 and the like)"
    ),
    publicKeyFile: key(path, "", "File with the public key of whoever signs tokens (PEM, SPKI)"),
    jwksUrl: key(
      text("an http:// or https:// address, or nothing", /^(?:https?:\/\/\S+)?$/),
      "",
      "Address of the key set of whoever signs tokens (JWKS)"
    ),
    algorithms: key(
      listOf<JwtAlgorithm>(
        `a list of algorithms with commas between them, out of ${alternatives(jwtAlgorithms)}`,
        isOneOf(jwtAlgorithms),
        { enum: jwtAlgorithms }
      ),
      "",
      "Algorithms that are accepted; empty is HS256 for a secret, and RS256 for a public key or a key set"
    ),
    parameter: key(parameter, "token", "Name of the query parameter with the token"),
    issuer: key(text("a text without blanks, or nothing", /^\S*$/), "", "What `iss` must be; empty is anything"),
    audience: key(text("a text without blanks, or nothing", /^\S*$/), "", "What `aud` must be; empty is anything"),
    clockSkew: key(duration({ min: "0", max: "5 minutes" }), "30 seconds", "How far clocks may differ")
  }),
  certificates: key(
    record(
      certificateLine,
      `certificates by an id (\`studio=DNS:studio.example application=live\`, or a mapping), each a pattern for the subject, an alternative name with its kind, or \`spki:\` and the SHA-256 of the public key, with ${scopeWords} and \`publishAs=\` behind it`
    ),
    "",
    "Client certificates that stand for a credential, by an id"
  ),
  callback: group({
    url: key(
      secret("an http:// or https:// address, or nothing", /^(?:https?:\/\/\S+)?$/),
      "",
      "Address that is asked about every action; empty asks nobody"
    ),
    actions: key(actions, "publish,play", "Actions that it is asked about, and of whose ends it is told"),
    format: key(choice(["json", "form"]), "json", "Format of the questions; `form` has the field names of nginx-rtmp"),
    secret: key(secret("a secret without blanks, or nothing"), "", "Secret that signs the questions (HMAC-SHA256)"),
    timeout: key(duration({ min: "10 ms", max: "30 seconds" }), "5 seconds", "Time for one answer"),
    fallback: key(choice(["deny", "allow"]), "deny", "What happens where no answer comes"),
    cacheFor: key(
      duration({ min: "0", max: "1 day" }),
      "0 ms",
      "Time that a yes counts for the same question from the same address"
    ),
    maxFailures: key(
      count({ min: 1, max: 1_000, unit: "failures" }),
      5,
      "Failures in a row after which it is not asked for a while"
    ),
    openFor: key(
      duration({ min: "100 ms", max: "1 day" }),
      "10 seconds",
      "How long it is not asked then, the first time"
    ),
    maxOpenFor: key(
      duration({ min: "100 ms", max: "1 day" }),
      "5 minutes",
      "Longest time that it is not asked: the time doubles with each failure to come back"
    ),
    pins: key(
      listOf("a list of pins with commas between them, each the SHA-256 of a public key (SPKI) in base64", isPin),
      "",
      "Public keys that the server of the callback may have; empty is any that its certificate vouches for"
    ),
    caFile: key(path, "", "Authorities that sign the certificate of the callback, instead of the usual ones (PEM)"),
    certFile: key(path, "", "Certificate that is shown to the callback (PEM)"),
    keyFile: key(path, "", "Private key of that certificate (PEM)")
  }),
  block: group({
    failures: key(
      count({ min: 1, max: 1_000_000, unit: "failures" }),
      5,
      "Wrong credentials from one address within the window that block it"
    ),
    window: key(duration({ min: "1 second", max: "1 day" }), "1 minute", "How long a wrong credential counts"),
    duration: key(duration({ min: "1 second" }), "5 minutes", "How long an address is blocked")
  })
}

/** Which addresses may do what. */
export const acl = {
  rules: key(
    listOf(
      "a list of rules with commas between them, each `allow` or `deny`, networks or addresses or `all`, and where wanted `application=` and `actions=publish+play`",
      isRule
    ),
    "",
    "Rules for addresses, in order: the first one that fits decides (`allow 10.0.0.0/8,deny all actions=publish`)"
  ),
  otherwise: key(choice(["allow", "deny"]), "allow", "What happens to those whom no rule fits")
}

/** What `accessConflicts` looks at: the group `auth`, decoded. */
interface Auth {
  readonly required: ReadonlyArray<AccessAction>
  readonly keys: {
    readonly enabled: boolean
    readonly in: "query" | "name"
    readonly allow: ReadonlyMap<string, KeyLine>
  }
  readonly adobe: { readonly enabled: boolean }
  readonly signedUrls: { readonly secrets: ReadonlyArray<unknown> }
  readonly jwt: {
    readonly secret: Redacted.Redacted<string>
    readonly publicKeyFile: string
    readonly jwksUrl: string
    readonly algorithms: ReadonlyArray<JwtAlgorithm>
  }
  readonly certificates: ReadonlyMap<string, string>
  readonly callback: {
    readonly url: Redacted.Redacted<string>
    readonly openFor: Duration.Duration
    readonly maxOpenFor: Duration.Duration
    readonly pins: ReadonlyArray<string>
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
  }
}

type KeyLine = Redacted.Redacted<string>

/** The ways to show a credential that are set up, in the order in which they are asked. */
export const methodsOf = (auth: Auth): ReadonlyArray<"certificate" | "key" | "signed" | "jwt" | "login"> => [
  ...(auth.certificates.size > 0 ? (["certificate"] as const) : []),
  ...(auth.keys.enabled || auth.keys.allow.size > 0 ? (["key"] as const) : []),
  ...(auth.signedUrls.secrets.length > 0 ? (["signed"] as const) : []),
  ...(jwtKeysOf(auth).length > 0 ? (["jwt"] as const) : []),
  ...(auth.adobe.enabled ? (["login"] as const) : [])
]

const jwtKeysOf = ({ jwt }: Auth): ReadonlyArray<string> => [
  ...(Redacted.value(jwt.secret) === "" ? [] : ["auth.jwt.secret"]),
  ...(jwt.publicKeyFile === "" ? [] : ["auth.jwt.publicKeyFile"]),
  ...(jwt.jwksUrl === "" ? [] : ["auth.jwt.jwksUrl"])
]

/** What contradicts itself in `auth`, as issues of a filter on the whole configuration. */
export const accessConflicts = (
  auth: Auth
): ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly issue: string }> => {
  const issues: Array<{ readonly path: ReadonlyArray<string>; readonly issue: string }> = []
  const conflict = (path: string, issue: string): void => {
    issues.push({ path: ["auth", ...path.split(".")], issue })
  }
  if (auth.required.length > 0 && methodsOf(auth).length === 0) {
    conflict("required", "nothing as long as no way to show a credential is set up, such as auth.keys.enabled")
  }
  const jwtKeys = jwtKeysOf(auth)
  if (jwtKeys.length > 1) conflict("jwt.secret", `one of ${jwtKeys.join(" and ")}`)
  const isShared = Redacted.value(auth.jwt.secret) !== ""
  if (jwtKeys.length === 1 && auth.jwt.algorithms.some((algorithm) => algorithm.startsWith("HS") !== isShared)) {
    conflict("jwt.algorithms", "HS256, HS384 and HS512 with auth.jwt.secret, and the others without")
  }
  if (auth.keys.in === "name") {
    for (const [id, line] of auth.keys.allow) {
      const read = AccessLines.key(id, Redacted.value(line))
      if (Result.isSuccess(read) && read.success.publishAs === undefined) {
        conflict("keys.allow", `publishAs= with the key of ${id}, because auth.keys.in is name`)
      }
    }
  }
  const { callback } = auth
  const isSecure = /^https:/i.test(Redacted.value(callback.url))
  if ((callback.certFile === "") !== (callback.keyFile === "")) {
    conflict("callback.certFile", "a file exactly where auth.callback.keyFile is one")
  }
  if (!isSecure && Redacted.value(callback.url) !== "") {
    for (const name of ["caFile", "certFile"] as const) {
      if (callback[name] !== "") conflict(`callback.${name}`, "nothing where auth.callback.url is no https:// address")
    }
    if (callback.pins.length > 0) {
      conflict("callback.pins", "nothing where auth.callback.url is no https:// address")
    }
  }
  if (Duration.isGreaterThan(callback.openFor, callback.maxOpenFor)) {
    conflict(
      "callback.openFor",
      `at most ${formatDuration(callback.maxOpenFor)}, the value of auth.callback.maxOpenFor`
    )
  }
  return issues
}
