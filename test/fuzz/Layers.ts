/** All layers, by name. */
import type { Layer } from "./Layer.ts"
import { amf0Layer, amf3Layer } from "./layers/Amf.ts"
import { bytesLayer } from "./layers/Bytes.ts"
import { chunkLayer } from "./layers/Chunks.ts"
import { configLayer } from "./layers/Config.ts"
import { handshakeLayer } from "./layers/Handshake.ts"
import { liveLayer } from "./layers/Live.ts"
import { flvLayer, mediaLayer } from "./layers/Media.ts"
import { commandLayer, sessionLayer } from "./layers/Session.ts"
import { urlLayer } from "./layers/Url.ts"

export const layers: ReadonlyArray<Layer> = [
  bytesLayer,
  handshakeLayer,
  chunkLayer,
  amf0Layer,
  amf3Layer,
  commandLayer,
  sessionLayer,
  mediaLayer,
  flvLayer,
  liveLayer,
  urlLayer,
  configLayer
]

export const layerOf = (name: string): Layer => {
  const layer = layers.find((layer) => layer.name === name)
  if (layer === undefined) throw new Error(`no layer ${name}: there are ${layers.map(({ name }) => name).join(", ")}`)
  return layer
}
