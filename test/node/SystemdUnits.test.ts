import { assert, describe, it } from "@effect/vitest"
import { defaults, type ServiceSettings } from "../../src/node/ServiceSettings.ts"
import * as SystemdUnits from "../../src/node/SystemdUnits.ts"

/** The assignments of a unit, each with all of its values. */
const assignments = (unit: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = new Map<string, Array<string>>()
  for (const line of unit.split("\n")) {
    const match = /^(\w+)=(.*)$/.exec(line)
    if (match !== null) found.set(match[1]!, [...(found.get(match[1]!) ?? []), match[2]!])
  }
  return found
}

const service = (changes: Partial<ServiceSettings>, kind: "single" | "instance" = "single") =>
  assignments(SystemdUnits.service({ ...defaults, ...changes }, kind))

describe("a word of a unit", () => {
  it("is quoted where it needs to be, and means itself", () => {
    assert.strictEqual(SystemdUnits.quote("/usr/bin/node"), "/usr/bin/node")
    assert.strictEqual(SystemdUnits.quote("100%"), "100%%")
    assert.strictEqual(SystemdUnits.quote("a b"), '"a b"')
    assert.strictEqual(SystemdUnits.quote(""), '""')
    assert.strictEqual(SystemdUnits.quote('say "hi" \\ $HOME'), '"say \\"hi\\" \\\\ $HOME"')
    assert.strictEqual(SystemdUnits.quoteArgument("$HOME"), '"$$HOME"')
  })
})

describe("the service", () => {
  it("is killed later than its connections have time to end", () => {
    for (const shutdownGraceMs of [0, 1, 30_000, 600_000]) {
      assert.isAbove(Number(service({ shutdownGraceMs }).get("TimeoutStopSec")![0]) * 1000, shutdownGraceMs)
    }
  })

  it("reloads with what its systemd knows", () => {
    const old = service({ systemdVersion: 252 })
    assert.deepStrictEqual(old.get("Type"), ["notify"])
    assert.deepStrictEqual(old.get("ExecReload"), ["/bin/kill -HUP $MAINPID"])
    assert.isFalse(old.has("OpenFile"))
    const recent = service({ systemdVersion: 253 })
    assert.deepStrictEqual(recent.get("Type"), ["notify-reload"])
    assert.isFalse(recent.has("ExecReload"))
    assert.deepStrictEqual(recent.get("OpenFile"), ["%t/systemd/notify:notify:graceful"])
    // Without the descriptor it is systemd-notify that speaks, on both.
    for (const unit of [old, recent]) assert.deepStrictEqual(unit.get("NotifyAccess"), ["all"])
  })

  it("is not tried again with a configuration that is not valid", () => {
    assert.deepStrictEqual(service({}).get("RestartPreventExitStatus"), ["78"])
  })

  it("has one capability when it needs low ports, and none otherwise", () => {
    assert.deepStrictEqual(service({}).get("CapabilityBoundingSet"), [""])
    assert.isFalse(service({}).has("AmbientCapabilities"))
    const low = service({ lowPorts: true })
    assert.deepStrictEqual(low.get("AmbientCapabilities"), ["CAP_NET_BIND_SERVICE"])
    assert.deepStrictEqual(low.get("CapabilityBoundingSet"), ["CAP_NET_BIND_SERVICE"])
    // In a namespace of its own the capability would be worth nothing.
    assert.isFalse(low.has("PrivateUsers"))
  })

  it("can read what it is started with, and no other home", () => {
    assert.deepStrictEqual(service({}).get("ProtectHome"), ["yes"])
    for (const folder of ["/home", "/root"]) {
      assert.deepStrictEqual(service({ node: `${folder}/x/bin/node` }).get("ProtectHome"), ["read-only"])
    }
  })

  it("may compile JavaScript", () => {
    assert.deepStrictEqual(service({}).get("MemoryDenyWriteExecute"), ["no"])
  })

  it("keeps its files apart from those of other instances", () => {
    const instance = service({}, "instance")
    assert.deepStrictEqual(instance.get("StateDirectory"), ["effect-rtmp/%i"])
    assert.deepStrictEqual(instance.get("Environment"), ["RTMP_CONFIG=%E/effect-rtmp/%i.yaml"])
    assert.deepStrictEqual(instance.get("EnvironmentFile"), ["-%E/effect-rtmp/%i.env"])
    assert.deepStrictEqual(service({}).get("StateDirectory"), ["effect-rtmp"])
  })

  it("of a user asks for nothing that only root can give", () => {
    const unit = service({ scope: "user" })
    for (const name of ["User", "CapabilityBoundingSet", "ProtectSystem", "PrivateDevices"]) {
      assert.isFalse(unit.has(name), name)
    }
    assert.deepStrictEqual(unit.get("WantedBy"), ["default.target"])
  })

  it("takes the configuration and variables as they are", () => {
    const unit = service({ configPath: "/srv/100% mine.yaml", env: { A: "b c" } })
    assert.deepStrictEqual(unit.get("Environment"), ['"RTMP_CONFIG=/srv/100%% mine.yaml"', '"A=b c"'])
  })
})
