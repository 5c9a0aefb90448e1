/**
 * What `NodeServe` runs: types only.
 */
import type * as Layer from "effect/Layer"
import type { RtmpConfig } from "../config/RtmpConfig.ts"
import type { Health, RuntimeLimits } from "../observability/Health.ts"
import type { Metrics, MetricsSettings } from "../observability/Metrics.ts"
import type { RuntimeStats } from "../observability/RuntimeMetrics.ts"
import type { RtmpCrypto } from "../protocol/Crypto.ts"
import type { RtmpServer } from "../server/RtmpServer.ts"
import type { Supervisor } from "../server/Supervisor.ts"
import type { Transport } from "../server/Transport.ts"

/** The graph of a server that can be watched, as `App.layerOperated` gives it, or one of a program's own. */
export type LayerOperated = (
  operation: MetricsSettings & RuntimeLimits
) => Layer.Layer<RtmpServer | Supervisor | Metrics | Health, never, Transport | RtmpCrypto | RtmpConfig | RuntimeStats>
