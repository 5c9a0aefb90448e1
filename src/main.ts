#!/usr/bin/env node
/**
 * The executable: reads the command line, and serves until it is told to stop.
 *
 * Whatever is not needed to serve is loaded when it is asked for: the other commands, the admin API, the exporters.
 */
import * as ServeArguments from "./node/cli/ServeArguments.ts"
import * as NodeStart from "./node/NodeStart.ts"

// Before anything else is imported: it works for what comes after it.
NodeStart.prepare()

const Effect = await import("effect/Effect")
const NodeMain = await import("./node/NodeMain.ts")

const serve = (args: ServeArguments.ServeArguments) =>
  Effect.flatMap(
    Effect.promise(() => Promise.all([import("./App.ts"), import("./node/NodeServe.ts")])),
    ([App, NodeServe]) => NodeServe.serve(args, App.layerOperated, App.layerOperated)
  )

const args = ServeArguments.argv()
const plain = ServeArguments.parse(args)
NodeMain.run(
  plain !== undefined
    ? serve(plain)
    : Effect.flatMap(
        Effect.promise(() => import("./node/cli/Cli.ts")),
        ({ run }) => run(args, serve)
      )
)
