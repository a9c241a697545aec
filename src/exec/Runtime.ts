/**
 * The `runtime` tool over `Exec`: one call with an action (exec, eval, state, reset, history) in a workspace, answered with
 * the JSON that agents of such a tool know. A workspace has one shell of each language, started when it is first needed, and
 * ends when it was idle for too long; a command that runs is never idleness. It adds no behaviour to `Exec` and keeps
 * nothing that is not in the journal: a workspace's shells are found by their name, also those of a program that died.
 */
import { createHash } from "node:crypto"
import { Clock, Context, Effect, Layer, Ref, Schedule, Scope, Semaphore } from "effect"
import type { Language, SessionId } from "../../journal/Event.ts"
import { History, type HistoryShape } from "../session/History.ts"
import type { SessionUnavailable } from "../session/SessionError.ts"
import { Exec, type ExecResult, type ExecShape } from "./Exec.ts"

const ACTIONS = ["exec", "eval", "state", "reset", "history"] as const
const LANGUAGES: ReadonlyArray<Language> = ["bash", "zsh", "python", "node"]
/** What gives a value rather than output. */
const EVALUATED: ReadonlyArray<string> = ["python", "node"]

/** Milliseconds without a command after which a workspace ends. */
const IDLE_TIMEOUT_MILLIS = 1_800_000
/** Of one command, unless asked otherwise: a tool call that is not answered is of no use. */
export const COMMAND_TIMEOUT_MILLIS = 30_000
/** Commands a workspace remembers. */
const HISTORY_SIZE = 100
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

/** Its workspaces end with it; those of a program that died go on in the next one that asks for them. */
export const layer = (options: RuntimeOptions = {}): Layer.Layer<Runtime, never, Exec | History> =>
  Layer.effect(
    Runtime,
    Effect.gen(function* () {
      const exec = yield* Exec
      const history = yield* History
      const scope = yield* Effect.scope
      const sessions = yield* Ref.make<ReadonlyMap<string, RuntimeSession>>(new Map())
      const creating = yield* Semaphore.make(1)

      const getSession = (workspaceId: string) =>
        Effect.gen(function* () {
          const found = (yield* Ref.get(sessions)).get(workspaceId)
          return found !== undefined && (yield* found.isAlive) ? found : undefined
        })
      const forget = (workspaceId: string) =>
        Ref.update(sessions, (all) => new Map([...all].filter(([id]) => id !== workspaceId)))
      const getOrCreateSession = (workspaceId: string) =>
        creating.withPermit(
          Effect.gen(function* () {
            const found = (yield* Ref.get(sessions)).get(workspaceId)
            if (found !== undefined) {
              if (yield* found.isAlive) return found
              // Else its shells would be found while they end.
              yield* found.terminate
            }
            const made = yield* makeSession({ exec, history }, workspaceId, options, forget(workspaceId)).pipe(
              Scope.provide(scope)
            )
            yield* Ref.update(sessions, (all) => new Map(all).set(workspaceId, made))
            return made
          })
        )
      const activeSessions = Effect.gen(function* () {
        const active = new Map<string, RuntimeSession>()
        for (const [id, session] of yield* Ref.get(sessions)) if (yield* session.isAlive) active.set(id, session)
        return active
      })
      const terminateAll = creating.withPermit(
        Effect.flatMap(Ref.get(sessions), (all) =>
          Effect.forEach([...all.values()], (session) => session.terminate, {
            concurrency: "unbounded",
            discard: true
          })
        )
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
        : Effect.map(session.eval(command, language), ({ exitCode: _, ...answer }) => answer)
    case "state":
      return Effect.map(session.state, (state) => ({ success: true, state }))
    case "reset":
      return Effect.map(session.reset, (answer) =>
        answer.success ? { success: true, stdout: answer.stdout } : refused(answer.error ?? "")
      )
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

interface Services {
  readonly exec: ExecShape
  readonly history: HistoryShape
}

const makeSession = Effect.fnUntraced(function* (
  { exec, history }: Services,
  workspaceId: string,
  options: RuntimeOptions,
  forget: Effect.Effect<void>
) {
  const idleMillis = options.idleTimeoutMillis ?? IDLE_TIMEOUT_MILLIS
  const historySize = options.historySize ?? HISTORY_SIZE
  const shells = new Map<Language, SessionId>()
  const starting = yield* Semaphore.make(1)
  let isLookedFor = false
  let isTerminated = false
  /** Calls that are not answered yet. */
  let calls = 0
  let lastActivity = yield* Clock.currentTimeMillis

  /** Those that a program before this one left: the newest of each name, if it can take commands. */
  const lookForShells = Effect.gen(function* () {
    if (isLookedFor) return
    const sessions = yield* history.list
    for (const language of LANGUAGES) {
      const newest = sessions.find(({ name }) => name === nameOf(workspaceId, language))
      if (newest?.kind === "exec" && (newest.status === "running" || newest.status === "lost")) {
        shells.set(language, newest.id)
      }
    }
    isLookedFor = true
  })
  const knownShells: Effect.Effect<
    ReadonlyArray<readonly [Language, SessionId]>,
    SessionUnavailable
  > = starting.withPermit(Effect.map(lookForShells, () => [...shells]))

  const shell = (language: Language) =>
    starting.withPermit(
      Effect.gen(function* () {
        yield* lookForShells
        const known = shells.get(language)
        if (known !== undefined) return known
        const { cwd, env } = options
        const { id } = yield* exec.start({ language, cwd, env, name: nameOf(workspaceId, language), actor: "runtime" })
        shells.set(language, id)
        return id
      })
    )

  /** Once; whoever asks again waits until its shells have ended. */
  const terminate = yield* Effect.cached(
    Effect.suspend(() => {
      isTerminated = true
      // A shell that is being started is known, and ends too.
      return Effect.orElseSucceed(knownShells, () => [...shells])
    }).pipe(
      Effect.flatMap((all) =>
        Effect.forEach(all, ([, id]) => Effect.ignore(exec.end(id)), { concurrency: "unbounded", discard: true })
      ),
      Effect.andThen(forget),
      Effect.uninterruptible
    )
  )

  const runIn = (language: Language, code: string, timeoutMillis: number) =>
    Effect.flatMap(shell(language), (id) =>
      exec.exec(id, { code, timeoutMillis, actor: "runtime" }).pipe(
        // Somebody else ended it: the command was not run.
        Effect.tapError((error) =>
          Effect.sync(() => {
            if (error._tag === "SessionEnded" && shells.get(language) === id) shells.delete(language)
          })
        )
      )
    )

  const run = (command: string, language: string, timeoutMillis: number) =>
    Effect.suspend(() => {
      calls++
      return Effect.gen(function* () {
        if (isTerminated) return { answer: failure(TERMINATED) }
        if (!isLanguage(language)) return { answer: failure(`Unsupported runtime type: ${language}`) }
        const result = yield* runIn(language, command, timeoutMillis).pipe(
          Effect.retry({ times: 1, while: (error) => error._tag === "SessionEnded" && !isTerminated })
        )
        return { answer: resultOf(result, timeoutMillis), value: result.value }
      }).pipe(
        Effect.catch((error) => Effect.succeed({ answer: failure(isTerminated ? TERMINATED : error.message) })),
        Effect.ensuring(
          Effect.map(Clock.currentTimeMillis, (now) => {
            calls--
            lastActivity = now
          })
        )
      ) as Effect.Effect<{ readonly answer: RuntimeResult; readonly value?: string | null }>
    })

  /** Also a command whose caller has gone. */
  const isRunning = Effect.suspend(() =>
    Effect.map(
      Effect.forEach([...shells.values()], (id) => Effect.orElseSucceed(exec.state(id), () => undefined)),
      (states) => states.some((state) => (state?.running ?? null) !== null)
    )
  )
  const check = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (isTerminated || calls > 0 || now - lastActivity < idleMillis) return
    if (yield* isRunning) lastActivity = now
    else if (calls === 0) yield* terminate
  })
  yield* check.pipe(
    Effect.repeat({
      schedule: Schedule.spaced(Math.max(1, Math.floor(idleMillis / IDLE_CHECK_PART))),
      while: () => !isTerminated
    }),
    Effect.forkScoped
  )

  const commands = Effect.gen(function* () {
    const limit = Math.max(1, historySize)
    const ofEach = yield* Effect.forEach(yield* knownShells, ([language, id]) =>
      Effect.map(
        Effect.orElseSucceed(exec.history(id, { limit }), () => []),
        (records) => records.map((record) => ({ language, record }))
      )
    )
    return ofEach
      .flat()
      .filter(({ record }) => record.durationMillis !== null)
      .sort((one, other) => one.record.startedAt - other.record.startedAt)
      .slice(-limit)
      .map(
        ({ language, record }): HistoryEntry => ({
          timestamp: Math.floor(record.startedAt / 1000),
          command: record.code,
          language,
          duration: Math.round(record.durationMillis ?? 0)
        })
      )
  }).pipe(Effect.orElseSucceed((): ReadonlyArray<HistoryEntry> => []))

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
      const states = (yield* Effect.forEach(yield* Effect.orElseSucceed(knownShells, () => [...shells]), ([, id]) =>
        Effect.orElseSucceed(exec.state(id), () => undefined)
      )).filter((state) => state !== undefined)
      const first = states.find(({ language }) => language === "bash" || language === "zsh") ?? states[0]
      return {
        env_vars: Object.assign({}, ...states.map(({ env }) => env).reverse()),
        functions: states.flatMap(({ functions }) => functions),
        imports: states.flatMap(({ imports }) => imports),
        working_dir: first?.workingDirectory ?? options.cwd ?? process.cwd(),
        history: (yield* commands).slice(-STATE_HISTORY)
      }
    }),
    reset: Effect.gen(function* () {
      if (isTerminated) return failure(TERMINATED)
      yield* Effect.forEach(
        yield* knownShells,
        ([language, id]) =>
          Effect.catchTag(exec.reset(id), "SessionEnded", () => Effect.sync(() => shells.delete(language))),
        { concurrency: "unbounded", discard: true }
      )
      return { success: true, stdout: "Session reset successfully", stderr: "" }
    }).pipe(Effect.catch((error) => Effect.succeed(failure(error.message)))),
    history: (limit = HISTORY_LIMIT_DEFAULT) =>
      Effect.map(commands, (entries) => entries.slice(-Math.max(1, Math.floor(limit)))),
    terminate,
    isAlive: Effect.sync(() => !isTerminated)
  }
  return session
})

const isLanguage = (language: string): language is Language => (LANGUAGES as ReadonlyArray<string>).includes(language)

/** By which a shell is found again. A workspace whose id cannot be part of a name has a hash of it there. */
const nameOf = (workspaceId: string, language: Language): string =>
  `runtime ${language} ${PLAIN_ID.test(workspaceId) ? workspaceId : createHash("sha256").update(workspaceId).digest("hex")}`
/** Not itself like a hash. */
const PLAIN_ID = /^(?![0-9a-f]{64}$)[\x21-\x7e]{1,100}$/

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
