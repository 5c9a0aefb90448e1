/**
 * Numbers and times in words for people, short enough for a column.
 */

/** Writes a rate in bits per second: `0`, `950 bit/s`, `128 kbit/s`, `4.2 Mbit/s`. */
export const bitrate = (bitsPerSecond: number): string => scaled(bitsPerSecond, 1000, bitrateUnits)

/** Writes a number of bytes: `0 B`, `950 B`, `1.5 KiB`, `4.2 MiB`. */
export const bytes = (count: number): string => scaled(count, 1024, byteUnits)

/** Writes a time span in its two largest units: `0s`, `850ms`, `4m 7s`, `2h 5m`, `3d 1h`. */
export const span = (milliseconds: number): string => {
  const ms = Math.max(0, milliseconds)
  if (ms > 0 && ms < 1000) return `${Math.round(ms)}ms`
  let rest = Math.floor(ms / 1000)
  const parts: Array<string> = []
  for (const [unit, seconds] of spanUnits) {
    const count = Math.floor(rest / seconds)
    rest -= count * seconds
    if (parts.length > 0 || count > 0) parts.push(count === 0 ? "" : `${count}${unit}`)
    if (parts.length === 2) break
  }
  return parts.filter((part) => part !== "").join(" ") || "0s"
}

/** Writes a moment, in milliseconds since 1970, to the second and in UTC: `2026-01-31 12:00:00Z`. */
export const moment = (epochMs: number): string => `${new Date(epochMs).toISOString().slice(0, 19).replace("T", " ")}Z`

/** Writes a count with its noun: `1 stream`, `2 streams`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

const bitrateUnits = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]
const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"]

const spanUnits: ReadonlyArray<readonly [string, number]> = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1]
]

const scaled = (value: number, step: number, units: ReadonlyArray<string>): string => {
  let rest = value
  let unit = 0
  // 999.95 would be written as 1000.0.
  while (rest >= step - 0.05 && unit < units.length - 1) {
    rest /= step
    unit++
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`
}
