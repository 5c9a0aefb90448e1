import { assert, describe, it } from "@effect/vitest"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import { defaultLiveOptions } from "../../src/live/LiveOptions.ts"
import { defaultOptions } from "../../src/protocol/Session.ts"
import * as ServerOptions from "../../src/server/ServerOptions.ts"

describe("ServerOptions", () => {
  it("gives custom servers the same defaults as the configuration, but for the merge window", () => {
    const mergeWindowMs = 40
    assert.deepStrictEqual(ServerOptions.live(RtmpConfig.defaults), { ...defaultLiveOptions, mergeWindowMs })
  })

  it("gives sessions the same defaults as the configuration", () => {
    const { chunks, ...session } = ServerOptions.session(RtmpConfig.defaults)
    const { chunks: _, ...defaults } = defaultOptions
    assert.deepStrictEqual(session, defaults)
    assert.deepStrictEqual(chunks.maxChunkStreams, 64)
  })
})
