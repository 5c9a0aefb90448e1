import { generateKeyPairSync } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as AtomicFile from "../../src/node/AtomicFile.ts"
import * as CertificateFile from "../../src/node/CertificateFile.ts"
import * as SelfSigned from "../../src/node/SelfSigned.ts"
import * as TestAuthority from "../support/TestAuthority.ts"
import { folder } from "../support/TestCertificates.ts"

const files = { path: "a.pem", keyPath: "a.key" }
const parse = (chain: string, key: string) => CertificateFile.parse("file", files, chain, key)

const issued = (...hosts: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const authority = await TestAuthority.make("An authority")
    return { authority, own: await TestAuthority.forHosts(authority, ...hosts) }
  })

describe("a certificate with its key", () => {
  it.effect("is known by its names, its issuer, its times and the hash of its key", () =>
    Effect.gen(function* () {
      const { authority, own } = yield* issued("Live.Example.org", "*.example.org")
      const it = yield* parse(`${own.certificate}\n${authority.certificate}`, own.key)
      assert.deepStrictEqual(it.names, ["live.example.org", "*.example.org"])
      assert.strictEqual(it.issuer, "CN=An authority")
      assert.strictEqual(it.publicKeySha256, own.publicKeySha256)
      assert.isAbove(it.notAfter, Date.now())
      assert.isBelow(it.notBefore, Date.now())
    })
  )

  it.effect("is refused with the file that is wrong, and what is wrong with it", () =>
    Effect.gen(function* () {
      const { own } = yield* issued("a.test")
      const { own: other } = yield* issued("a.test")
      const cut = own.certificate.replace(/\n[^\n]+\n-----END/, "\n-----END")
      const locked = generateKeyPairSync("ec", {
        namedCurve: "P-256",
        privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" },
        publicKeyEncoding: { type: "spki", format: "pem" }
      })
      const cases = [
        ["", own.key, "NotACertificate", "a.pem: holds no PEM"],
        [own.key, own.key, "NotACertificate", "a.pem: holds private key"],
        [cut, own.key, "NotACertificate", "a.pem: its certificate 1 of 1 cannot be understood"],
        [
          `${own.certificate}\n${cut}`,
          own.key,
          "NotACertificate",
          "a.pem: its certificate 2 of 2 cannot be understood"
        ],
        [own.certificate, own.certificate, "NotAKey", "a.key: holds no private key"],
        [own.certificate, own.key.replace(/\n.{20}/, "\n"), "NotAKey", "a.key: its private key cannot be understood"],
        [own.certificate, locked.privateKey, "NotAKey", "a.key: has a password"],
        [own.certificate, other.key, "KeyMismatch", "a.key: is not the key of the certificate in a.pem"]
      ] as const
      for (const [chain, key, reason, message] of cases) {
        const error = yield* Effect.flip(parse(chain, key))
        assert.strictEqual(error.reason, reason, message)
        assert.isTrue(error.message.startsWith(message), `${error.message} / ${message}`)
      }
    })
  )

  it.effect("says of a file that cannot be read why", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const missing = yield* Effect.flip(CertificateFile.readText(Path.join(directory, "none.pem")))
      assert.deepStrictEqual([missing.reason, missing.detail], ["FileMissing", "does not exist"])
      const notAFile = yield* Effect.flip(CertificateFile.readText(directory))
      assert.deepStrictEqual(
        [notAFile.reason, notAFile.detail],
        ["FileUnreadable", "cannot be read: it is a directory"]
      )
      const large = Path.join(directory, "large.pem")
      Fs.writeFileSync(large, Buffer.alloc(CertificateFile.maxFileBytes + 1))
      assert.strictEqual((yield* Effect.flip(CertificateFile.readText(large))).reason, "FileUnreadable")
    }).pipe(Effect.scoped)
  )

  it("has names in one form, addresses too", () => {
    assert.deepStrictEqual(
      ["A.Test", "*.B.test", "192.0.2.1", "2001:DB8:0:0::1", "::1"].map(CertificateFile.canonicalName),
      ["a.test", "*.b.test", "192.0.2.1", "2001:db8::1", "::1"]
    )
  })
})

describe("a file that is written", () => {
  it.effect("is whole or not there, with its mode, and leaves nothing beside it", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder, "deep", "key.pem")
      yield* Effect.promise(() => AtomicFile.write(path, "one", 0o600))
      yield* Effect.promise(() => AtomicFile.write(path, "two", 0o600))
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "two")
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), ["key.pem"])
    }).pipe(Effect.scoped)
  )

  it.effect("leaves what was there where it cannot be written", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const path = Path.join(directory, "taken")
      Fs.mkdirSync(path)
      const error = yield* Effect.flip(CertificateFile.write(path, "text", 0o600))
      assert.strictEqual(error.reason, "StorageFailed")
      assert.deepStrictEqual(Fs.readdirSync(directory), ["taken"])
    }).pipe(Effect.scoped)
  )
})

describe("a self-signed certificate", () => {
  const now = Date.UTC(2026, 0, 1)
  const dayMs = 86_400_000

  it.effect("is kept, and made anew before it ends, for another name, and where its key is another one", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const names = ["localhost", "::1", "10.0.0.1"]
      const first = yield* SelfSigned.obtain(directory, names, now)
      assert.isTrue(first.isNew)
      assert.deepStrictEqual(first.certificate.names, names)
      assert.strictEqual(first.certificate.notAfter, now + SelfSigned.validDays * dayMs)

      const again = yield* SelfSigned.obtain(directory, names, now + dayMs)
      assert.isFalse(again.isNew)
      assert.strictEqual(again.certificate.publicKeySha256, first.certificate.publicKeySha256)

      const late = now + (SelfSigned.validDays - SelfSigned.renewBeforeDays) * dayMs
      const renewed = yield* SelfSigned.obtain(directory, names, late)
      assert.isTrue(renewed.isNew)
      assert.isTrue((yield* SelfSigned.obtain(directory, [...names, "b.test"], late)).isNew)

      const { keyPath } = SelfSigned.pathsIn(directory)
      assert.strictEqual(Fs.statSync(keyPath).mode & 0o777, 0o600)
      Fs.writeFileSync(keyPath, (yield* SelfSigned.make(names, now)).key)
      assert.isTrue((yield* SelfSigned.obtain(directory, names, late)).isNew)
    }).pipe(Effect.scoped)
  )
})
