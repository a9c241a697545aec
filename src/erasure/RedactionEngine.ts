/**
 * `Redaction` over a journal: lets the payloads be replaced, drops what this process keeps of them, deletes the rows that were
 * made of them, and has the journal's files written anew. One session at a time, and never beside a removal. A running
 * engine also finishes at its start what a process that died has begun. Destroying a key (KeyDestruction.ts) is the same: a turn
 * of its own, and files that are written anew.
 */
import { Clock, Effect, type Semaphore } from "effect"
import type { JournalEntry, KeptStates, NewEvent, SessionId } from "../../journal/Event.ts"
import { type AppendOptions, Journal, type JournalShape, type Row, type RowRange } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { isKeptAsTold, keptStatesOf } from "../../journal/KeptRows.ts"
import { Commands } from "../../projections/Commands.ts"
import { derivedRows, keptRows } from "../../projections/DerivedRows.ts"
import { maskKept } from "../../projections/KeptMask.ts"
import { stateAt, summaryOf } from "../../projections/ProjectionRunner.ts"
import { deleteSearchIndex } from "../../projections/SearchIndex.ts"
import { isKeyDestroyed } from "../../projections/SessionIndex.ts"
import { snapshotName } from "../../projections/SnapshotRow.ts"
import type { Sealer } from "../evidence/Sealer.ts"
import { SecretMask } from "../redact/SecretMask.ts"

import { actorOf } from "../session/Actor.ts"
import type { Feed } from "../session/Feed.ts"
import type { HistoryShape } from "../session/History.ts"
import { InvalidRequest, SessionUnavailable } from "../session/SessionError.ts"
import type { SessionView } from "../session/SessionView.ts"
import { tellAdministered } from "../session/StoreStream.ts"
import { keyDestruction, keyRanges, staleRows } from "./KeyDestruction.ts"

import {
  type DestroyKeyRequest,
  REDACT_REQUEST_EVENTS_MAX,
  REDACT_SECRETS_MAX,
  type RedactionShape,
  type RedactRequest
} from "./Redaction.ts"
import { toldStates } from "./ToldStates.ts"

/** Of the reason: a sentence and where the order is filed. */
const REASON_LENGTH_MAX = 1000

/** What it needs of a running engine; absent where none runs. */
export interface RedactionPort {
  readonly feed: Feed
  /** As `RetentionPort.notNeeded`. */
  readonly notNeeded: (session: SessionId) => Promise<number | undefined>
  /** Journals the redaction of a session that lives; false when it does not. */
  readonly appendRedaction: (session: SessionId, event: NewEvent, options: AppendOptions) => Promise<boolean>
  /** What the engine keeps of the session in memory is read anew. */
  readonly redacted: (session: SessionId) => Promise<void>
}

export interface RedactionOptions {
  readonly journal: JournalShape
  readonly history: HistoryShape
  /** Of what is erased, the hashes are kept, and the salts are not. */
  readonly sealer: Pick<Sealer, "seal" | "forgetRemoved">
  /** That of retention. */
  readonly turn: Semaphore.Semaphore
  readonly engine?: RedactionPort | undefined
  readonly openFeed: Effect.Effect<Feed, StorageUnavailable>
}

export interface RedactionEngine extends RedactionShape {
  /** Does what a process that died has left undone. */
  readonly finish: Effect.Effect<void, StorageUnavailable>
}

export const makeRedaction = (options: RedactionOptions): RedactionEngine => {
  const { engine, history, journal, openFeed, sealer, turn } = options
  const provided = Effect.provideService(Journal, journal)

  /** The last event whose input nobody needs any more. */
  const needlessUntil = Effect.fnUntraced(function* (session: SessionId) {
    const view = yield* history.get(session)
    const live = engine === undefined ? undefined : yield* fromEngine(session, () => engine.notNeeded(session))
    if (live === undefined) {
      if (isEnded(view)) return Number.MAX_SAFE_INTEGER
      const reason = "it may still run, and no engine holds it; start one (any command that changes something does)"
      return yield* new SessionUnavailable({ session, reason })
    }
    if (view.kind !== "exec") return live
    const { states } = yield* stateAt({ commands: Commands }, session)
    let limit = live
    for (const number of [states.commands.running, states.commands.assumedLost]) {
      const command = number === null ? undefined : states.commands.commands.get(number)
      if (command !== undefined) limit = Math.min(limit, command.firstSequence - 1)
    }
    return limit
  })

  /** Of a session that has ended; behind its last word. */
  const appendToEnded = Effect.fnUntraced(function* (session: SessionId, event: NewEvent, options: AppendOptions) {
    const feed = engine?.feed ?? (yield* openFeed)
    const placed = feed.place(session, [event], options.rows)
    yield* journal.append(session, [event], { ...options, rows: placed?.rows ?? options.rows })
    placed?.durable()
  })

  const append =
    (session: SessionId, fork: <A, E>(effect: Effect.Effect<A, E>) => Promise<A>) =>
    async (event: NewEvent, options: AppendOptions): Promise<void> => {
      if (engine !== undefined && (await engine.appendRedaction(session, event, options))) return
      await fork(appendToEnded(session, event, options))
    }

  const finishOne = Effect.fnUntraced(function* (session: SessionId, changed: ReadonlyArray<RowRange>) {
    // What is being indexed at the moment is given up.
    yield* deleteSearchIndex(session)
    const stale = yield* derivedRows(session)
    yield* journal.redaction.finish(session, stale, changed)
    // The list has its line again.
    yield* summaryOf(session)
  })

  const redactOne = Effect.fnUntraced(function* (request: RedactRequest) {
    const { events, from, isLast, reason, rules, session, to } = request
    const view = yield* history.get(session)
    const gone = yield* journal.removal.of(session)
    if (request.isDryRun === true) {
      const { rows, unreadable } = yield* masked(view, gone, request.secrets)
      return { events: 0, left: [], keptStates: rows.length, unreadable }
    }
    if (view.hold != null) {
      const why = `it is held (${view.hold.reason}), and what is held is not changed; \`reprise release\` ends that`
      return yield* new InvalidRequest({ field: "session", reason: why })
    }
    if (gone !== undefined && events.some(({ sequence }) => sequence <= gone.sequence)) {
      // No mistake of whoever asks: it was so when they were searched.
      const why = `its events up to ${gone.sequence} were removed since they were searched: search again`
      return yield* new SessionUnavailable({ session, reason: why })
    }
    const actor = yield* actorOf(request)
    const limit = yield* needlessUntil(session)
    const possible = events.filter(({ isInput, sequence }) => !isInput || sequence <= limit)
    const { keptStates, rows, unreadable } = yield* masked(view, gone, request.secrets)
    const clock = yield* Clock.Clock
    const timeMicros = Number(clock.currentTimeNanosUnsafe() / 1000n)
    if (possible.length > 0 || rows.length > 0) {
      const redaction = { from, to, rules, reason, actor, timeMicros, events: possible, rows, keptStates }
      const fork = Effect.runPromiseWith(yield* Effect.context<never>())
      yield* journal.redaction.replace(session, redaction, append(session, fork))
      if (engine !== undefined) yield* fromEngine(session, () => engine.redacted(session))
    }
    if (possible.length > 0 || rows.length > 0) {
      const kept = rows.length === 0 ? "" : ` and ${rows.length} states kept of removed ones`
      const detail = [`${possible.length} events${kept}`, ...(reason === "" ? [] : [reason])].join(": ")
      yield* tellAdministered(journal, { what: "redact", session, detail, actor })
    }
    if (isLast) {
      yield* finishOne(
        session,
        rows.map(({ key, space }) => ({ space, from: key, to: key }))
      )
    }
    return {
      events: possible.length,
      left: events.filter((event) => !possible.includes(event)).map(({ sequence }) => sequence),
      keptStates: rows.length,
      unreadable
    }
  })

  /** The rows that stand for removed events, without the texts; those that hold none of them are left out. */
  const masked = Effect.fnUntraced(function* (
    view: SessionView,
    gone: JournalEntry | undefined,
    texts: ReadonlyArray<string>
  ) {
    const session = view.id as SessionId
    if (texts.length === 0 || gone?.event._tag !== "EventsRemoved") return NOTHING_MASKED
    const before = yield* keptRows(session)
    const mask = new SecretMask({ texts, size: view.size })
    const rows: Array<Row> = []
    const after: Array<Row> = []
    const there = new Set(before.map(({ key }) => snapshotName(key)))
    const unreadable = new Set(gone.event.kept.filter((name) => !there.has(name)))
    for (const row of before) {
      const answer = maskKept(row, mask)
      if (answer._tag === "Unreadable") unreadable.add(answer.name)
      if (answer._tag === "Masked") rows.push(answer.row)
      after.push(answer._tag === "Masked" ? answer.row : row)
      // A large one takes some time, and sessions go on meanwhile.
      yield* Effect.yieldNow
    }
    // Where they were not as they should be, a digest of what they are now would vouch for them.
    const told = toldStates(journal, session, gone).pipe(
      // Behind the damage may be what was told last.
      Effect.catchTag("JournalDamaged", () => Effect.succeed(undefined))
    )
    const isVouched = rows.length > 0 && isKeptAsTold(before, yield* told)
    return {
      rows,
      keptStates: isVouched ? keptStatesOf(after, gone.sequence) : undefined,
      unreadable: [...unreadable].sort()
    }
  })

  const destroyed = Effect.fnUntraced(function* (session: SessionId) {
    journal.redaction.forget(session)
    if (engine !== undefined) yield* fromEngine(session, () => engine.redacted(session))
    yield* deleteSearchIndex(session)
    // Its salts go before the files are written anew.
    yield* Effect.ignore(sealer.forgetRemoved(session))
    yield* finishOne(session, keyRanges(session))
  })

  const finish = Effect.gen(function* () {
    for (const session of yield* journal.redaction.unfinished) {
      if (yield* isDestroyed(session)) {
        yield* Effect.ignore(sealer.forgetRemoved(session))
        // Nobody reads them, and they go all the same.
        yield* journal.removal.finish(session, yield* staleRows(session))
        yield* finishOne(session, keyRanges(session))
        continue
      }
      // The rows that stand for removed events: which of them were changed is not known any more.
      const kept = yield* keptRows(session)
      yield* finishOne(
        session,
        kept.map(({ key, space }) => ({ space, from: key, to: key }))
      )
    }
  }).pipe(
    provided,
    Effect.catchTag("JournalDamaged", () => Effect.void),
    turn.withPermit
  )

  const isDestroyed = (session: SessionId) =>
    Effect.map(
      journal.removal.of(session),
      (gone) => gone?.event._tag === "EventsRemoved" && isKeyDestroyed({ removed: gone.event })
    )

  const destroyOne = Effect.fnUntraced(function* (request: DestroyKeyRequest) {
    const { reason, session } = request
    if (journal.isEncrypted !== true) {
      const why =
        "the store is not encrypted: its sessions have no keys; `reprise prune` and `reprise redact` take out what they hold"
      return yield* new InvalidRequest({ field: "session", reason: why })
    }
    const view = yield* history.get(session)
    if (view.hold != null) {
      const why = `it is held (${view.hold.reason}), and what is held is not destroyed; \`reprise release\` ends that`
      return yield* new InvalidRequest({ field: "session", reason: why })
    }
    if (yield* isDestroyed(session)) return { events: 0 }
    const live = engine === undefined ? undefined : yield* fromEngine(session, () => engine.notNeeded(session))
    if (live !== undefined || !isEnded(view)) {
      return yield* new SessionUnavailable({ session, reason: "it has not ended: end it first" })
    }
    const actor = yield* actorOf(request)
    // What is not sealed has no hash, and says so.
    yield* Effect.ignore(sealer.seal(session))
    const clock = yield* Clock.Clock
    const timeMicros = Number(clock.currentTimeNanosUnsafe() / 1000n)
    const { removal, stale } = yield* keyDestruction(session, { actor, reason, timeMicros })
    yield* journal.removal.remove(session, removal, stale)
    yield* destroyed(session)
    return { events: removal.to }
  })

  return {
    finish,
    destroyKey: Effect.fn("Redaction.destroyKey")(function* (request: DestroyKeyRequest) {
      if (request.reason.length > REASON_LENGTH_MAX) {
        const reason = `must have at most ${REASON_LENGTH_MAX} characters`
        return yield* new InvalidRequest({ field: "reason", reason })
      }
      return yield* destroyOne(request).pipe(
        provided,
        Effect.catchTag(["StorageUnavailable", "JournalDamaged"], (error) =>
          Effect.fail(new SessionUnavailable({ session: request.session, reason: error.message }))
        ),
        Effect.catchTag("EventRefused", (error) =>
          Effect.fail(new InvalidRequest({ field: "session", reason: error.reason }))
        ),
        turn.withPermit
      )
    }),
    redact: Effect.fn("Redaction.redact")(function* (request: RedactRequest) {
      const { events, reason, secrets } = request
      if (reason.length > REASON_LENGTH_MAX) {
        return yield* new InvalidRequest({
          field: "reason",
          reason: `must have at most ${REASON_LENGTH_MAX} characters`
        })
      }
      if (events.length > REDACT_REQUEST_EVENTS_MAX || secrets.length > REDACT_SECRETS_MAX) {
        return yield* new InvalidRequest({
          field: "events",
          reason: `at most ${REDACT_REQUEST_EVENTS_MAX} in one request`
        })
      }
      return yield* redactOne(request).pipe(
        provided,
        Effect.catchTag(["StorageUnavailable", "SequenceConflict", "JournalDamaged"], (error) =>
          Effect.fail(new SessionUnavailable({ session: request.session, reason: error.message }))
        ),
        Effect.catchTag("EventRefused", (error) =>
          Effect.fail(new InvalidRequest({ field: "events", reason: error.reason }))
        ),
        turn.withPermit
      )
    })
  }
}

interface Masked {
  readonly rows: ReadonlyArray<Row>
  /** What is to be told of them; undefined where nobody can vouch for them. */
  readonly keptStates: KeptStates | undefined
  readonly unreadable: ReadonlyArray<string>
}

const NOTHING_MASKED: Masked = { rows: [], keptStates: undefined, unreadable: [] }

const isEnded = ({ status, terminalOpen }: SessionView): boolean =>
  !terminalOpen && (status === "exited" || status === "lost" || status === "failed")

const fromEngine = <A>(session: SessionId, ask: () => Promise<A>): Effect.Effect<A, SessionUnavailable> =>
  Effect.tryPromise({
    try: ask,
    catch: (error) =>
      error instanceof SessionUnavailable
        ? error
        : new SessionUnavailable({ session, reason: error instanceof Error ? error.message : String(error) })
  })
