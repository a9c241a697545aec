/** `History` over a journal: lists, views, states and follows, with the journal's errors told in the session's terms. */
import { pathToFileURL } from "node:url"
import { Effect, Layer, Schedule, Stream } from "effect"
import {
  type JournalEntry,
  SESSION_ID_PATTERN,
  type SessionEvent,
  type SessionId,
  STORE_STREAM
} from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import type { JournalDamaged, StorageUnavailable } from "../../journal/JournalError.ts"
import { SUMMARY_PROJECTIONS, sequenceAt, stateAt, summaryOf } from "../../projections/ProjectionRunner.ts"
import { screenRedraw } from "../../projections/ScreenAttach.ts"
import { screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenOptions, ScreenService } from "../../projections/ScreenService.ts"
import {
  INDEX_SPACE,
  indexKey,
  isRemoved,
  readIndexRow,
  type SessionSummary,
  summarize
} from "../../projections/SessionIndex.ts"
import { redactedAtCapture } from "../../projections/SessionState.ts"
import { screenWorkerEntry } from "../EntryPoints.ts"
import { checkSize } from "./CreateRequest.ts"
import { type FollowEvents, History, type RedrawOptions } from "./History.ts"
import {
  cursorBeyond,
  HistoryDamaged,
  HistoryRemoved,
  InvalidRequest,
  SessionNotFound,
  SessionUnavailable
} from "./SessionError.ts"
import type { HistoryPoint, ScreenRedraw, ScreenView, SessionSnapshot, SessionView } from "./SessionView.ts"

/** A look at a screen answers within 2 s, also where it has not drawn everything: it then says `behind`. */
const SCREEN_LOOK_MILLIS = 1500
/** Fits a message to a client (FRAME_BYTES_MAX). A million cells of as many colours take more; such a screen is replayed. */
const REDRAW_BYTES_MAX = 8 * 1024 * 1024
/** A follower waits for a storage that is away, as it does in the middle of its stream; whoever asks is told by `status`. */
const STORAGE_RETRY = Schedule.spaced("100 millis")
/** Ids named when a reference fits several sessions. */
const CANDIDATES_MAX = 20
/** Nothing is appended behind a session's last word; a store of an older version may have an event or two there. */
const LAST_WORD_EVENTS = 8
/** Sessions summarized at a time. */
const LIST_CONCURRENCY = 8

const layerNoScreen: Layer.Layer<History, never, Journal | ScreenService> = Layer.effect(
  History,
  Effect.gen(function* () {
    const journal = yield* Journal
    const screens = yield* ScreenService
    const withJournal = Effect.provideService(Journal, journal)

    // What a screen in memory shows is not to be shown any more. (One that is drawn on at the moment notices by itself.)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const stop = journal.redaction.onReplaced((session) => {
      for (const key of [session, `${session}@`]) fork(screens.exclusively(key)(screens.close(key)))
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))

    /** The store's own stream has events, and is no session: nobody attaches to it, or holds it. */
    const exists = (session: SessionId) =>
      session === STORE_STREAM ? Effect.fail(new SessionNotFound({ session, candidates: [] })) : hasEvents(session)

    const hasEvents = Effect.fnUntraced(function* (session: SessionId) {
      const head = SESSION_ID_PATTERN.test(session)
        ? yield* journal.head(session).pipe(Effect.mapError(unavailable(session)))
        : 0
      if (head === 0) return yield* new SessionNotFound({ session: String(session).slice(0, 128), candidates: [] })
      return head
    })

    const summary = (session: SessionId) =>
      summaryOf(session).pipe(
        withJournal,
        Effect.mapError(unavailable(session)),
        Effect.map(({ summary }) => summary)
      )

    // The events are the truth of which sessions there are; a row that is gone must not hide one. They are searched
    // once: whoever creates a session later writes its row in the same batch.
    let found: ReadonlyArray<SessionId> | undefined
    const streams = Effect.suspend(() =>
      found !== undefined
        ? Effect.succeed(found)
        : Effect.map(Stream.runCollect(journal.streams()), (ids) => {
            found = ids
            return found
          })
    )

    const summaries = Effect.gen(function* () {
      const rows = new Map<SessionId, SessionSummary | undefined>()
      for (const id of yield* streams) rows.set(id, undefined)
      for (const row of yield* Stream.runCollect(journal.rows(INDEX_SPACE))) {
        const kept = readIndexRow(row)
        if (kept !== undefined) rows.set(kept.id as SessionId, kept)
      }
      const all = yield* Effect.forEach(
        rows,
        ([id, kept]) => (kept?.closed ? Effect.succeed(kept) : Effect.map(summaryOf(id), ({ summary }) => summary)),
        { concurrency: LIST_CONCURRENCY }
      )
      return all.filter((one) => one.sequence > 0 && !isRemoved(one)).sort(newestFirst)
    }).pipe(withJournal, Effect.mapError(unavailable("")))

    // Asked of the list and of the last events, not of a summary: of a session that lives, that may cost a fold of its
    // whole history.
    const hasEnded = Effect.fnUntraced(function* (session: SessionId) {
      if (readIndexRow(yield* journal.row(INDEX_SPACE, indexKey(session)))?.closed === true) return true
      const newest = yield* journal.readBackwards(session).pipe(
        // They stand behind the last word too, any number of them.
        Stream.filter(({ event }) => !BEHIND_LAST_WORD.has(event._tag)),
        Stream.take(LAST_WORD_EVENTS),
        Stream.runCollect,
        Effect.catchTag("JournalDamaged", () => Effect.succeed(undefined))
      )
      const found = newest?.findIndex(isLastWord) ?? -1
      if (newest === undefined || (found < 0 && newest.at(-1)?.event._tag === "EventsRemoved")) {
        const { closed, status } = yield* summary(session)
        return closed || status === "lost"
      }
      return found >= 0 && !newest.slice(0, found).some(({ event }) => isRevival(event))
    })

    /**
     * The page that holds the last word of its stream. Nothing of what a broken engine may have appended behind a
     * SessionClosed is waited for; a SessionLost is the last word only where no revival follows it.
     */
    const isEnd = (session: SessionId) => {
      let isLost = false
      return (item: FollowEvents) => {
        if (item._tag !== "Page") return Effect.succeed(false)
        for (const { event } of item.entries) {
          if (event._tag === "SessionClosed") return Effect.succeed(true)
          if (event._tag === "SessionLost") isLost = true
          else if (isRevival(event)) isLost = false
        }
        const last = item.entries[item.entries.length - 1]!.sequence
        return isLost ? Effect.map(journal.head(session), (head) => head === last) : Effect.succeed(false)
      }
    }

    const resolve = Effect.fn("History.resolve")(function* (reference: string) {
      if (SESSION_ID_PATTERN.test(reference)) {
        yield* exists(reference as SessionId)
        return reference as SessionId
      }
      const all = yield* summaries
      const named = reference === "last" ? all[0] : all.find(({ name }) => name === reference)
      if (named !== undefined) return named.id as SessionId
      const matching = reference === "" ? [] : all.filter(({ id }) => id.startsWith(reference))
      if (matching.length === 1) return matching[0]!.id as SessionId
      const candidates = matching.slice(0, CANDIDATES_MAX).map(({ id }) => id)
      return yield* new SessionNotFound({ session: reference.slice(0, 128), candidates })
    })

    const historyAt = Effect.fn("History.stateAt")(function* (session: SessionId, point: HistoryPoint) {
      const head = yield* exists(session)
      if (
        point._tag === "Sequence" &&
        (!Number.isInteger(point.sequence) || point.sequence < 1 || point.sequence > head)
      ) {
        return yield* new InvalidRequest({ field: "at", reason: `the session has events 1 to ${head}` })
      }
      const place = yield* sequenceAt(session, point).pipe(withJournal, Effect.mapError(unavailable(session)))
      if (place.removed !== null) {
        return yield* new HistoryRemoved({ session, to: place.removed.to, reason: place.removed.message })
      }
      if (place.damage !== null) return yield* damaged(session)(place.damage)
      if (place.sequence === 0) {
        const reason = "the session began later; `begin` is its first event"
        return yield* new InvalidRequest({ field: "at", reason })
      }
      const at: HistoryPoint = { _tag: "Sequence", sequence: place.sequence }
      const { damage, states } = yield* stateAt(SUMMARY_PROJECTIONS, session, at).pipe(
        withJournal,
        Effect.mapError(unavailable(session))
      )
      if (damage !== null) return yield* damaged(session)(damage)
      const gone = yield* journal.removal.of(session).pipe(Effect.mapError(unavailable(session)))
      const view = toView(summarize(states.state, states.directory.cwd, states.title.title, gone))
      const screen = yield* screenAt(session, at, { lookMillis: SCREEN_LOOK_MILLIS }).pipe(
        withJournal,
        Effect.provideService(ScreenService, screens),
        Effect.mapError(unavailable(session))
      )
      return { view, screen: toScreenView(screen) } satisfies SessionSnapshot
    })

    const redrawAt = Effect.fn("History.redraw")(function* (
      session: SessionId,
      point: HistoryPoint,
      options: RedrawOptions = {}
    ) {
      yield* exists(session)
      const { scrollback } = options
      if (scrollback !== undefined && !(Number.isSafeInteger(scrollback) && scrollback >= 0)) {
        return yield* new InvalidRequest({ field: "scrollback", reason: "must be a whole number of 0 or more" })
      }
      const target = yield* Effect.try({
        try: () => (options.target === undefined ? undefined : checkSize(options.target)),
        catch: (error) => error as InvalidRequest
      })
      const screen = yield* screenRedraw(session, point, { target, scrollback }).pipe(
        withJournal,
        Effect.provideService(ScreenService, screens),
        Effect.mapError(unavailable(session))
      )
      const isTooLarge = screen.data.byteLength > REDRAW_BYTES_MAX
      if (screen.sequence > 0 && !isTooLarge) return screen satisfies ScreenRedraw
      // Replayed from the beginning, it begins with the size it was created with.
      const [first] = yield* Stream.runCollect(journal.read(session, { until: 1 })).pipe(
        Effect.mapError(readError(session))
      )
      const size =
        first?.event._tag === "SessionCreated"
          ? first.event.size
          : first?.event._tag === "EventsRemoved"
            ? (yield* summary(session)).size
            : screen.size
      if (!isTooLarge) return { ...screen, size } satisfies ScreenRedraw
      const reason = `drawing the screen takes more than ${REDRAW_BYTES_MAX} bytes`
      return { ...screen, data: new Uint8Array(0), sequence: 0, size, reason } satisfies ScreenRedraw
    })

    return History.of({
      list: Effect.map(summaries, (all) => all.map(toView)),
      resolve,
      get: Effect.fn("History.get")(function* (session) {
        yield* exists(session)
        return toView(yield* summary(session))
      }),
      stateAt: historyAt,
      redraw: redrawAt,
      events: (session, options) =>
        Stream.unwrap(
          Effect.flatMap(hasEvents(session), (head) =>
            Effect.as(checkCursor(options?.after, head), journal.read(session, options))
          )
        ).pipe(Stream.mapError(readError(session))),
      follow: (session, after) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const head = yield* exists(session)
            yield* checkCursor(after, head)
            if (!(yield* hasEnded(session))) {
              return Stream.takeUntilEffect(journal.follow(session, after), isEnd(session))
            }
            return journal.read(session, { after }).pipe(
              Stream.chunks,
              Stream.map((entries): FollowEvents => ({ _tag: "Page", entries })),
              Stream.concat(Stream.succeed<FollowEvents>({ _tag: "Synced", sequence: Math.max(after, head) }))
            )
          }).pipe(
            Effect.retry({
              while: (error) => error._tag !== "InvalidRequest" && journal.suspended() !== undefined,
              schedule: STORAGE_RETRY
            })
          )
        ).pipe(Stream.mapError(readError(session)))
    })
  })
)

/** The worker of this package, wherever this module runs from. */
const workerUrl = Layer.effect(
  ScreenOptions,
  Effect.map(ScreenOptions, (options) => ({ ...options, workerUrl: pathToFileURL(screenWorkerEntry) }))
)

/** With the screens that it draws on. */
export const layerWithScreens: Layer.Layer<History | ScreenService, never, Journal> = layerNoScreen.pipe(
  Layer.provideMerge(ScreenService.layer),
  Layer.provide(workerUrl)
)

export const layer: Layer.Layer<History, never, Journal> = layerNoScreen.pipe(
  Layer.provide(ScreenService.layer),
  Layer.provide(workerUrl)
)

/** What may stand behind a session's last word, any number of them. */
const BEHIND_LAST_WORD: ReadonlySet<SessionEvent["_tag"]> = new Set(["HoldPlaced", "HoldReleased", "PayloadsRedacted"])

const newestFirst = (one: SessionSummary, other: SessionSummary): number =>
  other.createdAt - one.createdAt || (other.id < one.id ? -1 : 1)

const isLastWord = ({ event }: JournalEntry): boolean => event._tag === "SessionClosed" || event._tag === "SessionLost"

/** A session that was lost has a process again, or its keeper was found after all. */
const isRevival = (event: SessionEvent): boolean => event._tag === "ProcessStarted" || event._tag === "SessionResumed"

/** Without the key where there is none: clients of earlier releases know neither. */
const toView = ({ closed: _, hold, redact, redacted, removed, ...summary }: SessionSummary): SessionView => {
  const atCapture = redactedAtCapture({ redact, redacted })
  return {
    ...summary,
    ...(atCapture !== null && { redact: atCapture }),
    ...(hold !== null && { hold }),
    ...(removed !== null && { removed })
  }
}

const toScreenView = (screen: ScreenView): ScreenView => ({
  status: screen.status,
  reason: screen.reason,
  sequence: screen.sequence,
  size: screen.size,
  cursor: screen.cursor,
  alternate: screen.alternate,
  lines: screen.lines
})

const checkCursor = (after: number | undefined, head: number): Effect.Effect<void, InvalidRequest> =>
  after !== undefined && after > head ? Effect.fail(cursorBeyond(after, head)) : Effect.void

const unavailable =
  (session: string) =>
  (error: StorageUnavailable): SessionUnavailable =>
    new SessionUnavailable({ session, reason: error.message })

const damaged =
  (session: string) =>
  (error: JournalDamaged): HistoryDamaged =>
    new HistoryDamaged({ session, reason: error.message })

const readError =
  (session: string) =>
  <E extends { readonly _tag: string }>(error: E | StorageUnavailable | JournalDamaged) => {
    if (error._tag === "StorageUnavailable") return unavailable(session)(error as StorageUnavailable)
    if (error._tag === "JournalDamaged") return damaged(session)(error as JournalDamaged)
    return error as Exclude<E, StorageUnavailable | JournalDamaged>
  }
