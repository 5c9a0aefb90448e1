/**
 * Node's HTTP module, without what an `import` of it costs.
 *
 * A module of Node's that is imported by name has all its exports read for that, and `node:http` has some that load an HTTP
 * client, HTTP/2 and web streams when they are looked at: 13 MB of memory, for a server that never uses them.
 */
import process from "node:process"

/** The module `node:http`. Types of it can be imported as ever. */
export const Http = process.getBuiltinModule("node:http")
