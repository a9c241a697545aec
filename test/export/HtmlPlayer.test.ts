/** What a browser makes of the player in an exported page: a real one, opened once, on pages from files. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { inflateRawSync } from "node:zlib"
import { Effect, Layer, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { exportFormat, exportSession } from "../../src/export/Export.ts"
import { boundedHtml } from "../../src/export/HtmlExport.ts"
import { PLAYER_KEYS } from "../../src/export/PlayerMarkup.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { type Browser, type BrowserPage, openBrowser } from "../fixtures/browser.ts"
import { isInstalled } from "../fixtures/installed.ts"
import {
  bytes,
  commandFinished,
  commandStarted,
  created,
  entriesOf,
  output,
  randomOutput,
  STREAM,
  seeded
} from "../projections/events.ts"

const SHELL = "01ARZ3NDEKTSV4RRFFQ69G5FAW" as SessionId
const EVIL = "<script>document.title='evil'</script><img src=x onerror=alert(1)>"

/** A terminal program's life: lines, colours, wide characters, another screen, new sizes, hostile bytes, a marker, a gap. */
const terminalEvents = (): ReadonlyArray<SessionEvent> => {
  const random = seeded(7)
  const events: Array<SessionEvent> = [created({ size: { cols: 70, rows: 12 }, name: EVIL })]
  let offset = 0
  const put = (data: Uint8Array) => {
    events.push(output(data, offset))
    offset += data.length
  }
  put(bytes("first light\r\n"))
  put(bytes(`${EVIL}\r\n\u001b]52;c;c2VjcmV0\u0007\u001b]8;;javascript:alert(1)\u0007link\u001b]8;;\u0007\r\n`))
  for (let round = 0; round < 24; round++) {
    put(bytes(`\u001b[3${round % 8};4${(round + 3) % 8}mround ${round}\u001b[0m 日本語 e\u0301 \u{1f600}\r\n`))
    put(randomOutput(random, 60))
    put(bytes(`\u001bc${`\u001b[38;5;${round * 9}mx${"word ".repeat(12)}\u001b[0m\r\n`.repeat(350)}`))
    if (round === 5) events.push({ _tag: "MarkerSet", label: `marker ${EVIL}` })
    if (round === 8) put(bytes("\u001b[?1049h\u001b[2J\u001b[5;10Hfull screen needle\u001b[7mx"))
    if (round === 9) events.push({ _tag: "Resized", size: { cols: 100, rows: 30 } })
    if (round === 12) put(bytes("\u001b[?1049lback again\r\n"))
    if (round === 15) events.push({ _tag: "Resized", size: { cols: 40, rows: 8 } })
    if (round === 18) events.push({ _tag: "GapDetected", what: "output", from: 1, to: 2, why: `lost ${EVIL}` })
  }
  put(bytes("\u001bc\u001b]133;A\u0007$ \u001b]133;B\u0007make it\r\n\u001b]133;C\u0007made\r\n"))
  put(bytes("\u001b]133;D;2\u0007the very end"))
  return events
}

const shellEvents: ReadonlyArray<SessionEvent> = [
  created({ kind: "exec", language: "bash", argv: ["bash"], size: { cols: 80, rows: 10 } }),
  commandStarted(1, "make\nmake test"),
  { _tag: "OutputReceived", channel: "stdout", exec: 1, offset: 0, data: bytes("built\nall\n") },
  commandFinished(1, { durationMicros: 2_345_000 }),
  commandStarted(2, `echo '${EVIL}'; false`),
  { _tag: "OutputReceived", channel: "stderr", exec: 2, offset: 0, data: bytes("went wrong") },
  commandFinished(2, { exitCode: 3 }),
  commandStarted(3, "sleep 9")
]

const layer = HistoryLive.layer.pipe(Layer.provideMerge(JournalMemory.layer))

const collected = <E, R>(stream: Stream.Stream<Uint8Array, E, R>) =>
  stream.pipe(
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat([...pieces]).toString())
  )

describe.skipIf(!isInstalled("chromium"))("the player of an HTML export (in Chromium)", { timeout: 120_000 }, () => {
  const events = terminalEvents()
  const folder = mkdtempSync(join(tmpdir(), "reprise-player-"))
  /** Text of the screen, by event, as `stateAt` gives it. */
  const expected = new Map<number, ReadonlyArray<string>>()
  const pages: Record<string, string> = {}
  let cutNote = ""
  let opening: Promise<Browser> | undefined
  let browser: Browser

  const write = (name: string, text: string) => {
    const file = join(folder, `${name}.html`)
    writeFileSync(file, text)
    pages[name] = pathToFileURL(file).href
  }

  beforeAll(async () => {
    opening = openBrowser()
    await Effect.gen(function* () {
      const journal = yield* Journal
      const history = yield* History
      yield* journal.append(STREAM, entriesOf(events))
      yield* journal.append(SHELL, entriesOf(shellEvents))
      const html = exportFormat("html")!
      write("terminal", yield* collected(exportSession(STREAM, html)))
      write("shell", yield* collected(exportSession(SHELL, html)))
      const view = yield* history.get(STREAM)
      const source = { view, events: history.events(STREAM), note: (text: string) => (cutNote = text) }
      write("cut", yield* collected(boundedHtml(source, 100_000)))
      for (const [index, { _tag }] of events.entries()) {
        if (index === 0 || (index % 9 !== 1 && _tag !== "Resized" && index !== events.length - 1)) continue
        const { screen } = yield* history.stateAt(STREAM, { _tag: "Sequence", sequence: index + 1 })
        assert.strictEqual(screen.status, "ok")
        expected.set(
          index + 1,
          screen.lines.map((line) => line.trimEnd())
        )
      }
      yield* journal.removal.remove(
        STREAM,
        {
          to: 20,
          reason: "asked",
          policy: `asked for ${EVIL}`,
          actor: "tester",
          timeMicros: 1_000_000_000,
          kept: [],
          rows: []
        },
        []
      )
      write("removed", yield* collected(exportSession(STREAM, html)))
    }).pipe(Effect.provide(layer), Effect.runPromise)
    browser = await opening
  })
  afterAll(async () => {
    await (await opening)?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const openPage = async (name: string, hash = ""): Promise<BrowserPage> => {
    const page = await browser.open(`${pages[name]}${hash}`)
    await page.until(`document.getElementById("screen").dataset.record !== undefined`)
    return page
  }
  const LINES = `Array.from(document.getElementById("screen").children, (row) => row.textContent.trimEnd())`
  const text = (page: BrowserPage, id: string) => page.evaluate<string>(`document.getElementById("${id}").textContent`)
  /** Drags the seek bar to the time of an event; each is a second after the one before. */
  const seekTo = async (page: BrowserPage, sequence: number) => {
    const seconds = sequence - 1
    await page.evaluate(
      `{ const seek = document.getElementById("seek"); seek.value = "${seconds * 1000}"; seek.dispatchEvent(new Event("input")) }`
    )
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}.0`
    await page.until(`document.getElementById("status").textContent.startsWith("${clock} of ")`)
  }
  const atEvent = (page: BrowserPage, sequence: number) =>
    page.until(`document.getElementById("status").textContent.includes(" event ${sequence} ")`)
  const click = (page: BrowserPage, id: string) => page.evaluate(`document.getElementById("${id}").click()`)
  const assertQuiet = async (page: BrowserPage, name: string) => {
    assert.deepStrictEqual(page.complaints, [])
    assert.deepStrictEqual(
      page.requests.map((url) => url.split("#")[0]),
      [pages[name]]
    )
    assert.strictEqual(await page.evaluate("document.title === 'evil'"), false)
    assert.strictEqual(await page.evaluate("document.querySelectorAll('img, iframe, object').length"), 0)
    assert.strictEqual(await page.evaluate("document.querySelectorAll('script').length"), 1)
  }

  it("shows at every moment what stateAt shows, forwards and backwards, and asks for nothing", async () => {
    const page = await openPage("terminal")
    const sequences = [...expected.keys()]
    const random = seeded(3)
    const order = [...sequences, ...sequences.toReversed(), ...sequences.toSorted(() => random() - 0.5)]
    for (const sequence of order) {
      await seekTo(page, sequence)
      assert.deepStrictEqual(await page.evaluate(LINES), expected.get(sequence), `event ${sequence}`)
    }
    await assertQuiet(page, "terminal")
    await page.close()
  })

  it("plays, pauses, steps and obeys its keys", async () => {
    const page = await openPage("terminal")
    await page.press("?")
    const help = await text(page, "keys")
    for (const [, what] of PLAYER_KEYS) assert.include(help, what)
    await page.press("Escape")
    await page.until(`!document.getElementById("keys").open`)
    await page.press("End")
    await atEvent(page, events.length)
    await page.press("Home")
    await atEvent(page, 0)
    await page.press(".")
    await atEvent(page, 2)
    await page.press(".")
    await atEvent(page, 3)
    await page.press(",")
    await atEvent(page, 2)
    await page.press("ArrowRight")
    await atEvent(page, 7)
    await page.press("ArrowLeft")
    await atEvent(page, 2)
    await page.press("}")
    await page.until(`document.querySelector("#marks [aria-current]")?.textContent.includes("marker: marker <script>")`)
    for (let step = 0; step < 5; step++) await page.press(">")
    assert.strictEqual(await page.evaluate(`document.getElementById("speed").value`), "64")
    await page.press("Home")
    await page.press(" ")
    await page.until(`document.getElementById("play").getAttribute("aria-label") === "Pause"`)
    // It reaches the end by itself and stops there.
    await atEvent(page, events.length)
    await page.until(`document.getElementById("play").getAttribute("aria-label") === "Play"`)
    assert.deepStrictEqual(await page.evaluate(LINES), expected.get(events.length))
    await page.press("5")
    await atEvent(page, Math.floor((events.length - 1) / 2) + 1)
    await page.press("t")
    await page.until(`document.getElementById("player").hidden && !document.getElementById("transcript").hidden`)
    assert.include(await text(page, "transcript"), "first light")
    await page.press("t")
    await page.press("d")
    assert.strictEqual(await page.evaluate("document.documentElement.dataset.theme"), "light")
    await assertQuiet(page, "terminal")
    await page.close()
  })

  it("finds text that was on the screen, and goes there", async () => {
    const page = await openPage("terminal")
    await page.press("/")
    for (const key of "screen NEEDLE") await page.press(key)
    await page.press("Enter")
    await page.until(`document.getElementById("hits").textContent === "1 found"`)
    const at = events.findIndex(
      (event) => event._tag === "OutputReceived" && Buffer.from(event.data).includes("needle")
    )
    await atEvent(page, at + 1)
    assert.strictEqual(
      await page.evaluate(`Array.from(document.querySelectorAll(".hit"), (hit) => hit.textContent).join("")`),
      "screen needle"
    )
    // What scrolled away within one piece of output is found too.
    await page.evaluate(`document.getElementById("find").value = "round 2"`)
    await click(page, "search-go")
    await page.until(`/^\\d+ found$/.test(document.getElementById("hits").textContent)`)
    assert.isAtLeast(Number.parseInt(await text(page, "hits"), 10), 4)
    await assertQuiet(page, "terminal")
    await page.close()
  })

  it("names gaps, markers and removed beginnings where they are, as text", async () => {
    const page = await openPage("terminal")
    assert.include(await text(page, "marks"), `marker: marker ${EVIL}`)
    assert.match(await text(page, "marks"), /make itexit code 21\.0 s/)
    assert.include(await text(page, "marks"), `gap: output 1 to 2 is missing: lost ${EVIL}`)
    const gap = events.findIndex(({ _tag }) => _tag === "GapDetected")
    await seekTo(page, gap + 1)
    await page.until(`!document.getElementById("gap").hidden`)
    assert.include(await text(page, "gap"), "output 1 to 2 is missing")
    await seekTo(page, gap + 5)
    assert.strictEqual(await page.evaluate(`document.getElementById("gap").hidden`), true)
    await page.close()

    const removed = await openPage("removed")
    assert.include(await text(removed, "marks"), `events 1 to 20 were removed (asked for ${EVIL})`)
    assert.include(await text(removed, "marks"), "what the screen showed then is not known")
    assert.include(await text(removed, "transcript"), `events 1 to 20 were removed (asked for ${EVIL})`)
    await removed.press("End")
    await atEvent(removed, events.length)
    assert.deepStrictEqual(await removed.evaluate(LINES), expected.get(events.length))
    await assertQuiet(removed, "removed")
    await removed.close()
  })

  it("says where a session that is too long for a page ends in it", async () => {
    assert.match(cutNote, /ends after event \d+ of \d+: .* 100000 bytes of output; --format transcript/)
    const page = await openPage("cut")
    assert.match(await text(page, "notices"), /this page ends after event \d+ of \d+/)
    const last = Number(/after event (\d+)/.exec(cutNote)![1])
    await page.press("End")
    await atEvent(page, last)
    await assertQuiet(page, "cut")
    await page.close()
  })

  it("lists a shell's commands with their outcomes and durations, and goes to them", async () => {
    const page = await openPage("shell", "#event=3")
    await atEvent(page, 3)
    assert.include(await text(page, "notices"), "a shell for commands")
    const listed = await page.evaluate<ReadonlyArray<string>>(
      `Array.from(document.querySelectorAll("#marks button"), (one) => Array.from(one.children, (part) => part.textContent).join("|"))`
    )
    assert.deepStrictEqual(listed, [
      "0:01.0|make\\nmake test|completed, exit code 0|2.3 s",
      `0:04.0|echo '${EVIL}'; false|completed, exit code 3|2 ms`,
      "0:07.0|sleep 9|how it ended is not known"
    ])
    await page.press("End")
    await atEvent(page, 8)
    assert.deepStrictEqual(
      (await page.evaluate<ReadonlyArray<string>>(LINES)).filter((line) => line !== ""),
      [
        "$ make",
        "  make test",
        "built",
        "all",
        `$ echo '${EVIL}'; false`.slice(0, 80),
        `$ echo '${EVIL}'; false`.slice(80),
        "went wrong",
        "$ sleep 9"
      ]
    )
    await page.press("[")
    await atEvent(page, 6)
    await page.press("[")
    await atEvent(page, 3)
    await page.press("]")
    await atEvent(page, 6)
    await page.evaluate(`document.querySelectorAll("#marks button")[1].click()`)
    await atEvent(page, 3)
    await assertQuiet(page, "shell")
    await page.close()
  })

  it("holds no more of the output than what draws: no clipboard, no link, and none of its own markup", async () => {
    const page = await openPage("terminal")
    const packed = await page.evaluate<ReadonlyArray<string>>(
      `Array.from(document.querySelectorAll("template.part"), (part) => part.content.textContent)`
    )
    assert.isAbove(packed.length, 4)
    const all = packed.map((part) => inflateRawSync(Buffer.from(part, "base64")).toString("latin1")).join("")
    assert.include(all, "full screen needle")
    assert.notMatch(all, /]52;|]8;|javascript:/)
    await page.close()
  })

  it("can be used without a mouse and by a screen reader: everything that can be pressed has a name", async () => {
    const page = await openPage("terminal")
    const nameless = await page.evaluate<ReadonlyArray<string>>(
      `Array.from(document.querySelectorAll("button, input, select, [role]:not([role=alert])"), (one) =>
        one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.getAttribute("aria-labelledby") || one.textContent.trim() ? "" : one.outerHTML
      ).filter((one) => one !== "")`
    )
    assert.deepStrictEqual(nameless, [])
    assert.strictEqual(
      await page.evaluate(`document.getElementById("seek").getAttribute("aria-valuetext").length > 5`),
      true
    )
    assert.strictEqual(
      await page.evaluate(`document.getElementById("screen").textContent.includes("first light")`),
      true
    )
    await page.close()
  })
})
