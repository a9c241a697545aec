/** What the search tests share: a journal in memory with sessions in it, and what a search without an index would find. */
import { Effect, Layer, Stream } from "effect"
import { monotonicFactory } from "ulid"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { summaryOf } from "../../projections/ProjectionRunner.ts"
import { Search, type SearchHit, type SearchItem, type SearchQuery } from "../../src/search/Search.ts"
import * as SearchLocal from "../../src/search/SearchLocal.ts"
import { packPage } from "../../src/search/SearchPage.ts"
import { type LinePlace, SearchText } from "../../src/search/SearchText.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"

export const layer = Layer.fresh(
  SearchLocal.layer.pipe(Layer.provideMerge(HistoryLive.layer), Layer.provideMerge(JournalMemory.layer))
)

const nextId = monotonicFactory()
export const START_MICROS = 1_800_000_000_000_000

export const ended = (exitCode = 0, outputBytes = 0): ReadonlyArray<SessionEvent> => [
  { _tag: "LeaderExited", exitCode, signal: null },
  { _tag: "TerminalClosed", outputBytes },
  { _tag: "SessionClosed", exitCode, signal: null, reason: "exited", survivors: [] }
]

export const entriesOf = (events: ReadonlyArray<SessionEvent>, timeMicros = START_MICROS) =>
  events.map((event, index) => ({ sequence: index + 1, event, actor: "test", timeMicros: timeMicros + index * 1000 }))

/** Output in order: the offsets are counted here. */
export const printed = (texts: ReadonlyArray<string | Uint8Array>): ReadonlyArray<SessionEvent> => {
  let offset = 0
  return texts.map((text) => {
    const data = typeof text === "string" ? new Uint8Array(Buffer.from(text)) : text
    const event: SessionEvent = { _tag: "OutputReceived", channel: "tty", exec: 0, offset, data }
    offset += data.length
    return event
  })
}

/** A session with these events; its times begin at `timeMicros`. */
export const session = Effect.fnUntraced(function* (events: ReadonlyArray<SessionEvent>, timeMicros = START_MICROS) {
  const journal = yield* Journal
  const id = nextId() as SessionId
  yield* journal.append(id, entriesOf(events, timeMicros))
  yield* Effect.orDie(summaryOf(id))
  return id
})

export const items = (query: SearchQuery): Effect.Effect<ReadonlyArray<SearchItem>, never, Search> =>
  Effect.orDie(Search.use(({ search }) => Stream.runCollect(search(query))))

export const hits = (query: SearchQuery) =>
  Effect.map(items(query), (all) => all.filter((item): item is SearchHit => item._tag === "Hit"))

export const linesOf = (found: ReadonlyArray<SearchHit>) => found.map(({ line }) => line)

/** All lines of a session, read in one go. */
export const textOf = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<LinePlace & { readonly line: string }> => {
  const lines: Array<LinePlace & { readonly line: string }> = []
  const text = new SearchText((line, place) => lines.push({ ...place, line }))
  text.feed(packPage(entriesOf(events)))
  text.flush()
  return lines
}
