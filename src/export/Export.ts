/**
 * Exports of a session: the formats there are, and the bytes of one. `reprise export` writes them to a file
 * (ExportFile.ts) or to standard output; programs take the stream. Exporting changes nothing, starts no process and needs
 * no engine.
 */
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { History } from "../session/History.ts"
import type { ExportError, ExportFormat, ExportSource, FilePiece, FolderFormat } from "./ExportFormat.ts"
import { ExportLosses } from "./ExportLosses.ts"

/** In the order in which help shows them. */
export const EXPORT_FORMATS: ReadonlyArray<ExportFormat> = [
  {
    name: "asciicast",
    extension: "cast",
    description: "a recording of asciinema (asciicast v2)",
    load: () => import("./AsciicastExport.ts").then(({ asciicast2 }) => asciicast2)
  },
  {
    name: "asciicast3",
    extension: "cast",
    description: "a recording of asciinema 3 (asciicast v3)",
    load: () => import("./AsciicastExport.ts").then(({ asciicast3 }) => asciicast3)
  },
  {
    name: "ttyrec",
    extension: "ttyrec",
    description: "a recording of ttyrec: every byte, for ttyplay",
    load: () => import("./TtyrecExport.ts").then(({ ttyrec }) => ttyrec)
  },
  {
    name: "tlog",
    extension: "tlog.json",
    description: "messages of tlog: every byte, for tlog-play",
    load: () => import("./TlogExport.ts").then(({ tlog }) => tlog)
  },
  {
    name: "text",
    extension: "txt",
    description: "plain text, line by line as the terminal showed it",
    load: () => import("./TextExport.ts").then(({ text }) => text)
  },
  {
    name: "commands",
    extension: "commands.jsonl",
    description: "JSON Lines, one for each command: time, exit code, duration, folder, its output or an excerpt",
    load: () => import("./CommandsExport.ts").then(({ commands }) => commands)
  },
  {
    name: "csv",
    extension: "csv",
    description: "a row for each command: time, exit code, duration, folder, an excerpt of its output",
    load: () => import("./CsvExport.ts").then(({ csv }) => csv)
  },
  {
    name: "html",
    extension: "html",
    description: "a page for a browser, complete in one file: a player with a search, and the transcript",
    load: () => import("./HtmlExport.ts").then(({ html }) => html)
  },
  {
    name: "transcript",
    extension: "transcript.html",
    description: "a page for a browser with the text alone, of a session of any length",
    load: () => import("./TranscriptExport.ts").then(({ transcript }) => transcript)
  }
]

/** Formats of several files. */
export const FOLDER_FORMATS: ReadonlyArray<FolderFormat> = [
  {
    name: "asciicast-segmented",
    extension: "segments",
    description: "a folder for asciinema-player, which can begin anywhere in it",
    load: () => import("./SegmentedExport.ts").then(({ segmented }) => segmented)
  },
  {
    name: "script",
    extension: "script",
    description: "a folder with typescript and timing, for scriptreplay",
    load: () => import("./ScriptExport.ts").then(({ script }) => script)
  },
  {
    name: "sudo",
    extension: "sudo",
    description: "a folder as sudo's I/O log, for sudoreplay",
    load: () => import("./SudoExport.ts").then(({ sudo }) => sudo)
  }
]

/** What `reprise export` writes when nothing is asked for: what every player of recordings reads. */
export const DEFAULT_FORMAT = "asciicast"

export const exportFormat = (name: string): ExportFormat | undefined =>
  EXPORT_FORMATS.find((format) => format.name === name)

export const folderFormat = (name: string): FolderFormat | undefined =>
  FOLDER_FORMATS.find((format) => format.name === name)

/** Pages that are read while one is written: reading and writing take turns on no processor then. A page has 256 KiB. */
const PAGES_AHEAD = 2

export interface ExportOptions {
  /** Told, in one line each, what of the session is not in the file; when all of it was given. */
  readonly note?: ((text: string) => void) | undefined
  /** What was typed is in the file too, where the format has a place for it. */
  readonly input?: boolean | undefined
  /** All of what a command printed, where the format shows an excerpt. */
  readonly whole?: boolean | undefined
  /** Counts what of the session is not in the file; its report is complete when all was given. */
  readonly losses?: ExportLosses | undefined
  /** Told of the bytes of output of each page that is read: some formats read the session twice. */
  readonly read?: ((bytes: number) => void) | undefined
}

/**
 * The session as it is now in this format, in pieces; a live one is exported up to now. It fails at damage (HistoryDamaged)
 * rather than leave it out: what was given until then is a beginning and no export. `note` is told what the format has no
 * room for.
 */
export const exportSession = (
  session: SessionId,
  format: ExportFormat,
  options: ExportOptions = {}
): Stream.Stream<Uint8Array, ExportError, History> => exported(session, format.load, options)

/** As `exportSession`, of a format of several files. */
export const exportFolder = (
  session: SessionId,
  format: FolderFormat,
  options: ExportOptions = {}
): Stream.Stream<FilePiece, ExportError, History> => exported(session, format.load, options)

const exported = <Piece>(
  session: SessionId,
  load: () => Promise<(source: ExportSource) => Stream.Stream<Piece, ExportError>>,
  { input = false, losses = new ExportLosses(), note, read, whole = false }: ExportOptions
): Stream.Stream<Piece, ExportError, History> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const history = yield* History
      const view = yield* history.get(session)
      const write = yield* Effect.promise(load)
      const pieces = write({
        view,
        events: history.events(session, { until: view.sequence }).pipe(
          Stream.bufferArray({ capacity: PAGES_AHEAD }),
          Stream.mapArray((page) => {
            read?.(
              page.reduce((bytes, { event }) => bytes + (event._tag === "OutputReceived" ? event.data.length : 0), 0)
            )
            return page
          })
        ),
        screenAt: (sequence) =>
          history.redraw(session, { _tag: "Sequence", sequence }).pipe(Effect.catch(() => Effect.succeed(undefined))),
        note,
        input,
        whole,
        losses
      })
      const tell = Effect.sync(() => {
        for (const text of losses.told(input)) note?.(text)
      })
      return Stream.concat(pieces, Stream.fromEffectDrain(tell))
    })
  )
