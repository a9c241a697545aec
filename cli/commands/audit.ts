/** `reprise audit`: what the store's own stream tells: who looked at what, engines, removals, imports. */
import { Clock, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { type JournalEntry, STORE_STREAM } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { toJsonLine, toTextLine } from "../EventLine.ts"
import { parseSince } from "../Moment.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { reading } from "../Store.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "audit"

export const audit = Command.make(
  COMMAND,
  {
    since: Flag.String("since").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("Only what happened from then on: ISO 8601, unix seconds, or 30m, 12h, 7d ago"),
      Flag.optional
    ),
    session: Flag.String("session").pipe(
      Flag.withMetavar("SESSION"),
      Flag.withDescription("Only what is about this one"),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("JSON Lines also on a terminal"))
  },
  Effect.fn("cli.audit")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const nowMillis = yield* Clock.currentTimeMillis
    const fromMicros = Option.isNone(flags.since) ? 0 : parseSince(flags.since.value, nowMillis)
    if (fromMicros === undefined) {
      const reason = `--since: "${Option.getOrElse(flags.since, () => "")}" is not a time (ISO 8601, unix seconds, or 30m, 12h, 7d ago)`
      return yield* new Usage({ reason, command: COMMAND })
    }
    const format = flags.json || !caller.outputIsTerminal ? toJsonLine : toTextLine
    yield* Effect.gen(function* () {
      const history = yield* History
      const session = Option.isNone(flags.session) ? undefined : yield* findSession(flags.session.value)
      const isAsked = ({ event, timeMicros }: JournalEntry): boolean =>
        timeMicros >= fromMicros &&
        (session === undefined || ("session" in event && (event.session === session || event.session === null)))
      yield* history.events(STORE_STREAM).pipe(
        Stream.runForEachArray((entries) =>
          caller.write(
            entries
              .filter(isAsked)
              .map((entry) => format(entry))
              .join("")
          )
        ),
        // A store in which nothing ever happened.
        Effect.catchTag("SessionNotFound", () => Effect.void)
      )
    }).pipe(Effect.provide(reading(paths, { what: "audit" })))
  })
).pipe(
  Command.withDescription(
    "Print what the store tells of itself: its engines' starts and stops, removals, redactions, holds, imports, changes of the " +
      "key, and who was given the history of which session, through what and for what (accesses of one kind within ten minutes " +
      "are one event), what was refused. JSON Lines, or on a terminal one readable line an event. Reading this is an access too."
  ),
  Command.withShortDescription("Print who looked, and what happened to the store"),
  Command.withExamples([
    { command: "reprise audit --since 2026-11-01", description: "This month" },
    { command: "reprise audit --session build --json | jq .by", description: "Who looked at one session" }
  ])
)
