/**
 * Searching a store without an engine: opens the journal in this process for as long as the command needs it. What it has to
 * read is indexed on the way, and an event tells of it; it writes nothing else. A store that does not exist has nothing in it, and is not made.
 */
import { Effect, Layer, Stream } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import { Search } from "../src/search/Search.ts"
import * as SearchLocal from "../src/search/SearchLocal.ts"
import { AccessLog } from "../src/session/AccessLog.ts"
import type { History } from "../src/session/History.ts"
import * as HistoryLive from "../src/session/HistoryLive.ts"
import type { ReaderShape } from "../src/session/Reader.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { accesses, LOCAL_READER } from "./LocalAccesses.ts"
import * as LocalJournal from "./LocalJournal.ts"
import { emptyHistory } from "./LocalStore.ts"

type Services = History | Search

export const layer = (
  paths: StorePaths,
  reader: ReaderShape = LOCAL_READER
): Layer.Layer<Services, StoreRefused | StorageUnavailable> =>
  Layer.effect(
    Search,
    Effect.gen(function* () {
      const { search } = yield* Search
      const { note } = yield* AccessLog
      return Search.of({
        search: (query) => Stream.onStart(search(query), note({ what: "search", session: query.session ?? null }))
      })
    })
  ).pipe(
    Layer.provide(SearchLocal.layer),
    Layer.provide(accesses(paths, reader)),
    Layer.provideMerge(HistoryLive.layer),
    Layer.provide(LocalJournal.layer(paths)),
    Layer.catchTag(
      "StoreRefused",
      (refused): Layer.Layer<Services, StoreRefused> =>
        refused.reason === "missing"
          ? Layer.merge(emptyHistory, Layer.succeed(Search, { search: () => Stream.empty }))
          : Layer.effectContext(Effect.fail(refused))
    )
  )
