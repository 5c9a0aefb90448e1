/**
 * The status codes of NetConnection and NetStream, and the information objects that carry them.
 *
 * A status travels as the last argument of `onStatus`, `_result` or `_error`: an object with `level`, `code` and
 * `description`. The codes are those of the ActionScript 3 reference (NetStatusEvent), plus those that encoders made
 * standard by acting on them.
 *
 * **Gotchas**
 *
 * - The information must be a plain AMF0 object: FFmpeg waits for ever on an ECMA array.
 * - OBS stops at once on `NetStream.Publish.BadName`, `.Denied` and `.Rejected` only; on the other publish errors, and
 *   librtmp on all of them, it waits until the connection is closed.
 */
import type { AmfObject } from "./amf/AmfValue.ts"
import * as AmfValue from "./amf/AmfValue.ts"

/** How grave a status is: `status` for what was asked for, `warning`, and `error` for what makes a client give up. */
export type StatusLevel = "status" | "warning" | "error"

/** Every status code that this server sends. */
export type StatusCode =
  | "NetConnection.Connect.Success"
  | "NetConnection.Connect.Rejected"
  | "NetConnection.Connect.InvalidApp"
  | "NetConnection.Connect.Failed"
  | "NetConnection.Connect.Closed"
  | "NetConnection.Connect.AppShutdown"
  | "NetConnection.Connect.IdleTimeout"
  | "NetConnection.Connect.ReconnectRequest"
  | "NetConnection.Call.Failed"
  | "NetStream.Publish.Start"
  | "NetStream.Publish.BadName"
  | "NetStream.Publish.Denied"
  | "NetStream.Publish.Rejected"
  | "NetStream.Unpublish.Success"
  | "NetStream.Play.Reset"
  | "NetStream.Play.Start"
  | "NetStream.Play.Stop"
  | "NetStream.Play.Failed"
  | "NetStream.Play.StreamNotFound"
  | "NetStream.Play.PublishNotify"
  | "NetStream.Play.UnpublishNotify"
  | "NetStream.Pause.Notify"
  | "NetStream.Unpause.Notify"
  | "NetStream.Seek.Notify"
  | "NetStream.Seek.Failed"
  | "NetStream.Failed"

/**
 * A status: its level, its code, and a sentence that clients show to their users.
 *
 * `redirect` is where the client is to go instead, as Flash Media Server has it: `ex.code` 302 and the address twice, as
 * that of the connection and as the whole one.
 */
export interface Status {
  readonly level: StatusLevel
  readonly code: StatusCode
  readonly description: string
  readonly redirect?: string
}

/** Makes a status of level `status`. */
export const status = (code: StatusCode, description: string): Status => ({ level: "status", code, description })

/** Makes a status of level `error`. */
export const error = (code: StatusCode, description: string): Status => ({ level: "error", code, description })

/**
 * The status that asks a client to go elsewhere. One that did not declare that it follows a ReconnectRequest (E-RTMP v2) is
 * told that the server will stop; FFmpeg, OBS and GStreamer read on, and others may end by themselves.
 */
export const leave = (canReconnect: boolean, description: string): Status =>
  status(canReconnect ? "NetConnection.Connect.ReconnectRequest" : "NetConnection.Connect.AppShutdown", description)

/**
 * The information object for a status, with `extra` members after the three standard ones (`details`, `clientid`,
 * `objectEncoding`, …).
 */
export const toAmf = (status: Status, extra?: Readonly<Record<string, AmfValue.AmfValue>>): AmfObject =>
  AmfValue.object({
    level: status.level,
    code: status.code,
    description: status.description,
    ...(status.redirect === undefined
      ? {}
      : { ex: AmfValue.object({ code: 302, redirect: status.redirect, redirect2: status.redirect }) }),
    ...extra
  })
