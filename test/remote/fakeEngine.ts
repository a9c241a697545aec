/** Sessions and History that answer from memory, and an engine's door in front of them: for tests of what lies between. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, type Scope, Stream } from "effect"
import type { JournalEntry, SessionEvent, SessionId } from "../../journal/Event.ts"
import { Redaction } from "../../src/erasure/Redaction.ts"
import { Retention } from "../../src/erasure/Retention.ts"
import { Evidence } from "../../src/evidence/Evidence.ts"
import { Exec, type ExecShape } from "../../src/exec/Exec.ts"
import * as EngineServer from "../../src/remote/EngineServer.ts"
import * as WebSocketDoor from "../../src/remote/WebSocketDoor.ts"
import { Search } from "../../src/search/Search.ts"
import { AccessLog } from "../../src/session/AccessLog.ts"
import { Attach } from "../../src/session/Attach.ts"
import { makeAttach } from "../../src/session/AttachEngine.ts"
import { ENGINE_LIMITS } from "../../src/session/EngineLimits.ts"
import { type FollowEvents, History, type HistoryShape } from "../../src/session/History.ts"
import { Lifecycle } from "../../src/session/Lifecycle.ts"
import { SessionNotFound } from "../../src/session/SessionError.ts"
import { Sessions, type SessionsShape } from "../../src/session/Sessions.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"

export const SESSION = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId

export const view: SessionView = {
  id: SESSION,
  name: "fake",
  kind: "terminal",
  status: "running",
  exitCode: null,
  signal: null,
  terminalOpen: true,
  argv: ["sh"],
  cwd: "/",
  size: { cols: 80, rows: 24 },
  title: "",
  term: "xterm-256color",
  owner: "nobody",
  pid: 7,
  keeper: null,
  createdAt: 1_700_000_000_000_000,
  startedAt: null,
  endedAt: null,
  lastEventAt: 1_700_000_000_000_000,
  outputBytes: 0,
  inputBytes: 0,
  sequence: 1,
  interruptions: 0,
  survivors: []
}

export const entry = (sequence: number, event: SessionEvent): JournalEntry => ({
  sequence,
  timeMicros: 1_700_000_000_000_000 + sequence,
  actor: "program",
  event
})

export const output = (sequence: number, offset: number, data: Uint8Array): JournalEntry =>
  entry(sequence, { _tag: "OutputReceived", channel: "tty", exec: 0, offset, data })

const missing = (session: string) => new SessionNotFound({ session, candidates: [] })

export const fakeHistory = (overrides: Partial<HistoryShape> = {}): HistoryShape => ({
  list: Effect.succeed([view]),
  resolve: (reference) => (reference === "fake" ? Effect.succeed(SESSION) : Effect.fail(missing(reference))),
  get: (session) => (session === SESSION ? Effect.succeed(view) : Effect.fail(missing(session))),
  stateAt: () =>
    Effect.succeed({
      view,
      screen: {
        status: "ok",
        reason: null,
        sequence: 1,
        size: view.size,
        cursor: { x: 0, y: 0 },
        alternate: false,
        lines: ["hello"]
      }
    }),
  redraw: () => Effect.succeed({ data: new Uint8Array(0), sequence: 0, size: view.size, reason: "nothing is drawn" }),
  events: () => Stream.empty,
  follow: () => Stream.empty as Stream.Stream<FollowEvents>,
  ...overrides
})

export const fakeSessions = (overrides: Partial<SessionsShape> = {}): SessionsShape => ({
  create: (request) => Effect.succeed({ ...view, id: request.id ?? SESSION, argv: [...request.argv] }),
  write: (_session, data) => Effect.succeed({ sequence: data.byteLength, hidden: false, truncatedTo: null }),
  closeInput: () => Effect.void,
  resize: (_session, size) => Effect.succeed(size),
  signal: () => Effect.void,
  close: () => Effect.succeed({ survivors: [{ pid: 9, command: "sleep" }] }),
  status: Effect.succeed({
    enginePid: process.pid,
    version: "0",
    node: process.version,
    store: "",
    socket: "",
    durability: "process",
    startedAt: 0,
    limits: ENGINE_LIMITS,
    keepers: [{ id: SESSION, pid: 8, sessions: [SESSION] }],
    sessions: { total: 1, live: 1 },
    suspended: null,
    damages: []
  }),
  ...overrides
})

/** A store's paths in a folder that goes with the scope. */
export const temporaryPaths: Effect.Effect<StorePaths, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => storePaths(mkdtempSync(join(tmpdir(), "rp-")))),
  (paths) => Effect.sync(() => rmSync(paths.store, { recursive: true, force: true }))
)

export const serve = (
  paths: StorePaths,
  overrides: {
    readonly history?: Partial<HistoryShape>
    readonly sessions?: Partial<SessionsShape>
    readonly exec?: ExecShape
  } = {}
) =>
  EngineServer.layer(paths).pipe(
    Layer.provideMerge(EngineServer.StopRequest.layer),
    Layer.provide(Layer.succeed(History, fakeHistory(overrides.history))),
    Layer.provide(Layer.succeed(Sessions, fakeSessions(overrides.sessions))),
    Layer.provide(Layer.succeed(Attach, makeAttach({ history: fakeHistory(overrides.history) }))),
    Layer.provide(Layer.mock(Lifecycle)({})),
    Layer.provide(Layer.mock(Retention)({})),
    Layer.provide(Layer.mock(Redaction)({})),
    Layer.provide(Layer.mock(Search)({})),
    Layer.provide(Layer.mock(Evidence)({})),
    Layer.provide(AccessLog.layerNone),
    Layer.provide(overrides.exec === undefined ? Layer.mock(Exec)({}) : Layer.succeed(Exec, overrides.exec))
  )

export const TOKEN = "0123456789abcdef0123456789abcdef"

/** A WebSocket door, in this process, to whatever engine is behind these paths at the moment. It starts none. */
export const openDoor = (paths: StorePaths, options: Partial<WebSocketDoor.DoorOptions> = {}) =>
  Effect.map(
    WebSocketDoor.open({
      paths,
      start: false,
      host: "127.0.0.1",
      port: 0,
      token: TOKEN,
      allowedOrigins: [],
      ...options
    }),
    (door) => ({ ...door, token: TOKEN })
  )
