import { assert, describe, it } from "@effect/vitest"
import * as ServiceStatus from "../../src/node/ServiceStatus.ts"

const systemd = (properties: Record<string, string>) =>
  ServiceStatus.parse(
    "systemd",
    0,
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}`)
      .join("\n")
  )

describe("systemd", () => {
  it("tells a service that runs, with what the server says", () => {
    const status = systemd({
      LoadState: "loaded",
      ActiveState: "active",
      SubState: "running",
      UnitFileState: "enabled",
      MainPID: "4711",
      StatusText: "a=b, 3 streams",
      Result: "success"
    })
    assert.deepStrictEqual(status, { state: "Running", startsAtBoot: true, pid: 4711, text: "a=b, 3 streams" })
    assert.strictEqual(
      ServiceStatus.describe("effect-rtmp", status),
      "effect-rtmp runs, process 4711, starts at boot, a=b, 3 streams"
    )
  })

  it("tells what keeps it from running", () => {
    const failed = systemd({ LoadState: "loaded", ActiveState: "failed", MainPID: "0", Result: "exit-code" })
    assert.deepStrictEqual(failed, { state: "Failed", startsAtBoot: undefined, pid: undefined, text: "exit-code" })
    assert.strictEqual(systemd({ LoadState: "loaded", ActiveState: "inactive" }).state, "Stopped")
    for (const state of ["activating", "deactivating", "reloading", "maintenance"]) {
      assert.strictEqual(systemd({ LoadState: "loaded", ActiveState: state }).state, "Changing", state)
    }
    const stopped = systemd({ LoadState: "loaded", ActiveState: "inactive", StatusText: "stopping", Result: "success" })
    assert.strictEqual(stopped.text, "")
    const disabled = systemd({ LoadState: "loaded", ActiveState: "inactive", UnitFileState: "disabled" })
    assert.isFalse(disabled.startsAtBoot)
  })

  it("tells a service that is not there", () => {
    assert.deepStrictEqual(systemd({ LoadState: "not-found", ActiveState: "inactive" }), ServiceStatus.notInstalled)
    assert.strictEqual(ServiceStatus.describe("x", ServiceStatus.notInstalled), "x is not installed")
  })
})

describe("launchd", () => {
  const print = (state: string, more = "") =>
    ServiceStatus.parse("launchd", 0, `system/effect-rtmp = {\n\tactive count = 1\n\tstate = ${state}\n${more}}`)

  it("tells a job that runs, one that failed and one that ended", () => {
    assert.deepStrictEqual(print("running", "\tpid = 812\n\tlast exit code = 78\n"), {
      state: "Running",
      startsAtBoot: undefined,
      pid: 812,
      text: ""
    })
    assert.deepStrictEqual(print("spawn scheduled", "\tlast exit code = 78: EX_CONFIG\n"), {
      state: "Failed",
      startsAtBoot: undefined,
      pid: undefined,
      text: "last exit status 78: EX_CONFIG"
    })
    assert.strictEqual(print("not running", "\tlast exit code = 0\n").state, "Stopped")
    assert.strictEqual(print("not running", "\tlast exit code = (never exited)\n").state, "Stopped")
  })

  it("tells a job that is not there", () => {
    assert.deepStrictEqual(
      ServiceStatus.parse("launchd", 113, 'Could not find service "effect-rtmp" in domain for system'),
      ServiceStatus.notInstalled
    )
  })
})

describe("Windows", () => {
  const query = (state: string, exit = "0  (0x0)", pid = "0") =>
    ServiceStatus.parse(
      "windows",
      0,
      [
        "",
        "SERVICE_NAME: effect-rtmp ",
        "        TYPE               : 10  WIN32_OWN_PROCESS  ",
        `        STATE              : ${state} `,
        "                                (STOPPABLE, NOT_PAUSABLE, ACCEPTS_SHUTDOWN)",
        `        WIN32_EXIT_CODE    : ${exit}`,
        "        SERVICE_EXIT_CODE  : 0  (0x0)",
        `        PID                : ${pid}`,
        "        FLAGS              : "
      ].join("\r\n")
    )

  it("tells a service that runs, one that is stopped and one that failed", () => {
    assert.deepStrictEqual(query("4  RUNNING", "0  (0x0)", "5120"), {
      state: "Running",
      startsAtBoot: undefined,
      pid: 5120,
      text: ""
    })
    assert.strictEqual(query("1  STOPPED").state, "Stopped")
    assert.strictEqual(query("1  STOPPED", "1067  (0x42b)").state, "Failed")
    assert.strictEqual(query("1  STOPPED", "1067  (0x42b)").text, "last exit status 1067")
    assert.strictEqual(query("2  START_PENDING").state, "Changing")
    assert.strictEqual(query("3  STOP_PENDING").state, "Changing")
  })

  it("tells a service that is not there", () => {
    assert.deepStrictEqual(ServiceStatus.parse("windows", 1060, "[SC] ... 1060:"), ServiceStatus.notInstalled)
  })
})
