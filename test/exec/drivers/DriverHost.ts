/**
 * A small host for drivers under test: a terminal, the pipes of `Driver.ts`, commands, their outcome and their output. It
 * keeps no journal and knows no engine, so that a driver's fault shows as itself. Linux only where it asks the kernel.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  constants as files,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import koffi from "koffi"
import type { SessionId } from "../../../journal/Event.ts"
import type { Driver, ShellState } from "../../../src/exec/Driver.ts"
import { GuardedPty } from "../../../src/keeper/GuardedPty.ts"
import type { LeaderExit } from "../../../src/keeper/PtyHost.ts"
import type { Observed, StepOptions } from "../cases.ts"

/**
 * After the end frame: how often output is looked for whose writer a child still is. No time: that may be over before this
 * process came to read what is there.
 */
const DRAIN_LOOKS = 60
/** The end of a shell that was killed, and a mark that has been printed: no promise is tested by it. */
const LATE_MILLIS = 20_000
const mkfifoNative = koffi.load(null).func("int mkfifo(const char *path, unsigned int mode)")

export const mkfifo = (path: string): void => {
  if (mkfifoNative(path, 0o600) !== 0) throw new Error(`no FIFO at ${path}`)
}

export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Waits until `done`, at most `millis`; says whether it is. */
export const until = async (done: () => boolean, millis: number): Promise<boolean> => {
  const deadline = performance.now() + millis
  while (!done()) {
    if (performance.now() > deadline) return false
    await sleep(2)
  }
  return true
}

/** The reading end of a FIFO; the host's own writing end keeps it from ending before the command opened it. */
class Output {
  readonly chunks: Array<Buffer> = []
  ended = false
  readonly #socket: Socket
  #writer: number

  constructor(path: string) {
    mkfifo(path)
    const reader = openSync(path, files.O_RDONLY | files.O_NONBLOCK)
    this.#writer = openSync(path, files.O_WRONLY | files.O_NONBLOCK)
    this.#socket = new Socket({ fd: reader, readable: true, writable: false })
    this.#socket.on("data", (chunk) => this.chunks.push(chunk as Buffer))
    this.#socket.on("close", () => {
      this.ended = true
    })
  }

  release(): void {
    if (this.#writer >= 0) closeSync(this.#writer)
    this.#writer = -1
  }

  close(): void {
    this.release()
    this.#socket.destroy()
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

export interface EndFrame {
  readonly exitCode: number
  readonly status: string
  readonly cwd: string
  readonly value: string | null
}

export interface Running {
  readonly exec: number
  readonly mark: string
  readonly stdout: Output | undefined
  readonly stderr: Output | undefined
  readonly ttyFrom: number
  readonly startedAt: number
  timedOut: boolean
  end: EndFrame | undefined
  outcome: Observed | undefined
}

/** Processes that descend from `pid`, children after their parents. */
export const descendants = (pid: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number)
      for (const child of children) found.push(child, ...descendants(child))
    }
  } catch {
    // It is gone.
  }
  return found
}

const kill = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // It is gone.
  }
}

export interface HostOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Nothing of this process's environment. */
  readonly bare?: boolean
  readonly shell?: string
}

export class DriverHost {
  readonly driver: Driver
  readonly folder: string
  /** The session's start directory. */
  readonly cwd0: string
  readonly frames: Array<ReadonlyArray<string>> = []
  readonly running = new Map<number, Running>()
  state: ShellState | undefined
  stateDump = ""
  #pty: GuardedPty | undefined
  #exit: LeaderExit | undefined
  #tty: Array<Uint8Array> = []
  #ttyBytes = 0
  #commandPipe = -1
  #control: Socket | undefined
  #pending: Buffer = Buffer.alloc(0)
  #fields: Array<string> | undefined
  #missing = 0
  #exec = 0
  #generation = 0
  readonly #options: HostOptions

  private constructor(driver: Driver, options: HostOptions) {
    this.driver = driver
    this.#options = options
    this.folder = mkdtempSync(join(realpathSync(tmpdir()), "reprise-driver-"))
    this.cwd0 = mkdtempSync(join(realpathSync(tmpdir()), "reprise-cwd-"))
  }

  static async start(driver: Driver, options: HostOptions = {}): Promise<DriverHost> {
    const host = new DriverHost(driver, options)
    const program = new URL(`../../../src/exec/${driver.program}`, import.meta.url)
    copyFileSync(program, join(host.folder, "driver"))
    await host.#spawn()
    return host
  }

  get pid(): number {
    return this.#pty!.pid
  }

  get exited(): boolean {
    return this.#exit !== undefined
  }

  get tty(): Buffer {
    return Buffer.concat(this.#tty)
  }

  async #spawn(): Promise<void> {
    this.#generation += 1
    // Pipes of its own for each shell, so that no leftover of the last one reads a line meant for this one.
    for (const name of ["command", "control"]) rmSync(join(this.folder, name), { force: true })
    if (this.#commandPipe >= 0) closeSync(this.#commandPipe)
    this.#control?.destroy()
    mkfifo(join(this.folder, "command"))
    mkfifo(join(this.folder, "control"))
    this.#commandPipe = openSync(join(this.folder, "command"), files.O_RDWR)
    const control = openSync(join(this.folder, "control"), files.O_RDWR | files.O_NONBLOCK)
    this.#control = new Socket({ fd: control, readable: true, writable: false })
    this.#control.on("data", (chunk) => this.#receive(chunk as Buffer))
    this.#pending = Buffer.alloc(0)
    this.#fields = undefined
    this.#exit = undefined
    const { bare = false, env = {}, shell = this.driver.defaultShell } = this.#options
    const inherited = bare ? {} : { ...process.env, ENV: "" }
    const readyBefore = this.frames.filter(([tag]) => tag === "ready").length
    this.#pty = new GuardedPty(
      {
        session: "00000000000000000000000000" as SessionId,
        argv: this.driver.argv(shell, this.folder),
        cwd: this.cwd0,
        env: {
          ...(inherited as Record<string, string>),
          PAGER: "cat",
          GIT_PAGER: "cat",
          EDITOR: "true",
          VISUAL: "true",
          GIT_EDITOR: "true",
          ...env,
          ...this.driver.env(this.folder)
        },
        size: { cols: 120, rows: 40 },
        term: "dumb"
      },
      {
        output: (bytes) => {
          this.#tty.push(bytes)
          this.#ttyBytes += bytes.length
        },
        leaderExited: (exit) => {
          this.#exit = exit
        },
        closed: () => {}
      }
    )
    const greeting = this.driver.greeting(this.folder)
    if (greeting !== "") writeSync(this.#commandPipe, greeting)
    const isReady = await until(
      () => this.exited || this.frames.filter(([tag]) => tag === "ready").length > readyBefore,
      LATE_MILLIS
    )
    if (!isReady || this.exited) throw new Error(`the shell did not get ready: ${this.tty}`)
  }

  #receive(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    for (;;) {
      const nul = this.#pending.indexOf(0)
      if (nul < 0) return
      const field = this.#pending.subarray(0, nul).toString("utf8")
      this.#pending = this.#pending.subarray(nul + 1)
      if (this.#fields === undefined) {
        const [tag, count] = field.split(":")
        if (!/^(ready|state|end)$/.test(tag!) || !/^\d+$/.test(count ?? "")) throw new Error(`no frame: ${field}`)
        this.#fields = [tag!]
        this.#missing = Number(count)
      } else {
        this.#fields.push(field)
        this.#missing -= 1
      }
      if (this.#missing === 0) {
        this.#frame(this.#fields)
        this.#fields = undefined
      }
    }
  }

  #frame(fields: ReadonlyArray<string>): void {
    this.frames.push(fields)
    if (fields[0] === "state") {
      this.stateDump = fields[1]!
      this.state = this.driver.parseState(fields[1]!)
    } else if (fields[0] === "end") {
      const [, exec, exitCode, status, cwd, hasValue, value] = fields
      const running = this.running.get(Number(exec))
      if (running === undefined) throw new Error(`end of an unknown command: ${JSON.stringify(fields)}`)
      running.end = { exitCode: Number(exitCode), status: status!, cwd: cwd!, value: hasValue === "1" ? value! : null }
    }
  }

  start(code: string | Uint8Array, options: StepOptions = {}): Running {
    this.#exec += 1
    return this.#start(this.#exec, code, options)
  }

  #start(exec: number, code: string | Uint8Array, { cwd, env = {}, stdin, tty = false }: StepOptions): Running {
    const base = join(this.folder, `${this.#generation}-${exec}`)
    writeFileSync(`${base}.src`, code)
    const stdout = tty ? undefined : new Output(`${base}.out`)
    const stderr = tty ? undefined : new Output(`${base}.err`)
    let input = "/dev/null"
    if (tty || stdin === "tty") input = "/dev/tty"
    else if (stdin !== undefined) {
      input = `${base}.in`
      writeFileSync(input, stdin)
    }
    const mark = tty ? `m${exec}${Math.random().toString(36).slice(2)}` : ""
    const running: Running = {
      exec,
      mark,
      stdout,
      stderr,
      ttyFrom: this.#ttyBytes,
      startedAt: performance.now(),
      timedOut: false,
      end: undefined,
      outcome: undefined
    }
    this.running.set(exec, running)
    const line = this.driver.line({
      exec,
      source: `${base}.src`,
      stdin: input,
      stdout: tty ? "/dev/tty" : `${base}.out`,
      stderr: tty ? "/dev/tty" : `${base}.err`,
      mark,
      cwd,
      env
    })
    writeSync(this.#commandPipe, line)
    return running
  }

  /** Ended or dead; everything that was printed was read. undefined: still running after `millis`. */
  async wait(running: Running, millis = 20_000): Promise<Observed | undefined> {
    if (running.outcome !== undefined) return running.outcome
    if (!(await until(() => running.end !== undefined || this.exited, millis))) return undefined
    const end = running.end
    const millisTaken = performance.now() - running.startedAt
    for (const output of [running.stdout, running.stderr]) output?.release()
    if (running.mark !== "" && end !== undefined) {
      await until(() => this.tty.includes(`\x1b]633;D;${running.mark}\x07`), LATE_MILLIS)
    }
    const isDrained = () => [running.stdout, running.stderr].every((output) => output?.ended ?? true)
    for (let look = 0; look < DRAIN_LOOKS && !isDrained(); look++) await sleep(2)
    const died = this.#exit
    running.outcome = {
      ...this.#shown(running),
      millis: millisTaken,
      exitCode: end?.exitCode ?? died?.exitCode ?? (died?.signal ? 128 + signalNumber(died.signal) : null),
      status: running.timedOut ? "timeout" : (end?.status ?? "died"),
      value: end?.value ?? null,
      cwd: end?.cwd ?? null
    }
    if (this.exited) await this.restart()
    return running.outcome
  }

  /** A new shell, with what the last one said of its state. */
  async restart(): Promise<EndFrame | undefined> {
    const { state } = this
    kill(this.pid, "SIGKILL")
    await until(() => this.exited, LATE_MILLIS)
    await this.#spawn()
    if (state === undefined) return undefined
    const restoring = this.#start(0, this.driver.restore(state), {})
    await this.wait(restoring)
    return restoring.end
  }

  /** A command and its outcome; after `timeoutMs` it is interrupted, then ended, then the shell is killed. */
  async exec(code: string | Uint8Array, options: StepOptions = {}): Promise<Observed> {
    const running = this.start(code, options)
    const outcome = await this.wait(running, options.timeoutMs ?? 20_000)
    if (outcome !== undefined) return outcome
    running.timedOut = true
    this.interrupt()
    if ((await this.wait(running, 500)) === undefined) {
      for (const pid of descendants(this.pid)) kill(pid, "SIGKILL")
      if ((await this.wait(running, 500)) === undefined) kill(this.pid, "SIGKILL")
    }
    return (await this.wait(running, 5000))!
  }

  #shown(running: Running): Observed {
    const tty = this.tty.subarray(running.ttyFrom).toString("latin1")
    const text = tty.replace(/\x1b\]633;D;[^\x07]*\x07/g, "")
    return {
      stdout: running.stdout?.bytes ?? new Uint8Array(),
      stderr: running.stderr?.bytes ?? new Uint8Array(),
      tty: Buffer.from(text, "latin1")
    }
  }

  /** As the command is now. */
  async poll(running: Running): Promise<Observed> {
    if (running.outcome !== undefined) return running.outcome
    const status = running.end?.status ?? "running"
    return { ...this.#shown(running), status, needsInput: await this.inputWait() }
  }

  /** What came after the end: the command's, but not in its outcome. */
  late(exec: number): Observed {
    const running = this.running.get(exec)!
    const { stderr, stdout } = running.outcome!
    return {
      stdout: running.stdout?.bytes.subarray(stdout!.length) ?? new Uint8Array(),
      stderr: running.stderr?.bytes.subarray(stderr!.length) ?? new Uint8Array()
    }
  }

  send(bytes: string | Uint8Array): void {
    this.#pty!.write(Buffer.from(bytes as string))
  }

  interrupt(): void {
    this.send("\x03")
  }

  async kill(): Promise<void> {
    this.interrupt()
    await sleep(100)
    for (const pid of descendants(this.pid)) kill(pid, "SIGKILL")
  }

  resize(cols: number, rows: number): void {
    this.#pty!.resize(cols, rows)
  }

  async inputWait(): Promise<string | null> {
    const mode = await this.#pty!.mode()
    for (const pid of [this.pid, ...descendants(this.pid)]) {
      try {
        const [number, fd] = readFileSync(`/proc/${pid}/syscall`, "utf8").split(" ")
        if (number === "0" && /^\/dev\/(pts\/|tty)/.test(readlinkSync(`/proc/${pid}/fd/${Number(fd)}`))) {
          if (!mode.canonical) return "raw"
          return mode.echo ? "text" : "secret"
        }
        if (["270", "271", "7", "23", "232", "281"].includes(number!) && pid !== this.pid && !mode.canonical)
          return "raw"
      } catch {
        // It is gone.
      }
    }
    return null
  }

  /** The end of the command pipe, as when the host is gone while the terminal is not. */
  endCommands(): void {
    closeSync(this.#commandPipe)
    this.#commandPipe = -1
  }

  async close(): Promise<void> {
    const pids = [this.pid, ...descendants(this.pid)]
    for (const pid of pids) kill(pid, "SIGKILL")
    await until(() => this.exited, LATE_MILLIS)
    this.#pty!.destroy()
    for (const { stderr, stdout } of this.running.values()) for (const output of [stdout, stderr]) output?.close()
    this.#control?.destroy()
    if (this.#commandPipe >= 0) closeSync(this.#commandPipe)
    for (const folder of [this.folder, this.cwd0]) {
      if (existsSync(folder)) rmSync(folder, { recursive: true, force: true })
    }
  }
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15
}
const signalNumber = (name: string): number => SIGNALS[name] ?? 0
