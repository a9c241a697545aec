/** `reprise release`: ends a hold. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Retention } from "../../src/erasure/Retention.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { retaining } from "../Store.ts"

export const release = Command.make(
  "release",
  { session: sessionArgument },
  Effect.fn("cli.release")(function* ({ session }) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const id = yield* findSession(session)
      yield* Retention.use((retention) => retention.release(id))
    }).pipe(Effect.provide(retaining(paths)))
  })
).pipe(
  Command.withDescription("End a session's hold: the store's rules and `prune` may remove it again."),
  Command.withShortDescription("End a session's hold"),
  Command.withExamples([{ command: "reprise release build", description: "As any other session again" }])
)
