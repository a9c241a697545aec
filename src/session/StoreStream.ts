/** What is done to a store beside its programs, told in its own stream. Failing to tell it undoes nothing. */
import { Clock, Effect } from "effect"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/Journal.ts"

export interface Administered {
  /** As in StoreAdministered. */
  readonly what: string
  /** null: the store. */
  readonly session: SessionId | null
  readonly detail: string
  readonly actor: string
}

export const tellAdministered = (
  journal: JournalShape,
  { actor, detail, session, what }: Administered
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const timeMicros = (yield* Clock.currentTimeMillis) * 1000
    const event = { _tag: "StoreAdministered", what, session, detail } as const
    yield* journal.append(STORE_STREAM, [{ event, actor, timeMicros }])
  }).pipe(Effect.catchCause((cause) => Effect.logWarning(`what was done to the store is not told: ${what}`, cause)))
