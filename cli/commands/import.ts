/** `reprise import`: takes the sessions of a backup into a store. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Comparison } from "../../src/care/StreamCompare.ts"
import { Caller } from "../Caller.ts"
import { longWork } from "../LongWork.ts"
import { chosenStore } from "../Root.ts"
import { table } from "../Table.ts"

const HEAD = ["SESSION", "EVENTS", "OUTCOME"]

export const importCommand = Command.make(
  "import",
  {
    backup: Argument.String("backup").pipe(
      Argument.withMetavar("BACKUP"),
      Argument.withDescription("A folder that `reprise backup` made, or any other store")
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Check and compare everything, write nothing")
    ),
    skipDifferent: Flag.Boolean("skip-different").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Leave out sessions that have other events here, and take the rest")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.import")(function* ({ backup, dryRun, json, skipDifferent }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const report = yield* longWork((care, signal) =>
      care.importBackup(paths, backup, { dryRun, signal, skipDifferent })
    )
    if (json) return yield* caller.write(`${JSON.stringify(report)}\n`)
    if (report.sessions.length === 0) return
    const size = yield* caller.terminalSize
    yield* caller.write(
      table(
        HEAD,
        report.sessions.map((one) => [one.session, String(one.events), describe(one, dryRun)]),
        size?.cols
      )
    )
  })
).pipe(
  Command.withDescription(
    "Take the sessions of a backup into the store; they keep their ids. Every record is checked before anything is written. " +
      "A session that is here already is passed over; events of it that are damaged or missing here are brought back; one that " +
      "has other events here refuses the import. No engine may be using the store: `reprise stop` ends it, sessions go on. " +
      "A session that was running when it was backed up is lost in the store that imports it."
  ),
  Command.withShortDescription("Take the sessions of a backup into the store"),
  Command.withExamples([
    { command: "reprise import /backup/monday --dry-run", description: "What would happen" },
    { command: "reprise stop; reprise import /backup/monday", description: "Bring back what is damaged or gone" },
    { command: "reprise --store ./new import /backup/monday", description: "Into a new store" }
  ])
)

const describe = ({ differsAt, missing, outcome }: Comparison, isDryRun: boolean): string => {
  const events = missing.reduce((sum, [from, to]) => sum + to - from + 1, 0)
  switch (outcome) {
    case "new":
      return isDryRun ? "would be imported" : "imported"
    case "mended":
      return `${events} events ${isDryRun ? "would be brought back" : "brought back"}`
    case "same":
      return "is here already"
    case "differs":
      return `has other events here, from ${differsAt} on; left out`
  }
}
