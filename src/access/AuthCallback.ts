/**
 * Another server decides: every question becomes an HTTP POST, whose answer allows, denies, renames or redirects.
 *
 * See `CallbackMessage` for what is sent and how answers are read. Existing hooks of nginx-rtmp work with `format: "form"`.
 *
 * **Details**
 *
 * - The client that asks waits, and nobody else. At most `maxConcurrent` questions are under way; more wait in turn, and
 *   waiting counts towards the timeout.
 * - Timeouts, 5xx, refused connections and answers that make no sense are failures. After some in a row a circuit breaker
 *   opens: nothing is asked for a while, which a `Schedule` can let grow. Without an answer, `fallback` decides.
 * - With a secret, every request is signed: `x-effect-rtmp-timestamp` (seconds since 1970) and `x-effect-rtmp-signature`.
 * - The ends of what was granted (`disconnect`, `publish_done`, `play_done`) are told too, once each and without retry, from
 *   a bounded queue.
 *
 * The HTTP client is a service: pins and client certificates are its business. It must not follow redirects.
 */
import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Hex from "effect/encoding/Hex"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Bytes from "../protocol/Bytes.ts"
import { RtmpCrypto } from "../protocol/Crypto.ts"
import * as AccessMethod from "./AccessMethod.ts"
import {
  type AccessAction,
  AccessDenied,
  type AccessGrant,
  type AccessRequest,
  Authenticator
} from "./Authenticator.ts"
import * as CallbackMessage from "./CallbackMessage.ts"
import { ExpiringMap } from "./ExpiringMap.ts"

/**
 * The settings of a callback.
 *
 * - `url`: `http://` or `https://`. It may hold a secret, and is never logged.
 * - `format`: of the body (`json`).
 * - `actions`: what is asked about (`publish` and `play`); the ends of these are told too. About the rest there is no
 *   opinion.
 * - `timeout`: for one answer, with the wait for a place (5 seconds).
 * - `fallback`: what happens without an answer (`deny`).
 * - `secret`: signs requests.
 * - `maxFailures`: failures in a row that open the circuit (5).
 * - `openFor`: how long it stays open; a `Schedule` gives the time of each opening (10 seconds).
 * - `cacheFor`: how long an allowing answer counts for the same question of the same address (not at all).
 * - `maxCached`: how many are kept (1,024).
 * - `maxConcurrent`: requests under way (32).
 * - `maxEnds`: ends that wait to be told (1,024); more are dropped.
 */
export interface AuthCallbackSettings {
  readonly url: string
  readonly format?: CallbackMessage.CallbackFormat
  readonly actions?: ReadonlyArray<AccessAction>
  readonly timeout?: Duration.Input
  readonly fallback?: "allow" | "deny"
  readonly secret?: Redacted.Redacted<string>
  readonly maxFailures?: number
  readonly openFor?: Duration.Input | Schedule.Schedule<unknown, number>
  readonly cacheFor?: Duration.Input
  readonly maxCached?: number
  readonly maxConcurrent?: number
  readonly maxEnds?: number
}

/**
 * The method, and how its circuit is.
 *
 * - `pauseMs`: for how many milliseconds more nobody is asked; 0 where the next question is sent.
 * - `outages`: `true` when it stops being asked, `false` when it has answered again.
 */
export interface AuthCallback extends AccessMethod.AccessMethod {
  readonly pauseMs: Effect.Effect<number>
  readonly outages: Stream.Stream<boolean>
}

/** The longest answer that is read, in bytes. */
export const maxAnswerBytes = 64 * 1024

const circuit = "callback"

/** What came instead of an answer. */
class Unanswered {
  readonly _tag = "Unanswered"
}

/** Makes the method. Its name is `callback`. */
export const make = (
  settings: AuthCallbackSettings
): Effect.Effect<AuthCallback, AccessMethod.AccessSettingsError, HttpClient.HttpClient | RtmpCrypto | Scope.Scope> =>
  Effect.gen(function* () {
    if (!URL.canParse(settings.url) || !/^https?:\/\//i.test(settings.url)) {
      const problem = "is no address that begins with http:// or https://"
      return yield* new AccessMethod.AccessSettingsError({ setting: "url", problem })
    }
    const client = yield* HttpClient.HttpClient
    const crypto = yield* RtmpCrypto
    const clock = yield* Clock.Clock
    const actions = settings.actions ?? ["publish", "play"]
    const timeout = Duration.fromInputUnsafe(settings.timeout ?? "5 seconds")
    const cacheMs = Duration.toMillis(Duration.fromInputUnsafe(settings.cacheFor ?? 0))
    const cache = new ExpiringMap<AccessGrant>(settings.maxCached ?? 1_024)
    const places = Semaphore.makeUnsafe(settings.maxConcurrent ?? 32)
    const secret = settings.secret === undefined ? undefined : Bytes.fromUtf8(Redacted.value(settings.secret))
    const breaker = yield* CircuitBreaker.make({
      tripPolicy: CircuitBreaker.consecutive(settings.maxFailures ?? 5),
      openDuration: settings.openFor ?? "10 seconds"
    }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))
    const pauseMs = breaker.state(circuit).pipe(
      Effect.map((state) => (state._tag === "Open" ? Duration.toMillis(state.retryAfter) : 0)),
      Effect.orElseSucceed(() => 0)
    )
    const outages = breaker.transitions.pipe(
      Stream.filter(({ from, to }) => from === "Closed" || to === "Closed"),
      Stream.map(({ to }) => to === "Open")
    )
    const nowMs = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

    const send = (call: CallbackMessage.CallbackCall, request: AccessRequest) =>
      post(client, crypto, clock, settings, secret, call, request)

    const ask = (request: AccessRequest): Effect.Effect<CallbackMessage.CallbackAnswer, Unanswered> =>
      send(CallbackMessage.callOf(request, false), request).pipe(
        Effect.flatMap((response) => {
          const answer = CallbackMessage.answer(response, request)
          return answer._tag === "Broken" ? Effect.fail(new Unanswered()) : Effect.succeed(answer)
        }),
        Effect.catch(() => Effect.fail(new Unanswered())),
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new Unanswered()) }),
        breaker.execute({ key: circuit }),
        Effect.catch(() => Effect.fail(new Unanswered())),
        places.withPermit,
        // The wait for a place is nobody's failure, so this one is outside of the breaker.
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new Unanswered()) })
      )

    const conclude = (answer: CallbackMessage.CallbackAnswer): Effect.Effect<AccessGrant, AccessDenied> => {
      switch (answer._tag) {
        case "Allow":
          return Effect.succeed(answer.grant)
        case "Deny":
          return Effect.fail(new AccessDenied({ reason: answer.reason, description: answer.description }))
        case "Redirect":
          return Effect.fail(
            new AccessDenied({
              reason: "NotAllowed",
              description: "The stream is somewhere else.",
              redirect: answer.redirect
            })
          )
        case "Broken":
          return Effect.fail(AccessMethod.unavailable)
      }
    }

    const check = (request: AccessRequest): Effect.Effect<AccessGrant, AccessDenied> =>
      Effect.gen(function* () {
        // Hashed, so that no secret outlives its request.
        const key = cacheMs > 0 ? yield* questionOf(request) : ""
        const cached = cacheMs > 0 ? cache.get(key, nowMs()) : undefined
        if (cached !== undefined) return cached
        const answer = yield* Effect.option(ask(request))
        if (Option.isNone(answer)) {
          if (settings.fallback === "allow") return { credential: "" }
          return yield* AccessMethod.unavailable
        }
        const grant = yield* conclude(answer.value)
        if (cacheMs > 0) cache.set(key, grant, nowMs() + cacheMs)
        return grant
      })

    const ends = yield* Effect.acquireRelease(
      Queue.make<AccessRequest>({ capacity: settings.maxEnds ?? 1_024, strategy: "dropping" }),
      Queue.shutdown
    )
    const tell = (request: AccessRequest): Effect.Effect<void> =>
      send(CallbackMessage.callOf(request, true), request).pipe(
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.void }),
        Effect.exit,
        Effect.flatMap((exit) =>
          Exit.isSuccess(exit) ? Effect.void : Effect.logDebug("the access callback could not be told of an end")
        )
      )
    // A few at once: one that hangs holds back few others.
    for (let worker = 0; worker < 4; worker++) {
      yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(ends), tell)))
    }

    return {
      name: "callback",
      check: (request) => (actions.includes(request.action) ? check(request) : Effect.succeed(undefined)),
      challenges: () => actions.includes("connect"),
      ended: (request) => {
        if (actions.includes(request.action)) Queue.offerUnsafe(ends, request)
      },
      pauseMs,
      outages
    }
  })

/** Asks another server, and nothing else. */
export const layer = (
  settings: AuthCallbackSettings
): Layer.Layer<Authenticator, AccessMethod.AccessSettingsError, HttpClient.HttpClient | RtmpCrypto> =>
  Layer.effect(Authenticator, Effect.map(make(settings), AccessMethod.authenticator))

const post = (
  client: HttpClient.HttpClient,
  crypto: RtmpCrypto["Service"],
  clock: Clock.Clock,
  settings: AuthCallbackSettings,
  secret: Uint8Array | undefined,
  call: CallbackMessage.CallbackCall,
  request: AccessRequest
): Effect.Effect<CallbackMessage.CallbackResponse, HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const format = settings.format ?? "json"
    const text = CallbackMessage.body(format, call, request)
    const seconds = String(Math.floor(clock.currentTimeMillisUnsafe() / 1000))
    const signed =
      secret === undefined
        ? {}
        : {
            "x-effect-rtmp-timestamp": seconds,
            "x-effect-rtmp-signature": CallbackMessage.signature(crypto, secret, seconds, text)
          }
    return HttpClientRequest.post(settings.url).pipe(
      HttpClientRequest.bodyText(text, CallbackMessage.contentTypeOf(format)),
      HttpClientRequest.setHeaders({ accept: "application/json, text/plain", "user-agent": "effect-rtmp", ...signed }),
      client.execute,
      Effect.flatMap(read)
    )
  }).pipe(
    // A redirect is an answer here. Spans and their headers would show the address, which may hold a secret.
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
  )

const read = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<CallbackMessage.CallbackResponse, HttpClientError.HttpClientError> => {
  const head = {
    status: response.status,
    contentType: response.headers["content-type"] ?? "",
    location: response.headers.location ?? ""
  }
  let length = 0
  return response.stream.pipe(
    Stream.takeWhile((chunk) => {
      length += chunk.length
      return length <= maxAnswerBytes
    }),
    Stream.runCollect,
    Effect.map((chunks) => ({
      ...head,
      body: length > maxAnswerBytes ? undefined : Bytes.utf8Strict(Bytes.concat(Array.from(chunks)))
    })),
    // Nobody sends a body where there is nothing to say.
    Effect.catchIf(
      (error) => error.reason._tag === "EmptyBodyError",
      () => Effect.succeed({ ...head, body: "" })
    )
  )
}

const questionOf = (request: AccessRequest): Effect.Effect<string> =>
  Digest.Digest.use((digest) =>
    Effect.map(
      digest.digest(
        Digest.sha256,
        Bytes.fromUtf8(
          JSON.stringify([
            request.action,
            request.application,
            request.stream,
            request.query,
            request.tcUrl ?? "",
            request.remoteAddress
          ])
        )
      ),
      Hex.encode
    )
  ).pipe(Effect.provide(Digest.layerWebCrypto))
