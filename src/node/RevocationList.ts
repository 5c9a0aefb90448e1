/**
 * When a list of revoked certificates is past its time. Node looks at lists only while it checks a certificate, and tells
 * nothing of them. Nothing else of a list is read here, however long it is.
 */

/**
 * The time in milliseconds by which the next list was promised (RFC 5280 §5.1.2.5), out of the PEM of a list. Infinity where
 * none is promised, or where that cannot be read.
 */
export const nextUpdateMs = (pem: string): number => {
  const der = Buffer.from(pem.replace(/-----[^-]*-----/g, ""), "base64")
  const list = elementAt(der, 0)
  const signed = list?.tag === sequence ? elementAt(der, list.begin) : undefined
  if (signed?.tag !== sequence) return Number.POSITIVE_INFINITY
  let next = elementAt(der, signed.begin)
  // The version may be left out; then come the algorithm, the issuer and the time of this list.
  for (const skipped of next?.tag === integer ? [integer, sequence, sequence] : [sequence, sequence]) {
    if (next?.tag !== skipped) return Number.POSITIVE_INFINITY
    next = elementAt(der, next.end)
  }
  const promised = next !== undefined && isTime(next.tag) ? elementAt(der, next.end) : undefined
  if (promised === undefined || !isTime(promised.tag)) return Number.POSITIVE_INFINITY
  return timeOf(der.toString("latin1", promised.begin, promised.end), promised.tag)
}

/** An element in DER: what it is, and where its content begins and ends. */
interface Element {
  readonly tag: number
  readonly begin: number
  readonly end: number
}

const integer = 0x02
const sequence = 0x30
const utcTime = 0x17
const generalizedTime = 0x18

const isTime = (tag: number): boolean => tag === utcTime || tag === generalizedTime

const elementAt = (der: Buffer, at: number): Element | undefined => {
  const [tag, length] = [der[at], der[at + 1]]
  if (tag === undefined || length === undefined) return undefined
  const sizeBytes = length < 0x80 ? 0 : length & 0x7f
  const begin = at + 2 + sizeBytes
  if (sizeBytes > 4 || begin > der.length) return undefined
  const end = begin + (sizeBytes === 0 ? length : der.readUIntBE(at + 2, sizeBytes))
  return end > der.length ? undefined : { tag, begin, end }
}

/** `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` from then on. */
const timeOf = (text: string, tag: number): number => {
  const full = tag === generalizedTime ? text : `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full)?.slice(1).map(Number)
  if (parts === undefined) return Number.POSITIVE_INFINITY
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
  return Date.UTC(year, month - 1, day, hour, minute, second)
}
