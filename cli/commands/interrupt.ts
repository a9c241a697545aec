/** `reprise interrupt`: Ctrl-C for the command that runs in a session's shell. */
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import { Exec } from "../../src/exec/Exec.ts"
import { runningExecArgument } from "../ExecArgument.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"

export const interrupt = Command.make(
  "interrupt",
  { session: sessionArgument, exec: runningExecArgument },
  Effect.fn("cli.interrupt")(function* (flags) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* Exec.use((exec) => exec.interrupt(session, Option.getOrUndefined(flags.exec)))
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription("Interrupt the command that runs in a session's shell, as Ctrl-C does. The shell goes on."),
  Command.withShortDescription("Interrupt a command"),
  Command.withExamples([{ command: "reprise interrupt build", description: "What runs there now" }])
)
