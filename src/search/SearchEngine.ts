/**
 * `Search` over a journal: the sessions one after the other, of each what is not indexed yet and then the blocks that the
 * index names, from the last to the first. What costs time with a pattern happens in a thread. It reads; beside the
 * index it writes nothing.
 */
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/Journal.ts"
import { Journal } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { streamBytes } from "../../journal/Keys.ts"
import { COMMANDS_KEPT_MAX, Commands } from "../../projections/Commands.ts"
import { stateAt } from "../../projections/ProjectionRunner.ts"
import type { HistoryShape } from "../session/History.ts"
import { InvalidRequest, SessionUnavailable } from "../session/SessionError.ts"
import type { SessionView } from "../session/SessionView.ts"
import type { SearchGap, SearchHit, SearchItem, SearchQuery, SearchShape } from "./Search.ts"
import { type Pattern, patternOf } from "./SearchPattern.ts"
import type { SearchDefeated, SearchThread, SearchThreadLost, SearchThreads } from "./SearchThread.ts"
import type { FoundLine } from "./SearchWorker.ts"
import { shortHolds } from "./Segments.ts"
import {
  blocksOf,
  candidates,
  indexedTo,
  passBehind,
  type ReadBlock,
  readBlock,
  readIndexes,
  type SessionIndex,
  scanBlock
} from "./SessionSearch.ts"

/** Blocks that are read while one is looked through: 3 of them are less than a megabyte. */
const BLOCKS_AHEAD = 3

/** A session and what is known of it before its text is looked at. */
interface Target {
  readonly view: SessionView
  readonly index: SessionIndex
}

interface Context {
  readonly journal: JournalShape
  readonly thread: SearchThread
  readonly query: SearchQuery
  readonly pattern: Pattern
}

type SearchFailure = StorageUnavailable | SearchDefeated | SearchThreadLost

export const makeSearch = (options: {
  readonly journal: JournalShape
  readonly history: HistoryShape
  readonly threads: SearchThreads
}): SearchShape => {
  const { history, journal, threads } = options

  const targets = Effect.fnUntraced(function* ({ session, since, until }: SearchQuery) {
    const views = session === undefined ? yield* history.list : [yield* history.get(session)]
    const indexes = yield* readIndexes(journal, session)
    return views
      .filter(({ createdAt, lastEventAt }) => (since ?? 0) <= lastEventAt && createdAt <= (until ?? lastEventAt))
      .sort((one, other) => other.lastEventAt - one.lastEventAt || (other.id < one.id ? -1 : 1))
      .map((view): Target => ({ view, index: indexes.get(streamBytes(view.id).toString("hex")) ?? [] }))
  })

  const run = Effect.fnUntraced(function* (query: SearchQuery) {
    const pattern = patternOf(query)
    if (pattern instanceof InvalidRequest) return yield* pattern
    const found = (yield* targets(query)).filter((target) => mayHold(target, pattern))
    const thread = yield* threads.borrow
    yield* thread.ask({ _tag: "Query", query: pattern.worker }, "Ready")
    const context: Context = { journal, thread, query, pattern }
    return Stream.fromIterable(found).pipe(Stream.flatMap((target) => searchSession(context, target)))
  })

  return {
    search: (query) =>
      Stream.unwrap(run(query)).pipe(
        (items) => (query.limit === undefined ? items : limited(items, query.limit)),
        Stream.catchTags({
          StorageUnavailable: (error) => Stream.fail(unavailable(error.message)),
          SearchThreadLost: (error) => Stream.fail(unavailable(error.reason)),
          SearchDefeated: () =>
            Stream.fail(
              new InvalidRequest({ field: "pattern", reason: "takes too long with a line there is: make it simpler" })
            )
        })
      )
  }
}

const unavailable = (reason: string) => new SessionUnavailable({ session: "", reason })

/** Gaps are no lines. */
const limited = <E, R>(items: Stream.Stream<SearchItem, E, R>, limit: number): Stream.Stream<SearchItem, E, R> =>
  Stream.suspend(() => {
    let left = limit
    return Stream.takeUntil(items, (item) => item._tag === "Hit" && --left === 0)
  })

/** Short sessions are many, and what is known of most of them is enough to pass them over. */
const mayHold = ({ index, view }: Target, { slots }: Pattern): boolean =>
  view.sequence > indexedTo(index) ||
  index.at(-1)?.head.hasOpen === true ||
  index.some(({ bits, head }) => head.blocks > 1 || shortHolds(bits, slots))

const searchSession = (context: Context, { index, view }: Target): Stream.Stream<SearchItem, SearchFailure> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { journal, pattern, query, thread } = context
      const session = view.id as SessionId
      const wanted = yield* exitFilter(context, view)
      if (wanted === undefined) return Stream.empty
      const last = index.at(-1)?.head
      // What is indexed and what has not ended at its end is all there is of most sessions.
      const isPassed = view.sequence > indexedTo(index) || last?.hasOpen === true
      const passed = isPassed
        ? yield* passBehind(journal, thread, session, { index, until: view.sequence, cut: isOver(view) })
        : undefined
      const toItems = (lines: ReadonlyArray<FoundLine>): ReadonlyArray<SearchItem> =>
        lines
          .filter(wanted)
          .map((line) => hitOf(view, line))
          .reverse()
      const scan = (blocks: Stream.Stream<ReadBlock["block"], SearchFailure>) =>
        blocks.pipe(
          Stream.mapEffect((block) => readBlock(journal, session, block), { concurrency: BLOCKS_AHEAD }),
          Stream.mapEffect((read) =>
            Effect.map(scanBlock(thread, read), (lines) => [
              ...gapOf(session, read.block.after + 1, read.gap),
              ...toItems(lines)
            ])
          ),
          Stream.flatMap(Stream.fromIterable)
        )
      const within = ({ fromMicros, toMicros }: { readonly fromMicros: number; readonly toMicros: number }) =>
        toMicros >= (query.since ?? Number.NEGATIVE_INFINITY) && fromMicros <= (query.until ?? Number.POSITIVE_INFINITY)
      const behind: Stream.Stream<SearchItem, SearchFailure> =
        passed === undefined
          ? Stream.empty
          : Stream.concat(
              Stream.fromIterable([...gapOf(session, passed.to + 1, passed.gap), ...toItems(passed.open)]),
              scan(Stream.fromIterable(passed.blocks.filter(({ isFound }) => isFound).reverse()))
            )
      if (index.length === 0) return behind
      const indexed = Stream.unwrap(
        Effect.map(candidates(journal, session, index, pattern.slots, within), (segments) =>
          scan(
            Stream.fromIterable(segments).pipe(
              Stream.mapEffect((segment) => blocksOf(journal, session, index, segment)),
              Stream.flatMap((blocks) => Stream.fromIterable(blocks)),
              Stream.filter(within)
            )
          )
        )
      )
      return Stream.concat(behind, indexed)
    })
  )

const isOver = ({ status, terminalOpen }: SessionView): boolean =>
  !terminalOpen && (status === "exited" || status === "failed" || status === "lost")

const gapOf = (session: SessionId, from: number, reason: string | undefined): ReadonlyArray<SearchGap> =>
  reason === undefined ? [] : [{ _tag: "Gap", session, from, reason }]

const hitOf = ({ id, name }: SessionView, found: FoundLine): SearchHit => ({
  _tag: "Hit",
  session: id,
  name,
  sequence: found.sequence,
  timeMicros: found.timeMicros,
  in: found.source,
  channel: found.channel,
  exec: found.exec === 0 ? null : found.exec,
  cwd: found.cwd,
  line: found.line,
  ranges: found.ranges.map(([from, to]) => [from, to])
})

/** Which lines are of what ended with the exit code that is asked for; undefined: none can be. */
const exitFilter = Effect.fnUntraced(function* ({ journal, query }: Context, view: SessionView) {
  const { exitCode } = query
  const all = (_: FoundLine): boolean => true
  if (exitCode === undefined) return all
  if (view.kind !== "exec") return view.exitCode === exitCode ? all : undefined
  const { states } = yield* stateAt({ commands: Commands }, view.id as SessionId).pipe(
    Effect.provideService(Journal, journal)
  )
  const kept = states.commands.commands
  // The state has the last commands only.
  const codes = kept.size < COMMANDS_KEPT_MAX ? kept : yield* allExitCodes(journal, view.id as SessionId)
  return ({ exec }: FoundLine): boolean => exec > 0 && codes.get(exec)?.exitCode === exitCode
})

const allExitCodes = (journal: JournalShape, session: SessionId) => {
  const codes = new Map<number, { readonly exitCode: number | null }>()
  return journal.read(session).pipe(
    Stream.runForEachArray((entries) =>
      Effect.sync(() => {
        for (const { event } of entries) if (event._tag === "CommandFinished") codes.set(event.exec, event)
      })
    ),
    // What is behind the damage is told by who reads the text.
    Effect.catchTag("JournalDamaged", () => Effect.void),
    Effect.as(codes)
  )
}
