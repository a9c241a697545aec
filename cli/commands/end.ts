/** `reprise end`: ends every process of a session. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Exec } from "../../src/exec/Exec.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { Caller } from "../Caller.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"

export const end = Command.make(
  "end",
  {
    session: sessionArgument,
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Print one JSON object"))
  },
  Effect.fn("cli.end")(function* (flags) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      const { kind } = yield* History.use((history) => history.get(session))
      const { survivors } =
        kind === "exec"
          ? yield* Exec.use((exec) => exec.end(session))
          : yield* Sessions.use((sessions) => sessions.close(session))
      if (!flags.json) return yield* reportSurvivors(survivors)
      const caller = yield* Caller
      const report = { status: "terminated", session_id: session, survivors }
      yield* caller.write(toJsonText(report))
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "End every process of a session: HUP, then TERM, then KILL, within 5 seconds. What lives on nevertheless is named. " +
      "A session that has ended already is left as it is; its history stays."
  ),
  Command.withShortDescription("End a session"),
  Command.withExamples([{ command: "reprise end build", description: "End the session named build" }])
)

export const reportSurvivors = Effect.fnUntraced(function* (
  survivors: ReadonlyArray<{ readonly pid: number; readonly command: string }>
) {
  const caller = yield* Caller
  for (const { pid, command } of survivors) {
    yield* caller.writeError(`reprise: process ${pid} lives on: ${escapeText(command)}\n`)
  }
})
