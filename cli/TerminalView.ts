/**
 * What a terminal that is attached shows of its session: the program's bytes while the session has the window's size and
 * the terminal keeps up, else pictures of the screen, drawn for this window. It knows no keys and ends nothing.
 *
 * The session has one size and windows have many. The last window that was changed or typed into decides; in every
 * other one the program's bytes would land in the wrong places, so there the screen is drawn from the engine's state a
 * few times a second until the sizes agree again.
 */
import { Clock, Effect, Queue, Semaphore, Stream } from "effect"
import type { SessionId, TerminalSize } from "../journal/Event.ts"
import { makePromptMarkFilter } from "../projections/PromptMark.ts"
import type { AttachItem } from "../src/session/Attach.ts"
import { History } from "../src/session/History.ts"
import type { OutputItem } from "../src/session/OutputItem.ts"
import { Sessions } from "../src/session/Sessions.ts"
import { Caller, type OutputClosed } from "./Caller.ts"
import type { Display, ShownCursor } from "./Follow.ts"
import { makeReplayFilter } from "./ReplayFilter.ts"
import type { TerminalModes } from "./TerminalModes.ts"

/** One write to the terminal: what is still on its way when the person leaves is no more than this. */
const PIECE_BYTES_MAX = 16 * 1024
/** Between two pictures. */
const PICTURE_MILLIS = 100
/** Where none can be drawn the program's bytes are shown, for want of better, and it is tried again. */
const PICTURE_RETRY_MILLIS = 1000
/** How often a flood is asked how far behind it is. */
const LAG_CHECK_MILLIS = 250
/** Behind by more than this, and by more than the terminal shows in LAG_SECONDS_MAX, the middle is left out. */
const LAG_BYTES_MAX = 1024 * 1024
const LAG_SECONDS_MAX = 1
/** A jump that got no further is not tried again before this. */
const LAG_PAUSE_MILLIS = 10_000

/** Ends any sequence that was cut off and goes to the top left of the normal screen, so that what is drawn covers it. */
const DRAW_OVER = "\x18\x1b[?2026h\x1b[?1049l\x1b[?6l\x1b[r\x1b[H"
const DRAWN = "\x1b[?2026l"
const LINE_FEED = 0x0a

export interface ViewOptions {
  /** Everything behind it was asked for: none of it is left out. */
  readonly after?: number | undefined
  /** The session was made for this terminal: what it printed before the terminal was there is as good as live. */
  readonly isNew: boolean
  readonly client: string
  readonly readOnly: boolean
  readonly modes: TerminalModes
  readonly isShell: boolean
  /** The program may fill the clipboard of this terminal. */
  readonly clipboard: boolean
}

/** What one stream keeps for itself. */
interface Told {
  readonly cursor: ShownCursor
  /** The output that is shown next was printed before the terminal was there. */
  readonly isReplayed: { value: boolean }
  /** Without what must not reach the terminal. Everything that is shown passes it in order: a screen may end in a sequence that output goes on with. */
  readonly filter: (data: Uint8Array) => Uint8Array
}

export const makeTerminalView = Effect.fnUntraced(function* (session: SessionId, options: ViewOptions) {
  const caller = yield* Caller
  const history = yield* History
  const sessions = yield* Sessions
  const { client, modes, readOnly } = options

  /** The terminal is written to by one at a time. */
  const terminal = yield* Semaphore.make(1)
  const outdated = yield* Queue.sliding<{ readonly why: "size" | "lag"; readonly stream: number }>(1)
  const changes = yield* Queue.sliding<void>(1)
  /** Of the stream that is shown. */
  let shown: ShownCursor = { offset: 0 }
  let window = yield* caller.terminalSize
  let size: TerminalSize | undefined
  let sequence = 0
  let head = 0
  let isLive = false
  /** Shown again in another size than it was printed for. */
  let isMisdrawn = false
  let isPicture = false
  let lastPicture: Uint8Array = new Uint8Array(0)
  let resizing = 0
  let bytesWritten = 0
  let endsLine = true
  let isAgain = false
  /** Streams that were begun, and the one that has begun to tell. */
  let begun = 0
  let telling = 0
  let isLagging = false
  let lagCheckAfter = 0

  const put = (data: Uint8Array, isGivenUp = () => false): Effect.Effect<void, OutputClosed> => {
    if (data.byteLength === 0 || isGivenUp()) return Effect.void
    const putFrom = (at: number): Effect.Effect<void, OutputClosed> => {
      const piece = data.subarray(at, at + PIECE_BYTES_MAX)
      modes.watch(piece)
      endsLine = piece[piece.byteLength - 1] === LINE_FEED
      bytesWritten += piece.byteLength
      const written = caller.write(piece)
      const next = at + piece.byteLength
      return next >= data.byteLength
        ? written
        : Effect.andThen(
            written,
            Effect.suspend(() => putFrom(next))
          )
    }
    return putFrom(0)
  }
  const drawOver = (data: Uint8Array) => put(Buffer.concat([Buffer.from(DRAW_OVER), data, Buffer.from(DRAWN)]))

  const isMismatched = () => window !== undefined && size !== undefined && !isSameSize(window, size)

  const becomesOutdated = (why: "size" | "lag") => Queue.offerUnsafe(outdated, { why, stream: begun })

  /** False: there is nothing that could be drawn. */
  const drawPicture = Effect.fnUntraced(function* () {
    const drawn = yield* history
      .redraw(session, { _tag: "Head" }, { target: window, scrollback: 0 })
      .pipe(Effect.option)
    if (drawn._tag === "None" || drawn.value.data.byteLength === 0) return false
    const { data } = drawn.value
    if (isPicture && Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(lastPicture)) return true
    lastPicture = data
    yield* drawOver(data)
    return true
  })

  /** The sizes agree or do not agree any more. */
  const compareSizes: Effect.Effect<void, OutputClosed> = Effect.suspend(() => {
    if (!isLive || resizing > 0) return Effect.void
    if (!isMismatched()) {
      if (isPicture) becomesOutdated("size")
      return Effect.void
    }
    if (isPicture) return Queue.offer(changes, undefined)
    return Effect.flatMap(drawPicture(), (isDrawn) => {
      isPicture = isDrawn
      return isDrawn ? Effect.void : Queue.offer(changes, undefined)
    })
  })

  const take = (
    item: AttachItem | OutputItem,
    { cursor, filter, isReplayed }: Told
  ): Effect.Effect<boolean, OutputClosed> =>
    Effect.gen(function* () {
      switch (item._tag) {
        case "Attached":
          size = item.size
          head = item.head
          isLive = false
          isMisdrawn = false
          return true
        case "Screen": {
          // A jump that leads nowhere: what is shown goes on where it was.
          if (isAgain && (item.data.byteLength === 0 || (isLagging && item.sequence <= sequence))) {
            cursor.offset = shown.offset
            shown = cursor
            lagCheckAfter = (yield* Clock.currentTimeMillis) + LAG_PAUSE_MILLIS
            isLagging = false
            isPicture = false
            return true
          }
          isLagging = false
          isPicture = false
          shown = cursor
          sequence = item.sequence
          yield* isAgain ? drawOver(filter(item.data)) : put(filter(item.data))
          isAgain = true
          return true
        }
        case "ReplayComplete":
          shown = cursor
          isLive = true
          // Once: a screen that cannot be drawn is not asked for again and again.
          if (isMisdrawn && !isAgain) becomesOutdated("size")
          isAgain = true
          yield* compareSizes
          return true
        case "Resized":
          sequence = item.sequence
          size = item.size
          if (!isLive && isMismatched()) isMisdrawn = true
          yield* compareSizes
          return true
        case "Output":
          sequence = item.sequence
          if (!isPicture) {
            isReplayed.value = item.sequence <= head && !options.isNew
            return false
          }
          yield* Queue.offer(changes, undefined)
          return true
        default:
          return false
      }
    })

  /** For a stream that takes the place of those before it as soon as it tells something. */
  const nextDisplay = (): Display & { readonly isReplaced: () => boolean } => {
    begun += 1
    const own = begun
    const isReplaced = () => own < telling
    const cursor: ShownCursor = { offset: 0 }
    const isReplayed = { value: false }
    const shownFilter = makeReplayFilter({ clipboard: options.clipboard })
    const commandFilters = { stdout: makeReplayFilter(options), stderr: makeReplayFilter(options) }
    const promptMarks = makePromptMarkFilter()
    const filter = (data: Uint8Array): Uint8Array => promptMarks.feed(shownFilter.feed(data, isReplayed.value))
    const putPart = (data: Uint8Array) => terminal.withPermit(Effect.suspend(() => put(data, isReplaced)))
    return {
      cursor,
      isReplaced: () => own < begun,
      take: (item) => {
        telling = Math.max(telling, own)
        return isReplaced() ? Effect.succeed(true) : terminal.withPermit(take(item, { cursor, filter, isReplayed }))
      },
      write: (data) => putPart(filter(data)),
      // Not the terminal's own output: its lines end as a pipe's.
      writeCommandOutput: (data, channel) => putPart(withCarriageReturns(commandFilters[channel].feed(data))),
      tell: (text) => Effect.ignore(putPart(Buffer.from(`\r\nreprise: ${text}\r\n`)))
    }
  }

  /** The session takes the size of this window. */
  const fit = Effect.suspend(() => {
    if (readOnly || window === undefined) return Effect.void
    const wanted = window
    resizing += 1
    return sessions.resize(session, wanted, { client }).pipe(
      Effect.option,
      Effect.flatMap((given) => {
        resizing -= 1
        // Applied: the stream tells it in its place. Refused: the session stays as it is.
        return given._tag === "Some" && isSameSize(given.value, wanted)
          ? Effect.void
          : terminal.withPermit(compareSizes)
      }),
      Effect.ignore
    )
  })

  return {
    nextDisplay,
    window: () => window,
    isAtLineStart: () => endsLine,
    /** Succeeds when the stream is to be opened anew, from the newest screen. */
    outdated: Queue.take(outdated).pipe(
      // Of a stream that has been replaced meanwhile it says nothing.
      Effect.repeat({ until: ({ stream }) => stream === begun }),
      Effect.flatMap(({ why }) =>
        Effect.sync(() => {
          isLagging = why === "lag"
          isAgain = true
        })
      )
    ),
    /** The window that is typed into is the one that decides. */
    beforeTyping: Effect.suspend(() => (isLive && resizing === 0 && isMismatched() ? fit : Effect.void)),
    followWindow: Stream.runForEach(caller.resizes, (next) => {
      window = next
      return readOnly ? Effect.ignore(terminal.withPermit(compareSizes)) : fit
    }).pipe(Effect.andThen(Effect.never)),
    drawPictures: Effect.gen(function* () {
      while (true) {
        yield* Queue.take(changes)
        const isMissing = yield* terminal.withPermit(
          Effect.gen(function* () {
            if (!isPicture && !(isLive && resizing === 0 && isMismatched())) return false
            const isDrawn = yield* drawPicture()
            if (isDrawn) isPicture = true
            return !isDrawn
          })
        )
        yield* Effect.sleep(isMissing ? PICTURE_RETRY_MILLIS : PICTURE_MILLIS)
        if (isMissing) yield* Queue.offer(changes, undefined)
      }
    }),
    /** A terminal that is slower than the program would show what is long past, and ^C would seem to do nothing. */
    watchLag: Effect.gen(function* () {
      let before = 0
      while (true) {
        yield* Effect.sleep(LAG_CHECK_MILLIS)
        const written = bytesWritten - before
        before = bytesWritten
        if (options.isShell || isPicture || written === 0 || (options.after !== undefined && !isLive)) continue
        // Behind a screen, how much was shown is known with the next output.
        if (shown.offset === 0 || (yield* Clock.currentTimeMillis) < lagCheckAfter) continue
        const bound = Math.max(LAG_BYTES_MAX, (written * 1000 * LAG_SECONDS_MAX) / LAG_CHECK_MILLIS)
        const head = yield* history.get(session).pipe(Effect.option)
        if (head._tag === "Some" && head.value.outputBytes - shown.offset > bound) becomesOutdated("lag")
      }
    })
  }
})

const isSameSize = (a: TerminalSize, b: TerminalSize): boolean => a.cols === b.cols && a.rows === b.rows

const withCarriageReturns = (data: Uint8Array): Uint8Array =>
  Buffer.from(
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1").replace(/\r?\n/g, "\r\n"),
    "latin1"
  )
