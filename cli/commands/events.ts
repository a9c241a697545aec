/** `reprise events`: the journal of a session, event by event, for programs (JSON Lines) and for people. */
import { Effect, type Layer, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { escapeBytes, escapeJson, escapeText } from "../Escape.ts"
import { formatTime } from "../Moment.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine, reading } from "../Store.ts"
import { Usage } from "../Usage.ts"

/** Of one event on one line for people; the JSON has everything. */
const TEXT_LENGTH_MAX = 200

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
    const print = (entries: ReadonlyArray<JournalEntry>) => caller.write(entries.map(format).join(""))

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

const toFields = (event: SessionEvent): Record<string, unknown> => {
  const { _tag, ...rest } = event
  if ("data" in rest) {
    const { data, ...others } = rest
    return { ...others, bytes: data.byteLength, data: toBase64(data), text: escapeBytes(data) }
  }
  if ("payload" in rest) return { ...rest, payload: toBase64(rest.payload) }
  return rest
}

const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

const toJsonLine = ({ sequence, timeMicros, actor, commandId, event }: JournalEntry): string => {
  const line = JSON.stringify({
    sequence,
    time: formatTime(timeMicros),
    actor,
    ...(commandId !== undefined && { commandId }),
    type: event._tag,
    ...toFields(event)
  })
  return `${escapeJson(line)}\n`
}

const toTextLine = ({ sequence, timeMicros, actor, event }: JournalEntry): string => {
  const { data: _data, ...shown } = toFields(event)
  const values = Object.entries(shown).map(
    ([name, value]) => `${name}=${typeof value === "string" ? quote(value) : quote(JSON.stringify(value))}`
  )
  return (
    `${String(sequence).padStart(6)}  ${formatTime(timeMicros)}  ${escapeText(actor)}  ${event._tag}  ${values.join(" ")}`.trimEnd() +
    "\n"
  )
}

const quote = (text: string): string => {
  const safe = escapeText(text)
  return safe.length > TEXT_LENGTH_MAX ? `${safe.slice(0, TEXT_LENGTH_MAX)}…` : safe
}
