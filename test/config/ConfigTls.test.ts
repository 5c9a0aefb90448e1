import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { keys, model, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"

const load = (tls: NonNullable<RtmpConfigInput["tls"]>) =>
  ConfigSource.load(model, [ConfigSource.fromValues(keys, { tls }, "test.yaml")])

const problems = (tls: NonNullable<RtmpConfigInput["tls"]>): ReadonlyArray<string> => {
  const result = load(tls)
  return Result.isFailure(result) ? result.failure.problems.map(({ expected, path }) => `${path}: ${expected}`) : []
}

const files = { certFile: "a.pem", keyFile: "a.key" }
const pin = `${"A".repeat(43)}=`

describe("the keys of TLS", () => {
  it("may be anything as long as TLS is off", () => {
    assert.deepStrictEqual(problems({}), [])
    assert.deepStrictEqual(
      problems({ keyFile: "a.key", acme: { domains: ["*"] }, clientCertificates: { mode: "required" } }),
      []
    )
  })

  it("must name a certificate where it is on, and say which ways there are where they do not", () => {
    const [problem, ...more] = problems({ enabled: true })
    assert.deepStrictEqual(more, [])
    for (const way of ["tls.certFile:", "tls.keyFile", "tls.acme.domains", "tls.selfSigned"])
      assert.include(problem, way)
    const ways = [
      files,
      { selfSigned: true },
      { certificates: "a.pem=a.key" },
      { acme: { domains: "rtmp.example.com", acceptTerms: true } }
    ]
    for (const way of ways) assert.deepStrictEqual(problems({ enabled: true, ...way }), [])
  })

  it("must have both halves of a pair, which may be mappings and text for several", () => {
    assert.match(problems({ enabled: true, certFile: "a.pem" })[0]!, /^tls\.keyFile: /)
    assert.match(problems({ enabled: true, selfSigned: true, keyFile: "a.key" })[0]!, /^tls\.certFile: /)
    const asText = Result.getOrThrow(load({ certificates: "a.pem=a.key, b.pem=b.key" })).config.tls
    const asMapping = Result.getOrThrow(load({ certificates: { "a.pem": "a.key", "b.pem": "b.key" } })).config.tls
    assert.deepStrictEqual(asText, asMapping)
    assert.deepStrictEqual(
      [...asText.certificates],
      [
        ["a.pem", "a.key"],
        ["b.pem", "b.key"]
      ]
    )
  })

  it("must agree to the terms of a directory, and ask it for names that it can look at", () => {
    const acme = (more: object) => problems({ enabled: true, acme: { domains: ["rtmp.example.com"], ...more } })
    assert.match(acme({})[0]!, /^tls\.acme\.acceptTerms: true/)
    for (const name of ["*.example.com", "a b", "-a.example", "192.0.2.1/24", `${"a".repeat(64)}.example`]) {
      assert.match(acme({ acceptTerms: true, domains: [name] })[0] ?? "", /^tls\.acme\.domains: /, name)
    }
    for (const name of ["example.com", "RTMP.example.com", "localhost", "a-b.xn--p1ai"]) {
      assert.deepStrictEqual(acme({ acceptTerms: true, domains: [name] }), [], name)
    }
    assert.lengthOf(problems({ acme: { directoryUrl: "http://plain.example/dir" } }), 1)
    const bound = (eab: object) => acme({ acceptTerms: true, eab })
    assert.match(bound({ kid: "kid-1" })[0] ?? "", /^tls\.acme\.eab\.hmacKey: /)
    assert.match(bound({ hmacKey: "c2VjcmV0" })[0] ?? "", /^tls\.acme\.eab\.kid: /)
    assert.deepStrictEqual(bound({ kid: "kid-1", hmacKey: "c2VjcmV0" }), [])
  })

  it("must say which clients are trusted where these are asked for certificates", () => {
    const clients = (clientCertificates: object) => problems({ enabled: true, ...files, clientCertificates })
    for (const mode of ["optional", "required"]) {
      assert.match(clients({ mode })[0]!, /^tls\.clientCertificates\.caFile: .*tls\.clientCertificates\.pins/)
      assert.deepStrictEqual(clients({ mode, caFile: "ca.pem" }), [])
      assert.deepStrictEqual(clients({ mode, pins: [pin] }), [])
    }
    assert.match(
      clients({ mode: "required", pins: [pin], crlFile: "revoked.pem" })[0] ?? "",
      /^tls\.clientCertificates\.caFile: .*tls\.clientCertificates\.crlFile/
    )
    assert.deepStrictEqual(clients({ mode: "required", caFile: "ca.pem", crlFile: "revoked.pem" }), [])
    assert.match(clients({ mode: "required", pins: ["sha256/x"] })[0]!, /^tls\.clientCertificates\.pins: /)
  })
})
