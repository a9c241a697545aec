/**
 * What a session says of the states that are kept of its removed events. Whoever writes others in their place, or removes more,
 * asks first: states that somebody else wrote must not become those that the next event vouches for.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/Journal.ts"
import { keptStatesAfter } from "../../journal/KeptRows.ts"

/** What was told last; undefined where nothing was, as by earlier versions. `gone`: the EventsRemoved that the session begins with. */
export const toldStates = Effect.fnUntraced(function* (journal: JournalShape, session: SessionId, gone: JournalEntry) {
  let told = keptStatesAfter(gone.event, gone.sequence, undefined)
  yield* Stream.runForEachWhile(journal.readBackwards(session, {}), ({ event }) =>
    Effect.sync(() => {
      const found = event._tag === "PayloadsRedacted" && keptStatesAfter(event, gone.sequence, undefined)
      if (found) told = found
      return !found
    })
  )
  return told
})
