/**
 * The PROXY protocol, versions 1 and 2: the header by which a load balancer tells, in front of the first byte of a
 * connection, whose connection it is (HAProxy, "The PROXY protocol", 2.1 and 2.2).
 *
 * A `ProxyReader` takes the first bytes in any partition, and hands over the header and the bytes behind it. It has no
 * clock: whoever reads sets a deadline. Whether a peer may send such a header at all is not decided here either; from
 * anybody who is not trusted it is a lie about an address.
 *
 * **Gotchas**
 *
 * - A header without an address is no fault: `LOCAL` is the balancer's own connection (a health check), `UNKNOWN` and
 *   `UNSPEC` are those it cannot tell about. The address of the connection itself counts then.
 * - Behind `UNSPEC` and `LOCAL` it is not known where addresses end and TLVs begin: both are skipped.
 */
import * as Data from "effect/Data"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

/** Version 1 is a line of at most so many bytes, CRLF included. */
export const maxLineBytes = 107

/** The longest header of version 2 that is taken: fixed part, addresses and TLVs. Those that balancers send are shorter by far. */
export const maxHeaderBytes = 4096

/**
 * Why bytes are no PROXY header.
 *
 * - `Missing`: they begin as something else, so there is no header.
 * - `TooLong`: the line of version 1 has no end within `maxLineBytes`, or version 2 declares more than `maxHeaderBytes`.
 * - `Malformed`: a field is not what it must be, an address or a TLV does not fit, or CR comes without LF.
 * - `UnsupportedVersion`: the signature of version 2 with another version.
 * - `ChecksumMismatch`: the checksum that the header carries (`PP2_TYPE_CRC32C`) is not its own.
 */
export type ProxyProtocolReason = "Missing" | "TooLong" | "Malformed" | "UnsupportedVersion" | "ChecksumMismatch"

/** Bytes that are no PROXY header. `detail` holds none of them. */
export class ProxyProtocolError extends Data.TaggedError("ProxyProtocolError")<{
  readonly reason: ProxyProtocolReason
  readonly detail: string
}> {
  override get message(): string {
    return `no valid PROXY protocol header (${this.reason}): ${this.detail}`
  }
}

/** One end of the connection that the balancer accepted: an IP address in its canonical form and a port, or a Unix path. */
export type ProxyEndpoint =
  | { readonly _tag: "Ip"; readonly host: string; readonly port: number }
  | { readonly _tag: "Unix"; readonly path: string }

/** A further field of version 2 (`PP2_TYPE_…`); `value` is a copy. */
export interface ProxyTlv {
  readonly type: number
  readonly value: Uint8Array
}

/**
 * What a header says.
 *
 * - `command`: `local` is a connection of the balancer's own, as for a health check.
 * - `transport`: how the client came to the balancer; `unspecified` where it does not tell.
 * - `source`, `destination`: the client, and what it connected to; absent where the header names nobody.
 * - `tlvs`: in their order; `NOOP` ones are left out. Version 1 has none.
 */
export interface ProxyHeader {
  readonly version: 1 | 2
  readonly command: "proxy" | "local"
  readonly transport: "stream" | "datagram" | "unspecified"
  readonly source?: ProxyEndpoint
  readonly destination?: ProxyEndpoint
  readonly tlvs: ReadonlyArray<ProxyTlv>
}

/** A whole header, and the bytes behind it, which may be none and share memory with nothing that was pushed. */
export interface ProxyProgress {
  readonly header: ProxyHeader
  readonly rest: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8")

const signature1 = encoder.encode("PROXY ")
const signature2 = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const fixedBytes = 16

const CR = 13
const LF = 10

/** The TLV types that mean something here. */
const PP2_TYPE_CRC32C = 0x03
const PP2_TYPE_NOOP = 0x04

/**
 * Reads one header. It keeps no more than the bytes that were pushed until the header is whole, which is bounded by
 * `maxHeaderBytes` and one push.
 *
 * It is dead after a header or an error: a later push throws.
 */
export class ProxyReader {
  #held = new Uint8Array(0)
  #done = false

  /** Takes the next bytes. Gives the header once it is whole, and `undefined` before that. */
  push(bytes: Uint8Array): Result.Result<ProxyProgress | undefined, ProxyProtocolError> {
    if (this.#done) throw new Error("a ProxyReader reads one header")
    const held = new Uint8Array(this.#held.length + bytes.length)
    held.set(this.#held)
    held.set(bytes, this.#held.length)
    this.#held = held
    const progress = read(held)
    if (Result.isFailure(progress) || progress.success !== undefined) {
      this.#done = true
      this.#held = new Uint8Array(0)
    }
    return progress
  }
}

type Progress = Result.Result<ProxyProgress | undefined, ProxyProtocolError>

const failed = (reason: ProxyProtocolReason, detail: string): Result.Result<never, ProxyProtocolError> =>
  Result.fail(new ProxyProtocolError({ reason, detail }))

// What decides stands in the order of the bytes, so that any partition of them is judged alike.
const read = (held: Uint8Array): Progress => {
  if (held.length === 0) return Result.succeed(undefined)
  const signature = held[0] === signature2[0] ? signature2 : signature1
  const known = Math.min(held.length, signature.length)
  for (let i = 0; i < known; i++) {
    if (held[i] !== signature[i]) return failed("Missing", "the connection begins with something else")
  }
  if (known < signature.length) return Result.succeed(undefined)
  return signature === signature1 ? readLine(held) : readBinary(held)
}

const readLine = (held: Uint8Array): Progress => {
  for (let i = signature1.length; i < held.length; i++) {
    const byte = held[i]!
    if (i >= maxLineBytes - 1 && byte !== LF) {
      return failed("TooLong", `the line does not end within ${maxLineBytes} bytes`)
    }
    if (held[i - 1] === CR) {
      if (byte !== LF) return failed("Malformed", "CR without LF")
      return Result.map(line(decoder.decode(held.subarray(0, i - 1))), (header) => ({
        header,
        rest: held.slice(i + 1)
      }))
    }
    if (byte !== CR && (byte < 0x20 || byte > 0x7e)) return failed("Malformed", "a byte that is no text")
  }
  return Result.succeed(undefined)
}

const unspecified = { transport: "unspecified", tlvs: [] } as const

const line = (text: string): Result.Result<ProxyHeader, ProxyProtocolError> => {
  const fields = text.split(" ")
  const family = fields[1]!
  // Whatever follows is to be ignored.
  if (family === "UNKNOWN") return Result.succeed({ version: 1, command: "proxy", ...unspecified })
  if (family !== "TCP4" && family !== "TCP6") return failed("Malformed", "the family is none of TCP4, TCP6 and UNKNOWN")
  if (fields.length !== 6) return failed("Malformed", "the line has not two addresses and two ports")
  const [, , sourceHost, destinationHost, sourcePort, destinationPort] = fields
  const source = textEndpoint(family, sourceHost!, sourcePort!)
  const destination = textEndpoint(family, destinationHost!, destinationPort!)
  if (source === undefined || destination === undefined)
    return failed("Malformed", `an address or port is none of ${family}`)
  return Result.succeed({ version: 1, command: "proxy", transport: "stream", source, destination, tlvs: [] })
}

const textEndpoint = (family: "TCP4" | "TCP6", host: string, port: string): ProxyEndpoint | undefined => {
  const address: Result.Result<NetAddress.IpAddress, unknown> =
    family === "TCP4" ? NetAddress.ipv4FromString(host) : NetAddress.ipv6FromString(host)
  if (Result.isFailure(address) || !/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65_535) return undefined
  return endpoint(address.success, Number(port))
}

const endpoint = (address: NetAddress.IpAddress, port: number): ProxyEndpoint => ({
  _tag: "Ip",
  host: NetAddress.formatIp(NetAddress.toCanonical(address)),
  port
})

/** Bytes of the two addresses, by the family in the upper half of byte 13. */
const addressBytes = [0, 12, 36, 216] as const

const readBinary = (held: Uint8Array): Progress => {
  if (held.length < 13) return Result.succeed(undefined)
  const version = held[12]! >> 4
  if (version !== 2) return failed("UnsupportedVersion", `version ${version}`)
  const command = held[12]! & 15
  if (command > 1) return failed("Malformed", `command ${command}`)
  const isLocal = command === 0
  if (held.length < 14) return Result.succeed(undefined)
  const family = held[13]! >> 4
  const protocol = held[13]! & 15
  if (!isLocal && (family > 3 || protocol > 2)) return failed("Malformed", `family ${family}, protocol ${protocol}`)
  if (held.length < fixedBytes) return Result.succeed(undefined)
  const view = new DataView(held.buffer, held.byteOffset, held.byteLength)
  const end = fixedBytes + view.getUint16(14)
  if (end > maxHeaderBytes) return failed("TooLong", `${end} bytes, ${maxHeaderBytes} at most`)
  // With either of the two unknown, nothing can be said of the rest.
  const isKnown = !isLocal && family !== 0 && protocol !== 0
  const needed = isKnown ? addressBytes[family as 1 | 2 | 3] : 0
  if (end - fixedBytes < needed) return failed("Malformed", `${end - fixedBytes} bytes are too few for two addresses`)
  if (held.length < end) return Result.succeed(undefined)
  const rest = held.slice(end)
  if (!isKnown) {
    return Result.succeed({ header: { version: 2, command: isLocal ? "local" : "proxy", ...unspecified }, rest })
  }
  return Result.map(readTlvs(held.subarray(0, end), fixedBytes + needed), (tlvs) => ({
    header: {
      version: 2,
      command: "proxy",
      transport: protocol === 1 ? "stream" : "datagram",
      ...endpoints(view, held, family as 1 | 2 | 3),
      tlvs
    },
    rest
  }))
}

const endpoints = (
  view: DataView,
  held: Uint8Array,
  family: 1 | 2 | 3
): Pick<ProxyHeader, "source" | "destination"> => {
  const at = fixedBytes
  switch (family) {
    case 1:
      return {
        source: endpoint(NetAddress.ipv4FromBytesUnsafe(held.subarray(at, at + 4)), view.getUint16(at + 8)),
        destination: endpoint(NetAddress.ipv4FromBytesUnsafe(held.subarray(at + 4, at + 8)), view.getUint16(at + 10))
      }
    case 2:
      return {
        source: endpoint(NetAddress.ipv6FromBytesUnsafe(held.subarray(at, at + 16)), view.getUint16(at + 32)),
        destination: endpoint(NetAddress.ipv6FromBytesUnsafe(held.subarray(at + 16, at + 32)), view.getUint16(at + 34))
      }
    case 3:
      return {
        source: unixEndpoint(held.subarray(at, at + 108)),
        destination: unixEndpoint(held.subarray(at + 108, at + 216))
      }
  }
}

const unixEndpoint = (field: Uint8Array): ProxyEndpoint => {
  const end = field.indexOf(0)
  return { _tag: "Unix", path: decoder.decode(end < 0 ? field : field.subarray(0, end)) }
}

const readTlvs = (header: Uint8Array, from: number): Result.Result<ReadonlyArray<ProxyTlv>, ProxyProtocolError> => {
  const tlvs: Array<ProxyTlv> = []
  for (let at = from; at < header.length; ) {
    const start = at + 3
    const end = start + ((header[at + 1] ?? 0) << 8) + (header[at + 2] ?? 0)
    if (end > header.length) return failed("Malformed", "a TLV reaches over the end of the header")
    const type = header[at]!
    const value = header.slice(start, end)
    if (type === PP2_TYPE_CRC32C) {
      if (value.length !== 4) return failed("Malformed", "a checksum has 4 bytes")
      if (crc32c(header, start) !== new DataView(value.buffer).getUint32(0)) {
        return failed("ChecksumMismatch", "the header was damaged, or made by somebody who cannot count")
      }
    }
    if (type !== PP2_TYPE_NOOP) tlvs.push({ type, value })
    at = end
  }
  return Result.succeed(tlvs)
}

/**
 * Checksum of a header, CRC-32C (Castagnoli, as in RFC 4960), with the four bytes at `checksumAt`, in which it stands
 * itself, taken for zero.
 */
export const crc32c = (header: Uint8Array, checksumAt: number): number => {
  let crc = 0xffffffff
  for (let i = 0; i < header.length; i++) {
    crc ^= i >= checksumAt && i < checksumAt + 4 ? 0 : header[i]!
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}
