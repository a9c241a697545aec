/**
 * Recordings in the formats of other programs, from events in memory and back: times, characters, sizes and ends as the
 * formats define them, and files that are refused. Real sessions and the programs that play them are in Readers.test.ts.
 */
import { readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import { assert, describe, it } from "vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import { asciicast2, asciicast3, makeIntervals, secondsText } from "../../src/export/AsciicastExport.ts"
import { writeExport, writeExportFolder } from "../../src/export/ExportFile.ts"
import { ESCAPED_BYTES_MAX, writeJsonText } from "../../src/export/JsonBytes.ts"
import { script } from "../../src/export/ScriptExport.ts"
import { ttyrec } from "../../src/export/TtyrecExport.ts"
import { Utf8Text } from "../../src/export/Utf8Text.ts"
import { importRecording } from "../../src/import/RecordingImporter.ts"
import { RecordedItems } from "../../src/session/RecordedItems.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { commandFinished, commandStarted, created, latin1, output } from "../projections/events.ts"
import {
  BEGAN,
  entriesOf,
  exportEntries,
  exportFiles,
  importFiles,
  jsonLines,
  playerScreens,
  type Shown,
  shownOf,
  sizeOf,
  withFolder
} from "./recordings.ts"
import { filesOf, sourceOf } from "./sources.ts"

const SECOND = 1_000_000
const input = (text: string): SessionEvent => ({ _tag: "InputWritten", data: Buffer.from(text) })
const resized = (cols: number, rows: number): SessionEvent => ({ _tag: "Resized", size: { cols, rows } })
const closed = (exitCode: number | null, signal: string | null = null): SessionEvent => ({
  _tag: "SessionClosed",
  exitCode,
  signal,
  reason: "exited",
  survivors: []
})
const cast = (header: object, ...lines: ReadonlyArray<string>) => ({
  "a.cast": `${JSON.stringify(header)}\n${lines.map((line) => `${line}\n`).join("")}`
})
const V2 = { version: 2, width: 80, height: 24 }
const V3 = { version: 3, term: { cols: 80, rows: 24 } }

const refusal = async (files: Readonly<Record<string, string | Uint8Array>>): Promise<string> => {
  try {
    await importFiles(files)
  } catch (error) {
    return (error as Error).message
  }
  throw new Error("it was taken")
}

describe("asciicast", () => {
  it("10.1 (1): intervals of version 3 add up to the microsecond", async () => {
    const { events, format } = await importFiles(
      cast(
        { ...V3, term: { cols: 100, rows: 50, type: "xterm" }, timestamp: 1509091818, env: { SHELL: "/bin/fish" } },
        '[0.000001, "o", "ż"]',
        '[1.0, "o", "ółć"]',
        "",
        "# comment",
        '[0.3, "i", "\\n"]',
        '[1.600001, "r", "80x40"]',
        '[10.5, "o", "\\r\\n"]'
      )
    )
    assert.strictEqual(format, "asciicast-v3")
    assert.deepStrictEqual(sizeOf(events), { cols: 100, rows: 50 })
    assert.deepStrictEqual(shownOf(events), [
      [1, "o", "ż"],
      [1000001, "o", "ółć"],
      [1300001, "i", "\n"],
      [2900002, "r", "80x40"],
      [13400002, "o", "\r\n"]
    ])
    assert.strictEqual(events[0]!.timeMicros, 1509091818 * SECOND)
  })

  it("10.1 (2): version 2 becomes version 3", async () => {
    const times = ["0.000001", "1.0", "2.3", "5.600001", "10.5"]
    const { events } = await importFiles(cast(V2, ...times.map((time) => `[${time}, "o", "x"]`)))
    const entries = events.map((event, at) => ({ ...event, sequence: at + 1 }))
    const { bytes } = await exportEntries(asciicast3, entries)
    const lines = bytes.toString().trimEnd().split("\n").slice(1, 6)
    assert.deepStrictEqual(
      lines.map((line) => /^\[([\d.]+), "o"/.exec(line)![1]),
      ["0.000", "1.000", "1.300", "3.300", "4.900"]
    )
  })

  it("10.1 (3): version 1 has delays, and variables without a value are none", async () => {
    const stdout = [
      [0.000001, "ż"],
      [10.0, "ółć"],
      [0.5, "\r\n"]
    ]
    const { events, format } = await importFiles({
      "a.json": JSON.stringify(
        { version: 1, width: 100, height: 50, duration: 10.5, command: "/bin/bash", stdout },
        null,
        2
      )
    })
    assert.strictEqual(format, "asciicast-v1")
    assert.deepStrictEqual(
      shownOf(events).map(([micros]) => micros),
      [1, 10000001, 10500001]
    )
    const nulls = { SHELL: "/bin/sh", TERM: null }
    assert.lengthOf((await importFiles(cast({ ...V2, env: nulls }, '[1.0, "o", "x"]'))).events, 5)
    assert.match(await refusal(cast({ ...V3, env: nulls })), /line 1: env: TERM is no text/)
    const entries = entriesOf([[0, created({ term: "" })]])
    const head = jsonLines((await exportEntries(asciicast3, entries)).bytes)[0] as { env: Record<string, unknown> }
    assert.isTrue(Object.values(head.env).every((value) => typeof value === "string"))
  })

  it("10.1 (4): what milliseconds round is carried on", () => {
    const micros = [
      26692, 540290, 64736, 105951, 171006, 191943, 107942, 128108, 148904, 108973, 211002, 44701, 489307, 405987,
      105028, 194590, 61043, 532296, 319015, 152786, 32578, 5445, 40542, 756
    ]
    const interval = makeIntervals()
    let now = 0
    assert.deepStrictEqual(
      micros.map((passed) => {
        now += passed
        return interval(now) * 1000
      }),
      [
        27000, 540000, 65000, 106000, 171000, 192000, 108000, 128000, 149000, 109000, 211000, 44000, 490000, 406000,
        105000, 194000, 61000, 532000, 320000, 152000, 33000, 5000, 41000, 1000
      ]
    )
  })

  it("10.1 (5): times have one decimal at least and no more than they need", async () => {
    assert.deepStrictEqual([0, 1000001, 12300000, 12000003].map(secondsText), ["0.0", "1.000001", "12.3", "12.000003"])
    const { bytes } = await exportEntries(
      asciicast3,
      entriesOf([
        [0, created()],
        [666_000, output("x")]
      ])
    )
    assert.match(bytes.toString(), /\n\[0\.666, "o", "x"\]\n/)
  })

  it("10.1 (6): characters that are cut come whole, bytes that are none are counted", () => {
    const text = new Utf8Text()
    const taken = ["637a61726e6120", "c5bcc3", "b3c582", "c4", "8721", "80", "8081", "8323f09080c021"].map((hex) =>
      Buffer.from(text.take(Buffer.from(hex, "hex"))).toString()
    )
    assert.deepStrictEqual(taken, ["czarna ", "ż", "ół", "", "ć!", "�", "��", "�#��!"])
    // 80; 80 81; 83; f0 90 80, which is one sign, and c0.
    assert.strictEqual(text.invalidBytes, 8)
    assert.deepStrictEqual(new Utf8Text().take(Buffer.from("\u{feff}a�")), Buffer.from("\u{feff}a�"))
    const open = new Utf8Text()
    assert.lengthOf(open.take(Buffer.from("f09f98", "hex")), 0)
    assert.deepStrictEqual(open.end(), Buffer.from("�"))
    assert.strictEqual(open.invalidBytes, 3)
  })

  it("10.1 (7): idle time and speed are the player's, and the file keeps the times as they were", async () => {
    const times = [0, 1, 3.5, 4, 7.5]
    const { bytes } = await exportEntries(
      asciicast2,
      entriesOf([[0, created()], ...times.map((time) => [time * SECOND, output("x")] as const)])
    )
    assert.deepStrictEqual(
      jsonLines(bytes)
        .slice(1)
        .map((line) => (line as [number])[0]),
      times
    )
    const source = { files: { "a.cast": bytes }, urls: "a.cast", options: { idleTimeLimit: 2 } }
    // Limited to two seconds the last one comes at 5.5 and the third at 3.
    const screens = await playerScreens(source, [2.9, 3.1, 5.4, 5.6])
    assert.deepStrictEqual(
      screens.map(({ output }) => output.length),
      [2, 3, 4, 5]
    )
  })

  it("10.1 (9): the end is an event in version 3 and a marker in version 2", async () => {
    const last = async (event: SessionEvent, write = asciicast3) =>
      jsonLines(
        (
          await exportEntries(
            write,
            entriesOf([
              [0, created()],
              [1 * SECOND, output("x")],
              [2 * SECOND, event]
            ])
          )
        ).bytes
      ).at(-1)
    assert.deepStrictEqual(await last(closed(13)), [1, "x", "13"])
    assert.deepStrictEqual(await last(closed(null, "SIGKILL")), [1, "x", "137"])
    assert.deepStrictEqual(await last(closed(null)), [1, "m", "how it ended is not known"])
    assert.deepStrictEqual(await last(closed(13), asciicast2), [2, "m", "exited with 13"])
    const { events } = await importFiles(cast(V3, '[0.1, "o", "x"]', '[0.2, "x", "42"]'))
    assert.deepInclude(events.at(-1)!.event, { _tag: "SessionClosed", exitCode: 42 })
  })

  it("10.1 (10): codes that nobody knows are kept whole, and none is written", async () => {
    const { events } = await importFiles(cast(V3, '[0.1, "output2", "x"]', '[0.1, "o", "y"]'))
    assert.deepStrictEqual(shownOf(events), [
      [100_000, "m", 'asciicast event ["output2","x"]'],
      [200_000, "o", "y"]
    ])
    const entries = events.map((event, at) => ({ ...event, sequence: at + 1 }))
    for (const write of [asciicast2, asciicast3]) {
      const codes = jsonLines((await exportEntries(write, entries, { input: true })).bytes).slice(1)
      assert.isTrue(codes.every((line) => /^[oirmx]$/.test((line as [number, string])[1])))
    }
  })

  it("10.1 (11): what asciinema refuses is refused with its line, and nothing of it is taken", async () => {
    assert.match(await refusal(cast({ ...V2, timestamp: 1.5 })), /line 1: timestamp is not a whole number/)
    assert.match(await refusal(cast(V2, '[1.0, "o", "x"]', '[-1, "o", "x"]')), /line 3: its time/)
    assert.match(await refusal(cast(V3, '[1e3, "o", "x"]')), /line 2: its time/)
    assert.match(await refusal(cast(V2, '[1, "o"]')), /line 2: is not a time, a code and a text/)
    assert.match(await refusal(cast(V2, '[1, "o", "x", 1]')), /line 2: is not a time, a code and a text/)
    assert.match(await refusal(cast(V3, '[1, "x", "abc"]')), /line 2: its exit status/)
    assert.match(await refusal(cast(V2, '[1, "o", "x"]', "# a comment")), /line 3: version 2 knows no comments/)
    assert.match(await refusal(cast(V2, '[1, "r", "80"]')), /line 2: its size/)
    assert.match(await refusal(cast(V2, '[1, "o", "x')), /line 2: is no JSON array/)
    assert.match(await refusal(cast({ version: 2, width: -1, height: 24 })), /line 1: width and height/)
    assert.match(await refusal(cast({ version: 4 })), /line 1: is asciicast of version 4/)
    assert.match(await refusal({ "a.cast": "{" }), /a\.cast line 1: is no asciicast/)
    await withFolder(async (folder) => {
      const file = join(folder, "bad.cast")
      writeFileSync(file, cast(V2, '[1.0, "o", "x"]', '[1e3, "o", "x"]')["a.cast"])
      const store = join(folder, "store")
      const options = { dryRun: false, importer: "me", nowMicros: BEGAN }
      const failure = await importRecording(storePaths(store), file, options).catch((error: Error) => error)
      assert.match((failure as Error).message, /bad\.cast line 3: .*nothing was imported/)
      assert.deepStrictEqual(readdirSync(folder), ["bad.cast"])
    })
  })

  it("10.1 (13): sizes of 0, and what script and ttyrec leave to be found", async () => {
    const zero = await importFiles(cast({ version: 2, width: 0, height: 0 }, '[0.5, "o", "x"]'))
    assert.deepStrictEqual(sizeOf(zero.events), { cols: 80, rows: 24 })

    const head = 'Script started on 2023-11-20 19:23:05+01:00 [TERM="xterm" TTY="/dev/pts/1" COLUMNS="90" LINES="30"]\n'
    const classic = {
      timing: "0.5 5\n0.2 9\n",
      typescript: `${head}hello żółć\n\nScript done on x [COMMAND_EXIT_CODE="3"]\n`
    }
    const old = await importFiles(classic)
    assert.deepStrictEqual(sizeOf(old.events), { cols: 90, rows: 30 })
    assert.deepStrictEqual(shownOf(old.events), [
      [500_000, "o", "hello"],
      [700_000, "o", " żółć"]
    ])
    assert.deepInclude(old.events.at(-1)!.event, { exitCode: 3 })
    assert.strictEqual(old.events[0]!.timeMicros, Date.parse("2023-11-20T18:23:05Z") * 1000)
    // The typescript may be named as well.
    const { timing, typescript } = classic
    assert.deepStrictEqual((await importFiles({ typescript, timing })).events, old.events)

    const entries = [
      "H 0.000000 COLUMNS 100",
      "H 0.000000 LINES 40",
      "H 0.000000 INPUT_LOG in",
      "O 0.5 8",
      "I 0.2 1",
      "S 0.3 SIGWINCH ROWS=50 COLS=120",
      "O 0.1 1"
    ]
    const advanced = { timing: entries.map((line) => `${line}\n`).join(""), typescript: `${head}żółć!`, in: `${head}a` }
    const shown: ReadonlyArray<Shown> = [
      [500_000, "o", "żółć"],
      [700_000, "i", "a"],
      [1_000_000, "r", "120x50"],
      [1_100_000, "o", "!"]
    ]
    const modern = await importFiles(advanced)
    assert.deepStrictEqual(sizeOf(modern.events), { cols: 100, rows: 40 })
    assert.deepStrictEqual(shownOf(modern.events), shown)

    const frame = (seconds: number, text: string) => {
      const header = Buffer.alloc(12)
      header.writeUInt32LE(Math.floor(seconds), 0)
      header.writeUInt32LE(Math.round((seconds % 1) * 1e6), 4)
      header.writeUInt32LE(Buffer.byteLength(text), 8)
      return Buffer.concat([header, Buffer.from(text)])
    }
    const sized = await importFiles({ "a.ttyrec": Buffer.concat([frame(1, "\x1b[8;30;100t"), frame(1.5, "x")]) })
    assert.deepStrictEqual(sizeOf(sized.events), { cols: 100, rows: 30 })
    assert.deepStrictEqual(shownOf(sized.events), [[500_000, "o", "x"]])
    const plain = await importFiles({ "a.ttyrec": Buffer.concat([frame(1, "hi"), frame(1.5, "x")]) })
    assert.deepStrictEqual(sizeOf(plain.events), { cols: 80, rows: 24 })
    assert.match(
      await refusal({ "a.ttyrec": Buffer.concat([frame(1, "hi"), frame(1.5, "x").subarray(0, 12)]) }),
      /frame 2 ends after 0 of 1 bytes/
    )
    assert.match(await refusal({ timing: "0.5 5\n0.2 900\n", typescript }), /timing line 2: asks for \d+ bytes more/)
    assert.match(await refusal({ timing: "0.5 5\n1e3 1\n", typescript }), /timing line 2: is no entry of a timing/)
    assert.match(await refusal({ timing: "0.5 5\n" }), /none of these is beside it: typescript/)
  })
})

it("text is escaped as JSON has it, whatever it holds", () => {
  const bytes = Buffer.from(`${String.fromCharCode(...Array.from({ length: 0x180 }, (_, code) => code))}😀\u2028`)
  const target = Buffer.alloc(bytes.length * ESCAPED_BYTES_MAX)
  const end = writeJsonText(target, 0, bytes)
  assert.strictEqual(`"${target.toString("utf8", 0, end)}"`, JSON.stringify(bytes.toString()))
})

describe("recordings of a session", () => {
  const everything = entriesOf([
    [0, created({ size: { cols: 80, rows: 24 } })],
    [1 * SECOND, output("caf")],
    // The clock was set back by an hour.
    [-3599 * SECOND, output(latin1("\xc3"))],
    [2 * SECOND, output(latin1("\xa9\xff\xfe\r\n"), 1)],
    [3 * SECOND, input("ls\r")],
    [3 * SECOND, { _tag: "InputHidden" }],
    [4 * SECOND, resized(100, 30)],
    [5 * SECOND, { _tag: "MarkerSet", label: "half\ntime" }],
    [6 * SECOND, { _tag: "SessionInterrupted", reason: "engine died" }],
    [6 * SECOND, { _tag: "SessionResumed", keeper: "k", outputOffset: 6, gapBytes: 4 }],
    [6 * SECOND, { _tag: "GapDetected", what: "output", from: 6, to: 10, why: "keeper was full" }],
    [7 * SECOND, output("bye\r\n")],
    [7 * SECOND, { _tag: "LeaderExited", exitCode: 3, signal: null }],
    [8 * SECOND, closed(3)]
  ])

  it("times never go back, and the clock gives none of the order", () => {
    const items = new RecordedItems({ size: { cols: 80, rows: 24 } })
    const found = [...items.page(everything.slice(0, 5)), ...items.page(everything.slice(5)), ...items.end()]
    const times = found.map(({ timeMicros }) => (timeMicros - BEGAN) / SECOND)
    assert.deepStrictEqual(times, [0, 1, 1, 2, 3, 3, 4, 5, 6, 6, 6, 7, 8])
    assert.deepStrictEqual(
      found.map(({ _tag }) => _tag),
      [
        ...["Resize", "Output", "Output", "Output", "Input", "HiddenInput", "Resize", "Marker", "Gap", "Gap", "Gap"],
        ...["Output", "Exit"]
      ]
    )
  })

  it("tell gaps, hidden input and the end, and count what they have no place for", async () => {
    const { bytes, losses } = await exportEntries(asciicast2, everything, { input: true })
    const [head, ...lines] = jsonLines(bytes)
    assert.deepInclude(head as object, { version: 2, width: 80, height: 24, timestamp: BEGAN / SECOND })
    assert.deepStrictEqual(lines, [
      [1, "o", "caf"],
      [2, "o", "é��\r\n"],
      [3, "i", "ls\r"],
      [3, "m", "hidden input"],
      [4, "r", "100x30"],
      [5, "m", "half\\ntime"],
      [6, "m", "gap: nobody recorded for a while: engine died"],
      [6, "m", "gap: recording goes on, 4 bytes missing"],
      [6, "m", "gap: output 6 to 10 is missing: keeper was full"],
      [7, "o", "bye\r\n"],
      [8, "m", "exited with 3"]
    ])
    assert.deepStrictEqual(losses.report(), [{ loss: "invalidUtf8", count: 2 }])
    assert.match(losses.told(true)[0]!, /2 bytes that are not UTF-8/)
    const silent = await exportEntries(asciicast2, everything)
    assert.notInclude(silent.bytes.toString(), "ls\\r")
    assert.deepStrictEqual(silent.losses.report(), [
      { loss: "inputBytes", count: 3 },
      { loss: "invalidUtf8", count: 2 }
    ])
    const raw = await exportEntries(ttyrec, everything)
    assert.deepStrictEqual(raw.losses.report(), [
      { loss: "exits", count: 1 },
      { loss: "gaps", count: 3 },
      { loss: "inputBytes", count: 3 },
      { loss: "markers", count: 1 }
    ])
  })

  it("keep every byte in ttyrec and script, and come back from them the same", async () => {
    const outputs = everything.flatMap(({ event }) => (event._tag === "OutputReceived" ? [event.data] : []))
    const { bytes } = await exportEntries(ttyrec, everything)
    const files = await exportFiles(script, everything, { input: true })
    const { input: typed, timing, typescript } = files
    for (const recording of [
      await importFiles({ "a.ttyrec": bytes }),
      await importFiles({ timing: timing!, typescript: typescript!, input: typed! })
    ]) {
      const { events } = recording
      const again = events.flatMap(({ event }) => (event._tag === "OutputReceived" ? [event.data] : []))
      assert.deepStrictEqual(Buffer.concat(again), Buffer.concat(outputs))
      assert.deepStrictEqual(sizeOf(events), { cols: 80, rows: 24 })
      assert.deepInclude(shownOf(events), [4 * SECOND, "r", "100x30"])
    }
    const { events } = await importFiles({ timing: timing!, typescript: typescript!, input: typed! })
    assert.deepInclude(shownOf(events), [3 * SECOND, "i", "ls\r"])
    assert.deepInclude(shownOf(events), [5 * SECOND, "m", "half\\ntime"])
    assert.deepInclude(events.at(-1)!.event, { _tag: "SessionClosed", exitCode: 3 })
    assert.notProperty(await exportFiles(script, everything), "input")
  })

  it("script: the end of a session that was lost is not known, and one that runs is still running", async () => {
    const foot = async (status: SessionView["status"], exitCode: number | null = null) =>
      (await filesOf("script", sourceOf([output("x")], { status, exitCode }))).files
        .typescript!.toString()
        .split("\n")
        .at(-2)
    assert.match((await foot("lost"))!, /^Script done on .* \[<how it ended is not known>\]$/)
    assert.match((await foot("running"))!, / \[<it was still running>\]$/)
    // Its events were removed, and its end with them.
    assert.match((await foot("exited", 4))!, / \[COMMAND_EXIT_CODE="4"\]$/)
  })

  it("show the commands of a shell and both their streams, in order, as on one terminal", async () => {
    const stream = (channel: "stdout" | "stderr", data: Uint8Array): SessionEvent => ({
      _tag: "OutputReceived",
      channel,
      exec: 1,
      offset: 0,
      data
    })
    const entries = entriesOf([
      [0, created({ kind: "exec" })],
      [1, commandStarted(1, "ls\necho\x1b[31m")],
      [2, stream("stdout", latin1("a\n\xc3"))],
      [3, stream("stderr", Buffer.from("oh\n"))],
      [4, stream("stdout", latin1("\xa9"))],
      [5, commandFinished(1, { exitCode: 2 })],
      [6, commandStarted(2, "true")],
      [7, commandFinished(2)]
    ])
    const { bytes, losses } = await exportEntries(asciicast2, entries)
    assert.deepStrictEqual(
      jsonLines(bytes)
        .slice(1)
        .map((line) => (line as [number, string, string]).slice(1)),
      [
        ["m", "command 1: ls\\necho\\e[31m"],
        ["o", "$ ls\r\n> echo\\e[31m\r\n"],
        ["o", "a\r\n"],
        ["o", "oh\r\n"],
        ["o", "é"],
        ["o", "\r\n"],
        ["m", "command 1 completed, exit code 2"],
        ["m", "command 2: true"],
        ["o", "$ true\r\n"],
        ["m", "command 2 completed, exit code 0"]
      ]
    )
    assert.deepStrictEqual(losses.report(), [])
  })

  it("go on where the beginning of the session was removed", () => {
    const size = { cols: 33, rows: 7 }
    const items = new RecordedItems({ size: { cols: 80, rows: 24 } }, { size, data: Buffer.from("was here") })
    const removed: SessionEvent = {
      _tag: "EventsRemoved",
      from: 1,
      to: 10,
      events: 10,
      bytes: 100,
      outputBytes: 5,
      lastTimeMicros: BEGAN,
      sha256: "",
      reason: "age",
      policy: "older than 1 day",
      kept: []
    }
    const found = items.page([
      { sequence: 10, timeMicros: BEGAN + 1e12, actor: "engine", event: removed },
      { sequence: 11, timeMicros: BEGAN + 1, actor: "program", event: output("x") },
      { sequence: 14, timeMicros: BEGAN + 2, actor: "program", event: output("y") }
    ])
    assert.deepStrictEqual(
      found.map((item) => [item.timeMicros - BEGAN, item._tag, "label" in item ? item.label : ""]),
      [
        [0, "Resize", ""],
        [0, "Gap", "events 1 to 10 were removed: older than 1 day"],
        [0, "Output", ""],
        [1, "Output", ""],
        [2, "Gap", "events 12 to 13 are not in the journal any more"],
        [2, "Output", ""]
      ]
    )
    assert.deepInclude(found[0], { size })
  })
})

describe("the place of an export", () => {
  it("is refused where there is no folder for it, with what to do", () =>
    withFolder(async (folder) => {
      const path = join(folder, "missing", "dir", "f")
      const said = { path, reason: `there is no folder ${join(folder, "missing", "dir")}; make it first` }
      for (const write of [writeExport(path, Stream.empty), writeExportFolder(path, Stream.empty)]) {
        const failure = await Effect.runPromise(Effect.flip(write))
        assert.deepInclude({ ...failure }, { ...said, code: "InvalidArgument" })
      }
      assert.deepStrictEqual(readdirSync(folder), [])
    }))
})
