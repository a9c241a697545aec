/** `reprise status`: whether an engine runs, where, and what it holds. Never starts one. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { packageVersion } from "../../src/EntryPoints.ts"
import { EngineControl } from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import type { EngineStatus } from "../../src/session/Sessions.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { formatLocalTime } from "../Moment.ts"
import { chosenStore } from "../Root.ts"
import { reading, runningEngine } from "../Store.ts"
import { fields } from "../Table.ts"

/** Of a store without an engine, the journal tells which keepers should hold sessions, not which processes they are. */
type Status = Omit<EngineStatus, "enginePid" | "node" | "startedAt" | "durability" | "limits" | "keepers"> & {
  readonly enginePid: number | null
  readonly node: string | null
  readonly startedAt: number | null
  readonly durability: EngineStatus["durability"] | null
  readonly limits?: EngineStatus["limits"] | null
  readonly keepers: ReadonlyArray<{
    readonly id: string
    readonly pid: number | null
    readonly sessions: ReadonlyArray<string>
  }>
}

export const status = Command.make(
  "status",
  { json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object")) },
  Effect.fn("cli.status")(function* ({ json }) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const found: Status = yield* EngineControl.use((control) => control.status).pipe(
      Effect.provide(runningEngine(paths)),
      Effect.catchTag("EngineAbsent", () => withoutEngine(paths).pipe(Effect.provide(reading(paths))))
    )
    yield* caller.write(json ? toJsonText(found) : describe(found))
  })
).pipe(
  Command.withDescription("Tell whether an engine runs for the store, and what it holds. Starts none."),
  Command.withShortDescription("Show the engine"),
  Command.withExamples([{ command: "reprise status --json | jq .enginePid", description: "null when no engine runs" }])
)

const withoutEngine = Effect.fnUntraced(function* (paths: StorePaths) {
  const views = yield* History.use((history) => history.list)
  const live = views.filter((view) => view.status === "running" || view.terminalOpen)
  const keepers = Map.groupBy(
    live.filter((view) => view.keeper),
    (view) => view.keeper!
  )
  const status: Status = {
    enginePid: null,
    version: packageVersion,
    node: null,
    store: paths.store,
    socket: paths.engineSocket,
    durability: null,
    limits: null,
    startedAt: null,
    keepers: [...keepers].map(([id, held]) => ({ id, pid: null, sessions: held.map((view) => view.id) })),
    sessions: { total: views.length, live: live.length },
    suspended: null,
    damages: []
  }
  return status
})

const most = ({ limits }: Status): string =>
  limits == null ? "" : ` of at most ${limits.sessions}, ${limits.sessionsPerGroup} of one group`

const describe = (status: Status): string =>
  fields([
    ["store", status.store],
    ["engine", status.enginePid === null ? "not running" : `process ${status.enginePid}, version ${status.version}`],
    ...(status.startedAt === null ? [] : [["since", formatLocalTime(status.startedAt)] as const]),
    ...(status.durability === null ? [] : [["durability", status.durability] as const]),
    ["sessions", `${status.sessions.total}, ${status.sessions.live} live${most(status)}`],
    ...status.keepers.map(
      (keeper) =>
        [
          "keeper",
          `${keeper.id}${keeper.pid === null ? "" : `, process ${keeper.pid}`}: ${keeper.sessions.join(" ") || "no sessions"}`
        ] as const
    ),
    ...(status.suspended === null ? [] : [["suspended", status.suspended.reason] as const]),
    ...status.damages.map(
      (damage) => ["damage", `${damage.stream} from ${damage.from} to ${damage.to ?? "?"}: ${damage.reason}`] as const
    )
  ])
