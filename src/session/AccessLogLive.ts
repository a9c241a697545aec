/**
 * `AccessLog` over a journal. One event stands for all accesses of one kind to one session by one reader within some minutes,
 * so that a reader who asks page by page, or again and again, costs one append.
 */
import { Clock, Effect, Layer } from "effect"
import { ACTOR_ENGINE, STORE_STREAM } from "../../journal/Event.ts"
import { Journal, type JournalShape } from "../../journal/Journal.ts"
import { AccessLog, type AccessLogShape } from "./AccessLog.ts"
import { ownerName } from "./CreateRequest.ts"
import { Reader } from "./Reader.ts"

/** Accesses that lie closer together are one. */
const TOGETHER_MILLIS = 10 * 60_000
/** Of what was refused, the same again is told sooner: a guesser is to be seen while he guesses. */
const REFUSALS_TOGETHER_MILLIS = 30_000
/** Sessions, kinds and readers that are remembered; the one that was told of first is forgotten, and told of again. */
const REMEMBERED_MAX = 1000

/** What was told of lately. */
export type AccessMemory = Map<string, { millis: number; times: number }>

/** Of an engine: an access does not wait for its event. */
export const layer: Layer.Layer<AccessLog, never, Journal> = Layer.effect(
  AccessLog,
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const { note } = makeAccessLog(yield* Journal, new Map())
    return { note: (access) => Effect.asVoid(Effect.forkIn(note(access), scope)) }
  })
)

/** The event is in the journal when `note` returns. */
export const makeAccessLog = (journal: JournalShape, told: AccessMemory): AccessLogShape => {
  // The socket, and the store's folder, let in their user alone: that is who reads.
  const by = ownerName()
  return {
    note: Effect.fnUntraced(function* ({
      after = null,
      refused,
      session,
      times: given = 1,
      until = null,
      what: called
    }) {
      const { reason, through, what: purpose } = yield* Reader
      const what = refused === undefined ? (purpose ?? called) : called
      const millis = yield* Clock.currentTimeMillis
      const key = JSON.stringify([what, session, through, reason, refused])
      const known = told.get(key)
      const togetherMillis = refused === undefined ? TOGETHER_MILLIS : REFUSALS_TOGETHER_MILLIS
      if (known !== undefined && millis - known.millis < togetherMillis) {
        known.times += given
        return
      }
      told.delete(key)
      told.set(key, { millis, times: 0 })
      if (told.size > REMEMBERED_MAX) told.delete(told.keys().next().value!)
      // Those since the last one that was told, and this one.
      const times = (known?.times ?? 0) + given
      const event = {
        ...({ _tag: "HistoryAccessed", what, session, by, through, after, until, times } as const),
        ...(reason !== undefined && { reason }),
        ...(refused !== undefined && { refused })
      }
      yield* journal
        .append(STORE_STREAM, [{ event, actor: ACTOR_ENGINE, timeMicros: millis * 1000 }])
        .pipe(Effect.ignore)
    })
  }
}
