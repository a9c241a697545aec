/** `reprise reset`: a new shell in the same session, as it was at its start. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Exec } from "../../src/exec/Exec.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { restoreJsonFlag, tellRestored } from "./restore.ts"

export const reset = Command.make(
  "reset",
  { session: sessionArgument, json: restoreJsonFlag },
  Effect.fn("cli.reset")(function* (flags) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* tellRestored(session, yield* Exec.use((exec) => exec.reset(session)), flags.json)
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Give a session a new shell, with the folder and the environment that it was started with and nothing else. What runs in " +
      "it is ended. Its history stays."
  ),
  Command.withShortDescription("Start a shell anew"),
  Command.withExamples([{ command: "reprise reset build", description: "Forget variables, functions and folder" }])
)
