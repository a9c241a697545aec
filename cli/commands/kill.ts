/** `reprise kill`: a signal for the processes of the command that runs in a session's shell. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Exec } from "../../src/exec/Exec.ts"
import { runningExecArgument } from "../ExecArgument.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"

export const kill = Command.make(
  "kill",
  {
    session: sessionArgument,
    exec: runningExecArgument,
    signal: Flag.String("signal").pipe(
      Flag.withDescription("Name of the signal, with or without SIG (default: KILL)"),
      Flag.withMetavar("SIG"),
      Flag.optional
    )
  },
  Effect.fn("cli.kill")(function* (flags) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* Exec.use((exec) =>
        exec.kill(session, Option.getOrUndefined(flags.exec), Option.getOrUndefined(flags.signal))
      )
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Send a signal to the processes of the command that runs in a session's shell, not to the shell. `reprise end` ends all."
  ),
  Command.withShortDescription("Kill a command"),
  Command.withExamples([
    { command: "reprise kill build", description: "At once" },
    { command: "reprise kill build --signal TERM", description: "Politely" }
  ])
)
