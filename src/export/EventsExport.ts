/**
 * `--format events`: every event of a session as it is stored, one on a line. It fails at damage rather than leave it out; an
 * import gives the same session again.
 */
import { Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { describe } from "../../journal/JournalCore.ts"
import { StorageUnavailable, StoreRefused } from "../../journal/JournalError.ts"
import { HistoryDamaged, SessionNotFound } from "../session/SessionError.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { EVENT_LINES_FORMAT, EVENT_LINES_VERSION, type EventLinesHeader, eventLine, keptLine } from "./EventLine.ts"
import { type StoredItem, StoreSnapshot } from "./StoreSnapshot.ts"

export type EventsExportError = StoreRefused | StorageUnavailable | HistoryDamaged | SessionNotFound

/** Of one piece of text. */
const PIECE_LENGTH_MAX = 256 * 1024

/** As it is now; of one moment, also while an engine goes on. */
export const exportEvents = (paths: StorePaths, session: SessionId): Stream.Stream<Uint8Array, EventsExportError> =>
  Stream.fromAsyncIterable(lines(paths, session), (error) =>
    error instanceof StoreRefused || error instanceof HistoryDamaged || error instanceof SessionNotFound
      ? error
      : new StorageUnavailable({ operation: "read", reason: describe(error), diskFull: false })
  )

async function* lines(paths: StorePaths, session: SessionId): AsyncGenerator<Uint8Array, undefined> {
  const store = await StoreSnapshot.open(paths)
  try {
    // Looked at as a whole first: an export that ends in the middle is none.
    let events = 0
    let last = 0
    for await (const page of store.events(session)) {
      for (const item of page) {
        last = checked(session, item).sequence
        events++
      }
    }
    if (events === 0) throw new SessionNotFound({ session, candidates: [] })
    const format = EVENT_LINES_FORMAT
    const header: EventLinesHeader = { format, version: EVENT_LINES_VERSION, session, events, last }
    let text = lineOf(header)
    for (const row of await store.kept(session)) text += lineOf(keptLine(row))
    for await (const page of store.events(session)) {
      for (const item of page) {
        text += lineOf(eventLine(checked(session, item)))
        if (text.length < PIECE_LENGTH_MAX) continue
        yield Buffer.from(text)
        text = ""
      }
    }
    yield Buffer.from(text)
  } finally {
    store.close()
  }
}

export const lineOf = (line: object): string => `${JSON.stringify(line)}\n`

const checked = (session: SessionId, item: StoredItem) => {
  if (item._tag === "Event") return item
  const to = item.to === item.from ? "" : ` to ${item.to ?? "?"}`
  throw new HistoryDamaged({ session, reason: `event ${item.from}${to}: ${item.reason}` })
}
