/**
 * The answers that prove names to an ACME directory, while it may ask for them: over HTTP (`http-01`, RFC 8555 §8.3), and
 * over TLS (`tls-alpn-01`, RFC 8737).
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { CertificateError } from "../server/Certificates.ts"
import { Http } from "./BuiltinHttp.ts"

/** The longest time that one request may take, in milliseconds, and how many may be under way. */
const requestTimeoutMs = 5_000
const maxConnections = 64

const prefix = "/.well-known/acme-challenge/"

/** Answers by token and by name. */
export class AcmeChallenges {
  readonly #tokens = new Map<string, string>()
  readonly #contexts = new Map<string, Tls.SecureContext>()

  /** Adds the answer for a token of `http-01`. */
  addToken(token: string, answer: string): void {
    this.#tokens.set(token, answer)
  }

  /** Adds the certificate for a name of `tls-alpn-01`. */
  addCertificate(name: string, cert: string, key: string): void {
    this.#contexts.set(name.toLowerCase(), Tls.createSecureContext({ cert, key }))
  }

  /** Takes both away. */
  remove(token: string, name: string): void {
    this.#tokens.delete(token)
    this.#contexts.delete(name.toLowerCase())
  }

  /** The context that answers for a name; undefined where nobody proves it now. */
  contextOf(name: string): Tls.SecureContext | undefined {
    return this.#contexts.get(name.toLowerCase())
  }

  /** Any context that answers for a name: handshakes need one to begin with, before there is a certificate. */
  anyContext(): Tls.SecureContext | undefined {
    return this.#contexts.values().next().value
  }

  /** Answers at an address over HTTP until the scope closes. Fails with `AcmePortUnavailable`. */
  serve(host: string, port: number): Effect.Effect<void, CertificateError, Scope.Scope> {
    return Effect.asVoid(
      Effect.acquireRelease(
        Effect.callback<Server, CertificateError>((resume) => {
          const server = Http.createServer(
            { headersTimeout: requestTimeoutMs, requestTimeout: requestTimeoutMs, maxHeaderSize: 8_192 },
            (request, response) => this.#answer(request, response)
          )
          server.maxConnections = maxConnections
          server.once("error", (error: NodeJS.ErrnoException) => {
            const detail = `cannot be opened to answer http-01: ${portWords.get(error.code ?? "") ?? error.message}`
            resume(
              Effect.fail(new CertificateError({ reason: "AcmePortUnavailable", path: `${host}:${port}`, detail }))
            )
          })
          server.listen({ host, port }, () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => {
            server.close()
            server.closeAllConnections()
          })
      )
    )
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? ""
    const answer = path.startsWith(prefix) ? this.#tokens.get(path.slice(prefix.length)) : undefined
    const isReading = request.method === "GET" || request.method === "HEAD"
    response.writeHead(answer === undefined || !isReading ? 404 : 200, {
      "content-type": "application/octet-stream",
      connection: "close"
    })
    response.end(isReading ? answer : undefined)
  }
}

const portWords: ReadonlyMap<string, string> = new Map([
  ["EADDRINUSE", "the port is in use"],
  ["EACCES", "permission denied; ports below 1024 need a right of their own"],
  ["EADDRNOTAVAIL", "there is no such address here"]
])
