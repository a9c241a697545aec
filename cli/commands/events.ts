/** `reprise events`: the journal of a session, event by event, for programs (JSON Lines) and for people. */
import { Effect, type Layer, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { JournalEntry } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { toJsonLine, toTextLine } from "../EventLine.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine, reading } from "../Store.ts"
import { Usage } from "../Usage.ts"

export const events = Command.make(
  "events",
  {
    session: sessionArgument,
    after: Flag.Int("after").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Only events after this one (default: 0, all)"),
      Flag.withDefault(0)
    ),
    follow: Flag.Boolean("follow").pipe(
      Flag.withDefault(false),
      Flag.withAlias("f"),
      Flag.withDescription("Go on until the session is over")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("JSON Lines also on a terminal"))
  },
  Effect.fn("cli.events")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    if (flags.after < 0) return yield* new Usage({ reason: "--after: not an event's number", command: "events" })
    const format = flags.json || !caller.outputIsTerminal ? toJsonLine : toTextLine

    const isLive = flags.follow
      ? yield* Effect.gen(function* () {
          const history = yield* History
          const view = yield* history.get(yield* findSession(flags.session))
          return view.status === "running" || view.terminalOpen
        }).pipe(Effect.provide(reading(paths)))
      : false
    // What is to come needs somebody who takes the session back.
    const access: Layer.Layer<History, Layer.Error<ReturnType<typeof reading>>> = isLive
      ? engine(paths)
      : reading(paths)
    const print = (entries: ReadonlyArray<JournalEntry>) => caller.write(entries.map((entry) => format(entry)).join(""))

    yield* Effect.gen(function* () {
      const history = yield* History
      const session = yield* findSession(flags.session)
      if (!isLive) {
        return yield* history.events(session, { after: flags.after }).pipe(Stream.runForEachArray(print))
      }
      yield* history
        .follow(session, flags.after)
        .pipe(Stream.runForEach((item) => (item._tag === "Page" ? print(item.entries) : Effect.void)))
    }).pipe(Effect.provide(access))
  })
).pipe(
  Command.withDescription(
    "Print the events of a session. JSON Lines: one object an event with sequence, time, actor, type and its fields; bytes as " +
      "base64 in `data` and readable in `text`. On a terminal, without --json, one readable line an event."
  ),
  Command.withShortDescription("Print the events of a session"),
  Command.withExamples([
    { command: "reprise events last --follow", description: "Watch what happens" },
    {
      command: "reprise events build --json | jq -r 'select(.type==\"InputWritten\").text'",
      description: "What was typed"
    }
  ])
)
