/**
 * The Effect face of `JournalCore`: promises become effects with typed errors, pages become chunks of streams. The two
 * layers (JournalMemory.ts, JournalLevel.ts) use it; it decides nothing.
 */
import { Array as Arr, Cause, Effect, Option, type Pull, Stream } from "effect"
import { type JournalEntry, type SessionId, STORE_STREAM } from "./Event.ts"
import type { JournalShape, Row } from "./Journal.ts"
import { type JournalCore, rowBounds } from "./JournalCore.ts"
import { EventRefused, JournalDamaged, SequenceConflict, StorageUnavailable } from "./JournalError.ts"
import { REDACTION_SPACE } from "./RedactionCore.ts"
import { REMOVAL_SPACE } from "./RemovalCore.ts"

/** What JournalCore rejects with are these classes; anything else is a defect and stays one. */
const attempt = <A, E>(isExpected: (error: unknown) => error is E, evaluate: () => Promise<A>): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    evaluate().then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(isExpected(error) ? Effect.fail(error) : Effect.die(error))
    )
  })

const isUnavailable = (error: unknown) => error instanceof StorageUnavailable
const isWriteError = (error: unknown) => error instanceof StorageUnavailable || error instanceof EventRefused
const isAppendError = (error: unknown) => isWriteError(error) || error instanceof SequenceConflict
const isRemovalError = (error: unknown) => isReadError(error) || error instanceof EventRefused
const isRedactionError = (error: unknown) => isRemovalError(error) || error instanceof SequenceConflict
const isReadError = (error: unknown) => error instanceof StorageUnavailable || error instanceof JournalDamaged

/** The streams that rows are named by. */
const streamsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<SessionId> =>
  rows.map(({ key }) => Buffer.from(key).toString("latin1") as SessionId)

/** The journal over `core`; its scope's end writes what waits and closes the storage. */
export const makeJournal = (core: JournalCore): JournalShape => {
  const unavailable = <A>(evaluate: () => Promise<A>) => attempt(isUnavailable, evaluate)

  /** Pages in turn until one is empty; a page that is followed by damage is delivered before the damage is. */
  const pages = (
    start: number,
    page: (cursor: number) => Promise<{
      readonly entries: ReadonlyArray<JournalEntry>
      readonly damage: JournalDamaged | undefined
    }>
  ): Stream.Stream<JournalEntry, JournalDamaged | StorageUnavailable> =>
    Stream.fromPull(
      Effect.sync(() => {
        let cursor = start
        let damage: JournalDamaged | undefined
        return Effect.suspend(() =>
          damage === undefined ? attempt(isReadError, () => page(cursor)) : Effect.fail(damage)
        ).pipe(
          Effect.flatMap((result): Pull.Pull<Arr.NonEmptyReadonlyArray<JournalEntry>, JournalDamaged> => {
            damage = result.damage
            const { entries } = result
            if (!Arr.isReadonlyArrayNonEmpty(entries)) return damage === undefined ? Cause.done() : Effect.fail(damage)
            cursor = entries[entries.length - 1]!.sequence
            return Effect.succeed(entries)
          })
        )
      })
    )

  const shape: JournalShape = {
    durability: core.durability,
    isEncrypted: core.isEncrypted,
    append: (stream, events, options) => attempt(isAppendError, () => core.append(stream, events, options)),
    head: (stream) => unavailable(() => core.head(stream)),
    read: (stream, options = {}) =>
      Stream.unwrap(
        Effect.map(
          unavailable(() => core.readableHead(stream)),
          (head) => {
            const until = Math.min(options.until ?? head, head)
            return pages(options.after ?? 0, (cursor) => core.page(stream, cursor, until))
          }
        )
      ),
    readBackwards: (stream, options = {}) =>
      Stream.unwrap(
        Effect.map(
          unavailable(() => core.readableHead(stream)),
          (head) =>
            pages(Math.min(options.before ?? head + 1, head + 1), (cursor) => core.pageBackwards(stream, cursor))
        )
      ),
    follow: (stream, after) =>
      Stream.unwrap(
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => core.follower(stream, after)),
            (follower) => Effect.sync(() => core.release(follower))
          ),
          (follower) =>
            Stream.fromEffectRepeat(
              attempt(isReadError, () => core.next(follower)).pipe(
                Effect.flatMap((item) => (item === undefined ? Cause.done() : Effect.succeed(item)))
              )
            )
        )
      ),
    streams: (after) =>
      Stream.suspend(() => {
        let cursor = after ?? STORE_STREAM
        return Stream.fromEffectRepeat(
          unavailable(() => core.nextStream(cursor)).pipe(
            Effect.flatMap((stream) => {
              if (stream === undefined) return Cause.done()
              cursor = stream
              return Effect.succeed(stream)
            })
          )
        )
      }),
    putRows: (rows, madeOf) => attempt(isWriteError, () => core.putRows(rows, madeOf)),
    row: (space, key) => unavailable(() => core.row(space, key)),
    rows: (space, range = {}) => {
      const limit = range.limit ?? Number.MAX_SAFE_INTEGER
      return Stream.paginate({ bounds: rowBounds(space, range.from, range.to), left: limit }, ({ bounds, left }) =>
        Effect.map(
          unavailable(() => core.rowsPage(space, bounds, range.reverse ?? false, left)),
          ({ next, rows }) => {
            const still = left - rows.length
            return [rows, next === undefined || still <= 0 ? Option.none() : Option.some({ bounds: next, left: still })]
          }
        )
      )
    },
    deleteRows: (space, from, to) => unavailable(() => core.deleteRows(space, from, to)),
    verify: unavailable(() => core.verify()),
    openingDamages: core.openingDamages,
    suspended: () => core.suspension,
    onSuspended: (listener) => core.onSuspension(listener),
    hot: core,
    sealing: {
      watchChanges: (wake) => core.watchChanges(wake),
      records: (stream, after, until) => unavailable(() => core.records(stream, after, until))
    },
    removal: {
      of: (stream) => unavailable(() => core.removed(stream)),
      measure: (stream, to) => attempt(isReadError, () => core.removal.measure(stream, to)),
      endKeeping: (stream, bytesMax) => attempt(isReadError, () => core.removal.endKeeping(stream, bytesMax)),
      remove: (stream, removal, stale) => attempt(isRemovalError, () => core.removal.remove(stream, removal, stale)),
      finish: (stream, stale) => attempt(isReadError, () => core.removal.finish(stream, stale)),
      unfinished: Effect.suspend(() => Stream.runCollect(shape.rows(REMOVAL_SPACE))).pipe(Effect.map(streamsOf))
    },
    redaction: {
      replace: (stream, redaction, append) =>
        attempt(isRedactionError, () => core.redaction.replace(stream, redaction, append)),
      finish: (stream, stale, changed) => attempt(isReadError, () => core.redaction.finish(stream, stale, changed)),
      unfinished: Effect.suspend(() => Stream.runCollect(shape.rows(REDACTION_SPACE))).pipe(Effect.map(streamsOf)),
      count: (stream) => core.redaction.count(stream),
      onReplaced: (listener) => core.redaction.onReplaced(listener),
      forget: (stream) => core.redaction.forget(stream)
    }
  }
  return shape
}
