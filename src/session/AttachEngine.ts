/**
 * `Attach` over a session's history. It gives every client a stream of its own: the screen or what it missed, then what
 * happens, then the end, whether the session lives, has ended, or ends meanwhile. Over a running engine it also counts
 * the clients and makes the session the size of their windows; without one it only reads.
 */
import { Deferred, Effect, Exit, type Scope, Stream } from "effect"
import type { SessionId, TerminalSize } from "../../journal/Event.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import type { SessionState } from "../../projections/SessionState.ts"
import type { AttachError, Attached, AttachItem, AttachOptions, AttachShape } from "./Attach.ts"
import { AttachedItems } from "./AttachedItems.ts"
import type { Clients } from "./Clients.ts"
import { checkLabel, checkSize } from "./CreateRequest.ts"
import type { HistoryShape } from "./History.ts"
import { mapPages, otherItem } from "./OutputItem.ts"
import { AccessDenied, InvalidRequest, type LimitExceeded, SessionEnded, SessionUnavailable } from "./SessionError.ts"
import type { CommandOptions } from "./Sessions.ts"
import type { SessionView } from "./SessionView.ts"

/** What attaching needs of a running engine. */
export interface AttachPort {
  readonly clients: Clients
  /** Of a live session, without a look at its history. */
  readonly live: (session: SessionId) => Pick<SessionState, "status" | "size" | "sequence"> | undefined
  readonly resize: (session: SessionId, size: TerminalSize, options: CommandOptions) => Promise<TerminalSize>
  /** A screen was drawn wrongly, and is replayed instead: for whoever mends it. Derived: it may fail. */
  readonly defect: (session: SessionId, at: number, detail: string) => void
}

export interface AttachEngineOptions {
  readonly history: HistoryShape
  /** Absent where no engine runs: nobody is counted, nothing is resized. */
  readonly engine?: AttachPort | undefined
}

/** AttachOptions, checked. */
interface Terms extends AttachOptions {
  readonly client: string
  readonly readOnly: boolean
  readonly exclusive: boolean
  readonly size: TerminalSize | undefined
}

export const makeAttach = (options: AttachEngineOptions): AttachShape => ({
  attach: (session, asked = {}) => Stream.unwrap(begin(options, session, asked))
})

const begin = Effect.fnUntraced(function* (
  { engine, history }: AttachEngineOptions,
  session: SessionId,
  asked: AttachOptions
) {
  const terms = yield* Effect.try({ try: () => check(asked), catch: (error) => error as InvalidRequest })
  const look = Effect.suspend(() => {
    const live = engine?.live(session)
    return live === undefined ? history.get(session) : Effect.succeed(live)
  })
  yield* checkCursor(history, session, terms.after, (yield* look).sequence)
  const replaced = yield* Deferred.make<never, AccessDenied>()
  if (engine !== undefined) {
    yield* takePart(engine, session, terms, replaced)
    yield* fitWindow(engine, session, terms)
  }
  const { after, client, readOnly } = terms
  const { sequence: head, size, status } = yield* look
  const attached: typeof Attached.Type = { _tag: "Attached", session, client, status, size, head, readOnly }
  const opening: Array<AttachItem> = [attached]
  let from = after ?? 0
  if (after === undefined) {
    const options = { target: terms.size, scrollback: terms.scrollback }
    const { defect, ...screen } = yield* history.redraw(session, { _tag: "Head" }, options)
    opening.push({ _tag: "Screen", ...screen })
    from = screen.sequence
    if (defect !== undefined && defect !== null) engine?.defect(session, head, defect)
  }
  const items = new AttachedItems(from)
  const stream = Stream.concat(Stream.fromIterable(opening), following(history, session, items))
  // Pull by pull: a merged stream would read ahead of a slow client.
  return Stream.transformPull(stream, (pull) => Effect.succeed(Effect.raceFirst(pull, Deferred.await(replaced))))
})

/** Before anybody is counted or resized. What was delivered may be ahead of what is folded: History knows where the end is. */
const checkCursor = (history: HistoryShape, session: SessionId, after: number | undefined, folded: number) =>
  after === undefined || after <= folded
    ? Effect.void
    : history.events(session, { after }).pipe(
        Stream.runHead,
        // That is told where it is met.
        Effect.catchTag("HistoryDamaged", () => Effect.void),
        Effect.asVoid
      )

const check = (options: AttachOptions): Terms => {
  const { after, exclusive = false, readOnly = false, scrollback } = options
  const invalid = (field: string, reason: string) => new InvalidRequest({ field, reason })
  if (after !== undefined && !isCount(after)) throw invalid("after", "must be a whole number of 0 or more")
  if (scrollback !== undefined && !isCount(scrollback))
    throw invalid("scrollback", "must be a whole number of 0 or more")
  if (exclusive && readOnly) throw invalid("exclusive", "a client that only looks needs no writer's lease")
  checkLabel("client", options.client)
  return {
    ...options,
    client: options.client ?? crypto.randomUUID(),
    readOnly,
    exclusive,
    size: options.size === undefined ? undefined : checkSize(options.size)
  }
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** Counted until the stream's scope closes. */
const takePart = (
  { clients }: AttachPort,
  session: SessionId,
  terms: Terms,
  replaced: Deferred.Deferred<never, AccessDenied>
): Effect.Effect<void, AccessDenied | LimitExceeded, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: () =>
          clients.attach(session, terms, () => {
            const reason = `another connection attached as "${terms.client}" and took this one's place`
            Deferred.doneUnsafe(replaced, Exit.fail(new AccessDenied({ session, reason })))
          }),
        catch: (error) => error as AccessDenied | LimitExceeded
      }),
      (attachment, exit) => Effect.sync(() => attachment.leave(terms.isBroken?.(exit) === true))
    )
  )

/** The last window wins. Where it may not or cannot, the screen is only drawn for it. */
const fitWindow = (
  { clients, resize }: AttachPort,
  session: SessionId,
  { client, readOnly, size }: Terms
): Effect.Effect<void> =>
  size === undefined || readOnly || clients.isLeasedToOther(session, client)
    ? Effect.void
    : Effect.tryPromise({
        try: () => resize(session, size, { actor: client, client }),
        catch: (error) => error
      }).pipe(
        Effect.catchIf(
          (error) =>
            error instanceof SessionEnded ||
            error instanceof SessionUnavailable ||
            error instanceof StorageUnavailable ||
            error instanceof AccessDenied,
          () => Effect.void
        ),
        Effect.orDie,
        Effect.asVoid
      )

/** Everything behind `items.sequence`, and the end as the last item, also where no event stands behind it. */
const following = (
  history: HistoryShape,
  session: SessionId,
  items: AttachedItems
): Stream.Stream<AttachItem, AttachError> =>
  Stream.suspend(() => {
    const events = history
      .follow(session, items.sequence)
      .pipe(
        mapPages(
          (pages): ReadonlyArray<AttachItem> =>
            pages.flatMap(
              (page): ReadonlyArray<AttachItem> => (page._tag === "Synced" ? items.synced() : items.take(page.entries))
            )
        )
      )
    return Stream.concat(events, Stream.unwrap(endOrMore(history, session, items)))
  })

/** The history ends at an end: it is told, unless the session has come back to life by now. */
const endOrMore = Effect.fnUntraced(function* (history: HistoryShape, session: SessionId, items: AttachedItems) {
  const view = yield* history.get(session)
  if (items.end === undefined) {
    // It began behind the last event.
    const last = yield* Stream.runCollect(history.events(session, { after: view.sequence - 1 }))
    const item = last.length === 0 ? undefined : otherItem(last[last.length - 1]!)
    if (item?._tag === "Ended") items.end = item
  }
  if (items.end === undefined && !isOver(view)) return following(history, session, items)
  const end: AttachItem = items.end ?? {
    _tag: "Ended",
    reason: view.status === "lost" || view.status === "failed" ? view.status : "exited",
    exitCode: null,
    signal: null,
    detail: "",
    sequence: view.sequence
  }
  // The code of a program that ended before its session was lost is known.
  return Stream.succeed<AttachItem>({ ...end, exitCode: view.exitCode, signal: view.signal })
})

const isOver = ({ status, terminalOpen }: SessionView): boolean =>
  status === "lost" || status === "failed" || (status === "exited" && !terminalOpen)
