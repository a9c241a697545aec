/** sudo's I/O log: what is exported is what Debian's sudoreplay lists and shows, byte for byte. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SessionEvent } from "../../journal/Event.ts"
import { writeExportFolder } from "../../src/export/ExportFile.ts"
import type { ExportSource } from "../../src/export/ExportFormat.ts"
import { sudo } from "../../src/export/SudoExport.ts"
import { isInstalled } from "../fixtures/installed.ts"
import { commandFinished, commandStarted, created, output } from "../projections/events.ts"
import { inTerminal } from "./readers.ts"
import { BEGAN_MICROS, filesOf, removed, sourceOf, stdout } from "./sources.ts"

const folder = mkdtempSync(join(tmpdir(), "reprise-sudo-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte)
const input = (data: string): SessionEvent => ({ _tag: "InputWritten", data: Buffer.from(data) })
const closed = (exitCode: number | null = 0, signal: string | null = null): SessionEvent => ({
  _tag: "SessionClosed",
  exitCode,
  signal,
  reason: "exited",
  survivors: []
})
const SESSION = [
  [created({ argv: ["/bin/sh", "-c", "écho \x1b[31m"], owner: "o:wner" }), 0],
  [output("hello "), 100],
  [{ _tag: "Resized", size: { cols: 120, rows: 59 } }, 5],
  [input("typed"), 0],
  [output(everyByte), 1],
  [closed(3), 20]
] as const
const files = async (source: ExportSource) => (await filesOf("sudo", source)).files
const textOf = async (name: string, source: ExportSource) => (await files(source))[name]!.toString()

describe("--format sudo", () => {
  it("10.3 (9)(10)(11): timing has seconds with nine digits, bytes for streams, rows before columns for a size", async () => {
    const timing = await textOf("timing", sourceOf(SESSION, { input: true }))
    assert.deepStrictEqual(timing.split("\n"), [
      "4 0.100000000 6",
      "5 0.005000000 59 120",
      "3 0.000000000 5",
      "4 0.001000000 256",
      ""
    ])
  })

  it("10.3 (1)(3)(4)(7)(8): log.json is spread over lines, its numbers are whole, nothing is escaped that is not ASCII", async () => {
    const text = await textOf("log.json", sourceOf(SESSION))
    for (const line of text.split("\n").slice(1, -2)) assert.match(line, /^ {4}/)
    assert.notMatch(text, /\d\.\d|\\u|[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    assert.deepStrictEqual(JSON.parse(text), {
      timestamp: { seconds: BEGAN_MICROS / 1_000_000 - 0.667, nanoseconds: 667_000_000 },
      columns: 80,
      command: "/bin/sh",
      lines: 24,
      runargv: ["/bin/sh", "-c", "écho \\e[31m"],
      runenv: [],
      runuser: "o:wner",
      runcwd: "/home/me",
      submitcwd: "/home/me",
      submithost: "localhost",
      submituser: "o:wner",
      ttyname: "reprise",
      exit_value: 3,
      run_time: { seconds: 0, nanoseconds: 106_000_000 }
    })
    assert.strictEqual(
      await textOf("log", sourceOf(SESSION)),
      "1600718060:o_wner:o_wner::reprise:24:80\n/home/me\n/bin/sh -c 'écho \\e[31m'\n"
    )
    assert.strictEqual(JSON.parse(await textOf("log.json", sourceOf([closed(null, "SIGKILL")]))).signal, "KILL")
  })

  it("each stream is a file of its own with every byte, and the timing counts exactly what they hold", async () => {
    const shell = [
      created({ kind: "exec", argv: ["bash", "/driver"] }),
      commandStarted(1, "x"),
      stdout(1, everyByte),
      stdout(1, "err", "stderr"),
      { _tag: "CommandInputWritten", exec: 1, base64: "aW4=", end: true },
      output("tty"),
      stdout(1, "out"),
      commandFinished(1)
    ] as const
    const source = sourceOf(shell, { input: true })
    const all = await files(source)
    assert.deepStrictEqual(Object.keys(all).sort(), [
      "log",
      "log.json",
      "stderr",
      "stdin",
      "stdout",
      "timing",
      "ttyout"
    ])
    assert.isTrue(all.stdout!.equals(Buffer.concat([everyByte, Buffer.from("out")])))
    assert.deepStrictEqual(
      [all.stderr!.toString(), all.stdin!.toString(), all.ttyout!.toString()],
      ["err", "in", "tty"]
    )
    const counted: Record<string, number> = {}
    for (const line of all.timing!.toString().split("\n").slice(0, -1)) {
      const [event, , bytes] = line.split(" ")
      const name = ["stdin", "stdout", "stderr", "ttyin", "ttyout"][Number(event)]!
      counted[name] = (counted[name] ?? 0) + Number(bytes)
    }
    assert.deepStrictEqual(counted, { stdin: 2, stdout: 259, stderr: 3, ttyout: 3 })
    assert.deepStrictEqual(JSON.parse(all["log.json"]!.toString()).runargv, ["bash"])
  })

  it("the timing of a session that has ended cannot be written any more; input is there only where it is wanted", async () => {
    assert.deepStrictEqual((await filesOf("sudo", sourceOf(SESSION))).readOnly, ["timing"])
    assert.deepStrictEqual((await filesOf("sudo", sourceOf(SESSION.slice(0, -1)))).readOnly, [])
    const source = sourceOf([...SESSION, { _tag: "MarkerSet", label: "m" }])
    assert.notProperty(await files(source), "ttyin")
    assert.deepStrictEqual(source.losses.report(), [
      { loss: "inputBytes", count: 5 },
      { loss: "markers", count: 1 }
    ])
    const pruned = await files(sourceOf([removed(9), output("rest")]))
    assert.deepStrictEqual([pruned.timing!.toString(), pruned.ttyout!.toString()], ["4 1.000000000 4\n", "rest"])
  })
})

describe.skipIf(!isInstalled("sudoreplay"))("sudoreplay reads it (Debian: sudo)", () => {
  let count = 0
  const written = async (source: ExportSource): Promise<string> => {
    const path = join(folder, `s${++count}`)
    await Effect.runPromise(writeExportFolder(path, sudo(source)))
    return path
  }
  /** Another log: the one of a session with these files changed; null takes one away. */
  const changed = async (changes: Readonly<Record<string, string | null>>): Promise<string> => {
    const path = join(folder, `c${++count}`)
    mkdirSync(path)
    for (const [name, data] of Object.entries({ ...(await files(sourceOf(SESSION))), ...changes })) {
      if (data !== null) writeFileSync(join(path, name), data)
    }
    return path
  }
  const list = (path: string) => {
    const parent = mkdtempSync(join(folder, "list-"))
    const { output } = inTerminal(["sh", "-c", `cp -r "$1" "$2" && sudoreplay -d "$2" -l`, "sh", path, parent])
    return output.toString()
  }
  /** What it shows behind the line that says what it shows. */
  const replayed = (path: string, ...flags: ReadonlyArray<string>): Buffer => {
    const { code, output } = inTerminal(["sudoreplay", ...flags, path], "ended")
    assert.strictEqual(code, 0, output.toString())
    return output.subarray(output.indexOf("\n") + 1)
  }
  const refused = (path: string, message: RegExp) => {
    const { code, output } = inTerminal(["sudoreplay", path], "ended")
    assert.notStrictEqual(code, 0)
    assert.match(output.toString(), message)
  }
  const json = async (change: (text: string) => string) =>
    changed({ "log.json": change(await textOf("log.json", sourceOf(SESSION))) })

  it("10.3 (1)(8): it lists the session and shows every byte", async () => {
    const path = await written(sourceOf(SESSION))
    assert.match(list(path), /TTY=reprise ; CWD=\/home\/me ; USER=o:wner ; TSID=s\d+ ; COMMAND=\/bin\/sh -c 'écho /)
    const shown = replayed(path)
    assert.isTrue(shown.includes(Buffer.from(everyByte)), shown.toString("latin1"))
    assert.isTrue(shown.includes("hello "))
    const mode = (name: string) => statSync(join(path, name)).mode & 0o777
    assert.deepStrictEqual(
      [mode("timing"), mode("log"), mode("ttyout"), statSync(path).mode & 0o777],
      [0o400, 0o600, 0o600, 0o700]
    )
  })

  it("of a shell for commands it shows both streams", async () => {
    const shell = [
      created({ kind: "exec" }),
      commandStarted(1, "x"),
      stdout(1, "out\n"),
      stdout(1, "err\n", "stderr"),
      closed()
    ]
    const shown = replayed(await written(sourceOf(shell))).toString()
    assert.match(shown, /out\r?\nerr/)
  })

  it("10.3 (2)(3)(4)(6)(7): what it takes of log.json", async () => {
    refused(await json((text) => JSON.stringify(JSON.parse(text))), /invalid value/)
    refused(await json((text) => text.replace('"exit_value": 3', '"exit_value": 3.5')), /^sudoreplay: /)
    refused(
      await json((text) =>
        text.replace('"runenv": []', '"runenv": [\n        {\n            "a": 1\n        }\n    ]')
      ),
      /^sudoreplay: /
    )
    const more = '{\n    "extra": "x",\n    "nothing": null,\n    "object": {\n        "a": 1\n    },'
    assert.include(replayed(await json((text) => text.replace("{", more))).toString(), "hello")
    const nameless = await json((text) => text.replace(/ {4}"command".*\n/, ""))
    assert.match(inTerminal(["sudoreplay", nameless], "ended").output.toString(), /session: \(null\)/)
  })

  it("10.3 (5): without log it plays and is not listed", async () => {
    const path = await changed({ log: null })
    assert.include(replayed(path).toString(), "hello")
    assert.notInclude(list(path), "COMMAND")
  })

  it("10.3 (9)(10)(11): what it takes of timing", async () => {
    const plays = async (timing: string, shown: string, changes: Readonly<Record<string, string | null>> = {}) =>
      assert.strictEqual(
        replayed(await changed({ timing, ttyout: "hello there", ...changes }), "-m", "0.01")
          .toString()
          .trimEnd(),
        shown
      )
    await plays("4 0.1 5", "hello")
    await plays("4 0.01 5\n4 0.01 6\n", "hello there")
    await plays("4 10.99999999999 5\n", "hello")
    await plays(
      "4 0.01 5\n7 0.002496718 TSTP\n7 11.781181911 CONT\n5 0.000331519 59 120\n4 0.000999999 6\n",
      "hello there"
    )
    await plays("4 0.01 500\n", "hello there")
    await plays("4 0.01 5\n", "", { ttyout: null })
    for (const timing of ["4 1e-3 5\n", "9 0.1 5\n", "# comment\n"])
      refused(await changed({ timing }), /timing|invalid/)
  })

  it("10.3 (10): it plays ours faster and slower, and waits no longer than it is told", async () => {
    const path = await written(sourceOf([...SESSION.slice(0, -1), [output("late"), 3_600_000], [closed(), 0]]))
    assert.isTrue(replayed(path, "-s", "2", "-m", "0.01").includes("late"))
    assert.isTrue(replayed(path, "-s", "0.5", "-m", "0.01").includes("late"))
    chmodSync(join(path, "timing"), 0o600)
  })
})
