/**
 * The feed of what happens to all sessions of a store: which event stands at which position. A position is a row beside the
 * events, written in one batch with its event, so that no death of the engine separates them; the event itself stays in
 * its session's stream only. `LiveSession` gives positions out, `LifecycleEngine` reads; a subscriber is a cursor, and
 * always reads from disk, so a slow one costs nothing.
 *
 *   key    position (u64 big-endian), from 1
 *   value  0x01 | session id (26 ASCII) | sequence (u64 big-endian)
 */
import { Effect, Stream } from "effect"
import { ACTOR_ENGINE, type NewEvent, type SessionId } from "../../journal/Event.ts"
import type { AppendOptions, JournalShape, Row } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { isLifecycle, type LifecycleEvent, type LifecycleItem } from "./Lifecycle.ts"
import { SessionUnavailable } from "./SessionError.ts"

const FEED_SPACE = "feed"
const ROW_VERSION = 1
const ROW_BYTES = 35
/** Positions read at a time: what a subscriber holds, a few of them large (a session's creation with its arguments). */
const PAGE_ROWS = 64
/** Events of a page that are read at a time; each is a short search in the store. */
const READ_CONCURRENCY = 8
/** A subscriber waits for a storage that is away, as a session does; whoever asks is told by `status`. */
const STORAGE_RETRY_DELAY = "100 millis"

/** The feed of a store, going on behind its last position. */
export const openFeed = (journal: JournalShape): Effect.Effect<Feed, StorageUnavailable> =>
  journal.rows(FEED_SPACE, { reverse: true, limit: 1 }).pipe(
    Stream.runCollect,
    Effect.map((rows) => new Feed(journal, rows.length === 0 ? 0 : positionOf(rows[0]!)))
  )

/** Events on their way to the journal that have, or will have, a position. */
export interface Placed {
  readonly rows: (first: number) => ReadonlyArray<Row>
  /** They are in the journal and folded. */
  readonly durable: () => void
}

export class Feed {
  readonly #journal: JournalShape
  #given: number
  /** Durable, and everything before it: batches become durable in the order in which positions are given. */
  #durable: number
  readonly #waiting = new Set<() => void>()

  constructor(journal: JournalShape, last: number) {
    this.#journal = journal
    this.#given = last
    this.#durable = last
  }

  /** Last position that is there. */
  get last(): number {
    return this.#durable
  }

  /** undefined when none of the events belongs into the feed: then nothing is to be done for it. */
  place(session: SessionId, events: ReadonlyArray<NewEvent>, rows: AppendOptions["rows"]): Placed | undefined {
    if (!events.some(({ event }) => isLifecycle(event))) return undefined
    let last = 0
    return {
      rows: (first) => {
        const all = [...((typeof rows === "function" ? rows(first) : rows) ?? [])]
        events.forEach(({ event }, index) => {
          if (!isLifecycle(event)) return
          last = ++this.#given
          all.push(feedRow(last, session, first + index))
        })
        return all
      },
      durable: () => {
        this.#durable = Math.max(this.#durable, last)
        for (const wake of this.#waiting) wake()
      }
    }
  }

  /** See LifecycleShape.feed. One chunk of the stream is one page. */
  follow(after: number | undefined): Stream.Stream<LifecycleItem, SessionUnavailable> {
    return Stream.suspend(() => {
      // Before the beginning is the beginning.
      let cursor = Math.max(0, Math.floor(after ?? this.#durable))
      let isSynced = false
      const next: Effect.Effect<[LifecycleItem, ...Array<LifecycleItem>], SessionUnavailable> = Effect.suspend(() => {
        if (cursor < this.#durable) {
          const until = this.#durable
          return Effect.flatMap(this.#page(cursor, until), ([first, ...more]) => {
            cursor = more.at(-1)?.position ?? first?.position ?? until
            return first === undefined ? next : Effect.succeed([first, ...more])
          })
        }
        if (!isSynced) {
          isSynced = true
          return Effect.succeed([{ _tag: "Synced", position: cursor }])
        }
        return Effect.andThen(this.#more(cursor), next)
      })
      return Stream.fromPull(Effect.succeed(next))
    })
  }

  /** There is something behind `cursor`. */
  #more(cursor: number): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const wake = () => {
        if (this.#durable <= cursor) return
        this.#waiting.delete(wake)
        resume(Effect.void)
      }
      this.#waiting.add(wake)
      wake()
      return Effect.sync(() => this.#waiting.delete(wake))
    })
  }

  #page(after: number, until: number): Effect.Effect<ReadonlyArray<LifecycleEvent>, SessionUnavailable> {
    const journal = this.#journal
    return journal.rows(FEED_SPACE, { from: feedKey(after + 1), to: feedKey(until), limit: PAGE_ROWS }).pipe(
      Stream.runCollect,
      Effect.flatMap((rows) => Effect.forEach(rows, (row) => this.#event(row), { concurrency: READ_CONCURRENCY })),
      Effect.catchIf(
        () => journal.suspended() !== undefined,
        () => Effect.delay(this.#page(after, until), STORAGE_RETRY_DELAY)
      ),
      Effect.mapError((error) =>
        error instanceof SessionUnavailable ? error : new SessionUnavailable({ session: "", reason: error.message })
      )
    )
  }

  #event(row: Row): Effect.Effect<LifecycleEvent, StorageUnavailable> {
    const value = Buffer.from(row.value.buffer, row.value.byteOffset, row.value.byteLength)
    const position = positionOf(row)
    const session = value.toString("latin1", 1, 27) as SessionId
    const sequence = Number(value.readBigUInt64BE(27))
    const place = { _tag: "Event", position, session, sequence } as const
    const gone = (why: string): LifecycleEvent => ({
      ...place,
      timeMicros: 0,
      actor: ACTOR_ENGINE,
      event: { _tag: "GapDetected", what: "events", from: sequence, to: sequence, why }
    })
    return this.#journal.read(session, { after: sequence - 1, until: sequence }).pipe(
      Stream.runCollect,
      Effect.map(([entry]): LifecycleEvent => {
        if (entry === undefined) return gone("missing")
        const { actor, event, timeMicros } = entry
        if (event._tag === "EventsRemoved" && entry.sequence !== sequence) return gone(`removed: ${event.policy}`)
        return { ...place, timeMicros, actor, event }
      }),
      Effect.catchTag("JournalDamaged", (error) => Effect.succeed(gone(error.message)))
    )
  }
}

const feedKey = (position: number): Buffer => {
  const key = Buffer.allocUnsafe(8)
  key.writeBigUInt64BE(BigInt(position))
  return key
}

const feedRow = (position: number, session: SessionId, sequence: number): Row => {
  const value = Buffer.allocUnsafe(ROW_BYTES)
  value[0] = ROW_VERSION
  value.write(session, 1, "latin1")
  value.writeBigUInt64BE(BigInt(sequence), 27)
  return { space: FEED_SPACE, key: feedKey(position), value }
}

const positionOf = ({ key }: Row): number =>
  Number(Buffer.from(key.buffer, key.byteOffset, key.byteLength).readBigUInt64BE(0))
