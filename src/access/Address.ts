/**
 * Addresses of clients, brought into one form before anything compares them.
 *
 * An IPv4 address that arrives mapped into IPv6 (`::ffff:192.0.2.1`, as sockets that listen on both give it) is the IPv4
 * address. A zone (`fe80::1%eth0`) is left off.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

/** Reads an address; `undefined` for what is none, such as the path of a Unix socket. */
export const parse = (text: string): NetAddress.IpAddress | undefined => {
  const zone = text.indexOf("%")
  const address = NetAddress.ipFromString(zone < 0 ? text : text.slice(0, zone))
  return Result.isFailure(address) ? undefined : NetAddress.toCanonical(address.success)
}

/**
 * Reads a network in CIDR notation, or a single address. Host bits behind the prefix are cleared, and a network of mapped
 * addresses is the IPv4 network.
 */
export const parseNetwork = (text: string): IpNetwork.IpNetwork | undefined => {
  const slash = text.indexOf("/")
  const written = NetAddress.ipFromString(slash < 0 ? text : text.slice(0, slash))
  if (Result.isFailure(written)) return undefined
  const address = NetAddress.toCanonical(written.success)
  let prefixLength = NetAddress.width(written.success) as number
  if (slash >= 0) {
    if (!/^\d{1,3}$/.test(text.slice(slash + 1))) return undefined
    prefixLength = Number(text.slice(slash + 1))
  }
  // The first 96 bits of a mapped address say that it is one.
  if (address !== written.success) prefixLength -= 96
  const network = IpNetwork.fromAddress(address, prefixLength)
  return Result.isFailure(network) ? undefined : network.success
}

/**
 * The one name of who may stand behind an address: an IPv4 address itself, and the /64 network of an IPv6 address (or one of
 * another length), within which anybody can have as many addresses as they like. What is no address is its own name.
 */
export const neighbourhood = (text: string, ipv6PrefixBits = 64): string => {
  if (!text.includes(":")) return text
  const address = parse(text)
  if (address === undefined) return text
  return NetAddress.isIpv4Address(address)
    ? NetAddress.formatIp(address)
    : IpNetwork.format(IpNetwork.fromAddressUnsafe(address, ipv6PrefixBits))
}
