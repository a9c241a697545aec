/** `reprise list`: the sessions of a store, newest first. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { isKeyDestroyed } from "../../projections/SessionIndex.ts"
import { History } from "../../src/session/History.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { Caller } from "../Caller.ts"
import { commandOf, toJsonText } from "../Escape.ts"
import { formatLocalTime } from "../Moment.ts"
import { describeStatus } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { reading } from "../Store.ts"
import { table } from "../Table.ts"

const HEAD = ["ID", "NAME", "STATUS", "CREATED", "COMMAND"]

export const list = Command.make(
  "list",
  { json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON array")) },
  Effect.fn("cli.list")(function* ({ json }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const views = yield* History.use((history) => history.list).pipe(Effect.provide(reading(paths)))
    if (json) return yield* caller.write(toJsonText(views))
    if (views.length === 0) return
    const size = yield* caller.terminalSize
    yield* caller.write(table(HEAD, views.map(row), size?.cols))
  })
).pipe(
  Command.withDescription("List the sessions of the store, newest first. Works with and without a running engine."),
  Command.withShortDescription("List sessions"),
  Command.withAlias("ls"),
  Command.withExamples([{ command: "reprise list --json | jq -r '.[0].id'", description: "The newest session's id" }])
)

const row = (view: SessionView): ReadonlyArray<string> => [
  view.id,
  view.name ?? "",
  describeStatus(view) + (view.hold ? ", held" : "") + (isKeyDestroyed(view) ? ", key destroyed" : ""),
  formatLocalTime(view.createdAt),
  // What the program calls itself says more than how it was started, when it says anything.
  view.title === "" ? commandOf(view) : `${commandOf(view)}  (${view.title})`
]
