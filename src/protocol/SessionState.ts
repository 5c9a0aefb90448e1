/**
 * The states of a server session, and the one table of its legal transitions.
 *
 * ```text
 *                bytes               handshakeDone            publish (again)
 *   Connecting ─────────> Handshaking ─────────> Connected <───────────────> Publishing
 *       │                     │                      │  ^                        │
 *       │                     │                      │  └──────> Subscribing     │
 *       │ close               │ close                │ close    play (again)     │ close
 *       └─────────────────────┴──────> Disconnected <┴──────────────┴────────────┘
 * ```
 *
 * What the table does not name cannot happen: `next` gives `undefined`, and the session refuses the command. In
 * particular a session either publishes or plays; to change over it first ends what it does.
 */

/**
 * The state of a server session.
 *
 * `Connecting`: accepted, nothing received. `Handshaking`: in the handshake. `Connected`: handshake done; neither
 * publishing nor playing. `Publishing` and `Subscribing`: at least one message stream does so. `Disconnected`: final.
 */
export type SessionState = "Connecting" | "Handshaking" | "Connected" | "Publishing" | "Subscribing" | "Disconnected"

/**
 * What moves a session: first bytes, the end of the handshake, an accepted publish or play, the end of the last
 * published or played stream, and the end of the connection.
 */
export type SessionInput = "bytes" | "handshakeDone" | "publish" | "play" | "idle" | "close"

/** The transition table. */
export const transitions: {
  readonly [State in SessionState]: { readonly [Input in SessionInput]?: SessionState }
} = {
  Connecting: { bytes: "Handshaking", close: "Disconnected" },
  Handshaking: { bytes: "Handshaking", handshakeDone: "Connected", close: "Disconnected" },
  Connected: { bytes: "Connected", publish: "Publishing", play: "Subscribing", close: "Disconnected" },
  Publishing: { bytes: "Publishing", publish: "Publishing", idle: "Connected", close: "Disconnected" },
  Subscribing: { bytes: "Subscribing", play: "Subscribing", idle: "Connected", close: "Disconnected" },
  Disconnected: { close: "Disconnected" }
}

/** The state after `input`, or `undefined` where the table has none. */
export const next = (state: SessionState, input: SessionInput): SessionState | undefined => transitions[state][input]
