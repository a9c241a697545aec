/** `reprise key`: types keys, by their names, into a session. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { KEY_NAMES, keyText } from "../KeyInput.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { typeInto } from "../TypeInto.ts"
import { Usage } from "../Usage.ts"

export const key = Command.make(
  "key",
  {
    session: sessionArgument,
    keys: Argument.String("key").pipe(
      Argument.withMetavar("KEY"),
      Argument.withDescription(`Names, in order: ${KEY_NAMES}, or one character`),
      Argument.variadic({ min: 1 })
    )
  },
  Effect.fn("cli.key")(function* (flags) {
    const paths = yield* chosenStore
    const texts: Array<string> = []
    for (const name of flags.keys) {
      const text = keyText(name)
      if (text === undefined) {
        return yield* new Usage({ reason: `"${name}" is not a key: ${KEY_NAMES}, or one character`, command: "key" })
      }
      texts.push(text)
    }
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* typeInto(session, { keys: flags.keys }, texts.join(""))
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
