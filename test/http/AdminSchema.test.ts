import { assert, describe, it } from "@effect/vitest"
import type { ConfigProblem, ConfigWarning } from "../../src/config/ConfigError.ts"
import type * as Errors from "../../src/http/AdminErrors.ts"
import type * as Events from "../../src/http/AdminEventSchema.ts"
import * as Info from "../../src/http/AdminSchema.ts"
import type * as Certificates from "../../src/http/CertificateApi.ts"
import type { StreamEvent } from "../../src/live/StreamEvents.ts"
import type { Report, ReportedCheck } from "../../src/observability/Health.ts"
import { type Level, type LevelTable, type LineLevel, levels } from "../../src/observability/LogLevels.ts"
import type { CertificateReport } from "../../src/server/Certificates.ts"
import type { ServerStatistics } from "../../src/server/RtmpServer.ts"
import type * as Admin from "../../src/server/ServerAdmin.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import type { ComponentStatus } from "../../src/server/Supervisor.ts"
import type { Endpoint } from "../../src/server/Transport.ts"

/** The type, where both are the same; `never` where they are not, so that `tsc` refuses the table below. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never

type Without<E, K extends PropertyKey> = E extends unknown ? Omit<E, K> : never

interface Agreement {
  readonly connection: Same<typeof Info.ConnectionInfo.Type, Admin.ConnectionInfo>
  readonly playing: Same<typeof Info.PlayingInfo.Type, Admin.PlayingInfo>
  readonly stream: Same<typeof Info.StreamInfo.Type, Admin.StreamInfo>
  readonly track: Same<typeof Info.TrackInfo.Type, Admin.TrackInfo>
  readonly gop: Same<typeof Info.GopInfo.Type, Admin.GopInfo>
  readonly lifecycle: Same<typeof Info.LifecycleInfo.Type, Admin.Lifecycle>
  readonly endpoint: Same<typeof Info.EndpointInfo.Type, Endpoint>
  readonly component: Same<typeof Info.ComponentInfo.Type, ComponentStatus>
  readonly check: Same<typeof Info.CheckInfo.Type, ReportedCheck>
  readonly report: Same<typeof Info.HealthReport.Type, Report>
  readonly certificates: Same<typeof Certificates.CertificateReportInfo.Type, CertificateReport>
  readonly level: Same<typeof Info.LevelInfo.Type, Level>
  readonly lineLevel: Same<typeof Info.LineLevelInfo.Type, LineLevel>
  readonly table: Same<typeof Info.LevelTableInfo.Type, LevelTable>
  readonly problem: Same<typeof Errors.ConfigProblemInfo.Type, ConfigProblem>
  readonly warning: Same<typeof Info.ConfigWarningInfo.Type, ConfigWarning>
  readonly states: Same<(typeof Info.StatisticsInfo.Type)["states"], ServerStatistics["states"]>
  readonly summary: Same<typeof Events.StopSummaryInfo.Type, Admin.StopSummary>
  readonly serverEvent: Same<typeof Events.ServerEventInfo.Type, ServerEvent>
  readonly streamEvent: Same<typeof Events.StreamEventInfo.Type, Without<StreamEvent, "atMs">>
}

const agreement: Agreement = {
  connection: true,
  playing: true,
  stream: true,
  track: true,
  gop: true,
  lifecycle: true,
  endpoint: true,
  component: true,
  check: true,
  report: true,
  certificates: true,
  level: true,
  lineLevel: true,
  table: true,
  problem: true,
  warning: true,
  states: true,
  summary: true,
  serverEvent: true,
  streamEvent: true
}

describe("the Schemas of the admin API", () => {
  it("have the types of what they describe, which `tsc` checks", () => {
    assert.deepStrictEqual(new Set(Object.values(agreement)), new Set([true]))
  })

  it("know every level, and no line of the level none", () => {
    assert.deepStrictEqual(Info.LevelInfo.literals, levels)
    assert.deepStrictEqual([...Info.LineLevelInfo.literals, "none"], [...levels])
  })
})
