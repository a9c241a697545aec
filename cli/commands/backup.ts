/** `reprise backup`: a verified copy of a store, made while its engine goes on. */
import { resolve } from "node:path"
import { Clock, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Caller } from "../Caller.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { longWork } from "../LongWork.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { tellLook } from "../Store.ts"
import { fields } from "../Table.ts"
import { formatBytes } from "../WatchTable.ts"

export const backup = Command.make(
  "backup",
  {
    target: Argument.String("target").pipe(
      Argument.withMetavar("TARGET"),
      Argument.withDescription("A folder that does not exist, or is empty")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.backup")(function* ({ json, target }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const nowMicros = (yield* Clock.currentTimeMillis) * 1000
    const report = yield* longWork((care, signal) =>
      care.backup(paths, resolve(caller.cwd, target), { nowMicros, signal })
    )
    const { bytes, damages, events, sessions, sha256 } = report
    yield* tellLook(paths, "backup", { isSound: damages.length === 0 })
    yield* caller.write(
      json
        ? toJsonText(report)
        : fields([
            ["backup", report.target],
            ["sessions", String(sessions)],
            ["events", `${events}, ${formatBytes(bytes)}`],
            ["sha256", sha256]
          ])
    )
    if (damages.length === 0) return
    const { from, reason, stream, to } = damages[0]!
    return yield* new Ending({
      exitCode: ExitCode.damaged,
      note:
        `the store is damaged, and so is its backup: ${stream} from ${from} to ${to ?? "?"} (${escapeText(reason)})` +
        `${damages.length === 1 ? "" : ` and ${damages.length - 1} more`}; see \`reprise doctor\``
    })
  })
).pipe(
  Command.withDescription(
    "Write every session of the store, with all that was acknowledged until now, into a folder that is a store itself: " +
      "`--store TARGET` reads it, `reprise import` takes it into another store. The engine goes on meanwhile. The backup is " +
      "read back before it gets its name; one that fails leaves nothing. Of a damaged store, what verifies is backed up and " +
      "the command ends with 65."
  ),
  Command.withShortDescription("Make a verified copy of the store"),
  Command.withExamples([
    { command: "reprise backup /backup/monday", description: "While sessions run" },
    { command: "reprise list --store /backup/monday", description: "Look into it" }
  ])
)
