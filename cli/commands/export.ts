/** `reprise export`: a session as a file of another format. */
import { resolve } from "node:path"
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { EXPORT_FORMATS, exportFormat, exportSession } from "../../src/export/Export.ts"
import { Caller } from "../Caller.ts"
import { escapeText } from "../Escape.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { reading } from "../Store.ts"
import { Usage } from "../Usage.ts"

const STANDARD_OUTPUT = "-"

export const exportCommand = Command.make(
  "export",
  {
    session: sessionArgument,
    format: Flag.Literals(
      "format",
      EXPORT_FORMATS.map(({ name }) => name)
    ).pipe(Flag.withDescription(EXPORT_FORMATS.map(({ description, name }) => `${name}: ${description}`).join("; "))),
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
    const format = exportFormat(flags.format)
    if (format === undefined)
      return yield* new Usage({ reason: `--format: "${flags.format}" is none`, command: "export" })
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      const notes: Array<string> = []
      const bytes = exportSession(session, format, { note: (text) => notes.push(text) })
      const tell = Effect.suspend(() =>
        caller.writeError(notes.map((text) => `reprise: ${escapeText(text)}\n`).join(""))
      )
      // Only the id becomes part of a path: a name may hold anything.
      const out = Option.getOrElse(flags.out, () => `${session}.${format.extension}`)
      if (out === STANDARD_OUTPUT) {
        yield* Stream.runForEach(bytes, (piece) => caller.write(piece))
        return yield* tell
      }
      const { writeExport } = yield* Effect.promise(() => import("../../src/export/ExportFile.ts"))
      yield* writeExport(resolve(caller.cwd, out), bytes)
      yield* tell
      if (Option.isNone(flags.out)) yield* caller.write(`${escapeText(out)}\n`)
    }).pipe(Effect.provide(reading(paths)))
  })
).pipe(
  Command.withDescription(
    "Write a session to a file of another format. The file is for its owner alone (0600) and appears when it is complete; " +
      "one that is there is replaced. A session that is still running is exported up to now."
  ),
  Command.withShortDescription("Write a session to a file"),
  Command.withExamples([
    { command: "reprise export build --format html", description: "A page that plays it, to keep and to pass on" },
    { command: "reprise export build --format csv --out - | column -s, -t", description: "Its commands as a table" }
  ])
)
