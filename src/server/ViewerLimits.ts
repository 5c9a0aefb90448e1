/**
 * How many viewers a stream may have, where the grant of its publisher says so.
 */
import type { AccessGrant } from "../access/Authenticator.ts"
import type { ConnectionEnvironment } from "./ConnectionEnvironment.ts"

type State = Pick<ConnectionEnvironment, "viewerLimits">

/** What the client is told. */
export const description = "This stream has as many viewers as it may."

/** Takes the limit of a grant for a stream, or takes the one that was there away. */
export const take = (state: State, key: string, { limits }: AccessGrant): void => {
  if (limits?.viewers === undefined) state.viewerLimits?.delete(key)
  else {
    state.viewerLimits ??= new Map()
    state.viewerLimits.set(key, limits.viewers)
  }
}

/** How many viewers a stream may have; infinite where nobody says. */
export const of = (state: { readonly viewerLimits?: ReadonlyMap<string, number> }, key: string): number =>
  state.viewerLimits?.get(key) ?? Number.POSITIVE_INFINITY
