/**
 * Counters with a closed set of labels, and the way from plain numbers to Effect's metrics.
 *
 * A number that something counts anyway is not counted twice: a `Family` says how to read it, and `register` puts it into
 * the metric registry of an Effect context, from where every exporter takes it. It is read when an exporter asks.
 *
 * **Gotchas**
 *
 * - The values of a label are given when a counter is made. What is not among them is a mistake in the program and
 *   throws, so no client can choose a label; `known` maps text from elsewhere to the set.
 * - Two families of the same name and labels in one registry are one series: the later replaces the earlier. Two servers
 *   in one process need a `Metric.MetricRegistry`, or `Metric.CurrentMetricAttributes`, of their own.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { HistogramSnapshot } from "../live/Histogram.ts"

/** What a label is called when its value is not one of the known ones. */
export const other = "Other"

/** Names of labels, with the values that each of them can have. */
export type Labels = Readonly<Record<string, ReadonlyArray<string>>>

/** One value for each label. */
export type LabelsOf<L extends Labels> = { readonly [Name in keyof L]: L[Name][number] }

/** Labels and the way to the number that belongs to them. */
export interface Series<A = number> {
  /** Names and values; none where left out. */
  readonly labels?: Readonly<Record<string, string>>
  /** Gives the current value. Must not throw. */
  readonly read: () => A
}

/** All series of one metric. Histograms are read in milliseconds and shown in seconds. */
export type Family = {
  /** The name for Prometheus and OTLP, with its base unit and, for a counter, `_total` at the end. */
  readonly name: string
  /** What it tells, in a sentence. */
  readonly help: string
  /** The base unit for OTLP, where there is one. */
  readonly unit?: "seconds" | "bytes"
} & (
  | { readonly type: "counter" | "gauge"; readonly series: ReadonlyArray<Series> }
  | { readonly type: "histogram"; readonly series: ReadonlyArray<Series<HistogramSnapshot>> }
)

/** A counter for each combination of label values, all of which are there from the start. */
export class Counters<const L extends Labels> {
  readonly #names: ReadonlyArray<string>
  readonly #values = new Map<string, { readonly labels: Readonly<Record<string, string>>; count: number }>()

  constructor(labels: L) {
    this.#names = Object.keys(labels)
    for (const combination of combinations(Object.entries(labels))) {
      this.#values.set(this.#key(combination), { labels: combination, count: 0 })
    }
  }

  /** Counts `by`, which must not be negative. */
  add(labels: LabelsOf<L>, by: number = 1): void {
    if (!(by >= 0)) throw new RangeError(`a counter cannot be increased by ${by}`)
    this.#entry(labels).count += by
  }

  /** What was counted for these labels. */
  value(labels: LabelsOf<L>): number {
    return this.#entry(labels).count
  }

  /** The sum over all labels. */
  get total(): number {
    let total = 0
    for (const { count } of this.#values.values()) total += count
    return total
  }

  /** Every combination, to be read later. */
  get series(): ReadonlyArray<Series> {
    return [...this.#values.values()].map((entry) => ({ labels: entry.labels, read: () => entry.count }))
  }

  #entry(labels: Readonly<Record<string, string>>): { count: number } {
    const entry = this.#values.get(this.#key(labels))
    if (entry === undefined) throw new RangeError(`no such label: ${JSON.stringify(labels)}`)
    return entry
  }

  #key(labels: Readonly<Record<string, string>>): string {
    const names = this.#names
    if (names.length === 1) return labels[names[0]!] ?? ""
    return names.map((name) => labels[name] ?? "").join("\n")
  }
}

/** Gives back the text if it is one of the values, and `"Other"` if it is not. */
export const known = <const V extends string>(values: ReadonlyArray<V>, text: string): V | typeof other =>
  (values as ReadonlyArray<string>).includes(text) ? (text as V) : other

/**
 * Reads once for all that ask in the same turn: a reading of an exporter takes dozens of numbers from one walk over all
 * connections.
 */
export const perTurn = <A>(read: () => A): (() => A) => {
  let current: { readonly value: A } | undefined
  return () => {
    if (current !== undefined) return current.value
    const value = read()
    current = { value }
    queueMicrotask(() => {
      current = undefined
    })
    return value
  }
}

/** Puts families into the metric registry of the current context, until the scope closes. */
export const register = (families: ReadonlyArray<Family>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<Scope.Scope>) =>
    Effect.acquireRelease(
      Effect.sync(() => families.flatMap((family) => registerFamily(family, context))),
      (registrations) =>
        Effect.sync(() => {
          for (const registration of registrations) registration.remove()
        })
    )
  ).pipe(Effect.asVoid)

const registerFamily = (family: Family, context: Context.Context<never>): ReadonlyArray<Metric.Registration> => {
  const unit = family.unit === undefined ? {} : { unit: family.unit }
  const options = (series: Series<unknown>) => ({
    description: family.help,
    attributes: { ...series.labels, ...unit }
  })
  switch (family.type) {
    case "counter":
      return family.series.map((series) =>
        Metric.registerUnsafe(
          Metric.counter(family.name, { ...options(series), incremental: true }),
          context,
          readOnly(() => ({ count: series.read(), incremental: true }))
        )
      )
    case "gauge":
      return family.series.map((series) =>
        Metric.registerUnsafe(
          Metric.gauge(family.name, options(series)),
          context,
          readOnly(() => ({ value: series.read() }))
        )
      )
    case "histogram":
      return family.series.map((series) =>
        Metric.registerUnsafe(
          Metric.histogram(family.name, { ...options(series), boundaries: [] }),
          context,
          readOnly(() => inSeconds(series.read()))
        )
      )
  }
}

const inSeconds = (snapshot: HistogramSnapshot): Metric.HistogramState => ({
  buckets: snapshot.buckets.map(([boundMs, count]) => [boundMs / 1_000, count]),
  count: snapshot.count,
  sum: snapshot.sumMs / 1_000,
  min: snapshot.minMs / 1_000,
  max: snapshot.maxMs / 1_000
})

const readOnly = <Input, State>(read: () => State): Metric.Metric.Hooks<Input, State> => ({
  get: read,
  update: ignore,
  modify: ignore
})

const ignore = (): void => {}

const combinations = (
  labels: ReadonlyArray<readonly [string, ReadonlyArray<string>]>
): ReadonlyArray<Readonly<Record<string, string>>> =>
  labels.reduce<ReadonlyArray<Readonly<Record<string, string>>>>(
    (all, [name, values]) => all.flatMap((labels) => values.map((value) => ({ ...labels, [name]: value }))),
    [{}]
  )
