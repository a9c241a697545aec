/** `reprise restore`: brings back a session's shell that died or was lost. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import type { SessionId } from "../../journal/Event.ts"
import { Exec, type RestoreReport } from "../../src/exec/Exec.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { toRestoreReport } from "../ExecReport.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { fields } from "../Table.ts"

export const restoreJsonFlag = Flag.Boolean("json").pipe(
  Flag.withDefault(false),
  Flag.withDescription("One JSON object")
)

export const restore = Command.make(
  "restore",
  { session: sessionArgument, json: restoreJsonFlag },
  Effect.fn("cli.restore")(function* (flags) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* tellRestored(session, yield* Exec.use((exec) => exec.restore(session)), flags.json)
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Bring back a session's shell that died or whose keeper was lost: a new process with the folder, exported variables, " +
      "functions, aliases and imports of the old one, as far as they are known, and a list of what is missing. A shell that " +
      "lives is left alone. `reprise exec` does this by itself for a lost session."
  ),
  Command.withShortDescription("Bring back a shell"),
  Command.withExamples([{ command: "reprise restore build", description: "After the machine ran out of memory" }])
)

/** Prints what was brought back; null: there was nothing to bring back. */
export const tellRestored = Effect.fnUntraced(function* (
  session: SessionId,
  report: RestoreReport | null,
  isJson: boolean
) {
  const caller = yield* Caller
  if (isJson) return yield* caller.write(toJsonText(toRestoreReport(session, report)))
  if (report === null) return yield* caller.write(`session ${session} has its shell; nothing was restored\n`)
  yield* caller.write(describe(session, report))
})

const describe = (session: SessionId, { missing, reason, restored }: RestoreReport): string => {
  const names = (label: string, list: ReadonlyArray<string>) =>
    list.length === 0 ? [] : [[label, list.join(" ")] as const]
  return fields([
    ["session", session],
    ["because", reason],
    ["folder", restored.cwd ?? "not restored"],
    ...names("variables", restored.env),
    ...names("functions", restored.functions),
    ...names("aliases", restored.aliases),
    ...names("imports", restored.imports),
    ...missing.map((what) => ["missing", what] as const)
  ])
}
