/**
 * The `runtime` tool over `Exec`: one call with an action (exec, eval, state, reset, history) in a workspace, answered with
 * the JSON that agents of such a tool know. A workspace has one shell of each language, started when it is first needed, and
 * ends when it was idle for too long; a command that runs is never idleness. It adds no behaviour to `Exec` and keeps
 * nothing that is not in the journal but the order of a workspace's commands across its shells.
 */
import { Clock, Context, Effect, Layer, Ref, Schedule, Scope, Semaphore } from "effect"
import type { Language, SessionId } from "../../journal/Event.ts"
import { Exec, type ExecResult, type ExecShape } from "./Exec.ts"

const ACTIONS = ["exec", "eval", "state", "reset", "history"] as const
const LANGUAGES: ReadonlyArray<string> = ["bash", "zsh", "python", "node"]
/** What gives a value rather than output. */
const EVALUATED: ReadonlyArray<string> = ["python", "node"]

/** Milliseconds without a command after which a workspace ends. */
export const IDLE_TIMEOUT_MILLIS = 1_800_000
/** Of one command, unless asked otherwise: a tool call that is not answered is of no use. */
export const COMMAND_TIMEOUT_MILLIS = 30_000
/** Commands a workspace remembers. */
export const HISTORY_SIZE = 100
/** How often idleness is looked for: at most this part of the idle timeout late. */
const IDLE_CHECK_PART = 10
const HISTORY_LIMIT_DEFAULT = 20
const STATE_HISTORY = 20

export interface RuntimeOptions {
  /** Default 30 minutes. */
  readonly idleTimeoutMillis?: number | undefined
  /** Default 100. */
  readonly historySize?: number | undefined
  /** Directory in which the shells of every workspace start; the engine's own if absent. */
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
}

export interface HistoryEntry {
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly command: string
  readonly language: string
  /** Milliseconds. */
  readonly duration: number
}

/** `success` is false for a non-zero exit code. */
export interface RuntimeResult {
  readonly success: boolean
  readonly stdout: string
  readonly stderr: string
  readonly exitCode?: number | null
  /** Why it did not succeed; absent when it did. */
  readonly error?: string
}

export interface RuntimeState {
  readonly env_vars: Readonly<Record<string, string>>
  readonly functions: ReadonlyArray<string>
  readonly imports: ReadonlyArray<string>
  readonly working_dir: string
  readonly history: ReadonlyArray<HistoryEntry>
}

export interface ToolResult {
  readonly type: "tool_result"
  /** JSON. */
  readonly content: string
}

export interface RuntimeSession {
  readonly workspaceId: string
  exec(
    command: string,
    options?: { readonly language?: string | undefined; readonly timeoutMillis?: number | undefined }
  ): Effect.Effect<RuntimeResult>
  /** The value of the last expression is the last line of stdout, as an interpreter shows it. */
  eval(code: string, language?: string): Effect.Effect<RuntimeResult>
  readonly state: Effect.Effect<RuntimeState>
  readonly reset: Effect.Effect<RuntimeResult>
  history(limit?: number): Effect.Effect<ReadonlyArray<HistoryEntry>>
  readonly terminate: Effect.Effect<void>
  readonly isAlive: Effect.Effect<boolean>
}

export interface RuntimeShape {
  /** A dead one is replaced. */
  getOrCreateSession(workspaceId: string): Effect.Effect<RuntimeSession>
  getSession(workspaceId: string): Effect.Effect<RuntimeSession | undefined>
  terminateSession(workspaceId: string): Effect.Effect<boolean>
  readonly terminateAll: Effect.Effect<void>
  /** By workspace. */
  readonly activeSessions: Effect.Effect<ReadonlyMap<string, RuntimeSession>>
  /** One call of the tool. Never fails: what is wrong is in the answer. */
  tool(workspaceId: string, parameters: unknown): Effect.Effect<ToolResult>
}

export class Runtime extends Context.Service<Runtime, RuntimeShape>()("reprise/exec/Runtime") {}

/** Its workspaces end with it. */
export const layer = (options: RuntimeOptions = {}): Layer.Layer<Runtime, never, Exec> =>
  Layer.effect(
    Runtime,
    Effect.gen(function* () {
      const exec = yield* Exec
      const scope = yield* Effect.scope
      const sessions = yield* Ref.make<ReadonlyMap<string, RuntimeSession>>(new Map())
      const creating = yield* Semaphore.make(1)

      const getSession = (workspaceId: string) =>
        Effect.gen(function* () {
          const found = (yield* Ref.get(sessions)).get(workspaceId)
          return found !== undefined && (yield* found.isAlive) ? found : undefined
        })
      const getOrCreateSession = (workspaceId: string) =>
        creating.withPermit(
          Effect.gen(function* () {
            const found = yield* getSession(workspaceId)
            if (found !== undefined) return found
            const made = yield* makeSession(exec, workspaceId, options).pipe(Scope.provide(scope))
            yield* Ref.update(sessions, (all) => new Map(all).set(workspaceId, made))
            return made
          })
        )
      const activeSessions = Effect.gen(function* () {
        const active = new Map<string, RuntimeSession>()
        for (const [id, session] of yield* Ref.get(sessions)) if (yield* session.isAlive) active.set(id, session)
        yield* Ref.set(sessions, active)
        return active
      })
      const terminateAll = Effect.flatMap(Ref.getAndSet(sessions, new Map()), (all) =>
        Effect.forEach(all.values(), (session) => session.terminate, { concurrency: "unbounded", discard: true })
      )
      yield* Effect.addFinalizer(() => terminateAll)
      return Runtime.of({
        getOrCreateSession,
        getSession,
        terminateSession: (workspaceId) =>
          Effect.flatMap(getSession(workspaceId), (session) =>
            session === undefined ? Effect.succeed(false) : Effect.as(session.terminate, true)
          ),
        terminateAll,
        activeSessions,
        tool: (workspaceId, parameters) =>
          Effect.map(
            Effect.flatMap(getOrCreateSession(workspaceId), (session) => runAction(session, parameters)),
            (answer): ToolResult => ({ type: "tool_result", content: JSON.stringify(answer) })
          )
      })
    })
  )

// --- the tool ---------------------------------------------------------------------------------------------------------

const refused = (error: string) => ({ success: false, error })

const runAction = (session: RuntimeSession, parameters: unknown): Effect.Effect<object> => {
  const fields = typeof parameters === "object" && parameters !== null ? (parameters as Record<string, unknown>) : {}
  const action = String(fields.action ?? "").toLowerCase()
  const command = typeof fields.command === "string" ? fields.command : ""
  const language = typeof fields.language === "string" ? fields.language.toLowerCase() : undefined
  const limit = typeof fields.limit === "number" ? fields.limit : HISTORY_LIMIT_DEFAULT
  switch (action) {
    case "exec":
      return command === ""
        ? Effect.succeed(refused("command is required for exec action"))
        : session.exec(command, { language })
    case "eval":
      return command === ""
        ? Effect.succeed(refused("command is required for eval action"))
        : session.eval(command, language)
    case "state":
      return Effect.map(session.state, (state) => ({ success: true, state }))
    case "reset":
      return session.reset
    case "history":
      return Effect.map(session.history(limit), (history) => ({ success: true, history }))
    default:
      return Effect.succeed(
        refused(`Invalid action: ${String(fields.action ?? "")}. Must be one of: ${ACTIONS.join(", ")}`)
      )
  }
}

// --- one workspace ----------------------------------------------------------------------------------------------------

const TERMINATED = "Session has been terminated"
const failure = (error: string): RuntimeResult => ({ success: false, stdout: "", stderr: "", exitCode: null, error })

const makeSession = Effect.fnUntraced(function* (exec: ExecShape, workspaceId: string, options: RuntimeOptions) {
  const idleMillis = options.idleTimeoutMillis ?? IDLE_TIMEOUT_MILLIS
  const historySize = options.historySize ?? HISTORY_SIZE
  const shells = new Map<Language, SessionId>()
  const starting = yield* Semaphore.make(1)
  let history: Array<HistoryEntry> = []
  let isTerminated = false
  let running = 0
  let lastActivity = yield* Clock.currentTimeMillis

  const shell = (language: Language) =>
    starting.withPermit(
      Effect.gen(function* () {
        const known = shells.get(language)
        if (known !== undefined) return known
        const { id } = yield* exec.start({ language, cwd: options.cwd, env: options.env, actor: "runtime" })
        shells.set(language, id)
        return id
      })
    )

  const terminate = Effect.suspend(() => {
    isTerminated = true
    const ids = [...shells.values()]
    shells.clear()
    return Effect.forEach(ids, (id) => Effect.ignore(exec.end(id)), { concurrency: "unbounded", discard: true })
  })

  const run = (command: string, language: string, timeoutMillis: number) =>
    Effect.gen(function* () {
      if (isTerminated) return { answer: failure(TERMINATED) }
      if (!LANGUAGES.includes(language)) return { answer: failure(`Unsupported runtime type: ${language}`) }
      const id = yield* shell(language as Language)
      const startedAt = yield* Clock.currentTimeMillis
      running++
      const result = yield* exec.exec(id, { code: command, timeoutMillis, actor: "runtime" }).pipe(
        Effect.ensuring(
          Effect.map(Clock.currentTimeMillis, (now) => {
            running--
            lastActivity = now
          })
        )
      )
      const duration = (yield* Clock.currentTimeMillis) - startedAt
      history = [...history, { timestamp: startedAt, command, language, duration }].slice(-historySize)
      return { answer: resultOf(result, timeoutMillis), value: result.value }
    }).pipe(
      Effect.catch((error) => Effect.succeed({ answer: failure(isTerminated ? TERMINATED : error.message) }))
    ) as Effect.Effect<{ readonly answer: RuntimeResult; readonly value?: string | null }>

  const check = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (!isTerminated && running === 0 && now - lastActivity >= idleMillis) yield* terminate
  })
  yield* check.pipe(
    Effect.repeat(Schedule.spaced(Math.max(1, Math.floor(idleMillis / IDLE_CHECK_PART)))),
    Effect.forkScoped
  )

  const session: RuntimeSession = {
    workspaceId,
    exec: (command, how) =>
      Effect.map(
        run(command, how?.language ?? "bash", how?.timeoutMillis ?? COMMAND_TIMEOUT_MILLIS),
        ({ answer }) => answer
      ),
    eval: (code, language = "python") =>
      EVALUATED.includes(language)
        ? Effect.map(run(code, language, COMMAND_TIMEOUT_MILLIS), ({ answer, value }) =>
            value === undefined || value === null ? answer : { ...answer, stdout: `${answer.stdout}${value}\n` }
          )
        : Effect.succeed(failure(`eval() only supports ${EVALUATED.join(" and ")}; got ${language}`)),
    state: Effect.gen(function* () {
      const states = yield* Effect.forEach(shells, ([language, id]) =>
        Effect.map(exec.state(id), (state) => ({ language, state }))
      ).pipe(Effect.orElseSucceed(() => []))
      const first = states.find(({ language }) => language === "bash" || language === "zsh") ?? states[0]
      return {
        env_vars: Object.assign({}, ...states.map(({ state }) => state.env).reverse()),
        functions: states.flatMap(({ state }) => state.functions),
        imports: states.flatMap(({ state }) => state.imports),
        working_dir: first?.state.workingDirectory ?? options.cwd ?? process.cwd(),
        history: history.slice(-STATE_HISTORY)
      }
    }),
    reset: Effect.gen(function* () {
      if (isTerminated) return failure(TERMINATED)
      yield* Effect.forEach(shells.values(), (id) => exec.reset(id), { concurrency: "unbounded", discard: true })
      history = []
      return { success: true, stdout: "Session reset successfully", stderr: "" }
    }).pipe(Effect.catch((error) => Effect.succeed(failure(error.message)))),
    history: (limit = HISTORY_LIMIT_DEFAULT) => Effect.sync(() => history.slice(-Math.max(1, Math.floor(limit)))),
    terminate,
    isAlive: Effect.sync(() => !isTerminated)
  }
  return session
})

const decoder = new TextDecoder()

const resultOf = (result: ExecResult, timeoutMillis: number): RuntimeResult => {
  const { exitCode, signal, status } = result
  const output = { stdout: decoder.decode(result.stdout), stderr: decoder.decode(result.stderr), exitCode }
  if ((status === "completed" || status === "exited") && exitCode === 0) return { success: true, ...output }
  const error =
    status === "timeout"
      ? `Command timeout after ${timeoutMillis}ms`
      : status === "completed" || status === "exited"
        ? `exit code ${exitCode}`
        : `${status}${signal === null ? "" : ` by ${signal}`}`
  return { success: false, ...output, error }
}
