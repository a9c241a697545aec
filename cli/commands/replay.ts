/** `reprise replay`: shows a session again with keys to move in it, or prints exactly what it printed, at once or at its own pace. */
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { JournalEntry, OutputChannel, SessionId } from "../../journal/Event.ts"
import { collectRarely } from "../../src/remote/HeapGrowth.ts"
import { SessionOutput } from "../../src/remote/SessionOutput.ts"
import { History } from "../../src/session/History.ts"
import { describeMissing, outputItems } from "../../src/session/OutputItem.ts"
import type { HistoryPoint, SessionView } from "../../src/session/SessionView.ts"
import { Caller, type CallerShape, type OutputClosed } from "../Caller.ts"
import { escapeText } from "../Escape.ts"
import { makePace, type Pace } from "../Pace.ts"
import { pointFlag, toPoint } from "../Point.ts"
import { makeReplayFilter } from "../ReplayFilter.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { reading } from "../Store.ts"
import { makeTerminalModes, type TerminalModes } from "../TerminalModes.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "replay"
/** Waiting for less than this costs more than it shows. */
const DELAY_MILLIS_MIN = 2

export const replay = Command.make(
  COMMAND,
  {
    session: sessionArgument,
    speed: Flag.String("speed").pipe(
      Flag.withMetavar("N|max"),
      Flag.withDescription("Times as fast as it happened (default: 1 on a terminal, max otherwise)"),
      Flag.optional
    ),
    idleLimit: Flag.Finite("idle-limit").pipe(
      Flag.withMetavar("SECONDS"),
      Flag.withDescription("Longest pause, before --speed is applied"),
      Flag.optional
    ),
    from: pointFlag("from", "Begin here"),
    until: pointFlag("until", "End here").pipe(Flag.withAlias("to")),
    at: pointFlag("at", "Go there first; without keys, only print the screen of this moment"),
    paused: Flag.Boolean("paused").pipe(Flag.withDefault(false), Flag.withDescription("On a terminal, begin paused")),
    follow: Flag.Boolean("follow").pipe(
      Flag.withDefault(false),
      Flag.withAlias("f"),
      Flag.withDescription("On a terminal, go on with what a live session prints")
    ),
    interactive: Flag.Boolean("interactive").pipe(
      Flag.withDescription("Take keys (default: when standard input and output are a terminal and --speed is not max)"),
      Flag.optional
    )
  },
  Effect.fn("cli.replay")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const speed = yield* chosenSpeed(flags.speed, caller.outputIsTerminal)
    const idleLimit = Option.getOrElse(flags.idleLimit, () => Number.POSITIVE_INFINITY)
    if (!(idleLimit >= 0))
      return yield* new Usage({ reason: "--idle-limit: not a number of seconds", command: COMMAND })

    const isInteractive = Option.getOrElse(flags.interactive, () => caller.isInteractive && speed !== "max")
    if (isInteractive && !caller.isInteractive) {
      return yield* new Usage({ reason: "--interactive: standard input and output are no terminal", command: COMMAND })
    }
    if (!isInteractive && (flags.paused || flags.follow)) {
      const reason = `--${flags.paused ? "paused" : "follow"}: only where keys are taken, on a terminal`
      return yield* new Usage({ reason, command: COMMAND })
    }
    if (isInteractive) {
      const { replayTerminal } = yield* Effect.promise(() => import("../ReplayTerminal.ts"))
      return yield* Effect.scoped(
        replayTerminal(paths, {
          ...flags,
          speed: speed === "max" ? Number.POSITIVE_INFINITY : speed,
          idleSeconds: Option.getOrUndefined(flags.idleLimit)
        })
      )
    }

    const modes = makeTerminalModes()
    const print = caller.outputIsTerminal ? terminalPrint(caller, modes) : (data: Uint8Array) => caller.write(data)
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      const view = yield* History.use((history) => history.get(session))
      if (Option.isSome(flags.at)) {
        const history = yield* History
        const point = yield* toPoint(flags.at.value, history, view, { name: "at", command: COMMAND })
        return yield* Effect.scoped(printScreen(session, point, print))
      }
      const range = yield* toRange(flags.from, flags.until, view)
      const isShell = view.kind === "exec"
      if (!isShell && speed === "max" && range.isBySequence) return yield* printAll(session, range, print)
      const printError = errorPrint(caller)
      const put: Put = (data, channel) => (channel === "stderr" ? printError(data) : print(data))
      return yield* printTimed(session, range, { speed, idleLimitMicros: idleLimit * 1e6 }, { isShell, put })
    }).pipe(
      Effect.ensuring(
        caller.outputIsTerminal ? Effect.suspend(() => Effect.ignore(caller.write(modes.reset()))) : Effect.void
      ),
      Effect.provide(reading(paths, { what: "replay" }))
    )
  })
).pipe(
  Command.withDescription(
    "On a terminal: watch a session at the pace at which it happened, and move in it with keys (`?` shows them) by events, " +
      "changes, times, markers, commands and texts, forward and backward. In a pipe: print exactly the bytes that it " +
      "printed, at once; the same on a terminal with --no-interactive or --speed max, without what the terminal would " +
      "answer or act on. A session that is still running is shown up to now, or further with --follow."
  ),
  Command.withShortDescription("Watch a session again, or print what it printed"),
  Command.withExamples([
    { command: "reprise replay last --speed 4 --idle-limit 1", description: "Watch it, four times as fast" },
    { command: "reprise replay last --at text:error --paused", description: "Where this was first printed" },
    { command: "reprise replay build > build.log", description: "The exact bytes" },
    { command: "reprise replay build --from +10s --until +20s --speed max", description: "Ten seconds of it" }
  ])
)

/** The screen of a moment as bytes that draw it. A place that is none in the session is refused as `inspect` does. */
const printScreen = Effect.fnUntraced(function* (session: SessionId, point: HistoryPoint, print: Print) {
  const history = yield* History
  const caller = yield* Caller
  const { view } = yield* history.stateAt(session, point)
  const screen =
    view.kind === "exec"
      ? yield* (yield* Effect.promise(() => import("../ShellScreen.ts"))).shellRedraw(history, view)
      : yield* history.redraw(session, { _tag: "Sequence", sequence: view.sequence })
  yield* print(screen.data)
  if (screen.reason === null) return
  const what = screen.sequence === 0 ? "nothing can be drawn" : `this is the screen of event ${screen.sequence}`
  yield* caller.writeError(`reprise: ${what}: ${escapeText(screen.reason)}\n`)
})

type Speed = number | "max"

const chosenSpeed = (speed: Option.Option<string>, isTerminal: boolean): Effect.Effect<Speed, Usage> => {
  if (Option.isNone(speed)) return Effect.succeed(isTerminal ? 1 : "max")
  if (speed.value === "max") return Effect.succeed("max" as const)
  const number = Number(speed.value)
  return Number.isFinite(number) && number > 0
    ? Effect.succeed(number)
    : Effect.fail(new Usage({ reason: `--speed: "${speed.value}" is not a number above 0 or max`, command: COMMAND }))
}

interface Range {
  readonly after: number
  readonly until: number
  readonly fromMicros: number
  readonly untilMicros: number
  /** No event has to be looked at to know whether it belongs to the range. */
  readonly isBySequence: boolean
}

const toRange = Effect.fnUntraced(function* (
  from: Option.Option<string>,
  until: Option.Option<string>,
  view: SessionView
) {
  const history = yield* History
  const flag = (name: string) => ({ name, command: COMMAND })
  const begin = Option.isSome(from) ? yield* toPoint(from.value, history, view, flag("from")) : undefined
  const end = Option.isSome(until) ? yield* toPoint(until.value, history, view, flag("until")) : undefined
  const range: Range = {
    after: begin?._tag === "Sequence" ? Math.max(0, begin.sequence - 1) : 0,
    until: end?._tag === "Sequence" ? Math.min(end.sequence, view.sequence) : view.sequence,
    fromMicros: begin?._tag === "Time" ? begin.timeMicros : Number.NEGATIVE_INFINITY,
    untilMicros: end?._tag === "Time" ? end.timeMicros : Number.POSITIVE_INFINITY,
    isBySequence: begin?._tag !== "Time" && end?._tag !== "Time"
  }
  return range
})

type Print = (data: Uint8Array) => Effect.Effect<void, OutputClosed>
type Put = (data: Uint8Array, channel: OutputChannel) => Effect.Effect<void, OutputClosed>

/** A terminal would answer what it is asked, into the caller's shell, and fill its clipboard: in a pipe bytes are exact. */
const terminalPrint = (caller: CallerShape, modes: TerminalModes): Print => {
  const filter = makeReplayFilter()
  return (data) => {
    const shown = filter.feed(data)
    modes.watch(shown)
    return caller.write(shown)
  }
}

/** What commands print on their standard error, on this one's. */
const errorPrint = (caller: CallerShape): Print => {
  if (!caller.errorIsTerminal) return caller.writeError
  const filter = makeReplayFilter()
  return (data) => caller.writeError(filter.feed(data))
}

const printAll = Effect.fnUntraced(function* (session: SessionId, range: Range, print: Print) {
  collectRarely()
  const output = yield* SessionOutput
  yield* output.stream(session, { after: range.after, until: range.until, live: false }).pipe(
    Stream.runForEach((item) => {
      if (item._tag === "Output") return print(item.data)
      return item._tag === "Missing" ? tellMissing(item) : Effect.void
    })
  )
})

const tellMissing = (gap: Parameters<typeof describeMissing>[0]) =>
  Caller.use((caller) => caller.writeError(`reprise: ${escapeText(describeMissing(gap))}\n`))

/**
 * By the times in the journal. They are labels: when the clock was set back, the next event follows at once. Of a shell
 * for commands also what these printed, on streams of their own.
 */
const printTimed = Effect.fnUntraced(function* (
  session: SessionId,
  range: Range,
  pace: Pace,
  { isShell, put }: { readonly isShell: boolean; readonly put: Put }
) {
  const history = yield* History
  const delay = makePace(pace, DELAY_MILLIS_MIN)
  const printAt = ({ timeMicros }: JournalEntry, data: Uint8Array, channel: OutputChannel) => {
    const millis = delay(timeMicros)
    return millis === 0 ? put(data, channel) : Effect.andThen(Effect.sleep(millis), put(data, channel))
  }
  const print = (entry: JournalEntry) => {
    const { event } = entry
    if (isShell && event._tag === "OutputReceived") return printAt(entry, event.data, event.channel)
    return Effect.forEach(
      outputItems([entry]),
      (item) => {
        if (item._tag === "Missing") return tellMissing(item)
        return item._tag === "Output" ? printAt(entry, item.data, "tty") : Effect.void
      },
      { discard: true }
    )
  }

  yield* history.events(session, { after: range.after, until: range.until }).pipe(
    Stream.takeWhile((entry) => entry.timeMicros <= range.untilMicros),
    Stream.filter((entry) => entry.timeMicros >= range.fromMicros),
    Stream.runForEach(print)
  )
})
