/** `reprise inspect`: all that is known of a session, now or at any earlier moment. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { SessionId } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Lifecycle, type SessionUsage } from "../../src/session/Lifecycle.ts"
import type { HistoryPoint, ScreenView, SessionSnapshot, SessionView } from "../../src/session/SessionView.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { Caller } from "../Caller.ts"
import { commandOf, toJsonText } from "../Escape.ts"
import { formatDuration, formatTime } from "../Moment.ts"
import { describeStatus } from "../Outcome.ts"
import { pointFlag, toPoint } from "../Point.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { formatSize } from "../Size.ts"
import { reading, watchedEngine } from "../Store.ts"
import { box, fields } from "../Table.ts"
import { formatBytes } from "../WatchTable.ts"

export const inspect = Command.make(
  "inspect",
  {
    session: sessionArgument,
    at: pointFlag("at", "As it was at this moment"),
    usage: Flag.Boolean("usage").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Also what its processes use at the moment; only while an engine runs")
    ),
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
        : yield* toPoint(flags.at.value, history, yield* history.get(session), { name: "at", command: "inspect" })
      const { screen, view } = yield* history.stateAt(session, point)
      if (view.kind !== "exec") return { screen, view }
      const { shellScreen } = yield* Effect.promise(() => import("../ShellScreen.ts"))
      return { screen: yield* Effect.scoped(shellScreen(history, view)), view }
    }).pipe(Effect.provide(reading(paths, { what: "inspect" })))
    const usage = flags.usage ? yield* usageOf(paths, snapshot.view.id) : undefined
    const json = () => ({ ...toJson(snapshot), ...(usage !== undefined && { usage }) })
    yield* caller.write(flags.json ? toJsonText(json()) : describe(snapshot, usage ?? null))
  })
).pipe(
  Command.withDescription(
    "Show a session: how it stands, its folder, size, title, times, byte counts and screen; with --at as it was at an earlier moment."
  ),
  Command.withShortDescription("Show a session, now or earlier"),
  Command.withExamples([
    { command: "reprise inspect last", description: "How it stands" },
    { command: "reprise inspect build --usage", description: "And what it costs" },
    { command: "reprise inspect build --at 2:00", description: "Two minutes after its start" },
    { command: "reprise inspect build --at text:error", description: "When it first printed this" },
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

/** null: no engine runs, or nothing of the session does. */
const usageOf = (paths: StorePaths, session: SessionId) =>
  Lifecycle.use((lifecycle) => lifecycle.usage(session)).pipe(
    Effect.provide(watchedEngine(paths)),
    Effect.catchTag(["EngineAbsent", "SessionEnded"], () => Effect.succeed(null))
  )

const describe = ({ view, screen }: SessionSnapshot, usage: SessionUsage | null): string =>
  `${fields([...describeView(view), ...describeUsage(usage)])}${describeScreen(screen)}`

const describeUsage = (usage: SessionUsage | null): ReadonlyArray<readonly [string, string]> =>
  usage === null
    ? []
    : [
        ["processes", String(usage.processes)],
        ["processor", `${formatDuration(usage.cpuMicros)}, ${usage.cpuPercent.toFixed(1)}% of one`],
        ["memory", `${formatBytes(usage.rssBytes)}`]
      ]

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
  ...optional(
    "held",
    view.hold ? `${view.hold.reason} (since ${formatTime(view.hold.at)}, by ${view.hold.actor})` : null
  ),
  ...optional("redacting", view.redact ? describeRedact(view.redact) : null),
  ...optional(
    "removed",
    view.removed ? `events 1 to ${view.removed.to} at ${formatTime(view.removed.at)}: ${view.removed.policy}` : null
  ),
  ...view.survivors.map(({ pid, command }) => ["lives on", `${pid} ${command}`] as const)
]

const describeRedact = ({ bytes, found, rules }: NonNullable<SessionView["redact"]>): string => {
  const times = found.map(({ matches, rule }) => `${rule} ${matches}`).join(", ")
  return `${rules.join(", ")}: ${bytes === 0 ? "nothing found" : `${times === "" ? "" : `${times}; `}${bytes} bytes`}`
}

const optional = (name: string, value: string | null): ReadonlyArray<readonly [string, string]> =>
  value === null ? [] : [[name, value]]

const describeScreen = (screen: ScreenView): string => {
  const head = `screen ${formatSize(screen.size)}, cursor ${screen.cursor.x},${screen.cursor.y}${screen.alternate ? ", alternate" : ""}`
  if (screen.status === "ok") return `${head}\n${box(screen.lines, screen.size.cols)}`
  const why = `${head}: ${screen.status}${screen.reason === null ? "" : `, ${screen.reason}`}`
  const shown = screen.lines.length === 0 ? "" : box(screen.lines, screen.size.cols)
  return `${fields([["screen", why.slice("screen ".length)]])}${shown}`
}
