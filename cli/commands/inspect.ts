/** `reprise inspect`: all that is known of a session, now or at any earlier moment. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { History } from "../../src/session/History.ts"
import type { HistoryPoint, ScreenView, SessionSnapshot, SessionView } from "../../src/session/SessionView.ts"
import { Caller } from "../Caller.ts"
import { commandOf } from "../Escape.ts"
import { formatDuration, formatTime } from "../Moment.ts"
import { describeStatus } from "../Outcome.ts"
import { pointFlag, toPoint } from "../Point.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { formatSize } from "../Size.ts"
import { reading } from "../Store.ts"
import { box, fields } from "../Table.ts"

export const inspect = Command.make(
  "inspect",
  {
    session: sessionArgument,
    at: pointFlag("at", "As it was at this moment"),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.inspect")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const snapshot = yield* Effect.gen(function* () {
      const history = yield* History
      const session = yield* findSession(flags.session)
      const point: HistoryPoint = Option.isNone(flags.at)
        ? { _tag: "Head" }
        : yield* toPoint(flags.at.value, yield* history.get(session), { name: "at", command: "inspect" })
      return yield* history.stateAt(session, point)
    }).pipe(Effect.provide(reading(paths)))
    yield* caller.write(flags.json ? `${JSON.stringify(toJson(snapshot))}\n` : describe(snapshot))
  })
).pipe(
  Command.withDescription(
    "Show a session: how it stands, its folder, size, title, times, byte counts and screen; with --at as it was at an earlier moment."
  ),
  Command.withShortDescription("Show a session, now or earlier"),
  Command.withExamples([
    { command: "reprise inspect last", description: "How it stands" },
    { command: "reprise inspect build --at +2m", description: "Two minutes after its start" },
    { command: "reprise inspect build --at 120 --json | jq -r .cwd", description: "Its folder at event 120" }
  ])
)

const toJson = ({ view, screen }: SessionSnapshot) => ({
  ...view,
  screen: {
    status: screen.status,
    reason: screen.reason,
    text: screen.lines.join("\n"),
    cursor: screen.cursor,
    size: screen.size,
    alternate: screen.alternate,
    sequence: screen.sequence
  }
})

const describe = ({ view, screen }: SessionSnapshot): string => `${fields(describeView(view))}${describeScreen(screen)}`

const describeView = (view: SessionView): ReadonlyArray<readonly [string, string]> => [
  ["id", view.id],
  ...optional("name", view.name),
  ["status", `${describeStatus(view)}${view.status === "exited" && view.terminalOpen ? ", terminal still open" : ""}`],
  ["command", commandOf(view)],
  ["cwd", view.cwd],
  ["size", formatSize(view.size)],
  ...optional("title", view.title === "" ? null : view.title),
  ["term", view.term],
  ["owner", view.owner],
  ...optional("pid", view.pid === null ? null : String(view.pid)),
  ...optional("keeper", view.keeper),
  ["created", formatTime(view.createdAt)],
  ...optional("started", view.startedAt === null ? null : formatTime(view.startedAt)),
  ...optional(
    "ended",
    view.endedAt === null
      ? null
      : `${formatTime(view.endedAt)} (after ${formatDuration(view.endedAt - view.createdAt)})`
  ),
  ["last event", `${view.sequence} at ${formatTime(view.lastEventAt)}`],
  ["output", `${view.outputBytes} bytes`],
  ["input", `${view.inputBytes} bytes`],
  ...optional("interruptions", view.interruptions === 0 ? null : String(view.interruptions)),
  ...view.survivors.map(({ pid, command }) => ["lives on", `${pid} ${command}`] as const)
]

const optional = (name: string, value: string | null): ReadonlyArray<readonly [string, string]> =>
  value === null ? [] : [[name, value]]

const describeScreen = (screen: ScreenView): string => {
  const head = `screen ${formatSize(screen.size)}, cursor ${screen.cursor.x},${screen.cursor.y}${screen.alternate ? ", alternate" : ""}`
  if (screen.status === "ok") return `${head}\n${box(screen.lines, screen.size.cols)}`
  const why = `${head}: ${screen.status}${screen.reason === null ? "" : `, ${screen.reason}`}`
  const shown = screen.lines.length === 0 ? "" : box(screen.lines, screen.size.cols)
  return `${fields([["screen", why.slice("screen ".length)]])}${shown}`
}
