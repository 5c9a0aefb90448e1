/**
 * Every hostile or broken input that the server is known to meet, and the test that shows what becomes of it.
 *
 * A case stands at the lowest layer that shows it; what can be seen from the network is in `Peers.ts` and
 * `Oddities.ts` besides, which `Server.test.ts` sends to a running server. The names are those of tests, or of rows in the table of a test:
 * `Cases.test.ts` looks them up.
 */

/** Where a case is shown: a file below `test/`, and text that names the test there. */
export type Shown = readonly [file: string, test: string]

/** A case: what happens, and where it is shown. */
export interface Case {
  readonly name: string
  readonly shown: ReadonlyArray<Shown>
}

const one = (name: string, ...shown: ReadonlyArray<Shown>): Case => ({ name, shown })

const handshake = "protocol/Handshake.test.ts"
const chunks = "protocol/ChunkReader.test.ts"
const amf0 = "protocol/amf/Amf0.test.ts"
const amf3 = "protocol/amf/Amf3.test.ts"
const session = "protocol/ServerSession.test.ts"
const url = "protocol/RtmpUrl.test.ts"
const frame = "media/MediaFrame.test.ts"
const live = "live/LiveStream.test.ts"
const registry = "live/Registry.test.ts"
const outbox = "live/Outbox.test.ts"
const gop = "live/GopCache.test.ts"
const server = "server/RtmpServer.test.ts"
const here = "hostile/Peers.ts"
const odd = "hostile/Oddities.ts"
const socket = "hostile/Server.test.ts"
const asked = "hostile/Access.test.ts"
const faults = "hostile/Faults.test.ts"
const hostile = "hostile/Session.test.ts"
const relay = "hostile/RelaySafety.test.ts"
const poison = "hostile/Poison.ts"

export const beforeTheChunks: ReadonlyArray<Case> = [
  one(
    "version 0, 1 or 2",
    [handshake, "is judged on sight for every value, and alone"],
    [here, "version 0"],
    [here, "version 2"],
    [here, "version 1"]
  ),
  one(
    "a reserved version",
    [handshake, "of 4 to 31 is answered with version 3, and reported as it was"],
    [here, "the version of RTMPE"]
  ),
  one("a version from 32 on", [here, "version 32"], [here, "version 255"]),
  one(
    "TLS on the plain port",
    [handshake, "tells a TLS ClientHello and an SMB negotiation from RTMP"],
    [here, "a TLS greeting"]
  ),
  one(
    "RTMP and everything else on the TLS port",
    ["node/NodeTls.test.ts", "a client that TLS is not agreed on with"],
    [here, "plain RTMP where TLS is spoken"],
    [here, "HTTP where TLS is spoken"],
    [here, "noise where TLS is spoken"],
    [here, "a greeting of SSL 2"],
    [here, "a TLS record beyond its largest size"],
    [here, "an end without a byte where TLS is spoken"],
    [here, "a reset in the TLS greeting"],
    [here, "a TLS greeting of version 1.0"]
  ),
  one(
    "TLS that does not come to an end",
    [here, "a TLS greeting that does not end"],
    [here, "a TLS greeting, byte by byte"],
    [here, "nothing at all where TLS is spoken"]
  ),
  one(
    "HTTP and RTMPT",
    [here, "an HTTP request"],
    [here, "an RTMPT request"],
    [here, "an OPTIONS request"],
    [here, "a HEAD request"]
  ),
  one("a PROXY header where none is expected", [here, "a PROXY header"], [here, "a PROXY header of version 2"]),
  one("SSH, SMB and other scanners", [here, "an SSH client"], [here, "an SMB scanner"]),
  one("a connection that sends nothing", [here, "nothing at all"]),
  one("C0 and silence", [here, "a version and nothing more"]),
  one(
    "a handshake of one byte a second",
    [session, "whatever progress it makes"],
    [here, "half of a handshake, byte by byte"]
  ),
  one("no C2", [here, "a handshake without its end"]),
  one("a C2 that is not S1", [handshake, "passes with any content by default, and says that it is no echo"]),
  one(
    "everything in one segment",
    [handshake, "takes C0, C1, C2 and connect in one segment"],
    [odd, "protocol control before connect"]
  ),
  one(
    "each byte in a segment",
    [handshake, "gives the same answer, outcome and leftover"],
    [here, "connect, byte by byte, and then silence"],
    [socket, "what is legal and odd is understood, however it is cut"]
  ),
  one("connect in the place of C2", [here, "connect in the place of C2"]),
  one(
    "a version in C1 without a digest",
    [handshake, "that holds no valid digest plainly"],
    [here, "a version in C1 and no digest"]
  ),
  // Each digest covers the other one: a C1 in which both are right would take a break of HMAC, or a stub of it.
  one(
    "digests of both schemas",
    [handshake, "so that a C1 with digests in both gets schema 0"],
    [here, "a digest of schema 0 around one of schema 1"],
    [here, "a digest of schema 1 around one of schema 0"]
  ),
  one(
    "digest offsets of all ones",
    [handshake, "keeps to the packet when the offset bytes of both blocks are all ones"],
    [here, "a C1 of all ones"],
    [here, "a C1 of zeros"]
  ),
  one(
    "the server's own S1 as C1",
    [handshake, "takes its own S1 as C1, for nothing is derived from it"],
    [here, "the server's own S1 as C1"],
    [here, "the server's own S1 as C1, with its digest"]
  ),
  one(
    "FIN in the handshake",
    [here, "an end after the version"],
    [here, "an end after the handshake"],
    [here, "an end without a byte"],
    [here, "an end after C1"]
  ),
  one(
    "RST in the handshake",
    [here, "a reset after the version"],
    [here, "a reset after C1"],
    [here, "a reset after the handshake"]
  ),
  one("more connections than there is room for", [server, "is refused over the limit of connections"]),
  one("a listener that cannot accept", ["server/Listening.test.ts", "is tried again for as long as it takes"])
]

export const inTheChunks: ReadonlyArray<Case> = [
  one("chunk size 0", [chunks, "26: chunk size 0"], [here, "a chunk size of 0"]),
  one(
    "chunk size with the top bit",
    [chunks, "27: chunk size with the top bit"],
    [here, "a chunk size of four billion"]
  ),
  one(
    "chunk sizes below 128",
    [chunks, "28: chunk size 1 is legal"],
    [chunks, "maxChunkDebtBytes bounds the chunks below minChunkSize"],
    [here, "a chunk in pieces of a byte, over and over"]
  ),
  one(
    "chunk size 0x7FFFFFFF",
    [chunks, "29: chunk size 0x7FFFFFFF is kept as 0xFFFFFF"],
    [here, "a chunk size of two billion"]
  ),
  one(
    "a chunk size of the wrong length",
    [chunks, "30: short Set Chunk Size"],
    [chunks, "30: long Set Chunk Size"],
    [here, "a chunk size of two bytes"],
    [odd, "a chunk size with two bytes too many"]
  ),
  one(
    "a chunk size inside of another message",
    [chunks, "31: chunk size shrinks inside a message of another chunk stream"],
    [odd, "a chunk size that grows inside of a message"],
    [odd, "a chunk size that shrinks inside of a message"]
  ),
  one(
    "a chunk size over several chunks",
    [chunks, "32: Set Chunk Size over several chunks counts when it is complete"],
    [odd, "a chunk size in two chunks"]
  ),
  one(
    "a chunk size on other streams",
    [chunks, "33: Set Chunk Size on another chunk stream and message stream"],
    [odd, "a chunk size on a chunk stream of media"]
  ),
  one("a flood of chunk sizes", [chunks, "34: a thousand chunk sizes"], [here, "a thousand chunk sizes"]),
  one(
    "terabytes announced",
    [chunks, "not for what 64 chunk streams announce"],
    [here, "a hundred messages begun and none finished"]
  ),
  one(
    "thousands of chunk streams",
    [chunks, "maxChunkStreams counts the ids seen"],
    [here, "a thousand chunk streams with a byte each"]
  ),
  one(
    "a message over the limit",
    [chunks, "37: message above the limit, at its header"],
    [here, "a message of 16 MiB"]
  ),
  one("empty audio and video", [chunks, "38: audio and video of length 0"], [odd, "frames without a byte"]),
  one(
    "empty control messages",
    [chunks, "39: empty message of type"],
    [here, "a window without a size"],
    [here, "a chunk size without a size"],
    [here, "user control without an event"],
    [odd, "control messages without a byte"]
  ),
  one(
    "a chunk stream that starts with type 2 or 3",
    [chunks, "40: chunk stream starts with type 3"],
    [chunks, "40: chunk stream starts with type 2"],
    [here, "a chunk that continues nothing"],
    [here, "a chunk of type 2 that continues nothing"]
  ),
  one(
    "a chunk stream that starts with type 1",
    [chunks, "41: chunk stream starts with type 1, type 3 follows"],
    [here, "a chunk stream that starts with type 1"]
  ),
  one(
    "type 0 inside of a message",
    [chunks, "42: type 0 in the middle of a message"],
    [here, "a message cut short by another, over and over"],
    [odd, "a message that another one takes the place of"]
  ),
  one(
    "type 1 or 2 inside of a message",
    [chunks, "43: type 1 with a larger length in the middle of a message"],
    [chunks, "43: type 2 in the middle of a message"],
    [here, "a message that grows in its middle, over and over"],
    [odd, "a message that becomes another in its middle"]
  ),
  one(
    "type 3 after a whole message",
    [chunks, "44: type 3 after a complete message"],
    [odd, "chunks of type 3 that each begin a message"]
  ),
  one(
    "both long forms of an id",
    [chunks, "45: one chunk stream by both long headers"],
    [odd, "one chunk stream by both of its long headers"]
  ),
  one(
    "media on the control chunk stream",
    [chunks, "46: audio on chunk stream 2, video on 3"],
    [odd, "audio on the chunk stream of control, video on that of commands"]
  ),
  one(
    "control between the chunks of media",
    [chunks, "47: an acknowledgement between the chunks of a video message"],
    [odd, "an acknowledgement between the chunks of a frame"]
  ),
  one(
    "video on two chunk streams",
    [chunks, "48: video on two chunk streams, in order of completion"],
    [odd, "video on two chunk streams at a time"]
  ),
  one(
    "60 messages in turn",
    [chunks, "49: 60 messages, chunk by chunk in turn"],
    [odd, "60 frames chunk by chunk in turn"]
  ),
  one(
    "an extended timestamp that needs none",
    [chunks, "50: extended timestamp below 0xFFFFFF"],
    [odd, "an extended timestamp of 16"]
  ),
  one(
    "an extended timestamp cut off",
    [chunks, "case 51: waits for the extended timestamp"],
    [here, "an extended timestamp cut off"]
  ),
  one(
    "continuations without the timestamp",
    [chunks, "52: continuations without the extended timestamp"],
    [odd, "continuations with the extended timestamp"],
    [odd, "continuations without the extended timestamp"]
  ),
  one(
    "payload that looks like the timestamp",
    [chunks, "53: payload that equals the missing timestamp is misread"],
    [here, "a frame that looks like the timestamp it leaves out"]
  ),
  one("a delta of -1", [chunks, "54: delta -1"], [odd, "a time that goes back by a delta of minus one"]),
  one(
    "time that jumps and wraps",
    [chunks, "55: time goes back, forward by an hour, and wraps"],
    [relay, "is not begun by a time that goes back by ten seconds"],
    [here, "a publisher whose time jumps"]
  ),
  one(
    "caches whose age is negative or huge",
    [gop, "empties itself where one group goes over a bound"],
    ["live/Timeline.test.ts", "counts across the wrap and over jumps"]
  ),
  one(
    "Abort of nothing",
    [chunks, "57: Abort of nothing"],
    [hostile, "an Abort of a chunk stream that there is not"],
    [here, "Aborts of nothing, windows and bandwidths of anything"]
  ),
  one("a short Abort", [chunks, "58: short Abort leaves the message alone"]),
  one(
    "Abort of the message in progress",
    [chunks, "59: type 3 after an Abort starts a new message"],
    [odd, "an Abort of a message that begins anew"]
  ),
  one(
    "unknown message types",
    [chunks, "60: unknown message types"],
    [hostile, "of unknown types are skipped, and told of once for each type"],
    [here, "messages of every unknown type"]
  ),
  one(
    "broken aggregates",
    ["protocol/Aggregate.test.ts", "an aggregate in the aggregate"],
    [poison, "an aggregate of noise"],
    [odd, "an aggregate that is cut off behind its second tag"],
    [odd, "an aggregate in an aggregate"]
  ),
  one(
    "an aggregate of a million messages",
    ["protocol/Aggregate.test.ts", "4,096 tags are split, and no more"],
    [here, "a hundred aggregates of next to nothing"]
  ),
  one(
    "acknowledgements of anything",
    [hostile, "an acknowledgement that goes back"],
    [here, "Aborts of nothing, windows and bandwidths of anything"]
  ),
  one(
    "windows of 0, 1 and 4 GiB",
    [hostile, "a window of 0"],
    [hostile, "a window of 4 GiB"],
    [session, "does not let a tiny window make it acknowledge every message"],
    [here, "Aborts of nothing, windows and bandwidths of anything"]
  ),
  one(
    "bandwidths of 0 and of no type",
    [hostile, "a bandwidth of 0"],
    [hostile, "a limit type that does not exist"],
    [hostile, "no limit type"],
    [here, "Aborts of nothing, windows and bandwidths of anything"]
  ),
  one(
    "a flood of pings",
    [session, "answers a flood of pings once for each read, with the newest"],
    [here, "a flood of pings"]
  ),
  one(
    "answers to pings that were not sent",
    [hostile, "a ping response that nobody asked for"],
    [here, "user control that nobody asked for"]
  ),
  one(
    "short and unknown user control",
    [hostile, "an event number cut short"],
    [hostile, "an unknown event"],
    [hostile, "a ping without a time"],
    [here, "user control that nobody asked for"]
  ),
  one(
    "buffer lengths",
    [hostile, "a buffer length of 0 for an unknown stream"],
    [hostile, "a buffer length of 49 days"],
    [here, "user control that nobody asked for"]
  ),
  one(
    "a SWF verification response",
    [hostile, "a SWF verification response"],
    [here, "user control that nobody asked for"]
  ),
  one(
    "message stream ids of nobody",
    [chunks, "71: message stream id -1, and 1 in the wrong byte order"],
    [hostile, "drops media on message streams that do not publish"],
    [here, "media on message streams of nobody"]
  ),
  one("noise", [chunks, "survives any bytes, and reads them as the reference does"], [here, "noise behind connect"]),
  one("ten mebibytes in segments of a byte", [chunks, "reads a message of 10 MiB from one-byte buffers"])
]

export const inAmf: ReadonlyArray<Case> = [
  one(
    "100,000 levels",
    [amf0, "objects nested 10^5 deep"],
    [here, "a connect of objects nested 10,000 deep"],
    [poison, "metadata nested 2,000 deep"]
  ),
  one(
    "strings beyond the end",
    [amf0, "long string of 4 GiB"],
    [amf0, "string longer than the input"],
    [here, "a connect with a string of four gigabytes"],
    [here, "a connect with a string beyond its end"]
  ),
  one(
    "counts of ECMA arrays",
    [frame, "08 FFFFFFFF 0001 61 05 000009"],
    [relay, "metadata with a count of four billion"]
  ),
  one(
    "counts of strict arrays",
    [amf0, "strict array of 2^32-1"],
    [amf0, "a million nulls"],
    [here, "a connect with an array of four billion"],
    [here, "a connect with a million values"]
  ),
  one(
    "an object without its end",
    [amf0, "object without its end"],
    [relay, "metadata without its end"],
    [here, "a connect with an object without its end"]
  ),
  one("an empty key", [amf0, "empty key without object end"], [here, "a connect with a key without a name"]),
  one(
    "a connect cut off at every byte",
    [hostile, "is a malformed command or a rejected one, and never anything else"],
    [here, "a connect cut off"]
  ),
  one(
    "references to itself, forward and out of range",
    [amf0, "keeps references to the value itself, its parents and its elders as leaves"],
    [amf0, "reference to index 65535"],
    [here, "a connect with a reference to nothing"]
  ),
  one(
    "a reference bomb",
    [amf0, "does not expand a reference bomb"],
    [amf3, "does not expand a reference bomb"],
    [odd, "a reference bomb in connect"]
  ),
  one(
    "an object of a class as command object",
    [hostile, "takes an object of a class for an object"],
    [odd, "an object of a class for the object of connect"]
  ),
  one(
    "unknown markers",
    [amf0, "knows no marker from 0x12 on"],
    [amf0, "movie clip"],
    [amf0, "recordset"],
    [here, "a connect with an unknown marker"]
  ),
  one(
    "broken AMF3",
    [amf0, "AMF3 externalizable object"],
    [amf0, "AMF3 traits reference out of range"],
    [amf0, "AMF3 U29 past the end"],
    [amf0, "AMF3 vector of 2^28-1 integers"],
    [here, "a connect with broken AMF3"]
  ),
  one(
    "command names of any kind",
    [hostile, "that is empty"],
    [hostile, "with escapes and line ends"],
    [hostile, "of 60,000 characters"],
    [session, "a name that is a number"],
    [here, "messages without a command"],
    [odd, "commands without a name, and with names that no log should show"]
  ),
  one(
    "transaction ids of any kind",
    [hostile, "is echoed bit for bit"],
    [hostile, "asks for no answer, and the command is done all the same"],
    [session, "echoes a NaN transaction id bit for bit"],
    [here, "transaction ids of any kind"]
  ),
  one(
    "a connect without its object",
    [session, "no command object"],
    [hostile, "for its object names no application, and is rejected"],
    [here, "no application"],
    [here, "a connect whose object is a string"],
    [odd, "an array for the object of connect"]
  ),
  one(
    "members of the wrong type",
    [hostile, "takes members of the wrong type for absent"],
    [odd, "members of connect of the wrong type"]
  ),
  one(
    "two applications",
    [hostile, "takes the last of two applications"],
    [odd, "two applications, of which the last one counts"]
  ),
  one(
    "names of JavaScript's own properties",
    [amf0, "takes names of JavaScript's own properties as data"],
    [hostile, "takes the names of JavaScript's own properties for what they are"],
    [here, "a connect of JavaScript's own properties"]
  ),
  one(
    "dates of nothing, XML with entities",
    [amf0, "date NaN"],
    [amf0, "keeps XML with entities as text"],
    [odd, "dates and XML in connect"]
  ),
  one(
    "bytes behind the last argument",
    ["protocol/Pipelining.test.ts", "do not stand for an argument, or for the"],
    [odd, "values behind the object of connect, and bytes behind them"]
  ),
  one("values behind the last argument", [hostile, "and ignores values behind it"]),
  one(
    "AMF3 messages without a selector",
    [session, "an AMF3 command with an unknown selector"],
    [poison, "AMF3 data without anything"],
    [here, "AMF3 commands without a selector"]
  ),
  one(
    "metadata without end",
    [frame, "drops metadata over a mebibyte, nested 33 deep, or cut off anywhere but before its end marker"],
    [here, "a publisher of metadata without end"]
  )
]

export const inCommands: ReadonlyArray<Case> = [
  one(
    "anything before connect",
    [session, "is the only thing to do"],
    [here, "a command before connect"],
    [here, "video before connect"]
  ),
  one(
    "control messages before connect",
    [session, "may be preceded by protocol control messages, as OBS does"],
    [odd, "protocol control before connect"]
  ),
  one(
    "silence before connect, and after it",
    [here, "a handshake and then silence"],
    [here, "connect and then silence"]
  ),
  one("a second connect", [session, "closes the connection when sent twice"], [here, "a second connect"]),
  one(
    "application names of any kind",
    [session, "rejects a hostile application name before anybody sees it"],
    [url, "%2e%2e%2flive"],
    [hostile, "closes at an application name of 64 KB before anybody sees it"],
    [here, "an application that leads upwards"],
    [here, "an application of 60,000 characters"],
    [here, "an application with a NUL"],
    [here, "an application with an encoded NUL"],
    [here, "an application with line ends"],
    [here, "an application with a backslash"],
    [here, "an application in overlong UTF-8"]
  ),
  one(
    "a tcUrl that is not there, or lies",
    [hostile, "does not need a tcUrl, and does not believe one that names another place"],
    [odd, "a tcUrl that names another place"]
  ),
  one(
    "streams without end",
    [session, "stops at the limit with an error, and goes on"],
    [here, "streams beyond the limit"],
    [here, "streams made and deleted over and over"]
  ),
  one(
    "streams that were not created",
    [session, "refuses a message stream that was never created"],
    [hostile, "which was never created"],
    [here, "a message stream that does not exist"],
    [here, "publish on message stream 0"]
  ),
  one(
    "a second publish on one stream",
    [session, "refuses a second publish on the same message stream"],
    [here, "a second publish on its message stream"]
  ),
  one(
    "the name of somebody else",
    [server, "is refused with BadName while the first is sending, and the first goes on"],
    [here, "the name that is live"]
  ),
  one(
    "publish and play on one stream",
    [hostile, "refuses to publish where it plays, on the same message stream"],
    [here, "publish and play on one message stream"]
  ),
  one(
    "playing what one publishes",
    [session, "refuses to play on a connection that publishes, and the other way round"],
    [here, "publish and play on one connection"]
  ),
  one(
    "a stream name that is none",
    [session, "refuses a name that is %s with BadName, and closes"],
    [hostile, "counts names in bytes: 255 pass, 256 do not"],
    [here, "a stream without a name"],
    [here, "a stream name that is null"],
    [here, "a stream name that is a number"],
    [here, "a stream name that is not there"],
    [here, "a stream name of 256 bytes"]
  ),
  one("publish types of any kind", [hostile, "publishes live where the type is"], [odd, "a publish of type "]),
  one(
    "names that lead upwards",
    [url, "../../etc/passwd"],
    [here, "a stream name that leads upwards"],
    [here, "a stream name with a drive"],
    [here, "a stream name that leads upwards, encoded"],
    [here, "a stream name that ends in a dot"],
    [here, "a stream name that asks for a file"]
  ),
  one(
    "names with control characters",
    [url, "a\\u202egpj"],
    [here, "a stream name with escapes"],
    [here, "a stream name that reads backwards"]
  ),
  one("names that mean something elsewhere", [hostile, "for a name like any other"], [odd, "a stream called "]),
  one(
    "queries without end",
    [url, "TooManyParameters"],
    [url, "takes the first of repeated parameters and tells an empty value from none"],
    [here, "a query of 60,000 characters"],
    [here, "65 parameters"]
  ),
  one(
    "spellings of one name",
    [url, "gives one key to every way in which clients cut the same URL"],
    [here, "another spelling of the name that is live"]
  ),
  one(
    "deleteStream of anything",
    [session, "is not ended by deleteStream of"],
    [odd, "deleteStream of what is not there"]
  ),
  one(
    "ends over and over",
    [session, "ends once and for all with"],
    [hostile, "takes deleteStream and closeStream over and over without a publish"],
    [here, "every way to end a stream, over and over"],
    [here, "a publisher who begins and ends over and over"],
    [here, "a player who begins and ends over and over"]
  ),
  one(
    "FCUnpublish and releaseStream of others",
    [hostile, "ends nothing when others are named, unpublished or released"],
    [here, "names of others, released and unpublished"],
    [odd, "releases of others, and ends of what never began"]
  ),
  one(
    "answers that nobody asked for",
    [hostile, "answers to questions that were never asked"],
    [here, "answers that nobody asked for"]
  ),
  one(
    "floods of commands",
    [session, "forgives anomalies within a budget that refills by one a second"],
    [here, "a hundred unknown commands"],
    [here, "a thousand commands"]
  ),
  one("answers that nobody reads", [
    "server/RtmpConnection.test.ts",
    "is closed when the answers it asked for are past their bound"
  ]),
  one(
    "a viewer that changes its mind",
    [hostile, "keeps a playing session through 150 changes of mind"],
    [here, "a player who changes its mind a thousand times"],
    [here, "a player who seeks a thousand times"]
  ),
  one(
    "a publisher who comes back at once",
    [server, "takes over a publisher that has been silent for longer than"],
    [server, "takes over at once where the policy is takeover and the credential is the same"]
  ),
  one(
    "media without publish",
    [session, "and no other"],
    [hostile, "drops media on message streams that do not publish"],
    [here, "media after the end of the stream"],
    [here, "media without publish"]
  ),
  one("media of a player", [session, "never lets media of a viewer through"], [here, "media of a player"]),
  one(
    "logins that are repeated, cut or made up",
    ["access/AdobeAuth.test.ts", "cannot be repeated, nor made with a challenge of others"],
    ["access/AdobeAuth.test.ts", "is read up to the end of its base64"],
    [asked, "logins that are repeated, cut, made up or guessed are refused"]
  ),
  one(
    "viewers of what never comes",
    [registry, "holds a bounded number of waiting viewers for a bounded time"],
    [server, "is told StreamNotFound when nobody publishes in time"],
    [here, "a player of what is not there"]
  )
]

export const inMedia: ReadonlyArray<Case> = [
  one(
    "frames without a body",
    [poison, "a keyframe without a NAL unit"],
    [poison, "audio of one byte"],
    [poison, "video of one byte"]
  ),
  one(
    "empty sequence headers",
    [poison, "an empty video sequence header"],
    [relay, "is not replaced by an empty header"]
  ),
  one(
    "unknown codecs",
    [poison, "video of codec 15"],
    [poison, "audio of format 13"],
    [here, "a publisher of all that stops players"]
  ),
  one(
    "frames of another codec",
    [poison, "a frame of MP3 among AAC"],
    [poison, "a seek command of another codec"],
    [poison, "a keyframe of HEVC as codec 12 among AVC"]
  ),
  one(
    "a codec that changes",
    [live, "voids headers and cache when a track changes its codec"],
    [here, "a publisher who changes its codec with every frame"]
  ),
  one(
    "unknown FourCCs and packet types",
    [poison, "enhanced video of an unknown codec"],
    [poison, "enhanced video of packet type 15"]
  ),
  one("enhanced headers cut off", [poison, "enhanced video cut off in its codec"]),
  one(
    "chains of modifiers",
    [poison, "modifiers to the end of the message"],
    [frame, "goes through a long chain of modifiers only up to its limit"],
    [poison, "a nanosecond offset over 999,999"]
  ),
  one(
    "broken tracks",
    [poison, "tracks in tracks"],
    [poison, "a reserved kind of tracks"],
    [poison, "a track longer than the message"]
  ),
  one(
    "256 tracks with a header each",
    [live, "bounds tracks and header bytes; a track without its header gets no frames"],
    [here, "a publisher of 256 tracks"]
  ),
  one(
    "a sequence header of 16 MiB",
    [frame, "keeps headers up to the limit and drops them past it, and frames of any size"],
    [here, "a publisher of a sequence header of a mebibyte, and of NAL units beyond the end"]
  ),
  one(
    "parameter sets beyond the end",
    ["media/Avc.test.ts", "fails for parameter sets that go past the end, and for other versions"],
    ["media/Hevc.test.ts", "fails for arrays that go past the end, and for other versions"],
    [here, "a publisher of a sequence header of a mebibyte, and of NAL units beyond the end"]
  ),
  one("absurd picture sizes", ["media/Avc.test.ts", "gives no picture for nonsense: endless codes, 2^32 pixels"]),
  one(
    "NAL units beyond the payload",
    ["media/Avc.test.ts", "never throws for arbitrary bytes"],
    [here, "a publisher of a sequence header of a mebibyte, and of NAL units beyond the end"]
  ),
  one(
    "no keyframe, or nothing else",
    [gop, "is empty until a keyframe came, and drops audio from before it"],
    [gop, "survives streams in which every frame is a keyframe"],
    [gop, "empties itself where one group goes over a bound"],
    [here, "a publisher of keyframes alone, of headers that change, and of ends that go on"]
  ),
  one(
    "one kind of media alone",
    [relay, "reaches viewers from its first message on, and joiners too"],
    [live, "does not hold audio back where there is no video"]
  ),
  one("frames before their header", [live, "inter frames before a keyframe and frames before their header"]),
  one(
    "frames behind the end of a sequence",
    [relay, "the end of the video sequence"],
    [live, "begins no group of pictures with an end of sequence, and does not cache it"],
    [here, "a publisher of keyframes alone, of headers that change, and of ends that go on"]
  ),
  one(
    "headers over and over",
    [live, "keeps its cache where a header is repeated unchanged"],
    [relay, "survives headers that change with each frame"],
    [here, "a publisher of keyframes alone, of headers that change, and of ends that go on"]
  ),
  one(
    "seek commands among the frames",
    [relay, "a seek command among the frames"],
    [relay, "holds no metadata of null, and no seek command"]
  ),
  one(
    "data that is not AMF",
    [poison, "a bare time code as data"],
    [poison, "data that is the byte 255"],
    [poison, "data without a byte"]
  ),
  one("metadata of nothing", [relay, "metadata of null"], [poison, "metadata cut off"]),
  one("a publisher over its bitrate", ["live/BitrateGuard.test.ts", "tells of an excess after some seconds"])
]

export const onTheWay: ReadonlyArray<Case> = [
  one(
    "a viewer that does not read",
    [outbox, "removes a viewer whose socket does not drain in time"],
    [outbox, "is bounded for a stalled viewer of 100 Mbit/s"],
    [socket, "a viewer who does not read is let go"]
  ),
  one("the end of TLS without a word of TLS", [
    socket,
    "a client of TLS that ends by a bare %s, without a word of TLS, is gone as any other"
  ]),
  one("a publisher who does not wait for the answer to its end", [
    here,
    "a publisher who ends and is gone before it is answered"
  ]),
  one("a viewer that reads a byte a second", [
    outbox,
    "removes a viewer that drains a little now and then and still falls behind"
  ]),
  one("a drop inside of a message", [
    "live/Batch.test.ts",
    "leaves records that cover the batch without gaps, each of them whole messages"
  ]),
  one(
    "a publisher that stalls",
    [registry, "ends a silent stream for its viewers after the grace"],
    [server, "is dry for its viewers while the publisher is silent, and resumes"]
  ),
  one("a peer that lost its power", [
    session,
    "ping a silent viewer, take any byte for life, and close one that stays silent"
  ]),
  one(
    "RST and FIN in the middle of a message",
    [here, "a publisher who is reset"],
    [here, "a publisher who ends in the middle of a frame"],
    [here, "a reset in the middle of a chunk"],
    [here, "an end in the middle of a chunk"]
  ),
  one("a player that closes one half", [here, "a player who sends its end and reads on"]),
  one("one encoding for all viewers", [live, "hands the same bytes object to every viewer that keeps up"]),
  one("joins and leaves in a flush", [live, "goes on when a sink throws, leaves or joins in the middle of a flush"]),
  one(
    "a publisher that vanishes",
    [server, "waits for a publisher that vanished, and continues"],
    [server, "ends when a vanished publisher stays away for longer than the grace"]
  ),
  one(
    "a stop with live streams",
    [server, "tells viewers the end and publishers an error, waits for them, and leaves nothing behind"],
    [
      "server/Departure.test.ts",
      "asks those to move who follow, tells the other publishers, and lets both end with their viewers"
    ]
  ),
  one("an error status that must arrive", [
    "server/Closing.test.ts",
    "is read on for a second after an error, so that the status reaches the client"
  ]),
  one("a publisher that does not listen", [
    "server/ServerAdmin.test.ts",
    "ends a publisher by its stream with the status that FFmpeg and OBS understand"
  ]),
  one(
    "a defect in what serves a connection",
    [server, "survives a defect of its authenticator, which ends that connection alone"],
    [server, "survives a defect of an outbox, which ends that viewer's connection alone"],
    [faults, "the fiber of a connection may die of a defect, over and over"]
  ),
  one(
    "messages of next to nothing, a million a second",
    ["protocol/Pipelining.test.ts", "close a connection that sends them as fast as the line carries"],
    [here, "a flood of empty audio"]
  ),
  one("clients that are killed at any point", [faults, "may be gone after any byte, and leaves nothing behind"]),
  one(
    "a process without file descriptors",
    [faults, "turns connections away while some are left for other things, says so, and recovers when others go"],
    [faults, "neither spins nor dies where there is none left at all, and recovers"]
  ),
  one("a network that is cut", [
    faults,
    "ends those behind it for their silence, lets them come back, and nobody else notices"
  ]),
  one(
    "an address that connects without end",
    ["server/AddressLimits.test.ts", "hold one address to its connections, give a place back when one ends"],
    ["server/AddressLimits.test.ts", "is refused with one event at once, one for the rest of the second"],
    [asked, "a hundred connections at once get the places that are left"]
  )
]
