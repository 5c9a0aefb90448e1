/**
 * Why a connection ended, out of all that can have happened to it.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { CloseReason } from "../observability/CloseReason.ts"
import type { CloseError } from "../protocol/Session.ts"
import { closeReason } from "./Errors.ts"
import type { TransportError } from "./Transport.ts"

/**
 * Gives the reason and its words: a defect outside of the fiber counts before what closed the connection in order, and that
 * before how the fiber ended.
 */
export const make = (
  defect: Cause.Cause<never> | undefined,
  closing: CloseError | undefined,
  exit: Exit.Exit<never, TransportError>
): { readonly reason: CloseReason; readonly detail: string } => {
  if (defect !== undefined) return { reason: "Defect", detail: Cause.pretty(defect) }
  if (closing !== undefined) return { reason: closeReason(closing), detail: closing.message }
  if (Exit.isFailure(exit)) {
    const failure = Cause.findError(exit.cause)
    if (Result.isSuccess(failure)) return { reason: closeReason(failure.success), detail: failure.success.message }
    if (!Cause.hasInterruptsOnly(exit.cause)) return { reason: "Defect", detail: Cause.pretty(exit.cause) }
  }
  return { reason: "ServerStopping", detail: "the server stopped" }
}
