/**
 * The writers of the log as parts of a server: `log stdout`, `log file` and so on, each with a status of its own.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { inRoom } from "../observability/LogLevels.ts"
import { KeepWriter, type WriterKeeper } from "../observability/LogSink.ts"
import { Supervisor } from "./Supervisor.ts"

/**
 * Lets the supervisor keep the writers of the log that is built on this layer. What it says of one that fails goes to all
 * outputs, and to the failing one when it works again.
 *
 * **Gotchas**
 *
 * Build it, the supervisor and the log before the server: `Supervisor.layer` in the server is then the same one.
 */
export const layer: Layer.Layer<never, never, Supervisor> = Layer.effect(
  KeepWriter,
  Effect.map(
    Supervisor,
    ({ supervise }): WriterKeeper =>
      (output, step, schedule) =>
        // It is not critical, and so never fails.
        Effect.ignore(supervise(`log ${output}`, Effect.forever(step), { schedule })).pipe(inRoom("log"))
  )
)
