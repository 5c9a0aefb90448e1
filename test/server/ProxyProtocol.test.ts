import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as ProxyProtocol from "../../src/server/ProxyProtocol.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))
const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Uint8Array.from(Buffer.concat(parts))

const signature = "0d0a0d0a000d0a515549540a"

/** A header of version 2 around a body. */
const binary = (commandAndVersion: string, familyAndProtocol: string, body: Uint8Array, length = body.length) =>
  join(hex(signature), hex(commandAndVersion), hex(familyAndProtocol), Uint8Array.of(length >> 8, length & 255), body)

type Outcome =
  | { readonly header: ProxyProtocol.ProxyHeader; readonly rest: string }
  | { readonly reason: ProxyProtocol.ProxyProtocolReason }
  | "more"

/** Pushes pieces until the header is whole; what comes later is added to the bytes behind it, as on a socket. */
const run = (pieces: ReadonlyArray<Uint8Array>): Outcome => {
  const reader = new ProxyProtocol.ProxyReader()
  for (let i = 0; i < pieces.length; i++) {
    const progress = reader.push(pieces[i]!)
    if (Result.isFailure(progress)) return { reason: progress.failure.reason }
    if (progress.success !== undefined) {
      const rest = join(progress.success.rest, ...pieces.slice(i + 1))
      return { header: progress.success.header, rest: Buffer.from(rest).toString("hex") }
    }
  }
  return "more"
}

const header = (bytes: Uint8Array): ProxyProtocol.ProxyHeader => {
  const outcome = run([bytes])
  if (outcome === "more" || "reason" in outcome) throw new Error(`no header: ${JSON.stringify(outcome)}`)
  return outcome.header
}

const ip = (host: string, port: number): ProxyProtocol.ProxyEndpoint => ({ _tag: "Ip", host, port })

const tcp4 = hex("c0000207 c6336401 1f90 078f")
const tcp6 = hex("20010db8000000000000000000000001 20010db8000000000000000000000002 ffff 0001")
const unix = join(ascii("/run/client.sock"), new Uint8Array(92), ascii("/run/server.sock"), new Uint8Array(92))

const valid: ReadonlyArray<readonly [string, Uint8Array]> = [
  ["v1 TCP4", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 8080 1935\r\n")],
  ["v1 TCP6", ascii("PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n")],
  ["v1 UNKNOWN", ascii("PROXY UNKNOWN ffff::1 whatever\r\n")],
  ["v2 TCP4", binary("21", "11", tcp4)],
  ["v2 UDP4", binary("21", "12", tcp4)],
  ["v2 TCP6", binary("21", "21", tcp6)],
  ["v2 UNIX", binary("21", "31", unix)],
  ["v2 UNSPEC", binary("21", "00", hex("0102030405"))],
  ["v2 LOCAL", binary("20", "00", new Uint8Array(0))],
  ["v2 with TLVs", binary("21", "11", join(tcp4, hex("020003 616263"), hex("04000100"), hex("ea0000")))]
]

const hostile: ReadonlyArray<readonly [string, Uint8Array, ProxyProtocol.ProxyProtocolReason]> = [
  ["an RTMP handshake", join(Uint8Array.of(3), new Uint8Array(1536)), "Missing"],
  ["a TLS greeting", hex("16030102000100"), "Missing"],
  ["an HTTP request", ascii("POST / HTTP/1.1\r\n"), "Missing"],
  ["a signature of version 2 with one wrong byte", hex("0d0a0d0a000d0a515549540b 21110000"), "Missing"],
  ["lower case", ascii("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), "Missing"],
  ["a line that never ends", ascii(`PROXY UNKNOWN ${"x".repeat(200)}`), "TooLong"],
  ["a line of 108 bytes", ascii(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`), "TooLong"],
  ["LF alone", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 8080 1935\n"), "Malformed"],
  ["CR alone", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 8080 1935\rX"), "Malformed"],
  ["a NUL in the line", ascii("PROXY TCP4 192.0.2.7\u0000 198.51.100.1 1 2\r\n"), "Malformed"],
  ["no family", ascii("PROXY \r\n"), "Malformed"],
  ["another family", ascii("PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n"), "Malformed"],
  ["too few fields", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n"), "Malformed"],
  ["two blanks", ascii("PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n"), "Malformed"],
  ["a host name", ascii("PROXY TCP4 example.org 198.51.100.1 1 2\r\n"), "Malformed"],
  ["an IPv6 address in TCP4", ascii("PROXY TCP4 ::1 198.51.100.1 1 2\r\n"), "Malformed"],
  ["an IPv4 address in TCP6", ascii("PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n"), "Malformed"],
  ["a port above 65535", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n"), "Malformed"],
  ["a port with a leading zero", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n"), "Malformed"],
  ["a negative port", ascii("PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n"), "Malformed"],
  ["version 1 behind the signature of version 2", binary("11", "11", tcp4), "UnsupportedVersion"],
  ["version 3", binary("31", "11", tcp4), "UnsupportedVersion"],
  ["command 2", binary("22", "11", tcp4), "Malformed"],
  ["family 4", binary("21", "41", tcp4), "Malformed"],
  ["protocol 3", binary("21", "13", tcp4), "Malformed"],
  ["11 bytes for IPv4", binary("21", "11", tcp4.subarray(1)), "Malformed"],
  ["35 bytes for IPv6", binary("21", "21", tcp6.subarray(1)), "Malformed"],
  ["215 bytes for UNIX", binary("21", "31", unix.subarray(1)), "Malformed"],
  ["64 KiB declared", binary("21", "11", tcp4, 65_535), "TooLong"],
  ["one byte more than a header may have", binary("21", "11", tcp4, 4096 - 15), "TooLong"],
  ["a TLV without its length", binary("21", "11", join(tcp4, hex("0200"))), "Malformed"],
  ["a TLV that is longer than the header", binary("21", "11", join(tcp4, hex("020002 61"))), "Malformed"],
  ["a checksum of three bytes", binary("21", "11", join(tcp4, hex("030003 000000"))), "Malformed"],
  ["a wrong checksum", binary("21", "11", join(tcp4, hex("030004 deadbeef"))), "ChecksumMismatch"]
]

describe("a PROXY header", () => {
  it("of version 1 names client and server", () => {
    assert.deepStrictEqual(header(valid[0]![1]), {
      version: 1,
      command: "proxy",
      transport: "stream",
      source: ip("192.0.2.7", 8080),
      destination: ip("198.51.100.1", 1935),
      tlvs: []
    })
    assert.deepStrictEqual(header(valid[1]![1]).source, ip("2001:db8::1", 65_535))
  })

  it("of version 2 names client and server", () => {
    assert.deepStrictEqual(header(valid[3]![1]), {
      version: 2,
      command: "proxy",
      transport: "stream",
      source: ip("192.0.2.7", 8080),
      destination: ip("198.51.100.1", 1935),
      tlvs: []
    })
    assert.strictEqual(header(valid[4]![1]).transport, "datagram")
    const six = header(valid[5]![1])
    assert.deepStrictEqual([six.source, six.destination], [ip("2001:db8::1", 65_535), ip("2001:db8::2", 1)])
    assert.deepStrictEqual(header(valid[6]![1]).source, { _tag: "Unix", path: "/run/client.sock" })
    assert.deepStrictEqual(header(valid[6]![1]).destination, { _tag: "Unix", path: "/run/server.sock" })
  })

  it("gives an IPv4 address that is mapped into IPv6 as the IPv4 address", () => {
    assert.deepStrictEqual(header(ascii("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n")).source, ip("192.0.2.7", 1))
    const mapped = hex("00000000000000000000ffffc0000207 00000000000000000000000000000001 0001 0002")
    assert.deepStrictEqual(header(binary("21", "21", mapped)).source, ip("192.0.2.7", 1))
  })

  it.each([
    ["UNKNOWN", valid[2]![1], "proxy"],
    ["UNSPEC", valid[7]![1], "proxy"],
    ["LOCAL", valid[8]![1], "local"],
    ["LOCAL with an address", binary("20", "11", tcp4), "local"],
    ["LOCAL with a family of the future", binary("20", "f7", hex("0102")), "local"]
  ] as const)("of %s names nobody", (_, bytes, command) => {
    const { source, destination, ...rest } = header(bytes)
    assert.deepStrictEqual([source, destination, rest.command], [undefined, undefined, command])
  })

  it("has its TLVs in order, without padding", () => {
    assert.deepStrictEqual(
      header(valid[9]![1]).tlvs.map(({ type, value }) => [type, Buffer.from(value).toString("latin1")]),
      [
        [2, "abc"],
        [0xea, ""]
      ]
    )
  })

  it("is checked by the checksum that it carries", () => {
    // The check value of the polynomial (CRC catalogue, CRC-32/ISCSI).
    assert.strictEqual(ProxyProtocol.crc32c(ascii("123456789"), 100), 0xe3069283)
    const bytes = binary("21", "11", join(tcp4, hex("030004 00000000")))
    new DataView(bytes.buffer).setUint32(bytes.length - 4, ProxyProtocol.crc32c(bytes, bytes.length - 4))
    assert.strictEqual(header(bytes).tlvs.length, 1)
    bytes[16] = bytes[16]! ^ 1
    assert.deepStrictEqual(run([bytes]), { reason: "ChecksumMismatch" })
  })

  it.each(hostile)("is refused: %s", (_, bytes, reason) => {
    assert.deepStrictEqual(run([bytes]), { reason })
  })

  it("may be as long as its version allows, and no byte longer", () => {
    assert.strictEqual(header(ascii(`PROXY UNKNOWN ${"x".repeat(91)}\r\n`)).version, 1)
    const padding = ProxyProtocol.maxHeaderBytes - 16 - tcp4.length
    const tlv = join(Uint8Array.of(4, (padding - 3) >> 8, (padding - 3) & 255), new Uint8Array(padding - 3))
    assert.strictEqual(header(binary("21", "11", join(tcp4, tlv))).version, 2)
  })

  const begins = [ascii("PROXY "), ascii("PROXY TCP4 "), hex(signature), hex(`${signature}2111`), new Uint8Array(0)]
  const fronts = [...valid.map(([, bytes]) => bytes), ...hostile.map(([, bytes]) => bytes)]

  it.prop(
    "is read alike from any partition, with what came behind it",
    [
      MessageArbitrary.integer(0, fronts.length + begins.length - 1),
      MessageArbitrary.bytes(60),
      MessageArbitrary.integer(0, 60),
      MessageArbitrary.partition
    ],
    ([which, behind, changed, lengths]) => {
      const all = join(fronts[which] ?? begins[which - fronts.length]!, behind)
      // One byte of a header is another one in some runs.
      if (behind.length > 30 && changed < all.length) all[changed] = behind[0]!
      const whole = run([all])
      assert.deepStrictEqual(run(MessageArbitrary.split(all, lengths)), whole)
      assert.deepStrictEqual(run(MessageArbitrary.split(all, [1])), whole)
    },
    { arbitrary: { runs: 3_000 } }
  )

  it("is not waited for where it cannot come any more", () => {
    for (const [, bytes] of valid) {
      for (let length = 0; length < bytes.length; length++) {
        assert.strictEqual(run([bytes.subarray(0, length)]), "more")
      }
    }
  })

  it("keeps nothing of the arrays that were pushed", () => {
    const reader = new ProxyProtocol.ProxyReader()
    const bytes = join(valid[9]![1], ascii("behind"))
    const progress = Result.getOrThrow(reader.push(bytes))!
    bytes.fill(0)
    assert.strictEqual(Buffer.from(progress.rest).toString(), "behind")
    assert.strictEqual(Buffer.from(progress.header.tlvs[0]!.value).toString(), "abc")
    assert.throws(() => reader.push(bytes))
  })
})
