/** `reprise key`: types keys, by their names, into a session. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { KEYS_HELP, namedKeys } from "../KeyInput.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { typeInto } from "../TypeInto.ts"

export const key = Command.make(
  "key",
  {
    session: sessionArgument,
    keys: Argument.String("key").pipe(
      Argument.withMetavar("KEY"),
      Argument.withDescription(`Names, in order: ${KEYS_HELP}`),
      Argument.variadic({ min: 1 })
    )
  },
  Effect.fn("cli.key")(function* (flags) {
    const paths = yield* chosenStore
    const bytes = yield* namedKeys(flags.keys)
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* typeInto(session, bytes, flags.keys)
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Type keys into the command that runs in a session's shell, or into the terminal of a session made by `reprise run`."
  ),
  Command.withShortDescription("Type keys"),
  Command.withExamples([
    { command: "reprise key build C-c", description: "Ctrl-C" },
    { command: "reprise key menu Down Down Enter", description: "The third entry" }
  ])
)
