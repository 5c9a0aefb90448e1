/**
 * Why the admin API cannot be offered, with the way out of it.
 */
import * as Data from "effect/Data"

/**
 * The HTTP listener could not be opened, or must not be.
 *
 * `AddressInUse`, `AddressNotAvailable`, `PermissionDenied`, `ListenFailed`: as in `TransportError`. `TokensMissing`: anybody
 * could reach the API, and nobody would need a token. `detail` says what to do.
 */
export class HttpListenError extends Data.TaggedError("HttpListenError")<{
  readonly reason: "AddressInUse" | "AddressNotAvailable" | "PermissionDenied" | "ListenFailed" | "TokensMissing"
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.detail
  }
}

/** The error for an address that others can reach while no token is configured. */
export const tokensMissing = (host: string): HttpListenError =>
  new HttpListenError({
    reason: "TokensMissing",
    detail:
      `the HTTP API cannot be offered at ${host} to everybody without a token: set http.readTokens or http.writeTokens ` +
      "(RTMP_HTTP_READ_TOKENS, RTMP_HTTP_WRITE_TOKENS), set http.host (RTMP_HTTP_HOST) to 127.0.0.1, or switch the API off " +
      "with http.enabled (RTMP_HTTP_ENABLED)"
  })

/** The error for a listener that could not be opened, from the code of the system. */
export const listenFailed = (code: string, host: string, port: number, cause: unknown): HttpListenError => {
  const where = `${host}:${port}`
  switch (code) {
    case "EADDRINUSE":
      return new HttpListenError({
        reason: "AddressInUse",
        detail: `${where} is in use by another program, and wanted for the HTTP API: stop that program, or choose another port with http.port (RTMP_HTTP_PORT)`,
        cause
      })
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new HttpListenError({
        reason: "AddressNotAvailable",
        detail: `this machine has no address ${where}: set http.host (RTMP_HTTP_HOST) to an address of this machine`,
        cause
      })
    case "EACCES":
      return new HttpListenError({
        reason: "PermissionDenied",
        detail: `no permission to listen on ${where} for the HTTP API: choose a port of 1024 or more with http.port (RTMP_HTTP_PORT)`,
        cause
      })
    default:
      return new HttpListenError({
        reason: "ListenFailed",
        detail: `cannot listen on ${where} for the HTTP API (${code}): look at http.host and http.port (RTMP_HTTP_HOST, RTMP_HTTP_PORT)`,
        cause
      })
  }
}
