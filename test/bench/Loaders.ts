/**
 * Load generators as the bench sees them: started in a scope, spread over several processes where there are cores for
 * them, asked as one.
 */
import * as Os from "node:os"
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Answer, Notice, Report, Request, Work } from "./LoadProtocol.ts"
import { mergeReports } from "./LoadProtocol.ts"
import type { BenchError, Child } from "./Process.ts"
import * as Process from "./Process.ts"

/** One load, in one process or several. */
export interface Loader {
  /** Waits until everything runs: all publishers publish, all viewers have video, all idle ones are connected. */
  readonly started: (withinMs: number) => Effect.Effect<void, BenchError>
  /** Has a request carried out by all processes, and gives what they report. Viewers are numbered over all of them. */
  readonly ask: (request: Omit<Request, "id">) => Effect.Effect<Report, BenchError>
}

const script = fileURLToPath(new URL("load.ts", import.meta.url))

// Reading 75 messages a second, one by one, for 1,000 viewers takes a core: system calls and wake-ups, not our code.
const viewersPerProcess = 500

/** How many processes a number of viewers is spread over: the server keeps one core, except on the smallest machines. */
export const processesFor = (viewers: number): number =>
  Math.min(Math.max(2, Os.availableParallelism() - 1), Math.ceil(viewers / viewersPerProcess))

/** Starts a load. */
export const start = Effect.fnUntraced(function* (work: Work): Effect.fn.Return<Loader, BenchError, Scope.Scope> {
  const parts = split(work)
  const children = yield* Effect.forEach(
    parts,
    ({ work }) =>
      Process.spawn({ name: `load (${work.role})`, command: process.execPath, args: [script, JSON.stringify(work)] }),
    { concurrency: "unbounded" }
  )
  let nextId = 1
  const started: Loader["started"] = (withinMs) =>
    Effect.forEach(
      children,
      (child) =>
        Effect.flatMap(
          Process.untilJson<Notice, Notice>(
            child,
            "its connections",
            (said) => ("notice" in said ? (said as Notice) : undefined),
            withinMs
          ),
          (said): Effect.Effect<void, BenchError> =>
            said.notice === "failed" ? Effect.fail(new Process.BenchError({ message: said.detail })) : Effect.void
        ),
      { concurrency: "unbounded", discard: true }
    )
  const ask: Loader["ask"] = (request) =>
    Effect.map(
      Effect.forEach(
        children,
        (child, i) => {
          const first = parts[i]!.first
          const from = Math.max(0, (request.from ?? 0) - first)
          const to = request.to === undefined ? {} : { to: Math.max(0, request.to - first) }
          return answer(child, { ...request, id: nextId++, from, ...to })
        },
        { concurrency: "unbounded" }
      ),
      mergeReports
    )
  // Who waits in vain wants to know how far it came.
  const startedOrCounts: Loader["started"] = (withinMs) =>
    Effect.catch(started(withinMs), (error) =>
      Effect.flatMap(
        Effect.match(ask({ do: "report" }), {
          onSuccess: (r) => `${r.ready} of ${r.connections} ready, ${r.ended} closed by the server`,
          onFailure: () => "no counts"
        }),
        (counts) => Effect.fail(new Process.BenchError({ message: `${counts}; ${error.message}` }))
      )
    )
  return { started: startedOrCounts, ask }
})

const split = (work: Work): ReadonlyArray<{ readonly work: Work; readonly first: number }> => {
  if (work.role !== "play" && work.role !== "read") return [{ work, first: 0 }]
  const processes = processesFor(work.viewers)
  let first = 0
  return Array.from({ length: processes }, (_, i) => {
    const viewers = Math.floor(work.viewers / processes) + (i < work.viewers % processes ? 1 : 0)
    const part = { work: { ...work, viewers, perSecond: work.perSecond / processes }, first }
    first += viewers
    return part
  })
}

const answer = (child: Child, request: Request): Effect.Effect<Report, BenchError> =>
  Effect.suspend(() => {
    child.send(JSON.stringify(request))
    return Process.untilJson<Answer, Report>(
      child,
      `an answer to ${request.do}`,
      ({ id, report }) => (id === request.id ? report : undefined),
      30_000
    )
  })
