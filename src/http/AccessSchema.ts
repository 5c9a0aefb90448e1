/**
 * What the admin API shows of access control, and what it takes, as Schemas. As in `AdminSchema`, nothing is undefined: what
 * is not known, or not restricted, is the empty string, the empty list or 0.
 */
import * as Schema from "effect/Schema"
import type { AccessAction } from "../access/Authenticator.ts"

const text = (description: string) => Schema.String.annotate({ description })
const number = (description: string) => Schema.Finite.annotate({ description })
const flag = (description: string) => Schema.Boolean.annotate({ description })

/** `AccessAction`. */
export const ActionInfo = Schema.Literals<ReadonlyArray<AccessAction>>(["connect", "publish", "play"]).annotate({
  identifier: "Action",
  description: "What a client asks to be allowed."
})

/** A stream key, without the key. */
export const KeyInfo = Schema.Struct({
  id: text("The identifier, which is no secret; also the user name, where the key has a login."),
  label: text("What it is for, in words for people."),
  origin: Schema.Literals(["static", "dynamic"]).annotate({
    description: "`static`: it stands in the configuration. `dynamic`: it was made at run time."
  }),
  application: text("Pattern of the applications that it is good for; empty for all."),
  stream: text("Pattern of the streams that it is good for; empty for all."),
  actions: Schema.Array(ActionInfo).annotate({ description: "What it allows; empty for everything." }),
  publishAs: text("The name under which a stream is published with it; empty for the name that the client gives."),
  login: flag("Whether it can be used as a password, with the identifier as the user."),
  createdAt: number("When it was made, in milliseconds since 1970 (UTC); 0 where unknown."),
  expiresAt: number("From when on it does not count any more, in milliseconds since 1970 (UTC); 0 for never."),
  sessions: Schema.Array(Schema.String).annotate({ description: "Connections that publish or play with it." })
}).annotate({ identifier: "Key", description: "A stream key, without the key." })

const pattern = (description: string) =>
  Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(512)).annotate({ description })

/** What a new key is to be good for. */
export const NewKeyInfo = Schema.Struct({
  label: Schema.optionalKey(
    Schema.String.check(Schema.isMaxLength(256)).annotate({
      description: "What it is for, in words for people; no secret."
    })
  ),
  application: Schema.optionalKey(pattern("Pattern of the applications that it is good for; all where left out.")),
  stream: Schema.optionalKey(pattern("Pattern of the streams that it is good for; all where left out.")),
  actions: Schema.optionalKey(
    Schema.Array(ActionInfo).annotate({ description: "What it allows; everything where left out." })
  ),
  publishAs: Schema.optionalKey(
    pattern("The name under which a stream is published with it. Needed where keys travel as names.")
  ),
  login: Schema.optionalKey(
    flag("Whether it can be used as a password. What is stored for that is as good as the key.")
  ),
  expiresAt: Schema.optionalKey(number("From when on it does not count any more, in milliseconds since 1970 (UTC)."))
}).annotate({ identifier: "NewKey", description: "What a new key is to be good for." })

/** A key that has just been made. */
export const CreatedKeyInfo = Schema.Struct({
  key: text("The key itself. It is shown now and never again."),
  enabled: flag("Whether the server asks for keys at all: see `auth.keys.enabled`."),
  info: KeyInfo
}).annotate({ identifier: "CreatedKey", description: "A key that has just been made." })

/** How access is controlled. */
export const AccessInfo = Schema.Struct({
  open: flag("Whether everybody may do everything, because nothing is configured."),
  required: Schema.Array(ActionInfo).annotate({ description: "Actions that need a credential." }),
  methods: Schema.Array(Schema.String).annotate({
    description: "What is asked, in order: `list`, `certificate`, `key`, `signed`, `jwt`, `login`, `callback`."
  }),
  blocked: Schema.Array(
    Schema.Struct({
      address: text("The address, or the network of an IPv6 address."),
      remainingMs: number("For how much longer, in milliseconds.")
    })
  ).annotate({ description: "Addresses that are blocked for their failures." })
}).annotate({ identifier: "Access", description: "How access is controlled." })
