/**
 * Who may speak to the server at all, by address: an ordered list of rules, of which the first that fits decides.
 *
 * Rules can be for the whole server, for applications, and for actions. Synchronous and without state: a list is made
 * once from what an operator wrote, and another takes its place when that changes.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as IpNetwork from "effect/net/IpNetwork"
import type * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { AccessSettingsError } from "./AccessMethod.ts"
import * as AccessScope from "./AccessScope.ts"
import * as Address from "./Address.ts"
import { type AccessAction, AccessDenied, type AccessRequest, Authenticator, anonymous } from "./Authenticator.ts"
import * as NamePattern from "./NamePattern.ts"

/**
 * A rule.
 *
 * - `networks`: networks in CIDR notation or single addresses, IPv4 and IPv6; `all` for everybody, those who have no
 *   address (Unix sockets) included.
 * - `application`: pattern as in `NamePattern`, for what lies below it too (see `AccessScope`); absent for every application.
 * - `actions`: absent for every action.
 */
export interface AccessRule {
  readonly rule: "allow" | "deny"
  readonly networks: ReadonlyArray<string>
  readonly application?: string
  readonly actions?: ReadonlyArray<AccessAction>
}

/** The settings of a list: its rules in order, and what happens to those whom no rule fits (`allow`, if absent). */
export interface AccessListSettings {
  readonly rules: ReadonlyArray<AccessRule>
  readonly otherwise?: "allow" | "deny"
}

/** A list that has been compiled. */
export interface AccessList {
  /** Tells whether the address of a request may do what it asks for. */
  readonly allows: (request: Pick<AccessRequest, "action" | "application" | "stream" | "remoteAddress">) => boolean
  /** Tells whether an address can be allowed anything: who cannot need not be listened to. */
  readonly admits: (remoteAddress: string) => boolean
}

/** The refusal of an address. */
export const refused: AccessDenied = new AccessDenied({
  reason: "AddressNotAllowed",
  description: "Not allowed from this address."
})

interface CompiledRule {
  readonly allow: boolean
  readonly networks: ReadonlyArray<IpNetwork.IpNetwork> | "all"
  readonly application: NamePattern.NamePattern
  readonly actions: ReadonlyArray<AccessAction> | undefined
  readonly isForEverything: boolean
}

/** Compiles a list. */
export const make = (settings: AccessListSettings): Result.Result<AccessList, AccessSettingsError> =>
  Result.gen(function* () {
    const rules: Array<CompiledRule> = []
    for (const [index, rule] of settings.rules.entries()) rules.push(yield* compile(rule, `rules[${index}]`))
    const otherwise = settings.otherwise !== "deny"
    return {
      allows: (request) => {
        const address = Address.parse(request.remoteAddress)
        for (const rule of rules) {
          if (rule.actions !== undefined && !rule.actions.includes(request.action)) continue
          if (!covers(rule, address)) continue
          if (AccessScope.covers(rule.application, NamePattern.everything, request)) return rule.allow
        }
        return otherwise
      },
      admits: (remoteAddress) => {
        const address = Address.parse(remoteAddress)
        for (const rule of rules) {
          // What denies only some things says nothing about the others.
          if ((rule.allow || rule.isForEverything) && covers(rule, address)) return rule.allow
        }
        return otherwise
      }
    }
  })

/** Refuses by address, and lets everybody else do everything. */
export const layer = (settings: AccessListSettings): Layer.Layer<Authenticator, AccessSettingsError> =>
  Layer.effect(
    Authenticator,
    Effect.map(Effect.fromResult(make(settings)), (list) =>
      Authenticator.of({
        authorize: (request) => (list.allows(request) ? Effect.succeed(anonymous) : Effect.fail(refused)),
        refusal: (remoteAddress) => (list.admits(remoteAddress) ? undefined : refused.reason)
      })
    )
  )

const covers = (rule: CompiledRule, address: NetAddress.IpAddress | undefined): boolean => {
  if (rule.networks === "all") return true
  if (address === undefined) return false
  for (const network of rule.networks) if (IpNetwork.contains(network, address)) return true
  return false
}

const compile = (rule: AccessRule, setting: string): Result.Result<CompiledRule, AccessSettingsError> =>
  Result.gen(function* () {
    const networks: Array<IpNetwork.IpNetwork> = []
    for (const text of rule.networks) {
      if (text === "all") continue
      const network = Address.parseNetwork(text)
      if (network === undefined) {
        const problem = `not an address or network: ${JSON.stringify(text.slice(0, 64))}`
        return yield* Result.fail(new AccessSettingsError({ setting: `${setting}.networks`, problem }))
      }
      networks.push(network)
    }
    if (rule.networks.length === 0) {
      return yield* Result.fail(new AccessSettingsError({ setting: `${setting}.networks`, problem: "names nobody" }))
    }
    return {
      allow: rule.rule === "allow",
      networks: rule.networks.includes("all") ? "all" : networks,
      application: yield* AccessScope.pattern(`${setting}.application`, rule.application),
      actions: rule.actions,
      isForEverything: rule.application === undefined && rule.actions === undefined
    }
  })
