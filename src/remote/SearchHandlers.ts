/** Serves SearchRpcs from the `Search` service; EngineServer.ts puts it on the socket. It passes on, page by page. */
import { Array as Arr, Effect, Stream } from "effect"
import { Search } from "../search/Search.ts"
import { AccessLog } from "../session/AccessLog.ts"
import * as Readers from "./Readers.ts"
import { SearchRpcs } from "./SearchRpcs.ts"

/** Lines of one message: of the longest lines there are, 3 MiB. */
const PAGE_ITEMS_MAX = 64

export const searchHandlers = SearchRpcs.toLayer(
  Effect.gen(function* () {
    const { search } = yield* Search
    const accesses = yield* AccessLog
    return SearchRpcs.of({
      Search: (query, { client }) =>
        search(query).pipe(
          Stream.mapArray(Arr.chunksOf(PAGE_ITEMS_MAX)),
          Stream.onStart(accesses.note({ what: "search", session: query.session ?? null }).pipe(Readers.as(client)))
        )
    })
  })
)
