/**
 * `reprise replay` on a terminal of a shell for commands: what its commands printed, at every place what the asciicast export
 * of the session up to there draws. No engine runs here. The bounds of its memory and of its way back are in
 * ReplayHead.test.ts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SessionEvent } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { Screen } from "../../projections/Screen.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { stdout } from "../export/sources.ts"
import { isInstalled } from "../fixtures/installed.ts"
import { commandFinished, commandStarted, created, output, shellRestarted } from "../projections/events.ts"
import { castScreen } from "./castScreens.ts"
import { makeTerminals } from "./terminals.ts"

const SIZE = { cols: 40, rows: 8 }
const BEGIN_MICROS = Date.parse("2026-03-01T12:00:00Z") * 1000
const SECOND = 1_000_000

/** One a second. */
const EVENTS: ReadonlyArray<SessionEvent> = [
  created({ size: SIZE, name: "sh", kind: "exec", argv: ["bash"] }),
  commandStarted(1, "printf 'a\\nb'"),
  stdout(1, "a\nb"),
  stdout(1, "wrong\n", "stderr"),
  commandFinished(1),
  commandStarted(2, "make \\\n  all"),
  stdout(2, Buffer.from("\x1b[31mfirst\x1b[m\n日\xe6", "utf8").subarray(0, -2)),
  stdout(2, Buffer.from([0xe6, 0x9c])),
  // Between the bytes of a character of another stream.
  stdout(2, "between\n", "stderr"),
  stdout(2, Buffer.concat([Buffer.from([0xac]), Buffer.from(" tail\n")])),
  { _tag: "MarkerSet", label: "here" },
  commandFinished(2, { exitCode: 2 }),
  { _tag: "Resized", size: { cols: 60, rows: 10 } },
  commandStarted(3, "cat binary"),
  stdout(3, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))),
  stdout(3, "\x1b[?1049h\x1b[2;4r\x1b[?6h\x1b[c\x1b]2;evil\x07\x1b[Hfull\x05"),
  commandFinished(3, { status: "died", exitCode: null, signal: "SIGKILL" }),
  shellRestarted("died"),
  commandStarted(4, "reset"),
  stdout(4, "\x1bcneedle\n"),
  output("typed at its terminal\r\n"),
  stdout(4, Array.from({ length: 30 }, (_, line) => `line ${line}\n`).join("")),
  commandFinished(4),
  { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }
]

const record = (store: string) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const offsets = new Map<string, number>()
    const placed = EVENTS.map((event, index) => {
      const timeMicros = BEGIN_MICROS + index * SECOND
      if (event._tag !== "OutputReceived") return { event, actor: "engine", timeMicros }
      const stream = `${event.channel} ${event.exec}`
      const offset = offsets.get(stream) ?? 0
      offsets.set(stream, offset + event.data.length)
      return { event: { ...event, offset }, actor: "program", timeMicros }
    })
    yield* journal.append(newSessionId(), placed)
  }).pipe(Effect.provide(JournalLevel.layer({ location: storePaths(store).journal })), Effect.scoped)

describe.skipIf(!isInstalled("tmux"))("replay of a shell for commands", { timeout: 240_000 }, () => {
  it.live("every place, reached by any key, shows what the recording of it shows up to there", () =>
    Effect.gen(function* () {
      const { open, reprise } = yield* makeTerminals
      yield* record(reprise.store)
      const screens = yield* Effect.promise(() =>
        Promise.all(EVENTS.map((_, index) => castScreen(EVENTS.slice(0, index + 1))))
      )
      assert.deepStrictEqual(screens[4]!.slice(0, 4), ["$ printf 'a\\nb'", "a", "bwrong", ""])
      const pane = yield* open(110, 12)
      const status = (text: string) => pane.until((rows) => rows.at(-1)!.includes(text))
      const at = (sequence: number) =>
        pane.until(
          (rows) =>
            rows.at(-1)!.includes(` #${sequence}/${EVENTS.length} `) &&
            screens[sequence - 1]!.every(
              (row, index) => rows[index]!.slice(0, rows[index]!.lastIndexOf("│")).trimEnd() === row
            )
        )
      const press = (key: string, sequence: number) => Effect.andThen(pane.keys(key), at(sequence))
      const goTo = (place: string, sequence: number) => Effect.andThen(pane.line(`:${place}`), at(sequence))

      yield* pane.line("reprise replay sh --paused")
      yield* at(1)
      for (let sequence = 2; sequence <= EVENTS.length; sequence++) yield* press("j", sequence)
      for (let sequence = EVENTS.length - 1; sequence >= 14; sequence--) yield* press("k", sequence)
      // What is said beside the screen is what recordings say.
      yield* status("command 3: cat binary")
      yield* goTo("17", 17)
      yield* status("command 3 died, SIGKILL")
      yield* press("j", 18)
      yield* status("gap: the shell was started again (died)")
      // By changes: half of a character, a marker and an end show nothing.
      yield* goTo("7", 7)
      yield* press(".", 9)
      yield* press(".", 10)
      yield* press(".", 13)
      yield* status("command 2 completed, exit code 2")
      yield* press(",", 12)
      yield* press(",", 9)
      // Landmarks, texts and times.
      yield* press("}", 14)
      yield* press("{", 6)
      yield* press("]", 11)
      yield* press("G", 24)
      yield* press("[", 11)
      yield* goTo("command:4", 19)
      yield* goTo("text:a\\nb", 2)
      yield* goTo("text:typed at", 21)
      yield* goTo("0:09", 10)
      yield* goTo("+2.5", 12)
      yield* pane.keys("/")
      yield* pane.line("NEEDLE")
      yield* status("not found")
      yield* pane.keys("/")
      yield* pane.line("needle")
      yield* at(20)
      yield* pane.keys("G", "/")
      yield* pane.line("first")
      yield* status("not found")
      yield* press("N", 7)
      yield* press("g", 1)
      yield* press("5", 12)
      yield* press("Left", 7)
      // Of a window that is smaller, what is around the cursor.
      yield* pane.resize(50, 6)
      yield* status(" #7/")
      yield* pane.until((rows) => rows.some((row) => row.startsWith("first")))
      yield* pane.resize(110, 12)
      yield* at(7)
      yield* pane.keys("q")
      yield* pane.atPrompt

      // Played, from and to a place; and once, without keys.
      yield* pane.line("clear; reprise replay sh --speed 50 --from command:2 --to 0:16; echo le''ft=$?")
      yield* status("end")
      yield* at(17)
      yield* press("k", 16)
      yield* press("g", 6)
      yield* pane.keys("q")
      yield* pane.until("left=0")
      yield* pane.line("clear; reprise inspect sh --at 12")
      yield* pane.until((rows) => rows.some((row) => row.startsWith("│日between ")))
      // Without keys it is bytes that draw the same.
      for (const sequence of [1, 10, 16, EVENTS.length]) {
        const printed = yield* reprise.run(["replay", "sh", "--at", String(sequence)])
        const screen = new Screen(sequence < 13 ? SIZE : { cols: 60, rows: 10 })
        screen.feed(printed.stdout)
        assert.deepStrictEqual(screen.view().lines, screens[sequence - 1])
        screen.dispose()
      }
    })
  )
})
