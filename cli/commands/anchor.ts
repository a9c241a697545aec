/** `reprise anchor`: the store's signed checkpoint over all that is recorded by now, to be kept elsewhere. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { STORE_STREAM } from "../../journal/Event.ts"
import { Evidence } from "../../src/evidence/Evidence.ts"
import { Caller } from "../Caller.ts"
import { escapeText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { evidencing } from "../Store.ts"

export const anchor = Command.make(
  "anchor",
  {},
  Effect.fn("cli.anchor")(function* () {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const { checkpoint, unsealed } = yield* Evidence.use((evidence) => evidence.seal).pipe(
      Effect.provide(evidencing(paths))
    )
    for (const { reason, session } of unsealed) {
      const what = session === STORE_STREAM ? "the store's own events" : session
      yield* caller.writeError(`reprise: not all is under the checkpoint: ${what}: ${escapeText(reason)}\n`)
    }
    if (checkpoint === null) {
      const note = "nothing of this store is sealed: nothing was recorded yet"
      return yield* new Ending({ exitCode: ExitCode.notFound, note })
    }
    yield* caller.write(checkpoint)
    // What runs every night looks at the exit code only.
    if (unsealed.length > 0) return yield* new Ending({ exitCode: ExitCode.incomplete, note: "" })
  })
).pipe(
  Command.withDescription(
    "Seal everything that is recorded by now, and print the store's signed checkpoint (a C2SP checkpoint of its log). Keep it " +
      "where nobody who can write the store can write, and `verify --anchor` shows later whether what it covered is still there " +
      "as it was: also whether the end, a whole session or the whole store was put back to an earlier state. What is recorded " +
      "afterwards needs a later one. Ends with 83 when something of it could not be sealed, which is told. Of a copy without its key, nothing is sealed: the checkpoint is that of the copy."
  ),
  Command.withShortDescription("Print the store's checkpoint"),
  Command.withExamples([
    { command: "reprise anchor | ssh other 'cat >> anchors/$(date +%F)'", description: "Every day, to another machine" }
  ])
)
