/** `reprise export`: a session as a file of another format, or as a folder of files. */
import { resolve } from "node:path"
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import {
  DEFAULT_FORMAT,
  EXPORT_FORMATS,
  exportFolder,
  exportFormat,
  exportSession,
  FOLDER_FORMATS,
  folderFormat
} from "../../src/export/Export.ts"
import { Caller } from "../Caller.ts"
import { escapeText } from "../Escape.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { reading } from "../Store.ts"
import { Usage } from "../Usage.ts"

const STANDARD_OUTPUT = "-"
const FORMATS = [...EXPORT_FORMATS, ...FOLDER_FORMATS]

export const exportCommand = Command.make(
  "export",
  {
    session: sessionArgument,
    format: Flag.Literals(
      "format",
      FORMATS.map(({ name }) => name)
    ).pipe(
      Flag.withDescription(
        `${FORMATS.map(({ description, name }) => `${name}: ${description}`).join("; ")} (default: ${DEFAULT_FORMAT})`
      ),
      Flag.withDefault(DEFAULT_FORMAT)
    ),
    input: Flag.Boolean("input").pipe(
      Flag.withDefault(false),
      Flag.withDescription("With what was typed, where the format has a place for it (secrets are never kept)")
    ),
    out: Flag.String("out").pipe(
      Flag.withAlias("o"),
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write it; - is standard output (default: the session's id and the format, here)"),
      Flag.optional
    )
  },
  Effect.fn("cli.export")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const notes: Array<string> = []
    const options = { input: flags.input, note: (text: string) => notes.push(text) }
    const tell = Effect.suspend(() => caller.writeError(notes.map((text) => `reprise: ${escapeText(text)}\n`).join("")))
    const folder = folderFormat(flags.format)
    const format = exportFormat(flags.format)
    yield* Effect.gen(function* () {
      const isStream = Option.contains(flags.out, STANDARD_OUTPUT)
      if (isStream && folder !== undefined) {
        return yield* new Usage({ reason: `--out: ${folder.name} is a folder of files; name one`, command: "export" })
      }
      const session = yield* findSession(flags.session)
      if (format !== undefined && isStream) {
        yield* Stream.runForEach(exportSession(session, format, options), (piece) => caller.write(piece))
        return yield* tell
      }
      // Only the id becomes part of a path: a name may hold anything.
      const out = Option.getOrElse(flags.out, () => `${session}.${(format ?? folder)?.extension}`)
      const files = yield* Effect.promise(() => import("../../src/export/ExportFile.ts"))
      const path = resolve(caller.cwd, out)
      if (folder !== undefined) yield* files.writeExportFolder(path, exportFolder(session, folder, options))
      else if (format !== undefined) yield* files.writeExport(path, exportSession(session, format, options))
      yield* tell
      if (Option.isNone(flags.out)) yield* caller.write(`${escapeText(out)}\n`)
    }).pipe(Effect.provide(reading(paths)))
  })
).pipe(
  Command.withDescription(
    "Write a session to a file of another format, a recording of asciinema if nothing else is asked for. The file is for its " +
      "owner alone (0600) and appears when it is complete; one that is there is replaced. Some formats are a folder of " +
      "files, which is new. A session that is still running is exported up to now."
  ),
  Command.withShortDescription("Write a session to a file"),
  Command.withExamples([
    { command: "reprise export build --out build.cast; asciinema play build.cast", description: "A recording" },
    { command: "reprise export build --format html", description: "A page to read and to pass on" },
    { command: "reprise export build --format csv --out - | column -s, -t", description: "Its commands as a table" }
  ])
)
