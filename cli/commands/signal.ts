/** `reprise signal`: sends a signal into a session. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Sessions } from "../../src/session/Sessions.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"

export const signal = Command.make(
  "signal",
  {
    session: sessionArgument,
    signal: Argument.String("signal").pipe(
      Argument.withMetavar("SIG"),
      Argument.withDescription("Name of the signal, with or without SIG")
    ),
    target: Flag.Literals("target", ["foreground", "leader", "session"]).pipe(
      Flag.withDescription(
        "foreground: what runs in the foreground of the terminal; leader: the program that was started; session: every process"
      ),
      Flag.withDefault("foreground" as const)
    )
  },
  Effect.fn("cli.signal")(function* (flags) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* Sessions.use((sessions) => sessions.signal(session, flags.signal, flags.target))
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Send a signal to the processes of a session. The journal keeps that it was sent, and by whom."
  ),
  Command.withShortDescription("Send a signal"),
  Command.withExamples([
    { command: "reprise signal last INT", description: "As Ctrl-C would" },
    { command: "reprise signal web HUP --target leader", description: "To the program that was started only" }
  ])
)
