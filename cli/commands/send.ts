/** `reprise send`: types a text into a session. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { escapedText } from "../KeyInput.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { typeInto } from "../TypeInto.ts"

const ENTER = Buffer.from("\r")

export const send = Command.make(
  "send",
  {
    session: sessionArgument,
    text: Argument.String("text").pipe(
      Argument.withMetavar("TEXT"),
      Argument.withDescription("What to type; put -- before a text that begins with -")
    ),
    raw: Flag.Boolean("raw").pipe(
      Flag.withDefault(false),
      Flag.withAlias("literal"),
      Flag.withDescription("Type backslashes as they are")
    ),
    enter: Flag.Boolean("enter").pipe(Flag.withDefault(false), Flag.withDescription("Type Enter after it"))
  },
  Effect.fn("cli.send")(function* (flags) {
    const paths = yield* chosenStore
    const typed = flags.raw ? Buffer.from(flags.text) : escapedText(flags.text)
    const bytes = flags.enter ? Buffer.concat([typed, ENTER]) : typed
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* typeInto(session, bytes)
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Type a text into the command that runs in a session's shell, or into the terminal of a session made by `reprise run`. " +
      "\\n \\r \\t \\b \\f \\v \\\\ \\xHH and \\uHHHH stand for characters unless --raw is given. Enter is not added."
  ),
  Command.withShortDescription("Type a text"),
  Command.withExamples([
    { command: "reprise send build yes --enter", description: "Answer a question" },
    { command: "reprise send vi ':wq\\r'", description: "With escapes" },
    { command: "reprise send build --raw -- '-n \\d+'", description: "As it is" }
  ])
)
