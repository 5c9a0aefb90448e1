/**
 * A strict reader of the Prometheus text format 0.0.4, for tests: it accepts what the format says and nothing else, and
 * checks what a scraper relies on without saying so.
 */

/** One line of values. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A metric with all of its lines. */
export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: ReadonlyArray<Sample>
}

const typeLine = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/
const helpLine = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\]|\\\\|\\n)+)$/
const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)$/
const labelPair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)/
const number = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN)$/

const unescape = (text: string): string =>
  text.replaceAll(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character))

const parseLabels = (text: string): Readonly<Record<string, string>> => {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== "") {
    const match = labelPair.exec(rest)
    if (match === null) throw new Error(`bad labels: ${text}`)
    const name = match[1]!
    if (Object.hasOwn(labels, name)) throw new Error(`label ${name} twice: ${text}`)
    labels[name] = unescape(match[2]!)
    rest = rest.slice(match[0].length)
    if (match[3] === "," && rest === "") throw new Error(`trailing comma: ${text}`)
  }
  return labels
}

const parseNumber = (text: string): number => {
  if (!number.test(text)) throw new Error(`bad number: ${text}`)
  return Number(text.replace("Inf", "Infinity"))
}

/** Reads a text; throws where it is not valid, where a series occurs twice, or where a histogram contradicts itself. */
export const parse = (text: string): ReadonlyMap<string, Family> => {
  if (!text.endsWith("\n")) throw new Error("the last line does not end")
  const families = new Map<string, { name: string; type: string; help: string; samples: Array<Sample> }>()
  const series = new Set<string>()
  let current: { name: string; type: string; help: string; samples: Array<Sample> } | undefined
  for (const line of text.slice(0, -1).split("\n")) {
    const help = helpLine.exec(line)
    if (help !== null) {
      if (families.has(help[1]!)) throw new Error(`${help[1]} occurs in two places`)
      current = { name: help[1]!, type: "", help: unescape(help[2]!), samples: [] }
      families.set(current.name, current)
      continue
    }
    const type = typeLine.exec(line)
    if (type !== null) {
      if (current?.name !== type[1]) throw new Error(`${type[1]} has a type and no help`)
      current.type = type[2]!
      continue
    }
    const sample = sampleLine.exec(line)
    if (sample === null) throw new Error(`bad line: ${line}`)
    const [, name, labels = "", value] = sample
    if (current === undefined || current.type === "") throw new Error(`${name} has no type`)
    const suffixes = current.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""]
    if (!suffixes.some((suffix) => name === current!.name + suffix))
      throw new Error(`${name} is not of ${current.name}`)
    const parsed: Sample = { name: name!, labels: parseLabels(labels), value: parseNumber(value!) }
    const key = JSON.stringify([name, Object.entries(parsed.labels).sort()])
    if (series.has(key)) throw new Error(`series twice: ${line}`)
    series.add(key)
    current.samples.push(parsed)
  }
  for (const family of families.values()) check(family)
  return families
}

const check = (family: Family): void => {
  if (family.samples.length === 0 && !family.name.startsWith("rtmp_stream_")) throw new Error(`${family.name} is empty`)
  if (family.type === "counter") {
    if (!family.name.endsWith("_total")) throw new Error(`${family.name} is a counter and does not end in _total`)
    for (const { value } of family.samples) if (!(value >= 0)) throw new Error(`${family.name} is ${value}`)
  }
  if (family.type !== "histogram") return
  const groups = new Map<string, { buckets: Array<readonly [number, number]>; sum?: number; count?: number }>()
  for (const { labels, name, value } of family.samples) {
    const { le, ...others } = labels
    const key = JSON.stringify(Object.entries(others).sort())
    const group = groups.get(key) ?? { buckets: [] }
    groups.set(key, group)
    if (name.endsWith("_bucket")) group.buckets.push([parseNumber(le ?? ""), value])
    else if (name.endsWith("_sum")) group.sum = value
    else group.count = value
  }
  for (const [key, { buckets, count, sum }] of groups) {
    const last = buckets.at(-1)
    if (last?.[0] !== Number.POSITIVE_INFINITY || last[1] !== count || sum === undefined) {
      throw new Error(`${family.name} ${key}: the last bucket is not the count`)
    }
    for (let i = 1; i < buckets.length; i++) {
      if (buckets[i]![0] <= buckets[i - 1]![0] || buckets[i]![1] < buckets[i - 1]![1]) {
        throw new Error(`${family.name} ${key}: buckets do not ascend`)
      }
    }
  }
}

/** The value of one series; `undefined` where there is none. */
export const valueOf = (
  families: ReadonlyMap<string, Family>,
  family: string,
  labels: Readonly<Record<string, string>> = {},
  name: string = family
): number | undefined =>
  families
    .get(family)
    ?.samples.find(
      (sample) =>
        sample.name === name &&
        Object.keys(sample.labels).length === Object.keys(labels).length &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value)
    )?.value
