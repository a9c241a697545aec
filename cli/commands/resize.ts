/** `reprise resize`: gives a session's terminal another size. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { Sessions } from "../../src/session/Sessions.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { parseSize } from "../Size.ts"
import { engine } from "../Store.ts"
import { Usage } from "../Usage.ts"

export const resize = Command.make(
  "resize",
  {
    session: sessionArgument,
    size: Argument.String("size").pipe(
      Argument.withMetavar("COLSxROWS"),
      Argument.withDescription("Columns and rows, such as 120x40; at most 1000 each")
    )
  },
  Effect.fn("cli.resize")(function* (flags) {
    const size = parseSize(flags.size)
    if (size === undefined) {
      return yield* new Usage({ reason: `"${flags.size}" is not COLSxROWS, such as 80x24`, command: "resize" })
    }
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      yield* Sessions.use((sessions) => sessions.resize(session, size))
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription("Give a session's terminal another size. The program is told as by any terminal (SIGWINCH)."),
  Command.withShortDescription("Resize a session's terminal"),
  Command.withExamples([{ command: "reprise resize last 120x40" }].map((example) => ({ ...example, description: "" })))
)
