/** `Lifecycle` of a running engine: its live sessions, what they use, and the feed of what happens to them. */
import { Effect, Stream } from "effect"
import type { HistoryShape } from "./History.ts"
import type { LifecycleShape, LiveEntry } from "./Lifecycle.ts"
import { SessionUnavailable } from "./SessionError.ts"
import type { SessionView } from "./SessionView.ts"

export const makeLifecycle = (history: HistoryShape): LifecycleShape => ({
  live: Effect.map(history.list, (views) =>
    views.filter((view) => view.status === "running" || view.terminalOpen).map(entryOf)
  ),
  feed: () => Stream.fail(new SessionUnavailable({ session: "", reason: "this engine keeps no feed" })),
  usage: (session) => Effect.fail(new SessionUnavailable({ session, reason: "this engine does not measure" }))
})

const entryOf = (view: SessionView): LiveEntry => ({
  id: view.id,
  name: view.name,
  group: null,
  kind: view.kind,
  status: view.status,
  exitCode: view.exitCode,
  signal: view.signal,
  argv: view.argv,
  size: view.size,
  pid: view.pid,
  clients: [],
  createdAt: view.createdAt,
  endedAt: view.endedAt,
  activeAt: view.lastEventAt,
  outputBytes: view.outputBytes,
  inputBytes: view.inputBytes,
  sequence: view.sequence
})
