/**
 * The certificates in use, and how they come to be replaced: what `NodeCertificates` is where TLS is on.
 *
 * There is one table of contexts at a time, from which handshakes choose. A new one is made in whole and put in its place
 * in one step; where that fails, the old one stays and the reason is kept, for the log, the health and the API.
 */
import { createHash, randomBytes } from "node:crypto"
import * as Tls from "node:tls"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { ConfigError } from "../config/ConfigError.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import { Health } from "../observability/Health.ts"
import { inRoom } from "../observability/LogLevels.ts"
import { Metrics } from "../observability/Metrics.ts"
import {
  CertificateError,
  type CertificateReport,
  type CertificateStatus,
  type CertificatesShape
} from "../server/Certificates.ts"
import { Supervisor } from "../server/Supervisor.ts"
import * as CertificateConfigError from "./CertificateConfigError.ts"
import * as CertificateExpiry from "./CertificateExpiry.ts"
import * as CertificateFile from "./CertificateFile.ts"
import * as CertificateRenewal from "./CertificateRenewal.ts"
import { AcmeChallenges } from "./NodeAcmeChallenges.ts"
import * as NodeConfigFile from "./NodeConfigFile.ts"
import * as RevocationList from "./RevocationList.ts"
import * as SelfSigned from "./SelfSigned.ts"

type TlsSettings = RtmpConfigData["tls"]

/**
 * How a handshake is to be done, from now on.
 *
 * - `minVersion` and `ciphers`: what may be agreed on; they are part of every context already.
 * - `requestCert`: whether the client is asked for a certificate. `required`: whether it must have one that `ca` or `pins`
 *   let in.
 * - `ca`: PEM of those who may issue clients' certificates; absent where only the pins count.
 * - `crl`: PEM of the lists of certificates that these have revoked; absent where none are looked at.
 * - `pins`: SHA-256 of the public keys (SPKI, base64) that clients may have; empty allows every one that `ca` vouches for.
 * - `ticketKeys`: 48 bytes that session tickets are encrypted with, others after `ticketKeysInterval`. All contexts have the same, so that a session outlives
 *   the certificate that it began with.
 */
export interface HandshakeOptions {
  readonly minVersion: Tls.SecureVersion
  readonly ciphers?: string
  readonly requestCert: boolean
  readonly required: boolean
  readonly ca?: string
  readonly crl?: ReadonlyArray<string>
  readonly pins: ReadonlySet<string>
  readonly ticketKeys: Buffer
}

/** What TLS listeners, and those who look after them, need of the certificates. */
export interface NodeCertificatesShape extends CertificatesShape {
  /**
   * The context with the certificate for a name that a client asks for (SNI), else the one for clients that ask for none.
   * Undefined while there is no certificate at all; while the first one is being obtained, it is that of a challenge.
   */
  readonly contextOf: (serverName: string | undefined) => Tls.SecureContext | undefined
  /** The context that answers `tls-alpn-01` for a name that is being proven (RFC 8737, ALPN `acme-tls/1`). */
  readonly challengeOf: (serverName: string) => Tls.SecureContext | undefined
  /** How handshakes are done now. */
  readonly options: () => HandshakeOptions
  /**
   * Looks after the certificates until the scope closes: takes over files that are replaced, obtains and renews those of
   * ACME, warns before one ends, and tells health and metrics. Returns at once.
   */
  readonly maintain: Effect.Effect<void, never, Supervisor | Health | Metrics | Scope.Scope>
}

/** How often files are looked at where the system tells nothing of changes, in milliseconds. */
export const pollMs = 60_000

/** How long a file that is not right is given to become so: the certificate and its key do not come in one step. */
export const settleMs = 1_000

/**
 * How long session tickets are encrypted with the same keys. Node takes one set of them, so that a ticket of the last one
 * leads to a full handshake, and to nothing worse.
 */
export const ticketKeysInterval = "12 hours"

const ticketKeyBytes = 48

/** How often it is looked whether a certificate is about to end. */
const expiryInterval = "1 hour"

/**
 * Reads the certificates that the configuration asks for, and follows it until the scope closes. Fails where one cannot be
 * used, with the key that names it.
 */
export const make: Effect.Effect<NodeCertificatesShape, ConfigError, ConfigStore | Scope.Scope> = Effect.gen(
  function* () {
    const store = yield* ConfigStore
    const oneAtATime = yield* Semaphore.make(1)
    const kicks = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const challenges = new AcmeChallenges()
    let ticketKeys = randomBytes(ticketKeyBytes)
    const { config, origins } = yield* store.loaded
    let state = yield* Effect.mapError(open(config.tls, ticketKeys), (error) =>
      CertificateConfigError.make(error, config.tls, origins)
    )

    /** Puts other parts to use, if a table can be made of them. */
    const replace = (parts: Partial<Parts>): Effect.Effect<void, CertificateError> =>
      Effect.suspend(() => {
        const next = { ...state, ...parts }
        return Effect.map(makeTable(next, ticketKeys), (table) => {
          state = { ...next, table }
        })
      })

    const renewal = yield* CertificateRenewal.make({
      settings: () => state.settings,
      current: () => state.acme,
      install: (certificate) => Semaphore.withPermit(oneAtATime, replace({ acme: certificate })),
      challenges
    })

    yield* store.register({
      name: "certificates",
      prepare: (next, previous) => {
        if (JSON.stringify(plain(next.tls)) === JSON.stringify(plain(previous.tls))) return Effect.succeed(Effect.void)
        return Effect.map(open(next.tls, ticketKeys, state), (opened) =>
          Effect.gen(function* () {
            state = opened
            yield* Queue.offer(kicks, undefined)
            yield* renewal.settingsChanged
          })
        )
      }
    })

    /** Looks at one file, or a pair of them; gives what is wrong with it now. */
    const lookAt = <A>(
      slot: Slot<A>,
      put: (slot: Slot<A>) => Partial<Parts>
    ): Effect.Effect<CertificateError | undefined> =>
      Effect.gen(function* () {
        const now = yield* Effect.result(readAll(slot.files))
        const seen = now._tag === "Success" ? now.success.join("\0") : now.failure.message
        if (seen === slot.seen) return slot.error
        const taken = yield* Effect.result(
          Effect.gen(function* () {
            const texts = yield* Effect.fromResult(now)
            const value = yield* slot.parse(texts)
            yield* replace(put({ ...slot, seen, value, error: undefined }))
          })
        )
        if (taken._tag === "Success") {
          yield* Effect.logInfo(`${slot.what} replaced`, { path: slot.files[0] })
          return undefined
        }
        return taken.failure
      })

    const lookAtAll: Effect.Effect<ReadonlyArray<readonly [Slot<unknown>, CertificateError]>> = Effect.gen(
      function* () {
        const wrong: Array<readonly [Slot<unknown>, CertificateError]> = []
        for (const slot of state.pairs) {
          const put = (next: Slot<CertificateFile.Certificate>) => ({
            pairs: state.pairs.map((it) => (it.files === slot.files ? next : it))
          })
          const error = yield* lookAt(slot, put)
          if (error !== undefined) wrong.push([slot, error])
        }
        const { issuers, revoked } = state
        if (issuers !== undefined) {
          const error = yield* lookAt(issuers, (next) => ({ issuers: next }))
          if (error !== undefined) wrong.push([issuers, error])
        }
        if (revoked !== undefined) {
          const error = yield* lookAt(revoked, (next) => ({ revoked: next }))
          if (error !== undefined) wrong.push([revoked, error])
        }
        return wrong
      }
    )

    const isNews = (wrong: ReadonlyArray<readonly [Slot<unknown>, CertificateError]>): boolean =>
      wrong.some(([slot, error]) => slot.error?.message !== error.message)

    /** Ends the sessions that could be resumed, where a revocation list has come to its end. */
    const lookAtLists = Effect.gen(function* () {
      if (state.table.listEndMs > (yield* Clock.currentTimeMillis)) return
      yield* replace({})
      yield* Effect.logWarning(
        "a revocation list is past its time: nobody of its issuer is let in until it is replaced",
        {
          path: state.settings.clientCertificates.crlFile
        }
      )
    }).pipe(Effect.catch((error) => Effect.logError("sessions not ended", { detail: error.message })))

    /** Takes over what has changed on the disk; gives the first thing that is wrong with it. */
    const refresh: Effect.Effect<CertificateError | undefined> = Semaphore.withPermit(
      oneAtATime,
      Effect.gen(function* () {
        let wrong = yield* lookAtAll
        if (isNews(wrong)) {
          yield* Effect.sleep(settleMs)
          wrong = yield* lookAtAll
        }
        for (const [slot, error] of wrong) {
          if (slot.error?.message === error.message) continue
          yield* Effect.logError(`${slot.what} not replaced, the last good one stays`, {
            reason: error.reason,
            detail: error.message
          })
        }
        yield* lookAtLists
        const errorOf = new Map(wrong.map(([{ files }, error]) => [files, error]))
        const marked = <A>(slot: Slot<A>): Slot<A> => ({ ...slot, error: errorOf.get(slot.files) })
        state = {
          ...state,
          pairs: state.pairs.map(marked),
          issuers: state.issuers === undefined ? undefined : marked(state.issuers),
          revoked: state.revoked === undefined ? undefined : marked(state.revoked)
        }
        return wrong[0]?.[1]
      })
    ).pipe(inRoom("tls"))

    const watch = Effect.gen(function* () {
      while (true) {
        const paths = pathsOf(state)
        yield* Effect.scoped(
          Effect.gen(function* () {
            for (const path of paths) {
              const changes = yield* NodeConfigFile.watch(path)
              yield* Effect.forkScoped(Stream.runForEach(changes, () => Queue.offer(kicks, undefined)))
            }
            while (pathsOf(state).join("\0") === paths.join("\0")) {
              yield* refresh
              const leftMs = state.table.listEndMs - (yield* Clock.currentTimeMillis)
              yield* Effect.timeoutOption(Queue.take(kicks), Math.min(pollMs, Math.max(settleMs, leftMs)))
            }
          })
        )
      }
    })

    const report: Effect.Effect<CertificateReport> = Effect.sync(() => ({
      enabled: true,
      certificates: certificatesOf(state).map(statusOf(state)),
      acme: renewal.status()
    }))

    const expiry = CertificateExpiry.make(() => certificatesOf(state))

    /** A certificate that was made here is made again, as long as nothing else has come in its place. */
    const remakeSelfSigned = Effect.gen(function* () {
      if (state.selfSigned === undefined) return
      const { certificate, isNew } = yield* selfSigned(state.settings, true)
      if (isNew) yield* Semaphore.withPermit(oneAtATime, replace({ selfSigned: certificate }))
    }).pipe(Effect.catch((error) => Effect.logError("certificate not made", { detail: error.message })))

    const renewTicketKeys = Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep(ticketKeysInterval)
        ticketKeys = randomBytes(ticketKeyBytes)
        yield* Semaphore.withPermit(oneAtATime, replace({}))
      }
    }).pipe(inRoom("tls"))

    const watchExpiry = Effect.gen(function* () {
      while (true) {
        yield* remakeSelfSigned
        yield* expiry.warn
        yield* Effect.sleep(expiryInterval)
      }
    }).pipe(inRoom("tls"))

    return {
      contextOf: (serverName) => find(state.table, serverName) ?? challenges.anyContext(),
      challengeOf: (serverName) => challenges.contextOf(serverName),
      options: () => state.table.options,
      report,
      reload: Effect.flatMap(refresh, (error) => (error === undefined ? report : Effect.fail(error))),
      renew: Effect.andThen(renewal.renew, report),
      maintain: Effect.gen(function* () {
        const supervisor = yield* Supervisor
        const health = yield* Health
        const metrics = yield* Metrics
        yield* health.register({
          name: "certificate",
          critical: false,
          check: Effect.flatMap(report, CertificateExpiry.check)
        })
        yield* metrics.bindCertificateEnd(() => CertificateExpiry.firstEnd(certificatesOf(state)))
        const parts = {
          certificates: watch,
          certificateExpiry: watchExpiry,
          ticketKeys: renewTicketKeys,
          acme: renewal.keep
        }
        for (const [name, part] of Object.entries(parts)) {
          // One that dies must not ask its directory more often than one that fails.
          const options = name === "acme" ? { schedule: CertificateRenewal.retrySchedule } : {}
          yield* Effect.forkScoped(supervisor.supervise(name, part, options))
        }
      })
    } satisfies NodeCertificatesShape
  }
)

/**
 * What was read out of some files together.
 *
 * - `what`: what that is, for the log.
 * - `seen`: what was in them the last time that they were looked at, whether it could be used or not.
 * - `value`: the last that could be used. `error`: why what came after it could not.
 */
interface Slot<A> {
  readonly what: "certificate" | "file of issuers" | "revocation list"
  readonly files: ReadonlyArray<string>
  readonly parse: (texts: ReadonlyArray<string>) => Effect.Effect<A, CertificateError>
  readonly seen: string
  readonly value: A
  readonly error: CertificateError | undefined
}

/** What a table of contexts is made of. */
interface Parts {
  readonly settings: TlsSettings
  readonly pairs: ReadonlyArray<Slot<CertificateFile.Certificate>>
  readonly issuers: Slot<string> | undefined
  readonly revoked: Slot<ReadonlyArray<string>> | undefined
  readonly acme: CertificateFile.Certificate | undefined
  readonly selfSigned: CertificateFile.Certificate | undefined
}

interface State extends Parts {
  readonly table: Table
}

/** The contexts by name, by what is behind the first label of a wildcard, and the one for clients that name nobody. */
interface Table {
  /** When the next revocation list is past its time, in milliseconds; infinity for never. */
  readonly listEndMs: number
  readonly options: HandshakeOptions
  readonly exact: ReadonlyMap<string, Tls.SecureContext>
  readonly wildcard: ReadonlyMap<string, Tls.SecureContext>
  readonly usual: Tls.SecureContext | undefined
}

/** Reads all that the settings ask for; files that `before` holds already stay as they are. */
const open = (settings: TlsSettings, ticketKeys: Buffer, before?: Parts): Effect.Effect<State, CertificateError> =>
  Effect.gen(function* () {
    const pairs: Array<Slot<CertificateFile.Certificate>> = []
    for (const [path, keyPath] of pairsOf(settings)) {
      const kept = before?.pairs.find(({ files }) => files[0] === path && files[1] === keyPath)
      const parse = ([chain = "", key = ""]: ReadonlyArray<string>) =>
        CertificateFile.parse("file", { path, keyPath }, chain, key)
      pairs.push(kept ?? (yield* openSlot("certificate", [path, keyPath], parse)))
    }
    const { caFile, crlFile, mode } = settings.clientCertificates
    const parseIssuers = ([text = ""]: ReadonlyArray<string>) => CertificateFile.parseIssuers(caFile, text)
    const keptIssuers = before?.issuers?.files[0] === caFile ? before.issuers : undefined
    const issuers =
      mode === "off" || caFile === ""
        ? undefined
        : (keptIssuers ?? (yield* openSlot("file of issuers", [caFile], parseIssuers)))
    const parseRevoked = ([text = ""]: ReadonlyArray<string>) => CertificateFile.parseRevocationLists(crlFile, text)
    const keptRevoked = before?.revoked?.files[0] === crlFile ? before.revoked : undefined
    const revoked =
      mode === "off" || crlFile === ""
        ? undefined
        : (keptRevoked ?? (yield* openSlot("revocation list", [crlFile], parseRevoked)))

    const acme =
      settings.acme.domains.length === 0
        ? undefined
        : yield* Effect.catch(CertificateRenewal.load(settings), (error) =>
            Effect.as(
              Effect.logWarning("the certificate that was kept is not used", { detail: error.message }),
              undefined
            )
          )
    const isAlone = settings.selfSigned && pairs.length === 0
    const made = isAlone ? (yield* selfSigned(settings, false)).certificate : undefined
    const parts: Parts = { settings, pairs, issuers, revoked, acme, selfSigned: made }
    return { ...parts, table: yield* makeTable(parts, ticketKeys) }
  }).pipe(inRoom("tls"))

const openSlot = <A>(
  what: Slot<A>["what"],
  files: ReadonlyArray<string>,
  parse: Slot<A>["parse"]
): Effect.Effect<Slot<A>, CertificateError> =>
  Effect.gen(function* () {
    const texts = yield* readAll(files)
    return { what, files, parse, seen: texts.join("\0"), value: yield* parse(texts), error: undefined }
  })

const readAll = (files: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>, CertificateError> =>
  Effect.forEach(files, CertificateFile.readText)

const selfSigned = (settings: TlsSettings, isKnown: boolean) =>
  Effect.gen(function* () {
    const { directory, host } = settings
    const isUnspecified = host === "0.0.0.0" || host === "::"
    const names = [...new Set([...SelfSigned.localNames(), ...(isUnspecified ? [] : [host]), ...settings.acme.domains])]
    const made = yield* SelfSigned.obtain(directory, names, yield* Clock.currentTimeMillis)
    if (made.isNew || !isKnown) {
      yield* Effect.logWarning(made.isNew ? "self-signed certificate made" : "self-signed certificate in use", {
        path: made.certificate.path,
        names: made.certificate.names.join(", "),
        publicKeySha256: made.certificate.publicKeySha256
      })
    }
    return made
  })

const pairsOf = ({ certFile, certificates, keyFile }: TlsSettings): ReadonlyArray<readonly [string, string]> => [
  ...(certFile === "" ? [] : [[certFile, keyFile] as const]),
  ...certificates
]

const pathsOf = ({ issuers, pairs, revoked }: Parts): ReadonlyArray<string> => [
  ...new Set([...pairs, issuers, revoked].flatMap((slot) => slot?.files ?? []))
]

/** All certificates in the order in which they are chosen where several are for the same name. */
const certificatesOf = ({ acme, pairs, selfSigned }: Parts): ReadonlyArray<CertificateFile.Certificate> =>
  [...pairs.map(({ value }) => value), acme, selfSigned].filter((it) => it !== undefined)

const statusOf =
  ({ issuers, pairs, revoked }: Parts) =>
  ({ chain: _chain, key: _key, ...certificate }: CertificateFile.Certificate): CertificateStatus => {
    const slot = pairs.find(({ value }) => value.path === certificate.path && certificate.source === "file")
    return { ...certificate, problem: (slot?.error ?? issuers?.error ?? revoked?.error)?.message ?? "" }
  }

const makeTable = (parts: Parts, ticketKeys: Buffer): Effect.Effect<Table, CertificateError> =>
  Effect.gen(function* () {
    const options = optionsOf(parts, ticketKeys)
    const { ca, ciphers, crl, minVersion } = options
    const nowMs = yield* Clock.currentTimeMillis
    const listEndsMs = (crl ?? []).map(RevocationList.nextUpdateMs)
    const common = {
      minVersion,
      ticketKeys,
      honorCipherOrder: true,
      // A session remembers that its client was trusted: it ends where others are trusted from now on, or nobody is of an
      // issuer whose list is past its time.
      sessionIdContext: createHash("sha256")
        .update(
          JSON.stringify([
            options.requestCert,
            options.required,
            ca,
            crl,
            listEndsMs.map((end) => end <= nowMs),
            [...options.pins]
          ])
        )
        .digest("hex")
        .slice(0, 32),
      ...(ca === undefined ? {} : { ca }),
      ...(ciphers === undefined ? {} : { ciphers })
    }
    yield* attempt("SettingsNotAccepted", "tls.ciphers", () => Tls.createSecureContext(common))
    const { crlFile } = parts.settings.clientCertificates
    const revoked = crl === undefined ? {} : { crl: [...crl] }
    yield* attempt("NotAccepted", crlFile, () => Tls.createSecureContext(revoked))
    const exact = new Map<string, Tls.SecureContext>()
    const wildcard = new Map<string, Tls.SecureContext>()
    let usual: Tls.SecureContext | undefined
    for (const { chain, key, names, path } of certificatesOf(parts)) {
      const context = yield* attempt("NotAccepted", path, () =>
        Tls.createSecureContext({ ...common, ...revoked, cert: chain, key })
      )
      usual ??= context
      for (const name of names) {
        const into = name.startsWith("*.") ? wildcard : exact
        const rest = name.startsWith("*.") ? name.slice(2) : name
        if (!into.has(rest)) into.set(rest, context)
      }
    }
    const listEndMs = Math.min(...listEndsMs.filter((end) => end > nowMs))
    return { options, exact, wildcard, usual, listEndMs }
  })

const optionsOf = ({ issuers, revoked, settings }: Parts, ticketKeys: Buffer): HandshakeOptions => {
  const { mode, pins } = settings.clientCertificates
  return {
    minVersion: settings.minVersion === "tlsv1.3" ? "TLSv1.3" : "TLSv1.2",
    ...(settings.ciphers === "" ? {} : { ciphers: settings.ciphers }),
    requestCert: mode !== "off",
    required: mode === "required",
    ...(issuers === undefined ? {} : { ca: issuers.value }),
    ...(revoked === undefined ? {} : { crl: revoked.value }),
    pins: new Set(mode === "off" ? [] : pins),
    ticketKeys
  }
}

const find = ({ exact, usual, wildcard }: Table, serverName: string | undefined): Tls.SecureContext | undefined => {
  if (serverName === undefined) return usual
  const name = serverName.toLowerCase().replace(/\.$/, "")
  // A wildcard stands for one label.
  return exact.get(name) ?? wildcard.get(name.slice(name.indexOf(".") + 1)) ?? usual
}

const attempt = <A>(
  reason: "SettingsNotAccepted" | "NotAccepted",
  path: string,
  make: () => A
): Effect.Effect<A, CertificateError> =>
  Effect.try({
    try: make,
    catch: (error) => {
      const said = error instanceof Error ? error.message : String(error)
      return new CertificateError({ reason, path, detail: `is not accepted by the TLS library: ${said}` })
    }
  })

/** Settings as plain data, to compare them: a map would look empty, and one secret like another. */
const plain = ({ acme, certificates, ...rest }: TlsSettings) => ({
  ...rest,
  certificates: [...certificates],
  acme: { ...acme, eab: { ...acme.eab, hmacKey: Redacted.value(acme.eab.hmacKey) } }
})
