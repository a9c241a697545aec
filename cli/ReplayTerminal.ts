/** What `reprise replay` does on a terminal: from the command line's flags to the player. Loaded only then. */
import { Effect, Option } from "effect"
import { sequenceAtTime } from "../src/session/HistoryPlace.ts"
import type { HistoryPoint } from "../src/session/SessionView.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { makeHistoryOnDemand } from "./HistoryOnDemand.ts"
import { toPoint } from "./Point.ts"
import { replayPlayer } from "./ReplayPlayer.ts"

export interface ReplayFlags {
  readonly session: string
  readonly at: Option.Option<string>
  readonly from: Option.Option<string>
  readonly until: Option.Option<string>
  readonly speed: number
  readonly idleSeconds: number | undefined
  readonly paused: boolean
  readonly follow: boolean
}

export const replayTerminal = Effect.fnUntraced(function* (paths: StorePaths, flags: ReplayFlags) {
  const history = yield* makeHistoryOnDemand(paths)
  const session = yield* history.resolve(flags.session)
  const view = yield* history.get(session)
  const pointOf = (name: "at" | "from" | "until") =>
    Option.isNone(flags[name])
      ? Effect.succeed(undefined)
      : toPoint(flags[name].value, history, view, { name, command: "replay" })
  const sequenceOf = (point: HistoryPoint | undefined) =>
    point === undefined || point._tag === "Head"
      ? Effect.succeed(undefined)
      : point._tag === "Sequence"
        ? Effect.succeed(Math.max(1, Math.min(point.sequence, view.sequence)))
        : Effect.map(sequenceAtTime(history, view, point.timeMicros), (sequence) => Math.max(1, sequence))
  const first = yield* Effect.flatMap(pointOf("from"), sequenceOf)
  const last = yield* Effect.flatMap(pointOf("until"), sequenceOf)
  const at = yield* pointOf("at")
  const { follow, idleSeconds, paused, speed } = flags
  yield* replayPlayer(history, view, { first: first ?? 1, last, at, speed, idleSeconds, paused, follow })
})
