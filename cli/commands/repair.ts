/** `reprise repair`: makes a store that no engine would open one that can be opened. Asks first, keeps the journal as it was. */
import { Clock, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import type { RepairPlan, RepairReport } from "../../src/care/Repair.ts"
import { Caller } from "../Caller.ts"
import { confirm } from "../Confirm.ts"
import { counted } from "../Counted.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { longWork } from "../LongWork.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"

const DAMAGES_SHOWN_MAX = 20

export const repair = Command.make(
  "repair",
  {
    yes: Flag.Boolean("yes").pipe(Flag.withDefault(false), Flag.withDescription("Do it, without a question")),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.repair")(function* ({ json, yes }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const plan: RepairPlan = yield* longWork((care, signal) => care.planRepair(paths, signal))
    const hasWork = plan.state === "repairable" || plan.state === "unfinished"
    if (!json) yield* caller.write(describePlan(plan))
    const isWanted = hasWork && (yes || (!json && caller.isInteractive && (yield* confirm("repair it?"))))
    if (!isWanted) {
      if (json) yield* caller.write(toJsonText({ ...plan, kept: null, isDone: false }))
      else if (hasWork) yield* caller.write("nothing was changed; `reprise repair --yes` does it\n")
      return yield* ending(plan, hasWork)
    }
    const nowMicros = (yield* Clock.currentTimeMillis) * 1000
    const report = yield* longWork((care, signal) => care.repair(paths, { nowMicros, signal }))
    yield* caller.write(json ? toJsonText({ ...report, isDone: true }) : describeReport(report))
    return yield* ending(report, false)
  })
).pipe(
  Command.withDescription(
    "Make a store that no engine would open (CURRENT or the manifest is missing or damaged, a table is missing or cut off) one " +
      "that can be opened. Without --yes it tells what it would do, and asks on a terminal. Everything that verifies is written " +
      "into a new journal, which is read back and takes the place of the old one; that is kept as journal.before-repair-TIME. " +
      "What is gone stays named as damage. Ends with 0 when all is well afterwards, 65 when something is gone, 73 when there " +
      "is something to repair and nothing was done."
  ),
  Command.withShortDescription("Make a damaged store usable"),
  Command.withExamples([
    { command: "reprise repair", description: "What it would do" },
    { command: "reprise repair --yes", description: "Do it" }
  ])
)

const ending = (plan: RepairPlan, isLeft: boolean): Effect.Effect<void, Ending> => {
  if (isLeft) return Effect.fail(new Ending({ exitCode: ExitCode.storeRefused, note: "" }))
  return plan.damages.length > 0 ? Effect.fail(new Ending({ exitCode: ExitCode.damaged, note: "" })) : Effect.void
}

const describePlan = ({ damages, events, reasons, sessions, state }: RepairPlan): string => {
  const amount = amountOf(events, sessions)
  const lines = reasons.map((reason) => `found: ${reason}`)
  if (state === "sound") lines.push(`nothing to repair: ${amount} can be read and verified`)
  if (state === "damaged") lines.push("nothing to repair: the store can be opened, and what is gone stays named:")
  if (state === "repairable") lines.push(`${amount} can be read and are kept`)
  if (state === "unfinished") lines.push("it is finished, or undone when the new journal is not complete")
  for (const { from, reason, stream, to } of damages.slice(0, DAMAGES_SHOWN_MAX)) {
    lines.push(`gone: ${stream} from ${from} to ${to ?? "?"}: ${reason}`)
  }
  if (damages.length > DAMAGES_SHOWN_MAX) lines.push(`gone: ${damages.length - DAMAGES_SHOWN_MAX} more, see --json`)
  return lines.map((line) => `${escapeText(line)}\n`).join("")
}

const amountOf = (events: number, sessions: number): string =>
  `${counted(events, "event")} of ${counted(sessions, "session")}`

const describeReport = ({ events, kept, sessions }: RepairReport): string =>
  `repaired: ${amountOf(events, sessions)}${kept === null ? "" : `; the journal as it was: ${escapeText(kept)}`}\n`
