/**
 * The programs that play recordings are given one real session in their format: what each of them shows is what our own
 * replay shows.
 */

import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { TerminalSize } from "../../journal/Event.ts"
import { Screen } from "../../projections/Screen.ts"
import { exportFolder, exportFormat, exportSession, folderFormat } from "../../src/export/Export.ts"
import { writeExport, writeExportFolder } from "../../src/export/ExportFile.ts"
import { ExportLosses } from "../../src/export/ExportLosses.ts"
import { importRecording } from "../../src/import/RecordingImporter.ts"
import { History } from "../../src/session/History.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { isInstalled } from "../fixtures/installed.ts"
import {
  EXIT_CODE,
  FIRST_SIZE,
  LAST_SIZE,
  PASSWORD,
  type RecordedSession,
  recordSession,
  VIM_TEXT
} from "../fixtures/recordedSessions.ts"
import { jsonLines, playerScreens } from "./recordings.ts"

const FORMATS = ["asciicast", "asciicast3", "ttyrec"] as const
const FOLDERS = ["asciicast-segmented", "script"] as const
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

describe.skipIf(!isInstalled("vim"))("a real session in recordings", { timeout: 240_000 }, () => {
  let folder = ""
  let recorded: RecordedSession
  const losses = new Map<string, ExportLosses>()
  const file = (name: string) => join(folder, name)
  const outputs = () =>
    recorded.entries.flatMap(({ event }) =>
      event._tag === "OutputReceived" && event.channel === "tty" ? [event.data] : []
    )

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "reprise-readers-"))
    recorded = await recordSession()
    const { history, id } = recorded
    const write = Effect.gen(function* () {
      for (const name of FORMATS) {
        losses.set(name, new ExportLosses())
        yield* writeExport(file(name), exportSession(id, exportFormat(name)!, { losses: losses.get(name) }))
      }
      for (const name of FOLDERS) yield* writeExportFolder(file(name), exportFolder(id, folderFormat(name)!))
    })
    await Effect.runPromise(write.pipe(Effect.provide(history)))
  }, 240_000)

  afterAll(async () => {
    await recorded?.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  /** What a terminal of this size shows that was given all of it. */
  const shown = (bytes: Uint8Array, size: TerminalSize) => {
    const screen = new Screen(size)
    screen.feed(bytes)
    const { alternate, cursor, lines } = screen.view()
    screen.dispose()
    return { alternate, cursor, lines }
  }
  /** Our own: every size when it came. */
  const replayed = (outputBytesMax = Number.POSITIVE_INFINITY) => {
    const screen = new Screen(FIRST_SIZE)
    let bytes = 0
    for (const { event } of recorded.entries) {
      if (bytes >= outputBytesMax) break
      if (event._tag === "Resized") screen.resize(event.size)
      if (event._tag !== "OutputReceived" || event.channel !== "tty") continue
      bytes += event.data.length
      screen.feed(event.data)
    }
    const view = screen.view()
    screen.dispose()
    return view
  }
  const assertSame = (read: Uint8Array) => {
    const own = Buffer.concat(outputs())
    assert.isTrue(Buffer.compare(Buffer.from(read), own) === 0, `${read.length} bytes instead of ${own.length}`)
    assert.deepStrictEqual(shown(read, LAST_SIZE), shown(own, LAST_SIZE))
  }
  const run = (program: string, args: ReadonlyArray<string>) =>
    execFileSync(program, args, {
      maxBuffer: OUTPUT_BYTES_MAX,
      env: { ...process.env, LC_ALL: "C.UTF-8", HOME: folder },
      stdio: ["ignore", "pipe", "pipe"]
    })

  it("has what was to be recorded, and no password in any file", () => {
    const tags = new Set(recorded.entries.map(({ event }) => event._tag))
    for (const tag of ["Resized", "InputHidden", "SessionInterrupted", "SessionResumed", "SessionClosed"] as const) {
      assert.isTrue(tags.has(tag), tag)
    }
    assert.isAbove(Buffer.concat(outputs()).length, 9_000_000)
    const paths = [
      ...FORMATS.map(file),
      ...FOLDERS.flatMap((name) => readdirSync(file(name)).map((one) => join(file(name), one)))
    ]
    for (const path of paths) {
      assert.isFalse(readFileSync(path).includes(PASSWORD), path)
      assert.strictEqual(statSync(path).mode & 0o777, 0o600, path)
    }
    for (const name of FOLDERS) assert.strictEqual(statSync(file(name)).mode & 0o777, 0o700)
    assert.deepStrictEqual(
      losses
        .get("asciicast")!
        .report()
        .map(({ loss }) => loss),
      ["inputBytes"]
    )
    assert.isTrue(replayed(recorded.vim.bytes).alternate)
  })

  describe.skipIf(!isInstalled("asciinema"))("asciinema 2.2.0", () => {
    it("plays version 2 to the same bytes and the same screen", () => {
      assertSame(run("asciinema", ["play", "--speed", "1000000", "--idle-time-limit", "0.001", file("asciicast")]))
    })

    it("10.1 (12): refuses version 3, so that version 2 is what export writes", () => {
      const { status, stderr } = spawnSync("asciinema", ["play", file("asciicast3")], {
        env: { ...process.env, HOME: folder }
      })
      assert.notStrictEqual(status, 0)
      assert.match(stderr.toString(), /only asciicast v1 and v2 formats can be opened/)
    })
  })

  it("10.1 (12): export without --format writes version 2", async () => {
    const { code, stdout } = await recorded.cli.run(["export", "recorded", "--out", "-"])
    assert.strictEqual(code, 0)
    assert.isTrue(stdout.equals(readFileSync(file("asciicast"))))
  })

  it.skipIf(!isInstalled("ttyplay"))("ttyplay shows the same bytes, behind the size", () => {
    const read = run("ttyplay", ["-n", file("ttyrec")])
    const size = /^\u001b\[8;24;80t/.exec(read.subarray(0, 20).toString())
    assert.isNotNull(size)
    assertSame(Buffer.from(read.toString("latin1").replaceAll(/\u001b\[8;\d+;\d+t/g, ""), "latin1"))
  })

  it.skipIf(!isInstalled("scriptreplay"))("scriptreplay shows the same bytes, and knows the end", () => {
    const [timing, output] = ["timing", "typescript"].map((name) => join(file("script"), name)) as [string, string]
    const read = run("scriptreplay", ["--maxdelay", "0", "-T", timing, "-O", output])
    // It ends what it shows with a line feed of its own.
    assertSame(read.at(-1) === 10 ? read.subarray(0, -1) : read)
    const summary = run("scriptreplay", ["--summary", "-T", timing, "-O", output]).toString()
    assert.match(summary, new RegExp(`EXIT_CODE:\\s*${EXIT_CODE}`))
    assert.match(summary, /COLUMNS:\s*80/)
  })

  describe("asciinema-player", () => {
    const seconds = () => (recorded.vim.timeMicros - recorded.entries[0]!.timeMicros) / 1e6 + 1e-6
    const sources = {
      "version 2": () => ({ files: { f: readFileSync(file("asciicast")) }, urls: "f" }),
      "version 3": () => ({ files: { f: readFileSync(file("asciicast3")) }, urls: "f" }),
      "10.1 (14): segments": () => ({
        files: Object.fromEntries(
          readdirSync(file("asciicast-segmented")).map((name) => [
            name,
            readFileSync(join(file("asciicast-segmented"), name))
          ])
        ),
        urls: "index.json",
        format: "segmented"
      })
    }
    for (const [name, source] of Object.entries(sources)) {
      it(`${name}: shows the same screen in vim and at the end, there and back`, async () => {
        // Version 3 has whole milliseconds.
        const [end, vim] = await playerScreens(source(), ["end", seconds() + 0.001])
        assert.deepStrictEqual(end!.size, LAST_SIZE)
        assert.deepStrictEqual(end!.lines, replayed().lines)
        assert.deepStrictEqual(vim!.size, LAST_SIZE)
        assert.deepStrictEqual(vim!.lines, replayed(recorded.vim.bytes).lines)
        assert.include(vim!.lines.join("\n"), VIM_TEXT)
      })
    }

    it("10.1 (14): segments are many, begin with a screen, and a broken one is refused", async () => {
      const index = JSON.parse(readFileSync(join(file("asciicast-segmented"), "index.json"), "utf8"))
      assert.isAbove(index.segments.length, 5)
      const at = Math.floor(index.segments.length / 2)
      const read = (name: string) => readFileSync(join(file("asciicast-segmented"), name))
      const files = { ...sources["10.1 (14): segments"]().files }
      // The player loads only what it shows: the others need not even be there.
      const few = { "index.json": read("index.json"), [index.segments[at].url]: read(index.segments[at].url) }
      const half = {
        files: few,
        urls: "index.json",
        format: "segmented",
        options: { startAt: index.segments[at].start }
      }
      const [screen] = await playerScreens(half, [index.segments[at].start])
      assert.isAbove(screen!.lines.filter((line) => /^\d+$/.test(line)).length, 20)
      const first = JSON.parse(files["segment-0.json"]!.toString())
      const broken = (changed: object) => ({
        files: { ...files, "segment-0.json": JSON.stringify({ ...first, ...changed }) },
        urls: "index.json",
        format: "segmented"
      })
      const failed = async (source: Parameters<typeof playerScreens>[0]) =>
        playerScreens(source, [0]).then(
          () => assert.fail("it was taken"),
          (error: Error) => error.message
        )
      assert.match(await failed(broken({ snapshot: undefined })), /snapshot/)
      const short = { ...index, segments: [index.segments[0]], duration: index.duration + 1 }
      assert.match(
        await failed({
          files: { ...files, "index.json": JSON.stringify(short) },
          urls: "index.json",
          format: "segmented"
        }),
        /duration/
      )
    })

    it.each([
      ["ttyrec", () => ({ files: { f: readFileSync(file("ttyrec")) }, urls: "f", parser: "ttyrec" })],
      [
        "typescript",
        () => ({
          files: {
            timing: readFileSync(join(file("script"), "timing")),
            typescript: readFileSync(join(file("script"), "typescript"))
          },
          urls: ["timing", "typescript"],
          parser: "typescript"
        })
      ]
    ] as const)("%s: shows the same lines at the end", async (_, source) => {
      const [end] = await playerScreens(source(), ["end"])
      const lines = (all: ReadonlyArray<string>) => all.filter((line) => line !== "").slice(-20)
      assert.deepStrictEqual(lines(end!.lines), lines(replayed().lines))
    })
  })

  it("10.1 (9): the exit code is in the files that have a place for it", () => {
    assert.deepStrictEqual((jsonLines(readFileSync(file("asciicast3"))).at(-1) as Array<unknown>).slice(1), [
      "x",
      String(EXIT_CODE)
    ])
    assert.deepStrictEqual((jsonLines(readFileSync(file("asciicast"))).at(-1) as Array<unknown>).slice(1), [
      "m",
      `exited with ${EXIT_CODE}`
    ])
  })

  it("comes back from asciicast as a session with the same screen", async () => {
    const store = file("imported")
    const options = { dryRun: false, importer: "me", nowMicros: Date.now() * 1000 }
    const { session } = await importRecording(storePaths(store), file("asciicast3"), options)
    const { layer } = await import("../../cli/LocalStore.ts")
    const snapshot = await Effect.runPromise(
      // On a busy machine one look does not draw all of it; the next goes on there.
      History.use((history) =>
        Effect.repeat(history.stateAt(session, { _tag: "Head" }), { until: ({ screen }) => screen.status !== "behind" })
      ).pipe(Effect.provide(layer(storePaths(store))))
    )
    assert.deepStrictEqual(snapshot.screen.lines, replayed().lines)
    assert.deepInclude(snapshot.view, { status: "exited", exitCode: EXIT_CODE })
  })
})
