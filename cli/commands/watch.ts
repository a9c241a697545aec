/** `reprise watch`: what happens to all sessions of a store, as a table that stays up to date or as lines. */
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { Lifecycle, type LifecycleEvent } from "../../src/session/Lifecycle.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { Caller } from "../Caller.ts"
import { withRunningEngine } from "../EngineWait.ts"
import { toJsonLine, toTextLine } from "../EventLine.ts"
import { chosenStore } from "../Root.ts"
import { Usage } from "../Usage.ts"
import { watchScreen } from "../WatchScreen.ts"

export const watch = Command.make(
  "watch",
  {
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("JSON Lines also on a terminal")),
    after: Flag.Int("after").pipe(
      Flag.withMetavar("POSITION"),
      Flag.withDescription("As lines, begin behind this position; 0 is the beginning (default: only what comes)"),
      Flag.optional
    )
  },
  Effect.fn("cli.watch")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const after = Option.getOrUndefined(flags.after)
    if (after !== undefined && after < 0) {
      return yield* new Usage({ reason: "--after: not a position", command: "watch" })
    }
    if (caller.outputIsTerminal && !flags.json && after === undefined) {
      return yield* Effect.scoped(watchScreen(paths))
    }
    yield* printFeed(paths, after, flags.json ? toJsonLine : toTextLine)
  })
).pipe(
  Command.withDescription(
    "Show all live sessions in a table that stays up to date: clients, size, processor and memory, output, last activity " +
      "(q quits). In a pipe, with --json or with --after: one line for each session that is made, attached to, resized, " +
      "left, ended and so on. Starts no engine: without one it waits."
  ),
  Command.withShortDescription("Watch all sessions"),
  Command.withExamples([
    { command: "reprise watch", description: "The table" },
    {
      command: "reprise watch --json --after 0 | jq -r 'select(.type==\"SessionClosed\").session'",
      description: "Every session that has ended, and every one that will"
    }
  ])
)

const printFeed = (paths: StorePaths, after: number | undefined, format: typeof toJsonLine) =>
  Effect.gen(function* () {
    const caller = yield* Caller
    let position = after
    const print = (item: LifecycleEvent) =>
      caller.write(format(item, { position: item.position, session: item.session }))
    const use = Effect.gen(function* () {
      const lifecycle = yield* Lifecycle
      yield* lifecycle.feed(position).pipe(
        Stream.runForEach((item) => {
          position = item.position
          return item._tag === "Event" ? print(item) : Effect.void
        })
      )
      // Every other end is an engine's.
      return yield* Effect.never
    })
    yield* withRunningEngine(paths, {
      whileAbsent: caller.writeError("reprise: no engine runs for this store; waiting for one\n"),
      use
    })
  })
