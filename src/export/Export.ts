/**
 * Exports of a session: the formats there are, and the bytes of one. `reprise export` writes them to a file
 * (ExportFile.ts) or to standard output; programs take the stream. Exporting changes nothing, starts no process and needs
 * no engine.
 */
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { History } from "../session/History.ts"
import type { ExportError, ExportFormat } from "./ExportFormat.ts"

/** In the order in which help shows them. */
export const EXPORT_FORMATS: ReadonlyArray<ExportFormat> = [
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

export const exportFormat = (name: string): ExportFormat | undefined =>
  EXPORT_FORMATS.find((format) => format.name === name)

/**
 * The session as it is now in this format, in pieces; a live one is exported up to now. It fails at damage (HistoryDamaged)
 * rather than leave it out: what was given until then is a beginning and no export. `note` is told what the format has no
 * room for.
 */
export const exportSession = (
  session: SessionId,
  format: ExportFormat,
  { note }: { readonly note?: ((text: string) => void) | undefined } = {}
): Stream.Stream<Uint8Array, ExportError, History> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const history = yield* History
      const view = yield* history.get(session)
      const write = yield* Effect.promise(format.load)
      return write({
        view,
        events: history.events(session, { until: view.sequence }),
        screenAt: (sequence) =>
          history.redraw(session, { _tag: "Sequence", sequence }).pipe(Effect.catch(() => Effect.succeed(undefined))),
        note
      })
    })
  )
