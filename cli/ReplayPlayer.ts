/**
 * `reprise replay` on a terminal: plays a recording, and takes keys to move in it. It draws pictures of the recorded
 * screen on the terminal's alternate screen and passes nothing on that the recorded program wrote: no question, no mode,
 * no clipboard. The terminal is as it was before whichever way this ends, and while it is suspended. It only reads.
 *
 * Time here is that of the recording: the events' own times, in which a clock that was set back counts as no time. Order is
 * the sequence.
 */
import { Clock, Effect, Exit, Option, Queue, Scope, Stream } from "effect"
import type { JournalEntry, TerminalSize } from "../journal/Event.ts"
import type { ScreenError } from "../projections/ScreenService.ts"
import {
  Landmarks,
  landmarkFrom,
  pointOfPlace,
  type ReadError,
  sequenceAtTime,
  textFrom,
  timeOf
} from "../src/session/HistoryPlace.ts"
import type { InvalidRequest } from "../src/session/SessionError.ts"
import type { HistoryPoint, SessionView } from "../src/session/SessionView.ts"
import { Caller, type OutputClosed } from "./Caller.ts"
import { ExitCode } from "./ExitCode.ts"
import type { HistoryOnDemand } from "./HistoryOnDemand.ts"
import { Ending, signalNumber } from "./Outcome.ts"
import { parsePlace } from "./Place.ts"
import { type Frame, frameBytes, frameOf, pictureArea, type ReplayStatus } from "./ReplayFrame.ts"
import { makeReplayHead } from "./ReplayHead.ts"
import { actionOf, type Key, keysOf, type ReplayAction } from "./ReplayKeys.ts"

/** Between two frames: 30 a second are smooth, and a flood costs no more than they do. */
const FRAME_MILLIS = 33
/** While nothing happens in the recording the time goes on. */
const CLOCK_MILLIS = 250
const SPEED_MIN = 1 / 16
const SPEED_MAX = 1024
const IDLE_SECONDS = 2
/** A search that takes longer says so. */
const BUSY_MILLIS = 150
/** Looked through for the command that runs at a place that was jumped to; what is further away is not shown. */
const COMMAND_EVENTS = 256
/** An empty screen would look like a command that printed nothing. */
const NO_COMMAND_NOTE = "no command was run in this shell"
/** Keys that wait: a person's, and no more of a cat on the keyboard. */
const MESSAGES_MAX = 256
const PROMPT_CHARACTERS_MAX = 200
const MICROS_PER_SECOND = 1_000_000
/** Events of several threads of the engine may be that far out of order; a clock that is set moves further. */
const SET_BACK_MICROS = MICROS_PER_SECOND
const FALLBACK_SIZE: TerminalSize = { cols: 80, rows: 24 }
/** The person's own screen is put aside; no line wraps, so that a cell of another width moves nothing else. */
const OPEN = "\x1b[?1049h\x1b[?7l\x1b[?25l"
const CLOSE = "\x1b[m\x1b[?2026l\x1b[?7h\x1b[?25h\x1b[?1049l"

export interface ReplayOptions {
  /** What is shown of the session, inclusive; the head moves with a session that is followed. */
  readonly first: number
  readonly last: number | undefined
  readonly at: HistoryPoint | undefined
  readonly speed: number
  readonly idleSeconds: number | undefined
  readonly paused: boolean
  readonly follow: boolean
}

type Message =
  | { readonly _tag: "Key"; readonly key: Key }
  | { readonly _tag: "Resize"; readonly size: TerminalSize }
  | { readonly _tag: "Suspend" }
  | { readonly _tag: "Grown" }
  | { readonly _tag: "End"; readonly ending: Ending }

type PlayError = ReadError | InvalidRequest | ScreenError | OutputClosed | Ending

export const replayPlayer: (
  history: HistoryOnDemand,
  begun: SessionView,
  options: ReplayOptions
) => Effect.Effect<void, PlayError, Caller | Scope.Scope> = Effect.fnUntraced(function* (history, begun, options) {
  const caller = yield* Caller
  const messages = yield* Queue.bounded<Message>(MESSAGES_MAX)
  const head = yield* makeReplayHead(history, begun)
  const terminal = yield* openTerminal(messages)

  let view = begun
  const isShell = view.kind === "exec"
  let window = (yield* caller.terminalSize) ?? FALLBACK_SIZE
  /** Of the recording, where it is shown; between two events it goes on. */
  let clock = begun.createdAt
  let speed = options.speed
  let idleSeconds = options.idleSeconds
  let isPaused = options.paused
  let isAtEnd = false
  let isStatusShown = true
  let isHelp = false
  let prompt: { readonly kind: ":" | "/"; readonly text: string } | undefined
  let wanted: string | undefined
  let message: string | undefined
  let command: string | undefined
  let landmarks = new Landmarks({ isExec: isShell, isWhole: false })
  let frame: Frame | undefined
  let drawnAt = 0
  let tickedAt = yield* Clock.currentTimeMillis
  let isWaiting = false
  const later: Array<Message> = []

  /** What stands for removed events is the first that there is. */
  const first = () => Math.max(1, options.first, view.removed?.to ?? 1)
  const last = () => (options.last === undefined ? view.sequence : Math.min(options.last, view.sequence))
  const isLiveNow = () => options.follow && options.last === undefined && isLive(view)
  const elapsed = () => Math.max(0, clock - view.createdAt)

  // --- showing

  const status = (note?: string): ReplayStatus => ({
    state: isPaused ? "paused" : isAtEnd ? (isLiveNow() ? "live" : "end") : "playing",
    micros: elapsed(),
    totalMicros: Math.max(view.lastEventAt - view.createdAt, isAtEnd ? elapsed() : 0),
    speed,
    idleSeconds,
    sequence: head.position().sequence,
    head: view.sequence,
    message:
      note ?? message ?? head.defeat()?.reason ?? head.label() ?? (isShell && isAtEnd ? NO_COMMAND_NOTE : undefined),
    command
  })

  const draw = Effect.fnUntraced(function* (note?: string) {
    const hasLastLine = isStatusShown || prompt !== undefined || note !== undefined || message !== undefined
    const picture = yield* head.picture(pictureArea(window, hasLastLine))
    const next = frameOf({
      picture,
      window,
      status: hasLastLine ? status(note) : undefined,
      prompt: prompt === undefined ? undefined : `${prompt.kind}${prompt.text}`,
      isHelp
    })
    const text = frameBytes(next, frame)
    frame = next
    drawnAt = yield* Clock.currentTimeMillis
    yield* caller.write(text)
  })

  // --- moving

  const isPassed = () => head.position().sequence >= last()
  const noteCommands = (entries: ReadonlyArray<JournalEntry>) => {
    for (const entry of entries) {
      landmarks.feed(entry, (landmark) => {
        if (landmark.kind === "command") command = landmark.label
        else message = `marker: ${landmark.label}`
      })
      if (entry.event._tag === "CommandFinished") command = undefined
    }
  }
  /** What ran at a place, as far as it began shortly before it. */
  const findCommand = Effect.fnUntraced(function* () {
    const at = head.position().sequence
    landmarks = new Landmarks({ isExec: isShell, isWhole: false })
    command = undefined
    message = undefined
    // Its commands are known wherever it is shown.
    if (isShell) return
    const near = yield* history
      .events(view.id, { after: Math.max(0, at - COMMAND_EVENTS), until: at })
      .pipe(Stream.runCollect)
    noteCommands(near)
    message = undefined
  })
  const arrived = Effect.fnUntraced(function* (timeMicros?: number) {
    clock = timeMicros ?? Math.max(view.createdAt, head.position().timeMicros)
    isAtEnd = isPassed()
    tickedAt = yield* Clock.currentTimeMillis
    yield* findCommand()
  })
  const refresh = Effect.map(history.get(view.id), (now) => {
    view = now
  })
  const goTo = Effect.fnUntraced(function* (sequence: number, timeMicros?: number) {
    yield* head.seek(Math.min(Math.max(sequence, first()), last()))
    yield* arrived(timeMicros)
  })
  const goToTime = Effect.fnUntraced(function* (timeMicros: number) {
    const sequence = yield* sequenceAtTime(history, view, timeMicros)
    if (sequence < first()) return yield* goTo(first())
    if (sequence >= last()) return yield* goTo(last())
    yield* goTo(sequence, Math.max(timeMicros, view.createdAt))
  })
  const goToPoint = (point: HistoryPoint) =>
    point._tag === "Time" ? goToTime(point.timeMicros) : goTo(point._tag === "Head" ? last() : point.sequence)

  /** Draws what is due by now; gives the milliseconds until something else is, or undefined. */
  const play = Effect.fnUntraced(function* () {
    const now = yield* Clock.currentTimeMillis
    const passed = Math.max(0, now - tickedAt)
    tickedAt = now
    if (isPaused || prompt !== undefined || isHelp) return undefined
    if (isAtEnd && isPassed() && !isLiveNow()) return undefined
    const isEdge = isAtEnd
    clock += passed * 1000 * (speed === Number.POSITIVE_INFINITY ? 0 : speed)
    const until = now + FRAME_MILLIS
    while (!isPassed()) {
      const entries = (yield* head.upcoming).filter(({ sequence }) => sequence <= last())
      if (entries.length === 0) break
      const next = entries[0]!
      if (idleSeconds !== undefined && !isEdge) {
        const idle = clock - Math.max(head.position().timeMicros, view.createdAt)
        if (idle >= idleSeconds * MICROS_PER_SECOND) clock = Math.max(clock, timeOf(next))
      }
      const { due, isSetBack } = dueOf(
        entries,
        (entry) => isEdge || speed === Number.POSITIVE_INFINITY || timeOf(entry) <= clock
      )
      if (due.length === 0) return waitFor(next)
      message = undefined
      noteCommands(due)
      yield* head.draw(due)
      clock = isSetBack ? head.position().timeMicros : Math.max(clock, head.position().timeMicros)
      if ((yield* Clock.currentTimeMillis) >= until) return 0
    }
    yield* refresh
    if (!isPassed()) return 0
    isAtEnd = true
    if (isLiveNow()) {
      if (!isWaiting) {
        isWaiting = true
        yield* Effect.forkScoped(waitForMore(head.position().sequence))
      }
      return CLOCK_MILLIS
    }
    clock = Math.max(view.createdAt, head.position().timeMicros)
    return undefined
  })
  /** Up to the first that is not due, or that shows that the clock was set back: what follows is measured from there. */
  const dueOf = (entries: ReadonlyArray<JournalEntry>, isDue: (entry: JournalEntry) => boolean) => {
    let before = head.position().timeMicros
    for (const [index, entry] of entries.entries()) {
      if (!isDue(entry)) return { due: entries.slice(0, index), isSetBack: false }
      const time = timeOf(entry)
      if (time < before - SET_BACK_MICROS) return { due: entries.slice(0, index + 1), isSetBack: true }
      before = time
    }
    return { due: entries, isSetBack: false }
  }
  const waitFor = (next: JournalEntry): number => {
    const gap = (timeOf(next) - clock) / 1000 / speed
    const idle = clock - Math.max(head.position().timeMicros, view.createdAt)
    const idleLeft =
      idleSeconds === undefined
        ? Number.POSITIVE_INFINITY
        : Math.max(0, idleSeconds * MICROS_PER_SECOND - idle) / 1000 / speed
    return Math.min(gap, idleLeft, CLOCK_MILLIS)
  }
  /** The events themselves are read as all others are. */
  const waitForMore = (after: number) =>
    history.follow(view.id, after).pipe(
      Stream.filter((item) => item._tag === "Page"),
      Stream.runHead,
      Effect.exit,
      Effect.andThen(Queue.offer(messages, { _tag: "Grown" }))
    )

  // --- keys

  /** Something that may take long; a key ends it. Others wait. */
  const cancellable = Effect.fnUntraced(function* <A>(what: string, effect: Effect.Effect<A, PlayError>) {
    const cancelled = Effect.gen(function* () {
      let next = yield* Effect.timeoutOption(Queue.take(messages), BUSY_MILLIS)
      if (Option.isNone(next)) yield* writeNote(`${what} … (escape stops)`)
      while (true) {
        const item = Option.isSome(next) ? next.value : yield* Queue.take(messages)
        next = Option.none()
        if (item._tag === "Key" && /^(escape|q|\^C)$/.test(item.key.name)) return
        later.push(item)
        if (item._tag === "End") return
      }
    })
    const done = yield* Effect.raceFirst(Effect.map(effect, Option.some), Effect.as(cancelled, Option.none<A>()))
    if (Option.isNone(done)) message = "stopped"
    return done
  })
  /** Without the screen, which is busy. */
  const writeNote = (note: string) => {
    const shown = frame
    if (shown === undefined) return Effect.void
    const text = ` ${note}`.slice(0, window.cols).padEnd(Math.min(window.cols, note.length + 2))
    frame = { ...shown, rows: [...shown.rows.slice(0, window.rows - 1), text] }
    return caller.write(`\x1b[${window.rows};1H\x1b[m\x1b[2K\x1b[7m${text}\x1b[m`)
  }

  const search = Effect.fnUntraced(function* (by: 1 | -1) {
    if (wanted === undefined) {
      message = "nothing was searched for yet: type / and a text"
      return
    }
    const text = wanted
    const at = head.position().sequence
    const found = yield* cancellable(
      `searching ${text}`,
      textFrom(history, view, text, by === 1 ? { after: at } : { before: at })
    )
    if (Option.isNone(found)) return
    if (found.value === undefined || found.value < first() || found.value > last()) {
      message = `not found ${by === 1 ? "behind" : "in front of"} here: ${text}`
      return
    }
    isPaused = true
    yield* goTo(found.value)
    message = `found: ${text}`
  })
  const landmark = Effect.fnUntraced(function* (kind: "marker" | "command", by: 1 | -1) {
    const at = head.position().sequence
    const found = yield* cancellable(
      `looking for a ${kind}`,
      landmarkFrom(history, view, by === 1 ? { after: at } : { before: at }, { kind })
    )
    if (Option.isNone(found)) return
    if (found.value === undefined || found.value.sequence < first() || found.value.sequence > last()) {
      message = `no ${kind} ${by === 1 ? "behind" : "in front of"} here`
      return
    }
    const { label, sequence } = found.value
    yield* goTo(sequence)
    message = `${kind}: ${label.trim().split("\n", 1)[0]}`
  })
  const goToTyped = Effect.fnUntraced(function* (text: string) {
    const place = parsePlace(text, { isRelative: true })
    if (place === undefined) {
      message = `no place: ${text}; ? shows what can be typed`
      return
    }
    yield* refresh
    const moving = pointOfPlace(history, view, place, clock).pipe(
      Effect.flatMap((point) =>
        point._tag === "Sequence" && point.sequence > view.sequence ? goTo(last()) : goToPoint(point)
      ),
      Effect.catchTag("InvalidRequest", ({ reason }) =>
        Effect.sync(() => {
          message = reason
        })
      )
    )
    yield* cancellable("going there", moving)
  })

  const act = Effect.fnUntraced(function* (action: ReplayAction) {
    switch (action._tag) {
      case "Pause":
        if (isAtEnd && !isLiveNow()) {
          yield* goTo(first())
          isPaused = false
        } else isPaused = !isPaused
        return
      case "Help":
        isHelp = true
        return
      case "Status":
        isStatusShown = !isStatusShown
        return
      case "Redraw":
        frame = undefined
        return
      case "Idle":
        idleSeconds = idleSeconds === undefined ? (options.idleSeconds ?? IDLE_SECONDS) : undefined
        return
      case "Speed":
        speed = Math.min(SPEED_MAX, Math.max(SPEED_MIN, action.by === 1 ? speed * 2 : Math.min(speed, SPEED_MAX) / 2))
        return
      case "Begin":
        return yield* goTo(first())
      case "End":
        yield* refresh
        yield* cancellable("going to the end", goTo(last()))
        return
      case "Event":
        isPaused = true
        yield* goTo(head.position().sequence + action.by)
        return
      case "Change": {
        isPaused = true
        const change = action.by === 1 ? head.nextChange(last()) : head.previousChange(first())
        yield* cancellable("looking for a change", Effect.andThen(change, arrived()))
        return
      }
      case "Marker":
        return yield* landmark("marker", action.by)
      case "Command":
        return yield* landmark("command", action.by)
      case "Found":
        return yield* search(action.by)
      case "Seek":
        yield* cancellable(
          "going there",
          goToTime(Math.max(view.createdAt, clock + action.seconds * MICROS_PER_SECOND))
        )
        return
      case "Percent":
        yield* cancellable(
          "going there",
          goToTime(view.createdAt + ((view.lastEventAt - view.createdAt) * action.percent) / 100)
        )
        return
      case "Prompt":
        prompt = { kind: action.prompt, text: "" }
        return
      case "Suspend":
        yield* terminal.suspend
        frame = undefined
        window = (yield* caller.terminalSize) ?? window
        return
      case "Quit":
        return
    }
  })

  const typeInto = Effect.fnUntraced(function* (
    open: { readonly kind: ":" | "/"; readonly text: string },
    { name }: Key
  ) {
    if (name === "escape" || name === "^C") prompt = undefined
    else if (name === "backspace") prompt = open.text === "" ? undefined : { ...open, text: open.text.slice(0, -1) }
    else if (name === "^U") prompt = { ...open, text: "" }
    else if (name === "enter") {
      prompt = undefined
      if (open.kind === ":") {
        if (open.text.trim() !== "") yield* goToTyped(open.text)
        return
      }
      if (open.text !== "") wanted = open.text
      yield* search(1)
    } else if ([...name].length === 1 && open.text.length < PROMPT_CHARACTERS_MAX) {
      prompt = { ...open, text: open.text + name }
    }
  })

  /** True: it is over. */
  const handle = Effect.fnUntraced(function* (item: Message) {
    switch (item._tag) {
      case "End":
        return yield* item.ending
      case "Resize":
        window = item.size
        frame = undefined
        return false
      case "Suspend":
        yield* act({ _tag: "Suspend" })
        return false
      case "Grown":
        isWaiting = false
        yield* refresh
        return false
      case "Key": {
        message = undefined
        if (prompt !== undefined) {
          yield* typeInto(prompt, item.key)
        } else if (isHelp) {
          isHelp = false
          return item.key.name === "^C"
        } else {
          const action = actionOf(item.key)
          if (action?._tag === "Quit") return true
          if (action !== undefined) yield* act(action)
        }
        tickedAt = yield* Clock.currentTimeMillis
        return false
      }
    }
  })

  yield* cancellable("going there", options.at === undefined ? goTo(first()) : goToPoint(options.at))
  if (options.at === undefined && first() === 1) clock = view.createdAt
  while (true) {
    const due = yield* play()
    const sinceDrawn = (yield* Clock.currentTimeMillis) - drawnAt
    if (due === undefined || sinceDrawn >= FRAME_MILLIS || later.length > 0) yield* draw()
    let item = later.shift()
    if (item === undefined) {
      const wait = due === undefined ? undefined : Math.max(1, Math.max(due, FRAME_MILLIS - sinceDrawn))
      const taken =
        wait === undefined
          ? Option.some(yield* Queue.take(messages))
          : yield* Effect.timeoutOption(Queue.take(messages), wait)
      if (Option.isNone(taken)) continue
      item = taken.value
    }
    if (yield* handle(item)) return
  }
})

const isLive = (view: SessionView): boolean =>
  view.status === "starting" || view.status === "running" || (view.status === "exited" && view.terminalOpen)

/** Takes the terminal until the scope closes, and tells what happens at it. */
const openTerminal = Effect.fnUntraced(function* (messages: Queue.Queue<Message>) {
  const caller = yield* Caller
  const signals = yield* caller.signals(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP"])
  const take = Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* caller.rawMode(() => CLOSE).pipe(Scope.provide(scope))
    yield* caller.write(OPEN)
    return scope
  })
  const tell = (message: Message) => Queue.offer(messages, message)
  const end = (name: string) =>
    tell({ _tag: "End", ending: new Ending({ exitCode: ExitCode.signalBase + signalNumber(name), note: "" }) })

  yield* Queue.take(signals).pipe(
    Effect.flatMap((name) => (name === "SIGTSTP" ? tell({ _tag: "Suspend" }) : end(name))),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Stream.runForEach(caller.resizes, (size) => tell({ _tag: "Resize", size })).pipe(Effect.forkScoped)
  yield* Stream.runForEach(caller.input, (bytes) =>
    Effect.forEach(keysOf(bytes), (key) => tell({ _tag: "Key", key }), { discard: true })
  ).pipe(
    // The terminal hung up.
    Effect.andThen(end("SIGHUP")),
    Effect.forkScoped
  )
  let taken = yield* take
  const leave = Effect.suspend(() => Scope.close(taken, Exit.void))
  yield* Effect.addFinalizer(() => leave)
  return {
    /** Gives the terminal back, stops, and takes it again when it is told to go on. */
    suspend: Effect.gen(function* () {
      yield* leave
      yield* caller.suspend
      taken = yield* take
    })
  }
})
