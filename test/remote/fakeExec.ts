/**
 * An `Exec` that answers from memory and runs each command in a bash of its own: enough of a persistent shell (working
 * directory, separate streams, exit code, cursors) for tests of what lies between a user and the engine. A command that
 * begins with `#asks` gets what is sent to it on its standard input, and needs input until then.
 */
import { type ChildProcess, spawn } from "node:child_process"
import type { Readable } from "node:stream"
import { Effect, type Scope } from "effect"
import { SessionId } from "../../journal/Event.ts"
import {
  type CommandRecord,
  type ExecRequest,
  type ExecResult,
  type ExecShape,
  type ExecStatus,
  MESSAGE_OUTPUT_BYTES_MAX,
  type RestoreReport,
  type Truncation
} from "../../src/exec/Exec.ts"
import { ExecFinished, ExecNotFound, ExecRejected, SessionBusy } from "../../src/exec/ExecError.ts"
import type { HistoryShape } from "../../src/session/History.ts"
import { InvalidRequest, SessionEnded, SessionNotFound, SpawnFailed } from "../../src/session/SessionError.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { view as terminalView } from "./fakeEngine.ts"

type Channel = "stdout" | "stderr" | "tty"

interface Command {
  readonly number: number
  readonly id: string
  readonly request: ExecRequest
  readonly chunks: Array<{ readonly cursor: number; readonly channel: Channel; readonly data: Buffer }>
  readonly cwdBefore: string
  readonly startedAt: number
  readonly ended: Promise<void>
  status: ExecStatus
  exitCode: number | null
  signal: string | null
  cwd: string
  durationMillis: number
  child: ChildProcess | undefined
}

interface Session {
  view: SessionView
  readonly env: Record<string, string>
  readonly startCwd: string
  cwd: string
  commands: Array<Command>
  /** Commands run one after the other. */
  last: Promise<void>
}

export interface FakeExec {
  readonly exec: ExecShape
  readonly history: Partial<HistoryShape>
  /** Every call, in order: the method and its arguments. */
  readonly calls: Array<{ readonly method: string; readonly args: ReadonlyArray<unknown> }>
}

const SCRIPT = `trap 'pwd >&3' EXIT
eval "$1"`

const isOver = (command: Command) => !["queued", "running", "needs_input"].includes(command.status)

export const makeFakeExec: Effect.Effect<FakeExec, never, Scope.Scope> = Effect.gen(function* () {
  const sessions = new Map<string, Session>()
  const calls: FakeExec["calls"] = []
  let cursor = 0
  let made = 0

  const find = (id: string) =>
    Effect.suspend(() => {
      const session = sessions.get(id)
      return session === undefined
        ? Effect.fail(new SessionNotFound({ session: id, candidates: [] }))
        : Effect.succeed(session)
    })
  const findLive = (id: string) =>
    Effect.flatMap(find(id), (session) =>
      session.view.status === "running"
        ? Effect.succeed(session)
        : Effect.fail(new SessionEnded({ session: id, status: session.view.status }))
    )
  const findCommand = (session: Session, execId: string) => {
    const command = session.commands.find((each) => each.id === execId)
    return command === undefined
      ? Effect.fail(new ExecNotFound({ session: session.view.id, execId }))
      : Effect.succeed(command)
  }
  const findRunning = (session: Session, execId: string | undefined) =>
    Effect.gen(function* () {
      const command =
        execId === undefined ? session.commands.find((each) => !isOver(each)) : yield* findCommand(session, execId)
      if (command === undefined || isOver(command)) {
        return yield* new ExecFinished({
          session: session.view.id,
          execId: command?.id ?? "",
          status: command?.status ?? "completed",
          exitCode: command?.exitCode ?? null
        })
      }
      return command
    })

  const bytesOf = (command: Command, channel: Channel, after = 0) =>
    Buffer.concat(
      command.chunks.filter((chunk) => chunk.channel === channel && chunk.cursor > after).map(({ data }) => data)
    )

  const resultOf = (
    session: Session,
    command: Command,
    options: { readonly after?: number | undefined; readonly maxOutputBytes?: number | undefined }
  ): ExecResult => {
    const max = options.maxOutputBytes ?? MESSAGE_OUTPUT_BYTES_MAX
    const channel = (name: Channel) => {
      const total = bytesOf(command, name)
      const asked = bytesOf(command, name, options.after)
      return truncate(asked, total.byteLength - asked.byteLength, max)
    }
    const [stdout, stderr, tty] = [channel("stdout"), channel("stderr"), channel("tty")]
    return {
      session: session.view.id,
      execId: command.id,
      exec: command.number,
      status: command.status,
      exitCode: command.exitCode,
      signal: command.signal,
      stdout: stdout.bytes,
      stderr: stderr.bytes,
      tty: tty.bytes,
      value: command.request.code.startsWith("#value ") ? command.request.code.slice(7) : null,
      needsInput: command.status === "needs_input" ? { kind: "text", prompt: "name? ", confidence: "kernel" } : null,
      cwd: command.cwd,
      truncated: { stdout: stdout.truncation, stderr: stderr.truncation, tty: tty.truncation },
      cursor,
      startedAt: command.startedAt,
      durationMillis: isOver(command) ? command.durationMillis : Date.now() - command.startedAt / 1000
    }
  }

  const launch = (session: Session, command: Command): Promise<void> =>
    new Promise((resolve) => {
      const { request } = command
      command.status = request.code.startsWith("#asks") ? "needs_input" : "running"
      const child = spawn("bash", ["--norc", "-c", SCRIPT, "bash", request.code], {
        cwd: request.cwd ?? session.cwd,
        env: { ...session.env, ...request.env, ...request.secretEnv },
        stdio: ["pipe", "pipe", "pipe", "pipe"],
        detached: true
      })
      command.child = child
      const take = (channel: Channel) => (data: Buffer) => {
        cursor += 1
        command.chunks.push({ cursor, channel: request.tty ? "tty" : channel, data })
      }
      let where = ""
      child.stdout!.on("data", take("stdout"))
      child.stderr!.on("data", take("stderr"))
      ;(child.stdio[3] as Readable).on("data", (data: Buffer) => {
        where += data.toString()
      })
      child.stdin!.on("error", () => {})
      if (request.stdin?._tag === "Bytes") child.stdin!.end(request.stdin.data)
      else if (request.stdin?._tag !== "Stream" && command.status === "running") child.stdin!.end()
      const timer =
        request.timeoutMillis === undefined
          ? undefined
          : setTimeout(() => {
              command.status = "timeout"
              process.kill(-child.pid!, "SIGKILL")
            }, request.timeoutMillis)
      child.on("close", (code, signal) => {
        clearTimeout(timer)
        command.durationMillis = Date.now() - command.startedAt / 1000
        cursor += 1
        if (where !== "" && request.cwd === undefined) session.cwd = where.trimEnd()
        command.cwd = session.cwd
        if (command.status === "timeout") command.exitCode = null
        else if (command.status === "interrupted") command.exitCode = 130
        else if (signal !== null) {
          command.status = "died"
          command.signal = signal
        } else {
          command.status = "completed"
          command.exitCode = code
        }
        resolve()
      })
    })

  const recordOf = (command: Command): CommandRecord => ({
    exec: command.number,
    execId: command.id,
    code: command.request.code,
    status: command.status,
    exitCode: command.exitCode,
    signal: command.signal,
    cwdBefore: command.cwdBefore,
    cwdAfter: isOver(command) ? command.cwd : null,
    startedAt: command.startedAt,
    durationMillis: isOver(command) ? command.durationMillis : null,
    stdoutBytes: bytesOf(command, "stdout").byteLength,
    stderrBytes: bytesOf(command, "stderr").byteLength,
    ttyFrom: 0,
    ttyTo: null,
    firstSequence: 1,
    lastSequence: 2
  })

  const end = (session: Session) => {
    for (const command of session.commands) {
      if (command.child !== undefined && !isOver(command)) command.child.kill("SIGKILL")
    }
    session.view = { ...session.view, status: "exited", exitCode: 0, terminalOpen: false }
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => [...sessions.values()].forEach(end)))

  const report = (reason: RestoreReport["reason"], cwd: string): RestoreReport => ({
    reason,
    restored: { cwd, env: ["A"], functions: [], aliases: [], imports: [] },
    missing: ["function f"]
  })

  const exec: ExecShape = {
    start: (request) =>
      Effect.suspend(() => {
        calls.push({ method: "start", args: [request] })
        if (request.shell === "no-such-shell") {
          return Effect.fail(new SpawnFailed({ failure: "program-missing", reason: "no program no-such-shell" }))
        }
        made += 1
        const id = request.id ?? SessionId.make(`01ARZ3NDEKTSV4RRFFQ69G5F${String(made).padStart(2, "0")}`)
        const cwd = request.cwd ?? "/"
        const view: SessionView = {
          ...terminalView,
          id,
          kind: "exec",
          name: request.name ?? null,
          argv: [request.shell ?? request.language ?? "bash"],
          cwd,
          createdAt: terminalView.createdAt + made
        }
        sessions.set(id, {
          view,
          env: { ...request.env, ...request.secretEnv },
          startCwd: cwd,
          cwd,
          commands: [],
          last: Promise.resolve()
        })
        return Effect.succeed(view)
      }),
    exec: (id, request) =>
      Effect.gen(function* () {
        calls.push({ method: "exec", args: [id, request] })
        const session = yield* findLive(id)
        const execId = request.execId ?? crypto.randomUUID()
        if (request.code.length > 1_000_000) return yield* new InvalidRequest({ field: "code", reason: "too long" })
        let command = session.commands.find((each) => each.id === execId)
        if (command !== undefined && command.request.code !== request.code) {
          return yield* new ExecRejected({ execId, reason: "was used for other code" })
        }
        if (command === undefined) {
          const running = session.commands.find((each) => !isOver(each))
          if (running !== undefined && request.onBusy === "reject") {
            return yield* new SessionBusy({ session: id, runningExecId: running.id, queued: 0 })
          }
          const before = session.last
          const { promise, resolve } = Promise.withResolvers<void>()
          const added: Command = {
            number: session.commands.length + 1,
            id: execId,
            request,
            chunks: [],
            cwdBefore: session.cwd,
            startedAt: Date.now() * 1000,
            ended: promise,
            status: "queued",
            exitCode: null,
            signal: null,
            cwd: session.cwd,
            durationMillis: 0,
            child: undefined
          }
          command = added
          session.commands.push(added)
          session.last = before.then(() => launch(session, added)).then(resolve)
        }
        yield* waitFor(command, request.yieldMillis)
        return resultOf(session, command, { maxOutputBytes: request.maxOutputBytes })
      }),
    poll: (id, execId, options) =>
      Effect.gen(function* () {
        calls.push({ method: "poll", args: [id, execId, options] })
        const session = yield* find(id)
        const command = yield* findCommand(session, execId)
        yield* waitFor(command, options?.yieldMillis ?? 0)
        return resultOf(session, command, options ?? {})
      }),
    output: (id, execId, { channel, from, to }) =>
      Effect.gen(function* () {
        const session = yield* find(id)
        const command = yield* findCommand(session, execId)
        return bytesOf(command, channel).subarray(from, Math.min(to, from + MESSAGE_OUTPUT_BYTES_MAX))
      }),
    send: (id, execId, input, options) =>
      Effect.gen(function* () {
        calls.push({ method: "send", args: [id, execId, input, options] })
        const session = yield* findLive(id)
        const { child, ...command } = yield* findRunning(session, execId)
        if ("bytes" in input) child?.stdin?.write(input.bytes)
        if ("text" in input) child?.stdin?.write(input.text.replaceAll("\r", "\n"))
        if ("eof" in input) child?.stdin?.end()
        if ("keys" in input && input.keys.includes("Enter")) child?.stdin?.write("\n")
        const asking = session.commands.find((each) => each.id === command.id)
        if (asking?.status === "needs_input") asking.status = "running"
      }),
    interrupt: (id, execId) =>
      Effect.gen(function* () {
        calls.push({ method: "interrupt", args: [id, execId] })
        const command = yield* findRunning(yield* findLive(id), execId)
        command.status = "interrupted"
        process.kill(-command.child!.pid!, "SIGKILL")
      }),
    kill: (id, execId, signal = "SIGKILL") =>
      Effect.gen(function* () {
        calls.push({ method: "kill", args: [id, execId, signal] })
        const command = yield* findRunning(yield* findLive(id), execId)
        process.kill(-command.child!.pid!, signal.startsWith("SIG") ? signal : `SIG${signal}`)
      }),
    reset: (id) =>
      Effect.map(findLive(id), (session) => {
        session.cwd = session.startCwd
        return report("reset", session.cwd)
      }),
    restore: (id) =>
      Effect.map(find(id), (session) => (session.view.status === "lost" ? report("lost", session.cwd) : null)),
    state: (id) =>
      Effect.map(find(id), (session) => ({
        session: id,
        language: "bash" as const,
        workingDirectory: session.cwd,
        env: { A: "1" },
        functions: ["f"],
        aliases: { ll: "ls -l" },
        imports: [],
        commands: session.commands.slice(-20).map(recordOf),
        running: session.commands.find((each) => !isOver(each))?.id ?? null
      })),
    history: (id, options) =>
      Effect.map(find(id), (session) => session.commands.slice(-(options?.limit ?? 50)).map(recordOf)),
    end: (id) =>
      Effect.map(find(id), (session) => {
        calls.push({ method: "end", args: [id] })
        if (session.view.status === "running") end(session)
        return { survivors: [] }
      })
  }

  const views = () => [...sessions.values()].map(({ view }) => view).sort((a, b) => b.createdAt - a.createdAt)
  const history: Partial<HistoryShape> = {
    list: Effect.sync(views),
    resolve: (reference) =>
      Effect.suspend(() => {
        const found = views().find(
          (view) => reference === "last" || view.id.startsWith(reference) || view.name === reference
        )
        return found === undefined
          ? Effect.fail(new SessionNotFound({ session: reference, candidates: [] }))
          : Effect.succeed(found.id)
      }),
    get: (id) => Effect.map(find(id), ({ view }) => view)
  }
  return { exec, history, calls }
})

const waitFor = (command: Command, millis: number | undefined): Effect.Effect<void> =>
  millis === undefined
    ? Effect.promise(() => command.ended)
    : Effect.asVoid(
        Effect.timeoutOption(
          Effect.promise(() => command.ended),
          millis
        )
      )

/** Head and tail of at most `max` bytes together, cut between characters. `offset`: of the first byte in its stream. */
const truncate = (
  bytes: Buffer,
  offset: number,
  max: number
): { readonly bytes: Buffer; readonly truncation: Truncation | null } => {
  if (bytes.byteLength <= max) return { bytes, truncation: null }
  let head = Math.ceil(max / 2)
  let tail = bytes.byteLength - Math.floor(max / 2)
  while (head > 0 && (bytes[head]! & 0xc0) === 0x80) head -= 1
  while (tail < bytes.byteLength && (bytes[tail]! & 0xc0) === 0x80) tail += 1
  return {
    bytes: Buffer.concat([bytes.subarray(0, head), bytes.subarray(tail)]),
    truncation: {
      totalBytes: offset + bytes.byteLength,
      headBytes: head,
      tailBytes: bytes.byteLength - tail,
      omittedBytes: tail - head,
      omittedFrom: offset + head,
      omittedTo: offset + tail
    }
  }
}
