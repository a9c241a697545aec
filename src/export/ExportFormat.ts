/**
 * What a format of `reprise export` is: a name, and a function from a session's events to the bytes of a file. A new
 * format is a file of its own that gives this function, and a line in Export.ts. Formats are pure: no file, no clock, no network; the same journal
 * and the same version of reprise give the same bytes.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry } from "../../journal/Event.ts"
import type { HistoryDamaged, InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"
import type { ScreenRedraw, SessionView } from "../session/SessionView.ts"
import type { ExportLosses } from "./ExportLosses.ts"

export type ExportError = SessionNotFound | InvalidRequest | SessionUnavailable | HistoryDamaged

export interface ExportSource {
  readonly view: SessionView
  /**
   * The events of `view`, the first to `view.sequence`, in order; one chunk of the stream is one page of the journal
   * (at most 256 KiB). It can be run more than once. What the journal no longer has is missing from the numbers.
   */
  readonly events: Stream.Stream<JournalEntry, ExportError>
  /** What draws the screen as it was at an event; without data where it is not known. Absent: nothing is known. */
  readonly screenAt?: ((sequence: number) => Effect.Effect<ScreenRedraw | undefined>) | undefined
  /** Told, in one line, what of the session is not in the file. */
  readonly note?: ((text: string) => void) | undefined
  /** Formats that can hold what was typed do so; without it none does. */
  readonly input?: boolean | undefined
  /** Formats that show an excerpt of what a command printed give all of it. */
  readonly whole?: boolean | undefined
  /** Counts what of the session is not in the file. */
  readonly losses?: ExportLosses | undefined
}

/**
 * The file, in pieces. It holds on to a bounded amount of memory, however long the session is. Text of the session is safe
 * to show wherever the file is usually opened.
 */
export type WriteExport = (source: ExportSource) => Stream.Stream<Uint8Array, ExportError>

export interface ExportFormat {
  /** As `--format` takes it. */
  readonly name: string
  /** Of a file, without the dot. */
  readonly extension: string
  /** One line for the help: what the file is for. */
  readonly description: string
  /** Loaded when it is wanted: no command pays for what formats need but the one that exports. */
  readonly load: () => Promise<WriteExport>
}

/** A piece of one of the files of an export. */
export interface FilePiece {
  /** A name without a path. */
  readonly file: string
  readonly data: Uint8Array
  /** Nothing more of this file comes. */
  readonly isLast?: boolean
  /** With `isLast`: the file is complete, and nobody may write it any more. */
  readonly isReadOnly?: boolean
}

/** Several files that belong together, in pieces; those of different files may take turns. */
export type WriteFolder = (source: ExportSource) => Stream.Stream<FilePiece, ExportError>

/** A format that is a folder of files. */
export interface FolderFormat {
  readonly name: string
  /** Of the folder, without the dot. */
  readonly extension: string
  readonly description: string
  readonly load: () => Promise<WriteFolder>
}

/** The state of one run over the events: plain code, so that an event costs no effect. */
export interface ExportFold<Piece = string> {
  /** What to write for this page. */
  readonly page: (entries: ReadonlyArray<JournalEntry>) => Piece
  /** What to write behind the last one. */
  readonly end: () => Piece
}

/** A format of text that reads the events once. `begin` is called anew for each run. */
export const foldPages =
  (begin: (view: SessionView) => ExportFold): WriteExport =>
  (source) =>
    Stream.suspend(() => foldEvents(source, begin(source.view))).pipe(
      Stream.filter((text) => text !== ""),
      Stream.map((text) => Buffer.from(text))
    )

/** What a fold gives for each page of the events, and at their end. */
export const foldEvents = <Piece>(
  { events }: Pick<ExportSource, "events">,
  fold: ExportFold<Piece>
): Stream.Stream<Piece, ExportError> =>
  Stream.chunks(events).pipe(
    Stream.map((entries) => fold.page(entries)),
    Stream.concat(Stream.fromEffect(Effect.sync(() => fold.end())))
  )
