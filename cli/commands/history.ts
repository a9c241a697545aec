/** `reprise history`: the commands that a session's shell was given, oldest first. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { type CommandRecord, Exec } from "../../src/exec/Exec.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { describeCommandStatus, toCommandReport } from "../ExecReport.ts"
import { formatLocalTime } from "../Moment.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { table } from "../Table.ts"

const HEAD = ["NUMBER", "EXECID", "STARTED", "TOOK", "STATUS", "COMMAND"]

export const history = Command.make(
  "history",
  {
    session: sessionArgument,
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("The last N commands (at most 1000)"),
      Flag.withMetavar("N"),
      Flag.withDefault(50)
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON array"))
  },
  Effect.fn("cli.history")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const records = yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      return yield* Exec.use((exec) => exec.history(session, { limit: flags.limit }))
    }).pipe(Effect.provide(engine(paths)))
    if (flags.json) return yield* caller.write(toJsonText(records.map(toCommandReport)))
    if (records.length === 0) return
    const size = yield* caller.terminalSize
    yield* caller.write(table(HEAD, records.map(row), size?.cols))
  })
).pipe(
  Command.withDescription(
    "List the commands that a session's shell was given, oldest first, with their outcome. `reprise poll` prints the output " +
      "of one again."
  ),
  Command.withShortDescription("List the commands of a shell"),
  Command.withExamples([
    { command: "reprise history build --limit 5", description: "The last five" },
    { command: "reprise history build --json | jq '.[] | select(.exit_code != 0)'", description: "What failed" }
  ])
)

const row = (record: CommandRecord): ReadonlyArray<string> => [
  String(record.exec),
  record.execId,
  formatLocalTime(record.startedAt),
  record.durationMillis === null ? "" : `${(record.durationMillis / 1000).toFixed(2)}s`,
  describeCommandStatus(record),
  record.code.trim()
]
