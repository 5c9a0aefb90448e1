/** Values that keys accept, and a writer of YAML that has nothing in common with the project's own. */

import * as Duration from "effect/Duration"
import type { ConfigKey } from "../../src/config/ConfigKey.ts"
import { formatDuration } from "../../src/config/ConfigValue.ts"

/** Text that keys accept which do not take any. */
const texts: Readonly<Record<string, ReadonlyArray<string>>> = {
  "listen.host": ["::", "192.0.2.7", "localhost"],
  // Others than this machine need tokens, which are not shown.
  "http.host": ["::1", "127.0.0.9", "LocalHost"],
  "instance.name": ["007", "true", "a-b", "1e3"],
  "log.file.path": ["", "/var/log/a b: #c.log", "C:\\logs\\'x'\".log", "日本 ☃", "- x", "~"],
  "otlp.url": ["", "https://collector.example:4318/?a=b#c"],
  "shutdown.reconnectTo": ["", "rtmp://other.example/live"],
  "tls.host": ["::", "192.0.2.7"],
  "tls.certFile": ["", "/etc/a b.pem"],
  "tls.keyFile": ["", "C:\\a'b.key"],
  "tls.directory": ["data", "/var/lib/a b: #c", "~"],
  "tls.ciphers": ["", "ECDHE+AESGCM:!aNULL:@SECLEVEL=1"],
  "tls.clientCertificates.caFile": ["", "ca.pem"],
  "tls.clientCertificates.crlFile": ["", "revoked.pem"],
  "tls.acme.email": ["", "ann@example.org"],
  "tls.acme.directoryUrl": ["https://localhost:14000/dir", "https://a.example/b?c=d#e"],
  "tls.acme.caFile": ["", "- x"],
  "tls.acme.eab.kid": ["", "kid-1", "#x", "~"],
  "tls.acme.eab.hmacKey": ["", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"],
  "tls.acme.httpHost": ["::1", "0"],
  "auth.keys.parameter": ["key", "007", "a-b_c"],
  "auth.keys.directory": ["data/keys", "/var/lib/a b: #c", "~"],
  "auth.adobe.application": ["live", "live*", "**", "?"],
  "auth.jwt.secret": ["", "s3cret-s3cret-s3cret-s3cret-s3cret"],
  "auth.jwt.publicKeyFile": ["", "/etc/a b.pem"],
  "auth.jwt.jwksUrl": ["", "https://issuer.example/jwks?a=b#c"],
  "auth.jwt.parameter": ["token", "null"],
  "auth.jwt.issuer": ["", "https://issuer.example"],
  "auth.jwt.audience": ["", "#x", "true"],
  "auth.callback.url": ["", "http://127.0.0.1:9/on?token=s3cret"],
  "auth.callback.secret": ["", "s3cret"],
  "auth.callback.caFile": ["", "ca.pem"],
  "auth.callback.certFile": ["", "cert.pem"],
  "auth.callback.keyFile": ["", "key.pem"]
}

const records: Readonly<Record<string, ReadonlyArray<Readonly<Record<string, string | number>>>>> = {
  "latency.applications": [{}, { live: "low", "2024": "1 second" }, { true: 40, "a:b": "throughput" }],
  "log.levels": [{}, { server: "debug" }, { live: "none", tls: "trace" }],
  "tls.certificates": [{}, { "/etc/a.pem": "/etc/a.key", "2": "C:\\b c.key" }],
  "otlp.headers": [{}, { Authorization: "Bearer s3cret, indeed: #yes" }],
  "auth.keys.allow": [{}, { ann: "s3cret-key application=live actions=publish+play", bob: `sha256:${"0".repeat(64)}` }],
  "auth.certificates": [{}, { studio: "DNS:studio-1.example stream=cam*", "2": '"CN=a b,O=#1: x" publishAs=camera' }]
}

/** Lists of what is not any text. */
const lists: Readonly<Record<string, ReadonlyArray<ReadonlyArray<string>>>> = {
  "listen.proxyProtocol.trusted": [[], ["10.0.0.0/8"], ["192.0.2.1", "2001:db8::/32"]],
  "limits.exemptNetworks": [[], ["127.0.0.0/8", "::1"]],
  // Without its counterpart, which may be secret, a list that is not empty would contradict what is shown.
  "auth.required": [[]],
  "auth.jwt.algorithms": [[]],
  "auth.callback.actions": [[], ["publish"], ["connect", "publish", "play"]],
  "auth.callback.pins": [[]],
  "acl.rules": [
    [],
    ["deny 192.0.2.0/24 2001:db8::/32 application=live"],
    ["allow 10.0.0.1", "deny all actions=publish+play"]
  ]
}

/** A value that the key alone accepts, as it stands in a file; another one for nearly every `seed`. */
export const valueOf = (key: ConfigKey, seed: number): unknown => {
  const at = <A>(values: ReadonlyArray<A>): A => values[seed % values.length]!
  const range = (key.json.anyOf as ReadonlyArray<{ minimum: number; maximum: number }> | undefined)?.[1]
  const { maximum, minimum } = (range ?? key.json) as { readonly minimum: number; readonly maximum: number }
  const number = minimum + (seed % (Math.min(maximum - minimum, 1e9) + 1))
  switch (key.kind) {
    case "duration":
      return seed % 2 === 0 ? number : formatDuration(Duration.millis(number))
    case "bytes":
    case "bitrate":
    case "count":
      return number
    case "boolean":
      // Without RTMPS the server would listen nowhere, and RTMPS needs other keys.
      return key.path === "listen.enabled" || (key.path !== "tls.enabled" && seed % 2 === 0)
    case "choice":
      return at(key.json.enum as ReadonlyArray<string>)
    case "list":
      if (lists[key.path] !== undefined) return at(lists[key.path]!)
      return at([[], ["live"], ["null", "12", "a b"].slice(0, key.secret ? 2 : 3), ["*a", "&b", "!c"]])
    case "record":
      return at(records[key.path]!)
    case "text":
      return at(texts[key.path]!)
  }
}

/** Puts values by path into a nested structure. */
export const nest = (values: ReadonlyMap<string, unknown>): Record<string, unknown> => {
  const root: Record<string, unknown> = {}
  for (const [path, value] of values) {
    const steps = path.split(".")
    let members = root
    for (const step of steps.slice(0, -1)) {
      members[step] ??= {}
      members = members[step] as Record<string, unknown>
    }
    members[steps.at(-1)!] = value
  }
  return root
}

/** Writes a nested structure as YAML in block style, with the odd comment, and every text in quotes. */
export const blockYaml = (value: unknown, indent = ""): string => {
  if (Array.isArray(value) && value.length > 0) {
    return `\n${value.map((item) => `${indent}- ${JSON.stringify(item)} # item\n`).join("")}`
  }
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0)
    return ` ${JSON.stringify(value)}\n`
  return `\n${Object.entries(value)
    .map(([name, member]) => `${indent}${JSON.stringify(name)}:${blockYaml(member, `${indent}   `)}`)
    .join("")}`
}
