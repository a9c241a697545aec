/**
 * A redaction from its search to its end: reads the session through `History` twice (what the rules find, then every further
 * copy of it), and asks `Redaction` to replace it, in requests of a bounded size. The command line uses it; a program can,
 * over the same services. It writes nothing itself.
 */
import { Effect, Result, Schema, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import type { EditedEvent } from "../../journal/Journal.ts"
import { COPY_RULE, FoundSecrets } from "../redact/FoundSecrets.ts"
import { maskedText } from "../redact/maskedText.ts"
import { NumberList } from "../redact/NumberList.ts"
import { everythingRule, PATTERN_RULE, type RedactRule } from "../redact/RedactRule.ts"
import { SessionScan } from "../redact/SessionScan.ts"
import { History } from "../session/History.ts"
import { withinPatternTime } from "../session/PatternTime.ts"
import type { ErrorCode } from "../session/SessionError.ts"
import { REDACT_REQUEST_BYTES_MAX, REDACT_REQUEST_EVENTS_MAX, Redaction, type RedactReport } from "./Redaction.ts"

export interface RedactOptions {
  readonly rules: ReadonlyArray<RedactRule>
  /** All text of these events, both included, instead of what rules find. */
  readonly range?: { readonly from: number; readonly to: number } | undefined
  /** Texts that are among what is looked for: they go also from what stands for removed events. */
  readonly texts?: ReadonlyArray<string> | undefined
  readonly reason: string
  readonly isDryRun: boolean
}

export interface Redacted {
  /** The events that were looked at: 1 to this one. */
  readonly to: number
  readonly rules: ReadonlyArray<{ readonly rule: string; readonly matches: number }>
  /** Sequences of the events that hold something. */
  readonly events: ReadonlyArray<number>
  /** Of them, those that could not be replaced yet. */
  readonly left: ReadonlyArray<number>
  /** States that are kept of removed events, of which something was replaced. */
  readonly keptStates: number
  /** Names of those that nobody can read: they were left as they are. */
  readonly unreadable: ReadonlyArray<string>
  /** What was found. For the caller's own use: it is told to nobody. */
  readonly secrets: ReadonlyArray<string>
}

/** What is known of an event beside its edits: how large its record is. */
interface Sized {
  readonly event: EditedEvent
  readonly isInput: boolean
  readonly bytes: number
}

/** Of a record beside its payload. */
const RECORD_BYTES = 200

/** Events were removed while they were searched, again and again. */
export class RemovedMeanwhile extends Schema.TaggedError<RemovedMeanwhile>()("RemovedMeanwhile", {
  session: Schema.String
}) {
  readonly code: ErrorCode = "ResourceExhausted"
  override get message() {
    return `session ${this.session}: its events were removed while they were searched, ${SEARCHES_MAX} times; try again later`
  }
}

/** A session that is pruned as fast as it prints is not searched for ever. */
const SEARCHES_MAX = 5

export const redactSession = Effect.fn("redactSession")(function* (session: SessionId, options: RedactOptions) {
  const history = yield* History
  const removedTo = Effect.map(history.get(session), ({ removed }) => removed?.to ?? 0)
  const done: Done = { matches: new Map(), events: new Set(), keptStates: 0 }
  for (let search = 0; search < SEARCHES_MAX; search++) {
    const before = yield* removedTo
    const answer = yield* Effect.result(redactOnce(session, options, before > 0, done))
    const isRemoved = (yield* removedTo) !== before
    if (Result.isFailure(answer)) {
      // What was found is not there any more: no mistake of whoever asks.
      if (isRemoved) continue
      return yield* Effect.fail(answer.failure)
    }
    const { isAsked, ...found } = answer.success
    // What stands for events now was not there to be looked at.
    if (isRemoved && !isAsked && found.secrets.length > 0) continue
    const redacted: Redacted = {
      ...found,
      rules: [...done.matches].map(([rule, matches]) => ({ rule, matches })),
      events: [...done.events].sort((one, other) => one - other),
      keptStates: done.keptStates
    }
    return redacted
  }
  return yield* new RemovedMeanwhile({ session })
})

/** Of all searches of one redaction. */
interface Done {
  readonly matches: Map<string, number>
  readonly events: Set<number>
  keptStates: number
}

const redactOnce = Effect.fnUntraced(function* (
  session: SessionId,
  options: RedactOptions,
  isRemoved: boolean,
  done: Done
) {
  const history = yield* History
  const redaction = yield* Redaction
  const { sequence: head } = yield* history.get(session)
  const range =
    options.range === undefined ? undefined : { from: options.range.from, to: Math.min(options.range.to, head) }
  const rules = range === undefined ? options.rules : [everythingRule]
  const secrets = new FoundSecrets()
  let found = yield* scan(session, head, { rules, range, secrets })
  const copies = secrets.rule
  // Found once, it is looked for everywhere: in events before it, and where no rule says what it is.
  if (copies !== undefined)
    found = yield* scan(session, head, { rules: [...rules, copies], range: undefined, secrets: undefined })
  const counted = [...found.matches].map(([rule, matches]) => ({ rule, matches }))
  const counts = counted.filter(({ matches, rule }) => matches > 0 && rule !== COPY_RULE)
  const events = found.edited.map(({ event }) => event.sequence)
  const left: Array<number> = []
  // It is kept with the session, and may name what it takes out.
  const reason =
    range === undefined
      ? yield* timed(rules, () => maskedText(copies === undefined ? rules : [...rules, copies], options.reason))
      : options.reason
  const texts = [...secrets.texts, ...(options.texts ?? [])]
  // What stands for removed events is no event, and may hold it alone.
  const isKept = isRemoved && texts.length > 0
  const about = { session, from: range?.from ?? 1, to: range?.to ?? head, rules: counts, reason }
  const unreadable = new Set<string>()
  const take = (report: RedactReport) => {
    left.push(...report.left)
    done.keptStates += report.keptStates ?? 0
    for (const name of report.unreadable ?? []) unreadable.add(name)
  }
  if (options.isDryRun) {
    if (isKept) take(yield* redaction.redact({ ...about, events: [], secrets: texts, isLast: true, isDryRun: true }))
  } else if (events.length > 0 || isKept) {
    const requests = events.length === 0 ? [[]] : inRequests(found.edited)
    for (const [index, request] of requests.entries()) {
      take(
        yield* redaction.redact({
          ...about,
          events: request.map(({ event: { edits, payload, sequence }, isInput }) => ({
            sequence,
            isInput,
            edits,
            ...(payload !== undefined && { payload })
          })),
          secrets: index === 0 ? texts : [],
          isLast: index === requests.length - 1
        })
      )
      for (const { event } of request) done.events.add(event.sequence)
    }
  }
  if (options.isDryRun) for (const sequence of events) done.events.add(sequence)
  for (const { matches, rule } of counts) done.matches.set(rule, Math.max(done.matches.get(rule) ?? 0, matches))
  return { to: head, left, secrets: texts, unreadable: [...unreadable], isAsked: isKept || events.length > 0 }
})

const scan = Effect.fnUntraced(function* (
  session: SessionId,
  until: number,
  options: ConstructorParameters<typeof SessionScan>[0]
) {
  const history = yield* History
  const scanned = new SessionScan(options)
  /** Of each event, from the first one read on: twice the bytes of its payload where that is large, and one for input. */
  const sizes = new NumberList()
  let first = 0
  const take = (entry: JournalEntry): void => {
    scanned.take(entry)
    const { event, sequence } = entry
    if (sizes.length === 0) first = sequence
    // What was removed has no size.
    while (sizes.length < sequence - first) sizes.push(0)
    const isInput = event._tag === "InputWritten" || event._tag === "CommandInputWritten"
    sizes.push(("data" in event ? event.data.byteLength : 0) * 2 + (isInput ? 1 : 0))
  }
  yield* history.events(session, { until }).pipe(
    Stream.runForEachArray((page) =>
      Effect.andThen(
        timed(options.rules, () => page.forEach(take)),
        Effect.yieldNow
      )
    )
  )
  const ended = yield* timed(options.rules, () => scanned.end())
  const edited = ended.map((event): Sized => {
    const size = sizes.at(event.sequence - first)
    const bytes = RECORD_BYTES + Math.max(Math.floor(size / 2), event.payload?.byteLength ?? 0)
    return { event, isInput: size % 2 === 1, bytes }
  })
  return { edited, matches: scanned.matches }
})

/** Our own rules take time by the length of a text, and no more. */
const timed = <A>(rules: ReadonlyArray<RedactRule>, work: () => A) =>
  rules.some(({ name }) => name === PATTERN_RULE) ? withinPatternTime("pattern", work) : Effect.sync(work)

const inRequests = (events: ReadonlyArray<Sized>): ReadonlyArray<ReadonlyArray<Sized>> => {
  const requests: Array<Array<Sized>> = []
  let bytes = 0
  for (const event of events) {
    const last = requests[requests.length - 1]
    if (
      last === undefined ||
      last.length >= REDACT_REQUEST_EVENTS_MAX ||
      bytes + event.bytes > REDACT_REQUEST_BYTES_MAX
    ) {
      requests.push([event])
      bytes = event.bytes
    } else {
      last.push(event)
      bytes += event.bytes
    }
  }
  return requests
}
