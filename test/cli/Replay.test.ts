/**
 * `reprise replay` on a terminal: keys, the screens they lead to, and the terminal afterwards. The recording is written
 * into the store event by event, with times of its own, so no engine runs here.
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { isInstalled } from "../fixtures/installed.ts"
import { created, output } from "../projections/events.ts"
import { assertSane, makeTerminals } from "./terminals.ts"
import { type Pane, waitFor } from "./tmux.ts"

const SIZE = { cols: 40, rows: 8 }
const BEGIN_MICROS = Date.parse("2026-03-01T12:00:00Z") * 1000
const SECOND = 1_000_000
/** Questions, modes, a clipboard, a title and a margin that a terminal would keep. */
const HOSTILE =
  "\x1b[c\x1b[6n\x1b]52;c;aGk=\x07\x1b]2;evil\x07\x1b[?1000h\x1b[?1003h\x1b[?2004h\x1b[?1h\x1b=\x1b[2;4r\x1b[?6h\x1b[4h\x1b(0\x1b[?1049h\x05"

/** One a second. */
const EVENTS: ReadonlyArray<SessionEvent> = [
  created({ size: SIZE, name: "it" }),
  output("\x1b]133;A\x07$ \x1b]133;B\x07"),
  output("make\r\n\x1b]133;C\x07"),
  output("\x1b[31mfirst\x1b[m line\r\n"),
  { _tag: "MarkerSet", label: "here" },
  { _tag: "InputWritten", data: Buffer.from("x") },
  output("日本 e\u0301 \x1b[44msec"),
  output("ond\x1b[m\r\n\x1b]133;D;0\x07\x1b]133;A\x07$ \x1b]133;B\x07"),
  { _tag: "Resized", size: { cols: 100, rows: 30 } },
  output(`ls\r\n\x1b]133;C\x07\x1b[2J\x1b[30;95Hcorner`),
  { _tag: "Resized", size: SIZE },
  output(`${HOSTILE}\x1b[Hfull screen needle`),
  output("\x1b[3;3Hx"),
  { _tag: "MarkerSet", label: "there" },
  output("\x1b[?1049l\x1bc\r\nback\r\n\x1b]133;D;1\x07"),
  { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }
]

/** Writes a session, and gives its screens after each event as `inspect --at` has them. */
const record = (store: string, session: SessionId, events: ReadonlyArray<SessionEvent>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    let offset = 0
    const placed = events.map((event, index) => {
      const at = event._tag === "OutputReceived" ? { ...event, offset } : event
      if (event._tag === "OutputReceived") offset += event.data.length
      return { event: at, actor: "engine", timeMicros: BEGIN_MICROS + index * SECOND }
    })
    yield* journal.append(session, placed)
    const history = yield* History
    return yield* Effect.forEach(events, (_, index) =>
      Effect.map(history.stateAt(session, { _tag: "Sequence", sequence: index + 1 }), ({ screen }) => screen.lines)
    )
  }).pipe(
    Effect.provide(
      HistoryLive.layer.pipe(
        Layer.provideMerge(Layer.fresh(JournalLevel.layer({ location: storePaths(store).journal })))
      )
    ),
    Effect.scoped
  )

/** The process that runs in the pane's shell. */
const childOf = Effect.fnUntraced(function* (pane: Pane) {
  const shell = yield* pane.ask("#{pane_pid}")
  const children = yield* waitFor(
    Effect.sync(() => readFileSync(`/proc/${shell}/task/${shell}/children`, "utf8").trim().split(" ")),
    ([pid]) => Number(pid) > 0,
    "a child of the shell"
  )
  return Number(children[0])
})

describe.skipIf(!isInstalled("tmux"))("replay on a terminal", { timeout: 240_000 }, () => {
  it.live(
    "every key leads where it should, each place shows what inspect does, and every way out gives the terminal back",
    () =>
      Effect.gen(function* () {
        const { open, reprise } = yield* makeTerminals
        const screens = yield* record(reprise.store, newSessionId(), EVENTS)
        const pane = yield* open(90, 12)
        const title = yield* pane.ask("#{pane_title}")
        const status = (text: string | RegExp) =>
          pane.until((rows) => (typeof text === "string" ? rows.at(-1)!.includes(text) : text.test(rows.at(-1)!)))
        /** The place, and that it shows the screen of `inspect`. */
        const at = (sequence: number) => {
          const expected = screens[sequence - 1]!
          const isShown = (rows: ReadonlyArray<string>) =>
            expected.length > SIZE.rows ||
            expected.every((row, index) => rows[index]!.slice(0, rows[index]!.lastIndexOf("│")).trimEnd() === row)
          return pane.until((rows) => rows.at(-1)!.includes(` #${sequence}/${EVENTS.length} `) && isShown(rows))
        }
        const press = (key: string, sequence: number) => Effect.andThen(pane.keys(key), at(sequence))
        const goTo = (place: string, sequence: number) => Effect.andThen(pane.line(`:${place}`), at(sequence))

        yield* pane.line("reprise replay it --paused")
        yield* at(1)
        assert.strictEqual(yield* pane.ask("#{alternate_on}"), "1")
        // By events, and by changes: events that change nothing are passed.
        yield* press("j", 2)
        yield* press("Down", 3)
        yield* press(".", 4)
        yield* press(".", 7)
        yield* press(",", 6)
        yield* press(",", 3)
        yield* press("k", 2)
        // Places. A time between two events is that of the first.
        yield* goTo("12", 12)
        yield* goTo("0:03", 4)
        yield* goTo("+2.5", 6)
        yield* goTo("-1", 5)
        yield* goTo("100%", 16)
        yield* goTo("0:00:06", 7)
        yield* goTo("2026-03-01T12:00:11Z", 12)
        yield* goTo("command:2", 10)
        yield* goTo("marker:there", 14)
        yield* goTo("text:second", 8)
        yield* pane.keys(":")
        yield* pane.line("marker:nowhere")
        yield* status("no marker")
        yield* press("g", 1)
        yield* press("G", 16)
        yield* press("5", 8)
        yield* press("Left", 3)
        yield* press("Right", 8)
        // Landmarks and text.
        yield* press("]", 14)
        yield* press("[", 5)
        yield* press("}", 10)
        yield* press("{", 3)
        yield* pane.keys("/")
        yield* pane.line("NEEDLE")
        yield* status("not found")
        yield* pane.keys("/")
        yield* pane.line("needle")
        yield* at(12)
        yield* pane.keys("g", "/")
        yield* pane.line("first line")
        yield* at(4)
        yield* pane.keys("n")
        yield* status("not found")
        yield* pane.keys("G", "N")
        yield* at(4)
        // Of a window that is too small, and of one that was resized, what is around the cursor.
        yield* goTo("10", 10)
        yield* status("100x30 cut")
        yield* pane.until("corner")
        yield* pane.resize(110, 34)
        yield* pane.until((rows) => rows[29]!.slice(94).startsWith("corner│"))
        yield* pane.resize(90, 12)
        yield* status("100x30 cut")
        // Nothing of the program has reached the terminal.
        yield* goTo("13", 13)
        yield* pane.keys("s")
        yield* pane.until((rows) => rows.at(-1) === "")
        assert.strictEqual(
          yield* pane.ask(
            "#{mouse_any_flag} #{keypad_cursor_flag} #{origin_flag} #{insert_flag} #{scroll_region_upper}"
          ),
          "0 0 0 0 0"
        )
        assert.strictEqual(yield* pane.ask("#{pane_title}"), title)
        yield* pane.keys("s")
        // Help, speed and idle time.
        yield* pane.keys("?")
        yield* pane.until("next and previous marker")
        yield* pane.keys("x", "+")
        yield* status("2x")
        yield* pane.keys("-", "-")
        yield* status("1/2x")
        yield* pane.keys("i")
        yield* status("idle<2s")
        // ^Z and back.
        yield* pane.keys("C-z")
        yield* pane.until("Stopped")
        yield* pane.line("clear")
        yield* assertSane(pane)
        yield* pane.line("fg")
        yield* at(13)
        yield* pane.keys("q")
        yield* waitFor(pane.ask("#{alternate_on}"), (isOn) => isOn === "0", "the normal screen")
        yield* assertSane(pane)

        // Signals; an error in the middle; the end.
        for (const [signal, code] of [
          ["SIGTERM", 143],
          ["SIGHUP", 129],
          ["SIGINT", 130]
        ] as const) {
          yield* pane.line(`clear; reprise replay it --at 12 --paused; echo le''ft=$?`)
          yield* at(12)
          process.kill(yield* childOf(pane), signal)
          yield* pane.until(`left=${code}`)
          yield* assertSane(pane)
        }
        yield* pane.line(
          "clear; reprise replay it --at marker:no; echo le''ft=$?; reprise replay nobody; echo ri''ght=$?"
        )
        yield* pane.until((rows) => rows.some((row) => row === "left=64") && rows.some((row) => row === "right=66"))
        // It plays by itself, fast, to the end of a range, and begins again with a space.
        yield* pane.line("clear; reprise replay it --speed 50 --from command:1 --to 0:07; echo le''ft=$?")
        yield* status("end")
        yield* at(8)
        yield* press("k", 7)
        yield* press("g", 3)
        yield* pane.keys("C-c")
        yield* pane.until("left=0")
        yield* assertSane(pane)
        // Without keys it is what it always was.
        yield* pane.line("clear; reprise replay it --speed max --until 4; echo le''ft=$?")
        yield* pane.until("left=0")
        yield* pane.line("clear; reprise replay it --no-interactive --speed 100 --until 4; echo ri''ght=$?")
        yield* pane.until("right=0")
        assert.include((yield* pane.shown).join("\n"), "first line")
        yield* assertSane(pane)
      })
  )

  it.live("a session that lives is followed", () =>
    Effect.gen(function* () {
      const { open, reprise } = yield* makeTerminals
      yield* reprise.run([
        "run",
        "--detach",
        "--name",
        "live",
        "--",
        "sh",
        "-c",
        "echo begin; read line; echo got $line"
      ])
      const pane = yield* open(90, 10)
      yield* pane.line("reprise replay live --follow")
      yield* pane.until(/begin[\s\S]* live /)
      yield* reprise.run(["send", "live", "it", "--enter"])
      yield* pane.until(/got it[\s\S]* end /)
      yield* pane.keys("q")
      yield* pane.until((rows) => rows[0]!.startsWith("ready"))
    })
  )
})
