/**
 * The admin API: what there is to ask and to do, apart from how it is done. Server, client and the OpenAPI document all
 * come from this.
 *
 * Everything that changes over versions stands under `/api/v1`; probes and metrics stand where machines look for them.
 *
 * **Gotchas**
 *
 * - The key of a stream has slashes in it, which proxies and routers treat each in their own way when they are escaped in a
 *   path. So a key is never part of a path: it stands in the query (where a slash needs no escape), or in the body.
 * - Every request that changes something has a JSON body, be it `{}`: browsers do not send that content type to another site
 *   without asking it first.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Access from "./AccessSchema.ts"
import { Conflict, NotFound, TooManyRequests, Unprocessable } from "./AdminErrors.ts"
import { AdminEvent } from "./AdminEventSchema.ts"
import { Authorization, describe, RequestErrors, RequiredScope } from "./AdminMiddleware.ts"
import * as Info from "./AdminSchema.ts"
import { CertificatesGroup } from "./CertificateApi.ts"

export { Authorization, RequestErrors, RequiredScope, type Scope, scopeOf } from "./AdminMiddleware.ts"

const streamKey = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(2_048)).annotate({
  description: "The key of the stream: application, slash, name, such as `live/camera`."
})

const description = Schema.String.check(Schema.isMaxLength(200)).annotate({
  description: "What the client is told, for its user to read."
})

const reconnectTo = Schema.String.check(Schema.isMaxLength(1_024), Schema.isPattern(/^[\x21-\x7e]*$/)).annotate({
  description:
    "Where clients that follow a ReconnectRequest are sent, such as `rtmp://other.example/live`; `shutdown.reconnectTo` where left out."
})

const graceMs = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 86_400_000 })).annotate({
  description: "How long clients have, in milliseconds; `shutdown.grace` where left out."
})

/** A whole number in a query, described where a reader of the OpenAPI document looks: at the text that is sent. */
const whole = (range: { readonly minimum: number; readonly maximum: number }, description: string) =>
  Schema.String.check(Schema.isPattern(/^\d{1,16}$/))
    .annotate({ description })
    .pipe(Schema.decodeTo(Schema.Int.check(Schema.isBetween(range)), SchemaTransformation.numberFromString))

const nothing = Schema.Struct({}).annotate({ description: "An empty object." })

/** The server as a whole. */
export class ServerGroup extends HttpApiGroup.make("server")
  .add(
    HttpApiEndpoint.get("info", "/server", { success: Info.ServerInfo }).annotateMerge(
      describe("Show the server", "Version, state, uptime, open ports, what is counted, and how its parts are doing.")
    ),
    HttpApiEndpoint.get("health", "/health", { success: Info.HealthInfo }).annotateMerge(
      describe(
        "Show the health",
        "Runs all checks. The answer is 200 whatever they find; `/healthz` and `/readyz` are for probes that look at the status."
      )
    ),
    HttpApiEndpoint.post("drain", "/server/drain", {
      payload: Schema.Struct({
        reconnectTo: Schema.optionalKey(reconnectTo),
        graceMs: Schema.optionalKey(graceMs)
      }).annotate({ identifier: "Drain", description: "How to move clients away." }),
      success: Schema.Struct({ lifecycle: Info.LifecycleInfo }).annotate({ description: "All clients were told." }),
      error: Conflict
    }).annotateMerge(
      describe(
        "Move clients away",
        "Turns new clients away, and asks those who are there to move. Viewers stay until their stream ends. The server goes on until it is resumed or stopped."
      )
    ),
    HttpApiEndpoint.post("resume", "/server/resume", {
      payload: nothing,
      success: Schema.Struct({ lifecycle: Info.LifecycleInfo }).annotate({ description: "New clients are let in." }),
      error: Conflict
    }).annotateMerge(describe("Take a drain back", "Lets new clients in again. A server that runs is left as it is.")),
    HttpApiEndpoint.post("shutdown", "/server/shutdown", {
      payload: Schema.Struct({
        force: Schema.optionalKey(
          Schema.Boolean.annotate({ description: "Drop every connection at once, also where a stop is under way." })
        ),
        reconnectTo: Schema.optionalKey(reconnectTo),
        graceMs: Schema.optionalKey(graceMs)
      }).annotate({ identifier: "Shutdown", description: "How to stop." }),
      success: Schema.Struct({
        connections: Schema.Finite.annotate({ description: "Connections that are ended now." })
      })
        .annotate({ description: "The server stops." })
        .pipe(HttpApiSchema.status(202))
    }).annotateMerge(
      describe(
        "Stop the server",
        "Answers at once, and then stops in order: new clients are refused, those who are there are asked to move, and dropped when the grace is over. The process ends."
      )
    )
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Server", description: "The server as a whole, and its life." })) {}

/** The streams. */
export class StreamsGroup extends HttpApiGroup.make("streams")
  .add(
    HttpApiEndpoint.get("list", "/streams", { success: Info.StreamList }).annotateMerge(
      describe("List streams", "All streams with their tracks, rates and viewers, oldest first.")
    ),
    HttpApiEndpoint.get("get", "/stream", {
      query: { key: streamKey },
      success: Info.StreamInfo,
      error: NotFound
    }).annotateMerge(describe("Show a stream", "One stream by its key: `/api/v1/stream?key=live/camera`.")),
    HttpApiEndpoint.post("kick", "/streams/kick", {
      payload: Schema.Struct({ key: streamKey, description: Schema.optionalKey(description) }),
      success: Schema.Struct({ key: streamKey }).annotate({ description: "The publication was ended." }),
      error: NotFound
    }).annotateMerge(
      describe("Kick a publisher", "Ends the publication of a stream, and the connection unless it publishes another.")
    ),
    HttpApiEndpoint.post("disable", "/streams/disable", {
      payload: Schema.Struct({ key: streamKey }),
      success: Schema.Struct({
        key: streamKey,
        changed: Schema.Boolean.annotate({ description: "Whether it was enabled before." })
      }).annotate({ description: "The stream is disabled." })
    }).annotateMerge(
      describe(
        "Disable a stream",
        "Kicks the publisher and the viewers of a key, and refuses those that come, until it is enabled or the process ends."
      )
    ),
    HttpApiEndpoint.post("enable", "/streams/enable", {
      payload: Schema.Struct({ key: streamKey }),
      success: Schema.Struct({
        key: streamKey,
        changed: Schema.Boolean.annotate({ description: "Whether it was disabled before." })
      }).annotate({ description: "The stream is enabled." })
    }).annotateMerge(describe("Enable a stream", "Takes back what disabling a stream has done."))
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Streams", description: "What is published." })) {}

const connectionId = Schema.String.check(Schema.isMaxLength(64)).annotate({
  description: "The identifier of the connection, as in the log."
})

/** The connections. */
export class ConnectionsGroup extends HttpApiGroup.make("connections")
  .add(
    HttpApiEndpoint.get("list", "/connections", {
      query: {
        stream: Schema.optionalKey(
          Schema.String.annotate({ description: "Only connections that publish or play the stream with this key." })
        )
      },
      success: Schema.Array(Info.ConnectionInfo).annotate({ description: "The connections, oldest first." })
    }).annotateMerge(describe("List connections", "All connections with their state and rates, oldest first.")),
    HttpApiEndpoint.get("get", "/connections/:id", {
      params: { id: connectionId },
      success: Info.ConnectionInfo,
      error: NotFound
    }).annotateMerge(describe("Show a connection", "One connection by its identifier.")),
    HttpApiEndpoint.post("kick", "/connections/:id/kick", {
      params: { id: connectionId },
      payload: Schema.Struct({ description: Schema.optionalKey(description) }),
      success: Schema.Struct({ id: connectionId }).annotate({ description: "The connection is ended." }),
      error: NotFound
    }).annotateMerge(describe("Kick a connection", "Ends a connection in order: its client is told why."))
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Connections", description: "Who is connected." })) {}

const name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(1_024))

/** Who may do what. */
export class AccessGroup extends HttpApiGroup.make("access")
  .add(
    HttpApiEndpoint.get("info", "/access", { success: Access.AccessInfo, error: Conflict }).annotateMerge(
      describe("Show access control", "What is asked of clients, and which addresses are blocked.")
    ),
    HttpApiEndpoint.get("keys", "/access/keys", {
      success: Schema.Array(Access.KeyInfo).annotate({ description: "The keys, without the keys themselves." }),
      error: Conflict
    }).annotateMerge(describe("List stream keys", "Those of the configuration, then the others by age.")),
    HttpApiEndpoint.post("createKey", "/access/keys", {
      payload: Access.NewKeyInfo,
      success: Access.CreatedKeyInfo,
      error: Conflict
    }).annotateMerge(
      describe("Make a stream key", "It holds at once. The answer is the only place where it is to be seen.")
    ),
    HttpApiEndpoint.post("revokeKey", "/access/keys/revoke", {
      payload: Schema.Struct({
        id: name.annotate({ description: "The identifier of the key." }),
        drop: Schema.optionalKey(
          Schema.Boolean.annotate({
            description:
              "Also end what is published and played with it, and the whole connection, where it was let in with that key or does nothing else."
          })
        )
      }),
      success: Schema.Struct({
        id: Schema.String.annotate({ description: "The identifier of the key." }),
        sessions: Schema.Array(Schema.String).annotate({
          description: "Connections that published or played with it."
        }),
        dropped: Schema.Boolean.annotate({ description: "Whether what they did with it is ended now." })
      }).annotate({ description: "The key counts no more." }),
      error: [NotFound, Conflict]
    }).annotateMerge(describe("Revoke a stream key", "For good. Keys of the configuration are taken away there.")),
    HttpApiEndpoint.post("sign", "/access/sign", {
      payload: Schema.Struct({
        action: Schema.Literals(["publish", "play"]).annotate({ description: "What the address is for." }),
        application: Schema.String.check(Schema.isMaxLength(1_024)).annotate({ description: "The application." }),
        stream: name.annotate({ description: "The name of the stream." }),
        expiresAt: Schema.Finite.annotate({ description: "Until when, in milliseconds since 1970 (UTC)." }),
        address: Schema.optionalKey(
          name.annotate({ description: "The IP address of the only client that may use it." })
        )
      }),
      success: Schema.Struct({
        query: Schema.String.annotate({ description: "What to append to the address, behind a question mark." })
      }).annotate({ description: "The address is signed." }),
      error: Conflict
    }).annotateMerge(
      describe("Sign an address", "With the first of `auth.signedUrls.secrets`. Nothing is kept of it.")
    ),
    HttpApiEndpoint.post("unblock", "/access/unblock", {
      payload: Schema.Struct({ address: name.annotate({ description: "The address, as it is listed." }) }),
      success: Schema.Struct({
        address: Schema.String.annotate({ description: "The address." }),
        changed: Schema.Boolean.annotate({ description: "Whether it was blocked." })
      }).annotate({ description: "The address is free." }),
      error: Conflict
    }).annotateMerge(describe("Free an address", "Takes back that an address is blocked, and forgets its failures."))
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Access", description: "Who may publish and play." })) {}

/** The configuration. */
export class ConfigGroup extends HttpApiGroup.make("config")
  .add(
    HttpApiEndpoint.get("show", "/config", { success: Info.ConfigInfo }).annotateMerge(
      describe(
        "Show the configuration",
        "Every key that is in force, and where its value comes from. Secrets are hidden."
      )
    ),
    HttpApiEndpoint.post("check", "/config/check", {
      payload: Schema.Struct({
        text: Schema.String.annotate({ description: "A configuration file: YAML, of which JSON is a part." })
      }),
      success: Info.ConfigCheckInfo
    })
      .annotate(RequiredScope, "read")
      .annotateMerge(
        describe(
          "Check a configuration",
          "Tells what the server would make of a file, with its own environment on top, and changes nothing."
        )
      ),
    HttpApiEndpoint.post("reload", "/config/reload", {
      payload: nothing,
      success: Info.ReloadInfo,
      error: [Unprocessable, Conflict]
    }).annotateMerge(
      describe(
        "Load the configuration again",
        "Reads file and environment, and applies what has changed as a whole or not at all. 422: it is not valid. 409: a part of the server did not agree."
      )
    )
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(
    OpenApi.annotations({ title: "Configuration", description: "What is in force, and how to change it." })
  ) {}

/** The log. */
export class LogGroup extends HttpApiGroup.make("log")
  .add(
    HttpApiEndpoint.get("levels", "/log/levels", { success: Info.LevelTableInfo }).annotateMerge(
      describe("Show the levels", "The level for everything, and the rooms that have one of their own.")
    ),
    HttpApiEndpoint.put("setLevel", "/log/levels", {
      payload: Schema.Struct({
        level: Info.LevelInfo,
        room: Schema.optionalKey(Info.RoomName)
      }),
      success: Info.LevelTableInfo,
      error: Conflict
    }).annotateMerge(
      describe(
        "Set a level",
        "For one room, or without a room for everything that has none of its own. Until the restart."
      )
    ),
    HttpApiEndpoint.post("resetLevel", "/log/levels/reset", {
      payload: Schema.Struct({ room: Info.RoomName }),
      success: Info.LevelTableInfo
    }).annotateMerge(describe("Take a level away", "The room follows the level for everything again.")),
    HttpApiEndpoint.get("lines", "/log/lines", {
      query: {
        level: Schema.optionalKey(Info.LineLevelInfo.annotate({ description: "The lowest level." })),
        room: Schema.optionalKey(Info.RoomName),
        limit: Schema.optionalKey(
          whole({ minimum: 1, maximum: 1_000 }, "Most lines, at most 1000; the youngest are given. 100 where left out.")
        ),
        after: Schema.optionalKey(
          whole(
            { minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
            "Only lines with a larger `id`, for a reader that comes back."
          )
        )
      },
      success: Schema.Array(Info.LogEntryInfo).annotate({ description: "The lines, oldest first." })
    }).annotateMerge(
      describe("Show recent lines", "The last lines of the log, from memory. `/api/v1/events?logs=info` follows it.")
    )
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Log", description: "How loud the server is, and what it has said." })) {}

/** The events. */
export class EventsGroup extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("follow", "/events", {
      query: {
        logs: Schema.optionalKey(
          Info.LineLevelInfo.annotate({ description: "Also the lines of the log, from this level on." })
        ),
        room: Schema.optionalKey(Info.RoomName)
      },
      success: HttpApiSchema.StreamSse({ data: AdminEvent }),
      error: TooManyRequests
    }).annotateMerge(
      describe(
        "Follow events",
        "Server-sent events: what happens to connections, streams and the configuration from now on, and lines of the log where asked for. A client that reads too slowly loses the oldest, and one that does not read at all is dropped. Ends when the server stops."
      )
    )
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Events", description: "What happens, as it happens." })) {}

const failing = Info.HealthReport.annotate({ description: "At least one check fails." }).pipe(HttpApiSchema.status(503))

/** Probes, which need no token, and metrics, which do. */
export class ProbesGroup extends HttpApiGroup.make("probes")
  .add(
    HttpApiEndpoint.get("metrics", "/metrics", {
      success: Schema.String.annotate({ description: "Metrics in the Prometheus text format 0.0.4." }).pipe(
        HttpApiSchema.asText({ contentType: "text/plain; version=0.0.4; charset=utf-8" })
      ),
      error: NotFound
    }).annotateMerge(describe("Metrics", "For Prometheus. Needs a token that may read, where tokens are configured."))
  )
  .middleware(Authorization)
  .add(
    HttpApiEndpoint.get("healthz", "/healthz", {
      success: [Info.HealthReport.annotate({ description: "The process should go on." }), failing]
    }).annotateMerge(describe("Is the process alive?", "200 while it should go on, 503 where only a restart helps.")),
    HttpApiEndpoint.get("readyz", "/readyz", {
      success: [Info.HealthReport.annotate({ description: "New clients are welcome." }), failing]
    }).annotateMerge(
      describe(
        "Is the server ready?",
        "200 while it should be sent new clients, 503 with the reasons where it should not."
      )
    )
  )
  .annotateMerge(
    OpenApi.annotations({ title: "Probes", description: "For orchestrators, balancers and Prometheus." })
  ) {}

/** The whole API. */
export class AdminApi extends HttpApi.make("effect-rtmp")
  .add(
    ServerGroup,
    StreamsGroup,
    ConnectionsGroup,
    AccessGroup,
    ConfigGroup,
    CertificatesGroup,
    LogGroup,
    EventsGroup,
    ProbesGroup
  )
  .annotateMerge(
    OpenApi.annotations({
      title: "effect-rtmp admin API",
      version: "1",
      description:
        "Looks after a running RTMP server. Times of day are milliseconds since 1970 (UTC). What is not known is the empty string or 0. Requests that change something need `Content-Type: application/json` and a body, be it `{}`."
    })
  ) {}
