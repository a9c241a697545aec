/** `reprise import`: takes the sessions of a backup, or a recording, into a store. */
import { existsSync, readdirSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { Clock, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Comparison } from "../../src/care/StreamCompare.ts"
import { RecordingRefused } from "../../src/files/FileError.ts"
import type { RecordingImportReport } from "../../src/import/RecordingImporter.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { Caller } from "../Caller.ts"
import { counted } from "../Counted.ts"
import { toJsonText } from "../Escape.ts"
import { longWork } from "../LongWork.ts"
import { chosenStore } from "../Root.ts"
import { table } from "../Table.ts"

const HEAD = ["SESSION", "EVENTS", "OUTCOME"]

export const importCommand = Command.make(
  "import",
  {
    source: Argument.String("source").pipe(
      Argument.withMetavar("SOURCE"),
      Argument.withDescription(
        "A folder that `reprise backup` made, or any other store; or a recording: a file, or a folder of `evidence` or `script`"
      )
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Check and compare everything, write nothing")
    ),
    skipDifferent: Flag.Boolean("skip-different").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Leave out sessions that have other events here, and take the rest")
    ),
    backupKey: Flag.String("backup-key-file").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("The key of an encrypted SOURCE (default: that of the store)"),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.import")(function* ({ backupKey: keyFile, dryRun, json, skipDifferent, source }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const path = resolve(caller.cwd, source)
    const backupKey = Option.isSome(keyFile) ? { file: resolve(caller.cwd, keyFile.value) } : undefined
    const recording = recordingAt(path)
    if (recording !== undefined) return yield* importFile(paths, recording, { dryRun, json })
    if (!holdsJournal(path)) {
      const reason = existsSync(path)
        ? "holds no store, no backup, and no recording that can be imported"
        : "there is no such file or folder"
      return yield* new RecordingRefused({ file: path, line: 0, reason })
    }
    const report = yield* longWork((care, signal) =>
      care.importBackup(paths, path, { backupKey, dryRun, signal, skipDifferent })
    )
    if (json) return yield* caller.write(toJsonText(report))
    if (report.sessions.length === 0) return
    const size = yield* caller.terminalSize
    yield* caller.write(
      table(
        HEAD,
        report.sessions.map((one) => [one.session, String(one.events), describe(one, dryRun)]),
        size?.cols
      )
    )
    for (const { session, withheld } of report.sessions) {
      for (const { from, reason, to } of withheld) {
        const which = from === to ? `event ${from} was` : `events ${from} to ${to} were`
        yield* caller.write(`${session}: ${which} ${reason}: not brought back\n`)
      }
    }
  })
).pipe(
  Command.withDescription(
    "Take the sessions of a backup, or a recording of another program, into the store; what kind of file it is, it says " +
      "itself. The sessions of a backup keep their ids. Every record is checked before anything is written. " +
      "A session that is here already is passed over; events of it that are damaged or missing here are brought back, " +
      "but nothing that was redacted or removed here since; one that has other events here refuses the import. No engine may be using the store: `reprise stop` ends it, sessions go on. " +
      "A session that was running when it was backed up is lost in the store that imports it. A recording becomes a session " +
      "that has ended; the same file again is the same session."
  ),
  Command.withShortDescription("Take the sessions of a backup, or a recording, into the store"),
  Command.withExamples([
    { command: "reprise import /backup/monday --dry-run", description: "What would happen" },
    { command: "reprise stop; reprise import /backup/monday", description: "Bring back what is damaged or gone" },
    { command: "reprise --store ./new import /backup/monday", description: "Into a new store" },
    {
      command: "reprise import session.events.jsonl",
      description: "One session, from `reprise export --format events`"
    }
  ])
)

/** Of the folders that `export` writes, what an import takes: evidence has the events, script the bytes. */
const PARTS = ["events.jsonl", "typescript"]

/** The file that is a recording: itself, or in the folder of one. */
const recordingAt = (path: string): string | undefined =>
  isFile(path) ? path : holdsJournal(path) ? undefined : PARTS.map((name) => join(path, name)).find(isFile)

/** Whatever state it is in: the import of a backup tells. */
const holdsJournal = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === true &&
  readdirSync(path).some((name) => name.startsWith("journal"))

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true

const importFile = Effect.fnUntraced(function* (
  paths: StorePaths,
  path: string,
  { dryRun, json }: { readonly dryRun: boolean; readonly json: boolean }
) {
  const caller = yield* Caller
  const nowMicros = (yield* Clock.currentTimeMillis) * 1000
  const report = yield* longWork((care, signal) => care.importRecording(paths, path, { dryRun, nowMicros, signal }))
  if (json) return yield* caller.write(toJsonText(report))
  const size = yield* caller.terminalSize
  yield* caller.write(table(HEAD, [[report.session, String(report.events), describeRecording(report)]], size?.cols))
})

const describeRecording = ({ format, isDryRun, original, outcome }: RecordingImportReport): string => {
  if (outcome === "same") return "is here already"
  const as = original === null ? "" : `; it was ${original}, which is another session here`
  return `${isDryRun ? "would be imported" : "imported"} from ${format}${as}`
}

const describe = ({ differsAt, keptRows, missing, outcome }: Comparison, isDryRun: boolean): string => {
  const events = missing.reduce((sum, [from, to]) => sum + to - from + 1, 0)
  const parts = [
    ...(events > 0 ? [counted(events, "event")] : []),
    ...(keptRows.length > 0 ? ["what was kept of removed events"] : [])
  ]
  switch (outcome) {
    case "new":
      return isDryRun ? "would be imported" : "imported"
    case "mended":
      return `${parts.join(" and ")} ${isDryRun ? "would be brought back" : "brought back"}`
    case "withheld":
      return "nothing brought back"
    case "same":
      return "is here already"
    case "differs":
      return `has other events here, from ${differsAt} on; left out`
  }
}
