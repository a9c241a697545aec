/** `reprise export`: sessions as files of another format, or as folders of files. */
import { mkdirSync, readFileSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { SessionId } from "../../journal/Event.ts"
import type { EventsExportError } from "../../src/export/EventsExport.ts"
import {
  DEFAULT_FORMAT,
  EXPORT_FORMATS,
  type ExportOptions,
  exportFolder,
  exportFormat,
  exportSession,
  FOLDER_FORMATS,
  folderFormat
} from "../../src/export/Export.ts"
import type { ExportError } from "../../src/export/ExportFormat.ts"
import { AccessLog } from "../../src/session/AccessLog.ts"
import type { History } from "../../src/session/History.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { Caller } from "../Caller.ts"
import { escapeText } from "../Escape.ts"
import { fileProblem } from "../FileProblem.ts"
import { makeProgress, type Progress } from "../Progress.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { reading } from "../Store.ts"
import { Usage } from "../Usage.ts"
import { formatBytes } from "../WatchTable.ts"

const COMMAND = "export"
const STANDARD_OUTPUT = "-"

/** The format that has an excerpt of what each command printed, or all of it. */
const COMMANDS = "commands"

/** Read from the store's files and not from a session's history: they have every byte. */
const EVENTS = {
  name: "events",
  extension: "events.jsonl",
  description: "JSON Lines with every byte of every event; `reprise import` takes it"
}

const EVIDENCE = {
  name: "evidence",
  extension: "evidence",
  description: "a folder to be checked by others: the events with what proves them, and a script that checks it"
}

const FORMATS = [...EXPORT_FORMATS, ...FOLDER_FORMATS, EVENTS, EVIDENCE]

export const exportCommand = Command.make(
  COMMAND,
  {
    sessions: Argument.String("session").pipe(
      Argument.withMetavar("SESSION"),
      Argument.withDescription("An id, the beginning of one, a name, or `last`; several at once"),
      Argument.variadic({ min: 1 })
    ),
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
      Flag.withDescription("With what was typed, where a recording has a place for it (secrets are never kept)")
    ),
    whole: Flag.Boolean("whole").pipe(
      Flag.withDefault(false),
      Flag.withDescription("With all of what each command printed, where `commands` has an excerpt")
    ),
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Why: it stands in the manifest of `evidence`, and among the accesses of the store"),
      Flag.optional
    ),
    since: Flag.String("since").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription(
        "A checkpoint (`reprise anchor`) that the reader of the `evidence` has: it is shown to go on from it"
      ),
      Flag.optional
    ),
    out: Flag.String("out").pipe(
      Flag.withAlias("o"),
      Flag.withMetavar("FILE"),
      Flag.withDescription(
        "Where to write it; - is standard output (default: the session's id and the format, here). A folder for several"
      ),
      Flag.optional
    )
  },
  Effect.fn("cli.export")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const files = folderFormat(flags.format)
    const format = [EVENTS, EVIDENCE].find(({ name }) => name === flags.format) ?? exportFormat(flags.format) ?? files
    if (format === undefined)
      return yield* new Usage({ reason: `--format: "${flags.format}" is none`, command: COMMAND })
    const out = Option.getOrUndefined(flags.out)
    const isMany = flags.sessions.length > 1
    if (isMany && out === STANDARD_OUTPUT)
      return yield* new Usage({ reason: "--out -: one session at a time", command: COMMAND })
    if (files !== undefined && out === STANDARD_OUTPUT)
      return yield* new Usage({ reason: `--out -: ${files.name} is a folder of files; name one`, command: COMMAND })
    if (flags.format === EVIDENCE.name && out === STANDARD_OUTPUT)
      return yield* new Usage({ reason: "--out -: evidence is a folder of files; name one", command: COMMAND })
    if (flags.format !== EVIDENCE.name && Option.isSome(flags.since))
      return yield* new Usage({
        reason: `--since: only --format ${EVIDENCE.name} goes on from a checkpoint`,
        command: COMMAND
      })
    if (flags.format !== COMMANDS && flags.whole)
      return yield* new Usage({
        reason: `--whole: only --format ${COMMANDS} can have all of what commands printed`,
        command: COMMAND
      })
    const since = Option.isNone(flags.since)
      ? undefined
      : yield* fileText(resolve(caller.cwd, flags.since.value), "--since")
    const notes: Array<string> = []
    const { makeCollector } = yield* Effect.promise(() => import("../../src/export/ExportMemory.ts"))
    const options: ExportOptions = {
      input: flags.input,
      whole: flags.whole,
      note: (text) => notes.push(text),
      read: makeCollector()
    }
    const tellNotes = Effect.suspend(() =>
      caller.writeError(
        notes
          .splice(0)
          .map((text) => `reprise: ${escapeText(text)}\n`)
          .join("")
      )
    )
    yield* Effect.scoped(
      Effect.gen(function* () {
        const sessions: Array<SessionId> = []
        // All of them are there before the first is written.
        for (const reference of flags.sessions) sessions.push(yield* findSession(reference))
        // Those are read from the store's files, past whoever has the journal.
        if (flags.format === EVIDENCE.name || flags.format === EVENTS.name) {
          for (const session of sessions) yield* AccessLog.use(({ note }) => note({ what: COMMAND, session }))
        }
        const progress = yield* makeProgress
        if (flags.format === EVIDENCE.name) {
          const target = out ?? `${isMany ? "sessions" : sessions[0]}.${EVIDENCE.extension}`
          const { exportEvidence } = yield* Effect.promise(() => import("../EvidenceExport.ts"))
          const reason = Option.getOrNull(flags.reason)
          const made = yield* exportEvidence({
            paths,
            sessions,
            target: resolve(caller.cwd, target),
            reason,
            since,
            progress
          })
          for (const [session, text] of made) yield* caller.write(`${session}: ${escapeText(text)}\n`)
          return
        }
        const folder = out === undefined ? caller.cwd : resolve(caller.cwd, out)
        if (isMany && out !== undefined) yield* makeFolder(folder)
        for (const [index, session] of sessions.entries()) {
          const place = isMany ? `${index + 1} of ${sessions.length}, ` : ""
          const what = `reprise: export ${place}${session}`
          // Only the id becomes part of a path: a name may hold anything.
          const name = `${session}.${format.extension}`
          const target = out === undefined || isMany ? join(folder, name) : folder
          const { writeExport, writeExportFolder } = yield* Effect.promise(
            () => import("../../src/export/ExportFile.ts")
          )
          if (files !== undefined) {
            const pieces = exportFolder(session, files, options)
            yield* writeExportFolder(
              target,
              tellBytes(pieces, ({ data }) => data.byteLength, progress, what)
            )
          } else {
            const pieces = piecesOf(paths, session, flags.format, options)
            const bytes = tellBytes(pieces, ({ byteLength }) => byteLength, progress, what)
            if (out === STANDARD_OUTPUT) yield* Stream.runForEach(bytes, (piece) => caller.write(piece))
            else yield* writeExport(target, bytes)
          }
          yield* tellNotes
          if (out === STANDARD_OUTPUT) return
          if (out === undefined || isMany) yield* caller.write(`${escapeText(name)}\n`)
        }
      })
    ).pipe(Effect.provide(reading(paths, { what: "export", reason: Option.getOrUndefined(flags.reason) })))
  })
).pipe(
  Command.withDescription(
    "Write sessions to files of another format, recordings of asciinema if nothing else is asked for. A file is for its owner " +
      "alone (0600) and appears when it is complete; one that is there is replaced. Some formats are a folder of files, " +
      "which must be new. A session that is still running is exported up to now."
  ),
  Command.withShortDescription("Write sessions to files"),
  Command.withExamples([
    { command: "reprise export build --out build.cast; asciinema play build.cast", description: "A recording" },
    { command: "reprise export build --format html", description: "A page that plays it, to keep and to pass on" },
    { command: "reprise export build --format csv --out - | column -s, -t", description: "Its commands as a table" },
    { command: "reprise export build deploy --format events --out kept", description: "Two of them, complete" }
  ])
)

const piecesOf = (
  paths: StorePaths,
  session: SessionId,
  name: string,
  options: ExportOptions
): Stream.Stream<Uint8Array, ExportError | EventsExportError, History> => {
  const format = exportFormat(name)
  if (format !== undefined) return exportSession(session, format, options)
  return Stream.unwrap(
    Effect.map(
      Effect.promise(() => import("../../src/export/EventsExport.ts")),
      ({ exportEvents }) => exportEvents(paths, session)
    )
  )
}

const tellBytes = <A, E, R>(
  pieces: Stream.Stream<A, E, R>,
  bytesOf: (piece: A) => number,
  progress: Progress,
  what: string
): Stream.Stream<A, E, R> => {
  let bytes = 0
  progress.tell(what)
  return Stream.map(pieces, (piece) => {
    bytes += bytesOf(piece)
    progress.tell(`${what}: ${formatBytes(bytes)}`)
    return piece
  })
}

const fileText = (path: string, flag: string): Effect.Effect<string, Usage> =>
  Effect.try({
    try: () => readFileSync(path, "utf8"),
    catch: (error) => new Usage({ reason: `${flag}: cannot be read: ${fileProblem(path, error)}`, command: COMMAND })
  })

const isExistingFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/** For its owner alone, as what is written into it. One that is there stays as it is. */
const makeFolder = (path: string): Effect.Effect<void, Usage> =>
  Effect.try({
    try: () => {
      if (!isExistingFolder(path)) mkdirSync(path, { mode: 0o700 })
    },
    catch: (error) =>
      new Usage({ reason: `--out: no folder can be made: ${fileProblem(path, error)}`, command: COMMAND })
  })
