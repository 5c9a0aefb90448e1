/**
 * What the host of a listener says about who can reach it.
 */

/** Tells whether an address is of the loopback. */
export const isLoopback = (address: string): boolean =>
  /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/i.test(address) || address === "::1" || address === "0:0:0:0:0:0:0:1"

/**
 * Tells whether a host as it is configured is this machine alone: an address of the loopback, or `localhost`. Any other
 * name may lead anywhere.
 */
export const isThisMachine = (host: string): boolean => isLoopback(host) || host.toLowerCase() === "localhost"
