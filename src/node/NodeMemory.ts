/**
 * How much memory a Node process may still use: what its container or the machine has left.
 */
import process from "node:process"
import * as Layer from "effect/Layer"
import { MemoryStatus } from "../server/Admission.ts"

/**
 * Bytes that the process may still use.
 *
 * The system's own estimate, which respects the limits of control groups on Linux and counts what the file cache would
 * give back.
 */
export const freeBytes = (): number => process.availableMemory()

/** The memory of the machine or the container. */
export const layer: Layer.Layer<never> = Layer.succeed(MemoryStatus, { freeBytes })
