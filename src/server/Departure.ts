/**
 * Moving clients away: when a server stops, and when it is drained.
 *
 * Who follows a ReconnectRequest (E-RTMP v2) is sent one and stays as it is until it leaves by itself: the client goes on
 * here until it is connected there. A publisher that does not is told that the server will stop. In a stop it has the
 * grace to bring its stream to an end; in a drain it is ended at once, in order, because a lost connection is what makes
 * encoders connect anew, and somewhere else is where they are to go. Viewers keep their stream for as long as it runs, and
 * are told its end by their own connection, as on any other day. Whoever neither publishes nor has anything to see is
 * ended.
 */
import type { StreamRegistry } from "../live/StreamRegistry.ts"
import type { RtmpConnection } from "./RtmpConnection.ts"

/** How clients are moved away: the reason and sentence for their end, and where to, as an URL or empty. */
export interface Farewell {
  readonly reason: "ServerStopping" | "Kicked"
  readonly detail: string
  readonly reconnectTo: string
}

/** Tells every connection, and gives back how many were asked to reconnect. */
export const tell = (
  connections: Iterable<RtmpConnection>,
  registry: StreamRegistry["Service"],
  { detail, reason, reconnectTo }: Farewell
): number => {
  let asked = 0
  const isStopping = reason === "ServerStopping"
  const viewers: Array<RtmpConnection> = []
  for (const connection of [...connections]) {
    const follows = connection.requestReconnect(reconnectTo, detail)
    if (follows) asked++
    if (connection.publishing.length > 0 && (follows || isStopping)) continue
    if (connection.playing.length > 0) viewers.push(connection)
    else connection.shutdown(reason, detail)
  }
  // Now that those publishers are gone who had to: a viewer stays where there is something to see, or where what waits
  // for it of a stream that has just ended is still being sent.
  for (const connection of viewers) {
    const isWatching = connection.playing.some(
      ({ streamKey, viewer }) => viewer.started && registry.get(streamKey)?.dry !== true
    )
    if (!isWatching) connection.shutdown(reason, detail)
  }
  return asked
}
