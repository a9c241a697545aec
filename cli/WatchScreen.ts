/**
 * `reprise watch` on a terminal: the table of all sessions, drawn in place until the person quits. It asks the engine and
 * changes nothing; without an engine it shows what the store knows and waits for one.
 */
import { Clock, Effect, Queue, Stream } from "effect"
import { History } from "../src/session/History.ts"
import { Lifecycle, type LiveEntry } from "../src/session/Lifecycle.ts"
import type { SessionView } from "../src/session/SessionView.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { Caller, type OutputClosed } from "./Caller.ts"
import { withRunningEngine } from "./EngineWait.ts"
import { ExitCode } from "./ExitCode.ts"
import { Ending, signalNumber } from "./Outcome.ts"
import { reading } from "./Store.ts"
import { inOrder, linesForSessions, type WatchedSession, watchLines } from "./WatchTable.ts"

/** Without news, so that times and usage go on. */
const REFRESH_MILLIS = 1000
/** Between two frames, whatever happens: five a second. */
const FRAME_MILLIS = 200
/** Sessions whose usage is asked for at a time. */
const USAGE_CONCURRENCY = 8
/** A store without an engine, of which more than this is not read for a table. */
const STORED_SESSIONS_MAX = 100
/** The person's own screen is put aside; no cursor, and no line that wraps. */
const OPEN = "\x1b[?1049h\x1b[?25l\x1b[?7l"
const CLOSE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
const FALLBACK_SIZE = { cols: 80, rows: 24 }
const CONTROL_C = 0x03

export const watchScreen = Effect.fnUntraced(function* (paths: StorePaths) {
  const caller = yield* Caller
  const signals = yield* caller.signals(["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
  const changes = yield* Queue.sliding<void>(1)
  if (caller.inputIsTerminal) yield* caller.rawMode(() => CLOSE)
  else yield* Effect.addFinalizer(() => Effect.ignore(caller.write(CLOSE)))
  yield* caller.write(OPEN)
  const draw = yield* makePainter

  const watching = withRunningEngine(paths, {
    whileAbsent: storedSessions(paths).pipe(Effect.flatMap((sessions) => draw(sessions, "no engine runs"))),
    use: showLive(draw, changes)
  })
  const quit = caller.input.pipe(
    Stream.takeUntil((keys) => keys.includes(CONTROL_C) || keys.some((key) => key === 0x71 || key === 0x51)),
    Stream.runDrain
  )
  const interrupted = Queue.take(signals).pipe(
    Effect.flatMap((name) => Effect.fail(new Ending({ exitCode: ExitCode.signalBase + signalNumber(name), note: "" })))
  )
  const resized = Stream.runForEach(caller.resizes, () => Queue.offer(changes, undefined))
  yield* watching.pipe(
    Effect.raceFirst(caller.inputIsTerminal ? quit : Effect.never),
    Effect.raceFirst(interrupted),
    Effect.raceFirst(Effect.andThen(resized, Effect.never))
  )
})

type Draw = (sessions: ReadonlyArray<WatchedSession>, note: string) => Effect.Effect<void, OutputClosed>

/** Writes a frame in one piece over the last one, and only when it differs. */
const makePainter = Effect.gen(function* () {
  const caller = yield* Caller
  let last = ""
  const draw: Draw = (sessions, note) =>
    Effect.gen(function* () {
      const size = (yield* caller.terminalSize) ?? FALLBACK_SIZE
      const now = (yield* Clock.currentTimeMillis) * 1000
      const lines = watchLines({ sessions, note, now, size })
      const frame = `\x1b[?2026h\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J\x1b[?2026l`
      if (frame === last) return
      last = frame
      yield* caller.write(frame)
    })
  return draw
})

const showLive = (draw: Draw, changes: Queue.Queue<void>) =>
  Effect.gen(function* () {
    const caller = yield* Caller
    const lifecycle = yield* Lifecycle
    // Only tells when to look: what is shown is asked for.
    yield* lifecycle.feed().pipe(
      Stream.runForEach(() => Queue.offer(changes, undefined)),
      Effect.ignore,
      Effect.forkScoped
    )
    while (true) {
      const entries = inOrder(yield* lifecycle.live)
      const size = (yield* caller.terminalSize) ?? FALLBACK_SIZE
      const shown = linesForSessions(size.rows)
      const sessions = yield* Effect.forEach(
        entries,
        (entry, index): Effect.Effect<WatchedSession> =>
          index >= shown || entry.endedAt !== null
            ? Effect.succeed({ entry, usage: undefined })
            : Effect.map(Effect.option(lifecycle.usage(entry.id)), (usage) => ({
                entry,
                usage: usage._tag === "Some" ? usage.value : undefined
              })),
        { concurrency: USAGE_CONCURRENCY }
      )
      yield* draw(sessions, "")
      yield* Effect.sleep(FRAME_MILLIS)
      yield* Effect.raceFirst(Queue.take(changes), Effect.sleep(REFRESH_MILLIS - FRAME_MILLIS))
    }
  })

/** Those that were live when the last engine ended; most of them are still. */
const storedSessions = (paths: StorePaths) =>
  History.use((history) => history.list).pipe(
    Effect.provide(reading(paths)),
    Effect.map((views) =>
      views
        .filter((view) => view.status === "running" || view.terminalOpen)
        .slice(0, STORED_SESSIONS_MAX)
        .map((view): WatchedSession => ({ entry: entryOf(view), usage: undefined }))
    )
  )

const entryOf = (view: SessionView): LiveEntry => ({ ...view, group: null, clients: [], activeAt: view.lastEventAt })
