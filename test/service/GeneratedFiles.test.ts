import { assert, describe, it } from "@effect/vitest"
import * as Dockerfile from "../../src/node/Dockerfile.ts"
import * as LaunchdPlist from "../../src/node/LaunchdPlist.ts"
import { defaults } from "../../src/node/ServiceSettings.ts"
import { generatedFiles } from "./GeneratedFiles.ts"
import * as Xml from "./Xml.ts"

const files = generatedFiles()
const textOf = (name: string): string => files.find((file) => file.path.endsWith(name))!.expected

describe("the files in config/", () => {
  it("are what the source says; `node test/service/GeneratedFiles.ts` writes them anew", () => {
    for (const { actual, expected, path } of files) assert.strictEqual(actual, expected, path)
  })

  it("are plain ASCII with Unix lines, which every tool reads alike, and end with a line", () => {
    for (const { expected, path } of files) assert.match(expected, /^[\n\x20-\x7e]+\n$/, path)
  })

  it("say where they come from", () => {
    for (const { expected, path } of files) assert.match(expected, /Written by src\/node\/\w+\.ts/, path)
  })
})

describe("the job of launchd", () => {
  it("is a property list whose keys launchd knows, with values of their types", () => {
    const types: Readonly<Record<string, string>> = {
      Label: "string",
      ProgramArguments: "array",
      EnvironmentVariables: "dict",
      WorkingDirectory: "string",
      UserName: "string",
      RunAtLoad: "true",
      KeepAlive: "dict",
      ThrottleInterval: "integer",
      ExitTimeOut: "integer",
      ProcessType: "string",
      SoftResourceLimits: "dict",
      HardResourceLimits: "dict",
      Umask: "integer",
      StandardOutPath: "string",
      StandardErrorPath: "string"
    }
    const plist = Xml.parse(textOf("effect-rtmp.plist"))
    assert.strictEqual(plist.name, "plist")
    assert.deepStrictEqual(plist.attributes, { version: "1.0" })
    assert.strictEqual(plist.children.length, 1)
    const entries = Xml.dictionary(plist.children[0]!)
    assert.deepStrictEqual(Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, value.name])), types)
    assert.deepStrictEqual(Object.keys(Xml.dictionary(entries.KeepAlive!)), ["SuccessfulExit"])
    assert.strictEqual(Number(entries.Umask!.text), 0o027)
  })

  it("keeps awkward texts as they are", () => {
    const awkward = `a & b <c> "d" 'e' ]]> --`
    const plist = Xml.parse(LaunchdPlist.plist({ ...defaults, args: [awkward], env: { ODD: awkward } }))
    const entries = Xml.dictionary(plist.children[0]!)
    assert.strictEqual(entries.ProgramArguments!.children.at(-1)?.text, awkward)
    assert.strictEqual(Xml.dictionary(entries.EnvironmentVariables!).ODD?.text, awkward)
  })
})

describe("the description for WinSW", () => {
  it("is made of elements that WinSW 2 knows, each no more often than it may be", () => {
    const many = new Set(["argument", "env", "onfailure"])
    const known = [
      "id",
      "name",
      "description",
      "executable",
      "argument",
      "workingdirectory",
      "env",
      "startmode",
      "delayedAutoStart",
      "serviceaccount",
      "stoptimeout",
      "onfailure",
      "resetfailure",
      "logpath",
      "log"
    ]
    const service = Xml.parse(textOf("effect-rtmp.xml"))
    assert.strictEqual(service.name, "service")
    const names = service.children.map((child) => child.name)
    assert.deepStrictEqual(
      names.filter((name, index) => many.has(name) || names.indexOf(name) === index),
      names
    )
    assert.deepStrictEqual([...new Set(names)], known)
  })
})

describe("the scripts of PowerShell", () => {
  for (const name of ["install.ps1", "uninstall.ps1"]) {
    it(`${name} has brackets and quotes that match`, () => {
      const closing: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" }
      const code = textOf(name)
        .replace(/^#.*$/gm, "")
        .replace(/"(?:[^"`]|`.)*"/g, (text) => text.replace(/[^$(){}]/g, ""))
      const open: Array<string> = []
      for (const character of code.replace(/"/g, "")) {
        if ("([{".includes(character)) open.push(character)
        else if (closing[character] !== undefined) assert.strictEqual(open.pop(), closing[character])
      }
      assert.deepStrictEqual(open, [])
      assert.notInclude(code, '"')
    })
  }
})

describe("the image", () => {
  const text = Dockerfile.dockerfile({ base: "node:24-slim", rtmpPort: 1935, httpPort: 8080 })

  it("copies only what the build is given", () => {
    const given = Dockerfile.dockerignore
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1))
    const copied = [...text.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap((match) => match[1]!.split(" "))
    assert.deepStrictEqual([...new Set(copied)].sort(), [...given].sort())
  })

  it("runs as nobody special, checks its health and is stopped in order", () => {
    const last = text.slice(text.lastIndexOf("\nFROM "))
    assert.match(last, /^USER node$/m)
    assert.match(last, /^EXPOSE 1935$/m)
    assert.match(last, /^STOPSIGNAL SIGTERM$/m)
    assert.match(last, /^CMD \["node", "\/app\/dist\/main\.js"\]$/m)
    const health = JSON.parse(/^HEALTHCHECK .*? CMD (\[.*\])$/m.exec(last)![1]!) as ReadonlyArray<string>
    assert.deepStrictEqual(health.slice(0, 2), ["node", "-e"])
    assert.doesNotThrow(() => new Function("process", "fetch", health[2]!))
  })
})
