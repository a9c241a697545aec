/** `reprise hold`: keeps a session from being removed, whatever the store's rules are. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Retention } from "../../src/erasure/Retention.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { retaining } from "../Store.ts"

export const hold = Command.make(
  "hold",
  {
    session: sessionArgument,
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Why; it is kept with the session")
    )
  },
  Effect.fn("cli.hold")(function* ({ reason, session }) {
    const paths = yield* chosenStore
    yield* Effect.gen(function* () {
      const id = yield* findSession(session)
      yield* Retention.use((retention) => retention.hold(id, reason))
    }).pipe(Effect.provide(retaining(paths)))
  })
).pipe(
  Command.withDescription(
    "Keep all of a session from being removed, by the store's rules and by `prune`, until `release`. `list` and `inspect` show it."
  ),
  Command.withShortDescription("Keep a session from being removed"),
  Command.withExamples([
    { command: 'reprise hold build --reason "case 4711"', description: "Nothing of it is removed now" }
  ])
)
