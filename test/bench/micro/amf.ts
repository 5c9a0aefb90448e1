/**
 * Measures the AMF codecs on one core: `node test/bench/micro/amf.ts [seconds per row]`.
 *
 * Node 24.21, 2 shared cores of an AMD EPYC. On a slow machine with other work on both cores (load 5) the first row has been
 * 130,000 a second.
 *
 * | operation                        | bytes | per second | us each |
 * |---|---:|---:|---:|
 * | AMF0 decode OBS onMetaData       |   403 |   907,054 |    1.10 |
 * | AMF0 encode OBS onMetaData       |   403 | 1,115,291 |    0.90 |
 * | AMF0 decode connect              |   179 | 2,214,416 |    0.45 |
 * | AMF0 encode connect              |   179 | 1,528,603 |    0.65 |
 * | AMF3 decode the same metadata    |   290 |   907,770 |    1.10 |
 * | AMF3 encode the same metadata    |   290 |   694,708 |    1.44 |
 *
 * Without the table of interned keys, decoding the metadata takes 2.5 times as long.
 */
import * as Result from "effect/Result"
import * as Amf0 from "../../../src/protocol/amf/Amf0.ts"
import * as Amf3 from "../../../src/protocol/amf/Amf3.ts"
import * as AmfValue from "../../../src/protocol/amf/AmfValue.ts"
import * as obsMetadata from "../../protocol/amf/obsMetadata.ts"

const seconds = Number(process.argv[2] ?? 2)

/** Runs `work` for the wanted time and gives calls per second: the best fifth of a second, for machines shared with others. */
const rate = (work: () => void): number => {
  const warm = performance.now() + 300
  while (performance.now() < warm) work()
  const end = performance.now() + seconds * 1000
  let best = 0
  while (performance.now() < end) {
    const from = performance.now()
    let rounds = 0
    do {
      for (let i = 0; i < 200; i++) work()
      rounds += 200
    } while (performance.now() - from < 200)
    best = Math.max(best, rounds / ((performance.now() - from) / 1000))
  }
  return best
}

const report = (name: string, bytes: number, work: () => void): void => {
  const perSecond = rate(work)
  const columns = [name.padEnd(32), String(bytes).padStart(5), Math.round(perSecond).toLocaleString("en").padStart(9)]
  console.log(` * | ${columns.join(" | ")} | ${(1e6 / perSecond).toFixed(2).padStart(7)} |`)
}

const check = <A>(result: Result.Result<A, AmfValue.AmfError>): A => Result.getOrThrow(result)

const connect = [
  "connect",
  1,
  AmfValue.object({
    app: "live",
    type: "nonprivate",
    flashVer: "FMLE/3.0 (compatible; FMSc/1.0)",
    swfUrl: "rtmp://stream.example.org/live",
    tcUrl: "rtmp://stream.example.org/live"
  })
]
const connectBytes = Amf0.encode(connect)
const metadata3 = Amf3.encode(obsMetadata.values)

console.log(` * Node ${process.versions.node}`)
console.log(" *")
console.log(` * | ${"operation".padEnd(32)} | bytes |  per second | us each |`)
console.log(" * |---|---:|---:|---:|")
report("AMF0 decode OBS onMetaData", obsMetadata.bytes.length, () => check(Amf0.decode(obsMetadata.bytes)))
report("AMF0 encode OBS onMetaData", obsMetadata.bytes.length, () => Amf0.encode(obsMetadata.values))
report("AMF0 decode connect", connectBytes.length, () => check(Amf0.decode(connectBytes)))
report("AMF0 encode connect", connectBytes.length, () => Amf0.encode(connect))
report("AMF3 decode the same metadata", metadata3.length, () => check(Amf3.decode(metadata3)))
report("AMF3 encode the same metadata", metadata3.length, () => Amf3.encode(obsMetadata.values))
