/** Serves SearchRpcs from the `Search` service; EngineServer.ts puts it on the socket. It passes on, page by page. */
import { Array as Arr, Effect, Stream } from "effect"
import { Search } from "../search/Search.ts"
import { SearchRpcs } from "./SearchRpcs.ts"

/** Lines of one message: of the longest lines there are, 3 MiB. */
const PAGE_ITEMS_MAX = 64

export const searchHandlers = SearchRpcs.toLayer(
  Effect.map(Search, ({ search }) =>
    SearchRpcs.of({
      Search: (query) => search(query).pipe(Stream.mapArray(Arr.chunksOf(PAGE_ITEMS_MAX)))
    })
  )
)
