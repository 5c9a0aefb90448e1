/**
 * What the admin API can answer instead of a result: one error for each HTTP status, as JSON with a `_tag` and a message
 * for people.
 */
import * as Schema from "effect/Schema"
import type { ConfigProblem } from "../config/ConfigError.ts"

const message = Schema.String.annotate({ description: "What is wrong, in a sentence for people." })

/** The request is not one of this API: a parameter or the body is not what it must be. */
export class BadRequest extends Schema.TaggedError<BadRequest>()(
  "BadRequest",
  { message },
  { httpApiStatus: 400, description: "A parameter or the body is not what it must be." }
) {}

/** There is no token, or a wrong one. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()(
  "Unauthorized",
  { message },
  { httpApiStatus: 401, description: "There is no bearer token, or a wrong one." }
) {}

/** The token may look but not touch, or the request comes from where it must not. */
export class Forbidden extends Schema.TaggedError<Forbidden>()(
  "Forbidden",
  { message },
  { httpApiStatus: 403, description: "The token may read only, or the request comes from another web site." }
) {}

/** There is no such stream, connection, or the like. */
export class NotFound extends Schema.TaggedError<NotFound>()(
  "NotFound",
  { message },
  { httpApiStatus: 404, description: "There is no such thing, or no longer." }
) {}

/** The server is in a state in which it cannot do that. */
export class Conflict extends Schema.TaggedError<Conflict>()(
  "Conflict",
  { message },
  { httpApiStatus: 409, description: "The server is in a state in which it cannot do that; nothing has changed." }
) {}

/** The body is not JSON. */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  { message },
  { httpApiStatus: 415, description: "The request has no `Content-Type: application/json`." }
) {}

const reasons: ReadonlyArray<ConfigProblem["reason"]> = ["InvalidValue", "Conflict", "UnknownKey", "Syntax"]

/** One problem of a configuration, as `ConfigError` has it. */
export const ConfigProblemInfo = Schema.Struct({
  reason: Schema.Literals(reasons).annotate({
    description:
      "`InvalidValue`: the key does not accept the value. `Conflict`: two keys contradict each other. `UnknownKey`: there is no such key. `Syntax`: the file cannot be understood here."
  }),
  origin: Schema.String.annotate({ description: "Where the value was written: a variable, or file, line and column." }),
  path: Schema.String.annotate({ description: "The key, such as `listen.port`; empty where it belongs to none." }),
  expected: Schema.String.annotate({ description: "What was expected." }),
  found: Schema.String.annotate({ description: "What was found instead." }),
  suggestion: Schema.optionalKey(Schema.String.annotate({ description: "What may have been meant." }))
}).annotate({ identifier: "ConfigProblem", description: "One problem of a configuration." })

/** The configuration cannot be used; all of its problems. */
export class Unprocessable extends Schema.TaggedError<Unprocessable>()(
  "Unprocessable",
  {
    message,
    problems: Schema.Array(ConfigProblemInfo).annotate({
      description: "All problems of the configuration; none where a source could not be read."
    })
  },
  { httpApiStatus: 422, description: "The configuration is not valid. It was not changed." }
) {}

/** Too many wrong tokens came from this address, or too many clients follow the events. */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()(
  "TooManyRequests",
  {
    message,
    retryAfterSeconds: Schema.Finite.annotate({ description: "When to try again; also in the header `Retry-After`." })
  },
  { httpApiStatus: 429, description: "Too many wrong tokens from this address, or too many event streams." }
) {}
