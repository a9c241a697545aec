/**
 * Places in a session's history that a person means (half of it, the second command, where a text was printed) and the
 * events they are. Replay, `inspect --at` and every other door that takes a place use it. It reads History and changes
 * nothing; nothing of a history is kept in memory but what was found.
 */
import { Effect, Option, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { makeFinder, OutputText } from "../../projections/OutputText.ts"
import { PromptCommands } from "../../projections/PromptMarks.ts"
import type { HistoryShape } from "./History.ts"
import { RecordedItems } from "./RecordedItems.ts"
import { type HistoryDamaged, InvalidRequest, type SessionNotFound, type SessionUnavailable } from "./SessionError.ts"
import type { HistoryPoint, SessionView } from "./SessionView.ts"
import { TerminalItems } from "./TerminalItems.ts"

export type Place =
  | { readonly _tag: "Sequence"; readonly sequence: number }
  | { readonly _tag: "Time"; readonly timeMicros: number }
  /** After the session's start. */
  | { readonly _tag: "Offset"; readonly micros: number }
  /** After (before, if negative) where one is. */
  | { readonly _tag: "Relative"; readonly micros: number }
  /** Of the time from its first event to its last, 0 to 100. */
  | { readonly _tag: "Percent"; readonly percent: number }
  /** The first such time of day, local, in the session. Seconds since midnight. */
  | { readonly _tag: "Clock"; readonly seconds: number }
  /** The first of this label, or else the first whose label contains it. */
  | { readonly _tag: "Marker"; readonly label: string }
  /** Where a command began, by its number in the session. */
  | { readonly _tag: "Command"; readonly number: number }
  /** The first output that completes this text. */
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Begin" }
  | { readonly _tag: "End" }

/** What a reader looks for by name: a marker, or where a command began. */
export interface Landmark {
  readonly kind: "marker" | "command"
  readonly sequence: number
  readonly timeMicros: number
  /** A marker's label, a command's text. */
  readonly label: string
  /** Of a command; undefined where reading did not begin at the session's beginning. */
  readonly number: number | undefined
}

export type ReadError = SessionNotFound | SessionUnavailable | HistoryDamaged
type Reading = Pick<HistoryShape, "events">

/** Read in front of a stretch that is searched: what begins there may end in the stretch. */
const LEAD_EVENTS = 64
/** Searched at a time on the way back; the second stretch is twice as long, and so on. */
const BACK_EVENTS_MIN = 512
const BACK_EVENTS_MAX = 64 * 1024

/** Tells the landmarks of the events it is fed, in order. */
export class Landmarks {
  readonly #prompts = new PromptCommands()
  readonly #isWhole: boolean
  readonly #isExec: boolean

  constructor(options: { readonly isExec: boolean; readonly isWhole: boolean }) {
    this.#isWhole = options.isWhole
    this.#isExec = options.isExec
  }

  feed({ event, sequence, timeMicros }: JournalEntry, found: (landmark: Landmark) => void): void {
    const tell = (kind: Landmark["kind"], label: string, number?: number) =>
      found({ kind, sequence, timeMicros, label, number })
    if (event._tag === "MarkerSet") tell("marker", event.label)
    else if (event._tag === "CommandStarted") tell("command", event.code, event.exec)
    else if (event._tag === "OutputReceived" && event.channel === "tty" && !this.#isExec) {
      this.#prompts.feed(event.data, {
        started: ({ line, number }) => tell("command", line, this.#isWhole ? number : undefined),
        output: () => {},
        finished: () => {}
      })
    }
  }
}

const isExec = (view: SessionView): boolean => view.kind === "exec"

/** Events of a range, one after the other, until one is what is looked for. */
const firstIn = <A>(
  history: Reading,
  session: SessionId,
  range: { readonly after: number; readonly until?: number | undefined },
  look: (entry: JournalEntry) => A | undefined
): Effect.Effect<A | undefined, ReadError> =>
  Effect.suspend(() => {
    let found: A | undefined
    return history.events(session, range).pipe(
      Stream.chunks,
      Stream.runForEachWhile((entries) =>
        Effect.sync(() => {
          for (const entry of entries) {
            found = look(entry)
            if (found !== undefined) return false
          }
          return true
        })
      ),
      Effect.map(() => found),
      notBeyond
    )
  })

/** Behind the last event there is nothing to be found. */
const notBeyond = <A, E extends { readonly _tag: string }>(
  reading: Effect.Effect<A, E | InvalidRequest>
): Effect.Effect<A | undefined, Exclude<E, InvalidRequest>> =>
  Effect.catchIf(
    reading,
    (error) => error instanceof InvalidRequest,
    () => Effect.succeed(undefined)
  ) as Effect.Effect<A | undefined, Exclude<E, InvalidRequest>>

/** The last in front of an event that is looked for: in stretches that grow, from the event back to the beginning. */
const lastBefore = <A>(
  history: Reading,
  session: SessionId,
  before: number,
  makeLook: (lead: { readonly after: number }) => (entry: JournalEntry) => A | undefined
): Effect.Effect<A | undefined, ReadError> =>
  Effect.gen(function* () {
    let until = before - 1
    let length = BACK_EVENTS_MIN
    while (until > 0) {
      const from = Math.max(1, until - length + 1)
      const after = Math.max(0, from - 1 - LEAD_EVENTS)
      const look = makeLook({ after })
      let last: A | undefined
      yield* firstIn(history, session, { after, until }, (entry) => {
        const found = look(entry)
        if (found !== undefined && entry.sequence >= from) last = found
        return undefined
      })
      if (last !== undefined) return last
      until = from - 1
      length = Math.min(length * 2, BACK_EVENTS_MAX)
    }
    return undefined
  })

export interface LandmarkQuery {
  readonly kind?: Landmark["kind"] | undefined
  readonly fits?: ((landmark: Landmark) => boolean) | undefined
}

/** The next landmark behind an event, or the last one in front of it. */
export const landmarkFrom = (
  history: Reading,
  view: SessionView,
  from: { readonly after: number } | { readonly before: number },
  { fits = () => true, kind }: LandmarkQuery = {}
): Effect.Effect<Landmark | undefined, ReadError> => {
  const looker = (isWhole: boolean) => {
    const landmarks = new Landmarks({ isExec: isExec(view), isWhole })
    return (entry: JournalEntry): Landmark | undefined => {
      let found: Landmark | undefined
      landmarks.feed(entry, (landmark) => {
        if ((kind === undefined || landmark.kind === kind) && fits(landmark)) found ??= landmark
      })
      return found
    }
  }
  if ("before" in from) {
    return lastBefore(history, view.id, from.before, ({ after }) => looker(after === 0))
  }
  const after = Math.max(0, from.after - LEAD_EVENTS)
  const look = looker(after === 0)
  return firstIn(history, view.id, { after }, (entry) => {
    const found = look(entry)
    return entry.sequence > from.after ? found : undefined
  })
}

/**
 * The next event behind one, or the last one in front of it, whose output completes a text on the terminal; of a shell for
 * commands on the one that recordings of it show, with its commands and what they printed.
 */
export const textFrom = (
  history: Reading,
  view: SessionView,
  text: string,
  from: { readonly after: number } | { readonly before: number }
): Effect.Effect<number | undefined, ReadError> => {
  const looker = () => {
    const finder = makeFinder(text)
    const output = new OutputText()
    const printed = isExec(view) ? shellOutput(view) : terminalOutput
    let rest = ""
    return (entry: JournalEntry): number | undefined => {
      let isFound = false
      for (const data of printed(entry)) {
        const shown = rest + output.feed(data)
        rest = finder.length > 1 ? shown.slice(-(finder.length - 1)) : ""
        isFound ||= finder.in(shown)
      }
      return isFound ? entry.sequence : undefined
    }
  }
  if ("before" in from) return lastBefore(history, view.id, from.before, looker)
  const look = looker()
  return firstIn(history, view.id, { after: Math.max(0, from.after - LEAD_EVENTS) }, (entry) => {
    const found = look(entry)
    return entry.sequence > from.after ? found : undefined
  })
}

const terminalOutput = ({ event }: JournalEntry): ReadonlyArray<Uint8Array> =>
  event._tag === "OutputReceived" && event.channel === "tty" ? [event.data] : []

/** From wherever it begins to be read: only what a line begins with may then be missing. */
const shellOutput = (view: SessionView) => {
  const recorded = new RecordedItems(view)
  const terminal = new TerminalItems()
  return (entry: JournalEntry): ReadonlyArray<Uint8Array> =>
    terminal.page(recorded.page([entry])).flatMap((item) => (item._tag === "Output" ? [item.data] : []))
}

/** The event, or undefined where it does not exist; of what was removed, what stands for it. */
export const eventAt = (
  history: Reading,
  session: SessionId,
  sequence: number
): Effect.Effect<JournalEntry | undefined, ReadError> =>
  history
    .events(session, { after: Math.max(0, sequence - 1), until: sequence })
    .pipe(Stream.runHead, Effect.map(Option.getOrUndefined), notBeyond)

/** Of what stands for removed events: when the last of them happened. */
export const timeOf = ({ event, timeMicros }: JournalEntry): number =>
  event._tag === "EventsRemoved" ? event.lastTimeMicros : timeMicros

/** The last event at or before a time, by bisecting as `sequenceAt` of the projections does: one event a step. */
export const sequenceAtTime = Effect.fnUntraced(function* (
  history: Reading,
  view: { readonly id: SessionId; readonly sequence: number },
  timeMicros: number
) {
  const isAtOrBefore = (sequence: number) =>
    Effect.map(eventAt(history, view.id, sequence), (entry) => {
      return entry !== undefined && timeOf(entry) <= timeMicros
    })
  if (yield* isAtOrBefore(view.sequence)) return view.sequence
  let low = 0
  let high = view.sequence
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2)
    if (yield* isAtOrBefore(middle)) low = middle
    else high = middle
  }
  return low
})

const absent = (reason: string) => Effect.fail(new InvalidRequest({ field: "place", reason }))

/**
 * The point that a place is. `current` is where one is, for relative ones. A marker, a command or a text that is not
 * there fails with InvalidRequest; finding one may read the whole history.
 */
export const pointOfPlace = (
  history: Reading,
  view: SessionView,
  place: Place,
  current: number = view.createdAt
): Effect.Effect<Exclude<HistoryPoint, { readonly _tag: "Head" }>, ReadError | InvalidRequest> => {
  const at = (timeMicros: number) => Effect.succeed({ _tag: "Time", timeMicros } as const)
  const event = (sequence: number) => Effect.succeed({ _tag: "Sequence", sequence } as const)
  switch (place._tag) {
    case "Sequence":
      return Effect.succeed(place)
    case "Time":
      return at(inBeginning(view, place.timeMicros))
    case "Offset":
      return at(view.createdAt + place.micros)
    case "Relative":
      return at(Math.max(view.createdAt, current + place.micros))
    case "Percent":
      return at(view.createdAt + ((view.lastEventAt - view.createdAt) * place.percent) / 100)
    case "Clock":
      return at(clockIn(view, place.seconds))
    case "Begin":
      return event(1)
    case "End":
      return event(view.sequence)
    case "Marker": {
      const find = (fits: (landmark: Landmark) => boolean) =>
        landmarkFrom(history, view, { after: 0 }, { kind: "marker", fits })
      return Effect.gen(function* () {
        const found =
          (yield* find(({ label }) => label === place.label)) ??
          (yield* find(({ label }) => label.includes(place.label)))
        return yield* found === undefined ? absent(`the session has no marker "${place.label}"`) : event(found.sequence)
      })
    }
    case "Command":
      return Effect.flatMap(
        landmarkFrom(history, view, { after: 0 }, { kind: "command", fits: ({ number }) => number === place.number }),
        (found) =>
          found === undefined
            ? absent(`the session has no command ${place.number}, or its shell does not mark its prompt (OSC 133)`)
            : event(found.sequence)
      )
    case "Text":
      return Effect.flatMap(textFrom(history, view, place.text, { after: 0 }), (found) =>
        found === undefined ? absent(`its terminal never showed "${place.text}"`) : event(found)
      )
  }
}

const MICROS_PER_SECOND = 1_000_000
const MICROS_PER_DAY = 86_400 * MICROS_PER_SECOND

const clockIn = (view: SessionView, seconds: number): number => {
  const day = new Date(view.createdAt / 1000)
  day.setHours(0, 0, 0, 0)
  const today = day.getTime() * 1000 + seconds * MICROS_PER_SECOND
  const time = inBeginning(view, today)
  return time < view.createdAt ? today + MICROS_PER_DAY : time
}

/** A time said to the second, as `list` shows it: the session that began within that second is meant. */
const inBeginning = ({ createdAt }: SessionView, timeMicros: number): number =>
  timeMicros % MICROS_PER_SECOND === 0 && timeMicros < createdAt && createdAt < timeMicros + MICROS_PER_SECOND
    ? createdAt
    : timeMicros
