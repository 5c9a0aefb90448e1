import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as NodeRuntimeStats from "../../src/node/NodeRuntimeStats.ts"
import { Metrics } from "../../src/observability/Metrics.ts"
import * as RuntimeMetrics from "../../src/observability/RuntimeMetrics.ts"
import * as Exposition from "./Exposition.ts"

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: ReadonlyArray<{ readonly expr: string }>
}

const file = fs.readFileSync(new URL("../../config/grafana-dashboard.json", import.meta.url), "utf8")
const dashboard = JSON.parse(file) as { readonly schemaVersion: number; readonly panels: ReadonlyArray<Panel> }
const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

const scrape = Effect.gen(function* () {
  const metrics = yield* Metrics
  return Exposition.parse(yield* metrics.renderPrometheus)
}).pipe(
  Effect.provide(
    Layer.merge(
      Metrics.layer({ version: "1", streamLabels: true }),
      RuntimeMetrics.layer.pipe(Layer.provide(NodeRuntimeStats.layer))
    )
  ),
  Effect.provideService(Metric.MetricRegistry, new Map())
)

const suffixes = /_(?:bucket|sum|count)$/

describe("the dashboard", () => {
  it.effect("asks for metrics that there are, and for every one of them", () =>
    Effect.map(scrape, (families) => {
      const asked = new Set<string>()
      for (const [name] of file.matchAll(/\brtmp_\w+/g)) {
        const family = families.has(name) ? name : name.replace(suffixes, "")
        assert.isTrue(families.has(family), name)
        assert.strictEqual(families.get(family)?.type === "histogram", suffixes.test(name), name)
        asked.add(family)
      }
      assert.deepStrictEqual(
        [...families.keys()].filter((name) => !asked.has(name)),
        []
      )
    })
  )

  it.effect("groups and selects by labels that its metrics have", () =>
    Effect.map(scrape, (families) => {
      const labels = new Set(
        [...families.values()].flatMap(({ samples }) => samples.flatMap((sample) => Object.keys(sample.labels)))
      )
      for (const label of ["instance", "stream"]) labels.add(label)
      for (const query of queries) {
        const grouped = [...query.matchAll(/\bby \(([^)]*)\)/g)].flatMap((match) => match[1]!.split(", "))
        const selected = [...query.matchAll(/(\w+)(?:=~|!=|=)"/g)].map((match) => match[1]!)
        for (const label of [...grouped, ...selected]) assert.isTrue(labels.has(label), `${label} in ${query}`)
      }
    })
  )

  it("takes the rate of counters, and of nothing else", () => {
    for (const query of queries) {
      for (const [, name] of query.matchAll(/(rtmp_\w+)\{/g)) {
        const isCounter = /_(?:total|bucket|sum)$/.test(name!)
        assert.strictEqual(query.includes(`rate(${name}{`), isCounter, query)
      }
    }
  })

  it("has its rows, and panels that have an id of their own, explain themselves and do not overlap", () => {
    assert.isAtLeast(dashboard.schemaVersion, 39)
    const rows = dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title)
    assert.deepStrictEqual(rows, ["Connections", "Streams", "Traffic", "Quality", "Process"])
    assert.strictEqual(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
    const taken = new Set<string>()
    for (const { description, gridPos, targets, title, type } of dashboard.panels) {
      assert.isAtMost(gridPos.x + gridPos.w, 24, title)
      if (type !== "row") assert.isTrue((description ?? "").endsWith(".") && (targets ?? []).length > 0, title)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.isFalse(taken.has(`${x} ${y}`), title)
          taken.add(`${x} ${y}`)
        }
      }
    }
  })
})
