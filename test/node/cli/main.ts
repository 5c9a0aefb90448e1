/** The command line as a process of its own, over a server that only says what it was asked for; see `Cli.test.ts`. */
import process from "node:process"
import * as Console from "effect/Console"
import * as Cli from "../../../src/node/cli/Cli.ts"
import * as ServeArguments from "../../../src/node/cli/ServeArguments.ts"
import * as NodeMain from "../../../src/node/NodeMain.ts"

NodeMain.run(Cli.run(ServeArguments.argv(), (args) => Console.log(`serve ${process.pid > 0} ${JSON.stringify(args)}`)))
