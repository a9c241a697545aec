/** What an attached terminal is written, for items in any order and a terminal and an engine that the test plays. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Caller } from "../../cli/Caller.ts"
import type { Display } from "../../cli/Follow.ts"
import { makeTerminalModes } from "../../cli/TerminalModes.ts"
import { makeTerminalView } from "../../cli/TerminalView.ts"
import type { TerminalSize } from "../../journal/Event.ts"
import type { AttachItem } from "../../src/session/Attach.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { fakeHistory, fakeSessions, SESSION, view } from "../remote/fakeEngine.ts"

const WINDOW = { cols: 80, rows: 24 }
const bytes = (text: string) => new Uint8Array(Buffer.from(text))

const attached = (size: TerminalSize, head = 5): AttachItem => ({
  _tag: "Attached",
  session: SESSION,
  client: "me",
  status: "running",
  size,
  head,
  readOnly: false
})
const screen = (data: string, sequence = 5): AttachItem => ({
  _tag: "Screen",
  data: bytes(data),
  size: WINDOW,
  sequence,
  reason: null
})
const complete = (sequence = 5): AttachItem => ({ _tag: "ReplayComplete", sequence })
const resized = (size: TerminalSize, sequence: number): AttachItem => ({ _tag: "Resized", size, sequence })
const output = (data: string, sequence: number, offset = 0): AttachItem & { readonly _tag: "Output" } => ({
  _tag: "Output",
  data: bytes(data),
  offset,
  sequence
})

interface Options {
  readonly readOnly?: boolean
  readonly after?: number
  /** What the engine says the session's output is. */
  readonly outputBytes?: number
  /** Of the engine's screen, for this window. */
  readonly picture?: () => string
}

const makeTerminal = Effect.fnUntraced(function* ({ after, outputBytes = 0, picture, readOnly = false }: Options = {}) {
  const written: Array<string> = []
  const resizes: Array<TerminalSize> = []
  const windows = yield* Queue.unbounded<TerminalSize>()
  const caller = Layer.succeed(
    Caller,
    Caller.of({
      env: {},
      cwd: "/",
      isInteractive: true,
      inputIsTerminal: true,
      outputIsTerminal: true,
      errorIsTerminal: true,
      terminalSize: Effect.succeed(WINDOW),
      resizes: Stream.fromQueue(windows),
      input: Stream.empty,
      write: (data) => Effect.sync(() => void written.push(Buffer.from(data).toString())),
      writeError: () => Effect.void,
      rawMode: () => Effect.void,
      suspend: Effect.void,
      signals: () => Queue.unbounded()
    })
  )
  const history = Layer.succeed(
    History,
    History.of(
      fakeHistory({
        get: () => Effect.succeed({ ...view, outputBytes }),
        redraw: (_session, _point, options) =>
          Effect.succeed({ data: bytes(picture?.() ?? ""), sequence: 1, size: options?.target ?? WINDOW, reason: null })
      })
    )
  )
  const sessions = Layer.succeed(
    Sessions,
    Sessions.of(
      fakeSessions({
        resize: (_session, size) => {
          resizes.push(size)
          return Effect.succeed(size)
        }
      })
    )
  )
  const made = yield* makeTerminalView(SESSION, {
    client: "me",
    readOnly,
    isNew: false,
    isShell: false,
    clipboard: false,
    after,
    modes: makeTerminalModes()
  }).pipe(Effect.provide(Layer.mergeAll(caller, history, sessions)))
  /** As a stream is shown: what the display does not take is written. */
  const show = Effect.fnUntraced(function* (display: Display, ...items: ReadonlyArray<AttachItem>) {
    for (const item of items) {
      if (yield* display.take!(item)) continue
      if (item._tag === "Output") {
        const skipped = Math.max(0, display.cursor.offset - item.offset)
        display.cursor.offset = Math.max(display.cursor.offset, item.offset + item.data.byteLength)
        yield* display.write(item.data.subarray(Math.min(skipped, item.data.byteLength)))
      }
    }
  })
  /** What was written since the last time. */
  const shown = () => written.splice(0).join("")
  return { made, show, shown, windows, resizes }
})

const LARGER = { cols: 100, rows: 30 }

describe("the view of an attached terminal", () => {
  it.effect("is the screen and then the program's bytes", () =>
    Effect.gen(function* () {
      const { made, show, shown } = yield* makeTerminal()
      yield* show(made.nextDisplay(), attached(WINDOW), screen("<screen>"), complete(), output("live\n", 6))
      assert.strictEqual(shown(), "<screen>live\n")
      assert.isTrue(made.isAtLineStart())
    })
  )

  it.effect("is pictures while another window decides the size, and the screen again when this one does", () =>
    Effect.gen(function* () {
      let count = 0
      const { made, show, shown } = yield* makeTerminal({ picture: () => `<picture ${++count}>` })
      yield* Effect.forkChild(made.drawPictures)
      const display = made.nextDisplay()
      yield* show(display, attached(WINDOW), screen("<screen>"), complete(), resized(LARGER, 6))
      assert.include(shown(), "<picture 1>")
      yield* show(display, output("far away", 7))
      yield* TestClock.adjust("1 second")
      const picture = shown()
      assert.include(picture, "<picture 2>")
      assert.notInclude(picture, "far away")
      const outdated = yield* Effect.forkChild(made.outdated)
      yield* show(display, resized(WINDOW, 8))
      yield* Fiber.join(outdated)
      const next = made.nextDisplay()
      assert.isTrue(display.isReplaced())
      yield* show(next, attached(WINDOW), screen("<screen again>", 8), complete(8), output("live", 9))
      // Of the stream that was replaced nothing is shown any more.
      yield* show(display, output("late", 9))
      assert.match(shown(), /<screen again>[^<]*live$/)
    })
  )

  it.effect("takes the window's size when it is typed into or changed, and not when it only watches", () =>
    Effect.gen(function* () {
      const { made, resizes, show, windows } = yield* makeTerminal({ picture: () => "<picture>" })
      yield* Effect.forkChild(made.followWindow)
      yield* show(made.nextDisplay(), attached(WINDOW), screen("<screen>"), complete())
      yield* made.beforeTyping
      assert.deepStrictEqual(resizes, [])
      yield* show(made.nextDisplay(), attached(LARGER), screen("<screen>"), complete())
      yield* made.beforeTyping
      yield* Queue.offer(windows, { cols: 90, rows: 20 })
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(resizes, [WINDOW, { cols: 90, rows: 20 }])

      const reader = yield* makeTerminal({ readOnly: true, picture: () => "<picture>" })
      yield* Effect.forkChild(reader.made.followWindow)
      yield* reader.show(reader.made.nextDisplay(), attached(LARGER), screen("<screen>"), complete())
      yield* reader.made.beforeTyping
      yield* Queue.offer(reader.windows, { cols: 90, rows: 20 })
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(reader.resizes, [])
    })
  )

  it.effect("jumps to the newest screen when the terminal is far behind", () =>
    Effect.gen(function* () {
      const { made, show, shown } = yield* makeTerminal({ outputBytes: 50_000_000 })
      yield* Effect.forkChild(made.watchLag)
      const display = made.nextDisplay()
      const outdated = yield* Effect.forkChild(made.outdated)
      yield* show(display, attached(WINDOW), screen("<screen>"), complete(), output("y".repeat(1000), 6))
      yield* TestClock.adjust("300 millis")
      yield* Fiber.join(outdated)
      shown()
      const next = made.nextDisplay()
      yield* show(next, attached(WINDOW, 900), screen("<newest>", 900), complete(900), output("live", 901, 49_999_000))
      assert.match(shown(), /<newest>[^<]*live$/)
    })
  )

  it.effect("goes on where it was when the jump leads no further", () =>
    Effect.gen(function* () {
      for (const stale of [screen("", 0), screen("<stale>", 3)]) {
        const { made, show, shown } = yield* makeTerminal({ outputBytes: 50_000_000 })
        yield* Effect.forkChild(made.watchLag)
        const outdated = yield* Effect.forkChild(made.outdated)
        yield* show(made.nextDisplay(), attached(WINDOW), screen("<screen>"), complete(), output("0123456789", 6, 100))
        yield* TestClock.adjust("300 millis")
        yield* Fiber.join(outdated)
        shown()
        const again = [output("0123456789", 6, 100), output("abc", 7, 110)]
        yield* show(made.nextDisplay(), attached(WINDOW, 6), stale, ...again)
        assert.strictEqual(shown(), "abc")
      }
    })
  )

  it.effect("leaves nothing out of what was asked for", () =>
    Effect.gen(function* () {
      const { made, show } = yield* makeTerminal({ outputBytes: 50_000_000, after: 0 })
      yield* Effect.forkChild(made.watchLag)
      const outdated = yield* Effect.forkChild(made.outdated)
      const display = made.nextDisplay()
      yield* show(display, attached(WINDOW, 900), output("old", 6))
      yield* TestClock.adjust("3 seconds")
      assert.isUndefined(outdated.pollUnsafe())
      yield* show(display, complete(900), output("new", 901, 3))
      yield* TestClock.adjust("3 seconds")
      assert.isDefined(outdated.pollUnsafe())
    })
  )

  it.effect("asks the terminal nothing for what was printed before, and all for what is printed now", () =>
    Effect.gen(function* () {
      const { made, show, shown } = yield* makeTerminal()
      const display = made.nextDisplay()
      yield* show(display, attached(WINDOW, 6), output("a\x1b[6nb\x1b]133;A\x07", 6), complete(6))
      yield* show(display, output("c\x1b[6n", 7, 14))
      assert.strictEqual(shown(), "ab\x1b]133;A;redraw=0\x07c\x1b[6n")
    })
  )
})
