/** `reprise anchor`: the store's signed checkpoint, to be kept elsewhere. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Caller } from "../Caller.ts"
import { ExitCode } from "../ExitCode.ts"
import { longWork } from "../LongWork.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"

export const anchor = Command.make(
  "anchor",
  {},
  Effect.fn("cli.anchor")(function* () {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const checkpoint = yield* longWork(({ readAnchor }) => readAnchor(paths))
    if (checkpoint === undefined) {
      const note = "nothing of this store is sealed yet; an engine does it some seconds after something was recorded"
      return yield* new Ending({ exitCode: ExitCode.notFound, note })
    }
    yield* caller.write(checkpoint)
  })
).pipe(
  Command.withDescription(
    "Print the store's signed checkpoint (a C2SP checkpoint of its log). Keep it where nobody who can write the store can write, " +
      "and `verify --anchor` shows later whether what it covered is still there as it was: also whether the end, a whole session " +
      "or the whole store was put back to an earlier state. What is recorded afterwards needs a later one."
  ),
  Command.withShortDescription("Print the store's checkpoint"),
  Command.withExamples([
    { command: "reprise anchor | ssh other 'cat >> anchors/$(date +%F)'", description: "Every day, to another machine" }
  ])
)
