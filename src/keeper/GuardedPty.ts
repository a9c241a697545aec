/**
 * One pseudo-terminal with its program: node-pty's fork, and our own reading, writing and ending around it. Used by
 * HeldTerminal. node-pty's `spawn` loses output in three ways (paused at exit, a grandchild's late output, a hang-up
 * taken for the end), closes 200 ms late and writes input to closed descriptors; its native `fork` does none of this.
 * This class loses no byte, says that the leader exited only after everything the leader wrote, and says `closed` after
 * the last byte. It keeps no output, and knows nothing of sessions, journals or sockets.
 */
import { closeSync, constants as fileConstants, fstatSync, openSync } from "node:fs"
import { constants } from "node:os"
import { ReadStream } from "node:tty"
import { fileURLToPath } from "node:url"
import * as nodePty from "node-pty"
import { InputWriter } from "./InputWriter.ts"
import { libc, READ_EMPTY, type Termios } from "./Libc.ts"
import { withoutOwnReaders } from "./OwnReader.ts"
import { PROMPT_TAIL_BYTES, passwordPromptIn } from "./PasswordPrompt.ts"
import { readProcess, SESSION_MARKER } from "./ProcessTable.ts"
import type { LeaderExit, ProcessIdentity, SpawnRequest, TerminalMode } from "./PtyHost.ts"
import { CANONICAL_LINE_BYTES_MAX, OUTPUT_CHUNK_BYTES_MAX, SpawnError } from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

export interface GuardedPtyListener {
  /** `bytes` is never written to again; chunks that follow each other may lie in one ArrayBuffer. */
  output(bytes: Uint8Array<ArrayBuffer>): void
  /** Everything that the leader wrote was delivered; others may still hold the terminal. */
  leaderExited(exit: LeaderExit): void
  /** After the last output and after leaderExited. */
  closed(): void
}

/** What node-pty's native module offers; its exact version is pinned because this is not its public API. */
interface NativePty {
  fork(
    file: string,
    args: ReadonlyArray<string>,
    env: ReadonlyArray<string>,
    cwd: string,
    cols: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helperPath: string,
    onExit: (exitCode: number, signal: number) => void
  ): { readonly fd: number; readonly pid: number; readonly pty: string }
  resize(fd: number, cols: number, rows: number, pixelWidth: number, pixelHeight: number): void
}

/** Two full deliveries: small outputs that follow each other share one, so that held output is few large pieces. */
const SLAB_BYTES = 2 * OUTPUT_CHUNK_BYTES_MAX
/** Less room than this in a slab is not worth a read of its own. */
const SLAB_ROOM_MIN = 8 * 1024
/** A pty read gives at most 4,095 bytes; the stream reads this much to tell us that there is some, we read the rest. */
const SCRATCH_BYTES = 4096
/**
 * The kernel holds less than this between a program and us (measured: up to 47 KB; its limit is 64 KB and one line).
 * Once this much was read after the exit, all of the leader's output was, even if a grandchild never stops writing.
 */
const KERNEL_BYTES_MAX = 128 * 1024
/** How long a password prompt may be on the screen before the echo is switched off. */
const PROMPT_WAIT_MILLIS_MAX = 50
const PROMPT_POLL_MILLIS = 2

const NO_SLAB = Buffer.alloc(0)
/** Shared by all terminals: libuv reads and calls back in one go, and the bytes are copied out before the next. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))

export class GuardedPty implements ProcessIdentity {
  readonly pid: number
  readonly startTime: string
  readonly #fd: number
  readonly #stream: ReadStream
  readonly #input: InputWriter
  readonly #listener: GuardedPtyListener
  /** Our own hold on the slave: while we have it the kernel reports no hang-up, so nothing can be taken for the end. */
  #slave: number
  #slab: Buffer<ArrayBuffer> = NO_SLAB
  #slabAt = 0
  #paused = false
  #leaderExit: LeaderExit | null = null
  #leaderExitTold = false
  #bytesSinceExit = 0
  #ended = false
  #closedTold = false
  readonly #tail = Buffer.alloc(PROMPT_TAIL_BYTES)
  #tailBytes = 0
  #outputBytes = 0
  /** Number of the terminal's device, as its programs see it; -1 when it could not be asked. */
  readonly device: number
  /** As they were before the program could change them. */
  readonly #startModes: Uint8Array | null
  /** A prompt at this offset was waited for and stayed as it was: not waited for again. */
  #promptWaitedAt = -1

  /** Throws SpawnError; `request` was checked by Preflight. The listener is called from the next tick on. */
  constructor(request: SpawnRequest, listener: GuardedPtyListener, programUmask?: number) {
    this.#listener = listener
    const terminal = fork(request, programUmask, (exitCode, signal) => this.#onExit(exitCode, signal))
    this.pid = terminal.pid
    this.startTime = readProcess(terminal.pid)?.startTime ?? ""
    this.#fd = terminal.fd
    this.#startModes = startModesOf(terminal.fd)
    this.#slave = holdSlave(terminal.pty)
    this.device = this.#slave < 0 ? -1 : fstatSync(this.#slave).rdev
    this.#stream = new ReadStream(terminal.fd, {
      onread: {
        buffer: scratch,
        callback: (bytes) => {
          this.#read(bytes)
          return !this.#paused
        }
      }
    })
    // EIO is how Linux says that nobody holds the slave any more: the end, not a failure. `close` follows each error.
    this.#stream.on("error", () => this.#finish())
    this.#stream.on("end", () => this.#read(0))
    this.#stream.on("close", () => this.#finish())
    this.#input = new InputWriter({ fd: terminal.fd, isOpen: () => this.#isOpen() })
    this.#stream.resume()
  }

  /** The kernel reported the leader's end; what it wrote may still be on its way. */
  get exited(): boolean {
    return this.#leaderExit !== null
  }

  /** The program stops at its next write once the kernel's buffer is full. */
  pause(): void {
    if (this.#paused) return
    this.#paused = true
    if (this.#isOpen()) this.#stream.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (!this.#isOpen()) return
    this.#stream.resume()
    // What came meanwhile is read here and not by the stream, which may learn of the end first.
    setImmediate(() => this.#read(0))
  }

  write(bytes: Uint8Array): Omit<WriteResult, "outcome"> & { outcome: "applied" | "full" | "closed" } {
    if (!this.#takesInput()) return { outcome: "closed" }
    const canonical = libc().termios(this.#fd)?.canonical ?? false
    if (!this.#input.write(bytes)) return { outcome: "full" }
    return this.#input.exceedsLine(bytes, canonical)
      ? { outcome: "applied", truncatedTo: CANONICAL_LINE_BYTES_MAX }
      : { outcome: "applied" }
  }

  closeInput(): "applied" | "closed" {
    if (!this.#takesInput()) return "closed"
    this.#input.end()
    return "applied"
  }

  /** Without effect once the terminal is closed. */
  resize(cols: number, rows: number): void {
    if (!this.#isOpen()) return
    try {
      native().resize(this.#fd, cols, rows, 0, 0)
    } catch {
      // The other side was closed between the check and the call.
    }
  }

  /** The kernel's flags alone, without a look at what was printed; null once the terminal is closed. */
  termios(): Termios | null {
    return this.#isOpen() ? libc().termios(this.#fd) : null
  }

  /** 0 when there is none. */
  foregroundGroup(): number {
    return this.#isOpen() ? libc().foregroundGroup(this.#fd) : 0
  }

  async mode(): Promise<TerminalMode> {
    // A prompt may lie in the kernel still.
    if (this.#isOpen()) this.#read(0)
    const deadline = performance.now() + PROMPT_WAIT_MILLIS_MAX
    for (;;) {
      const termios = this.#isOpen() ? libc().termios(this.#fd) : null
      const { echo, canonical } = termios ?? { echo: false, canonical: false }
      const answer = (secret: boolean): TerminalMode => ({
        echo,
        canonical,
        secret,
        foregroundGroup: this.foregroundGroup(),
        queuedBytes: this.#input.queuedBytes
      })
      if (termios === null) return answer(false)
      if (!echo && canonical) return answer(true)
      const prompt = passwordPromptIn(this.#tail.subarray(0, this.#tailBytes))
      if (prompt === null) return answer(false)
      // Line editors read raw too, and show a command line that may end in such a word: only a question counts.
      if (!echo) return answer(prompt.punctuated)
      if (this.#promptWaitedAt === this.#outputBytes || performance.now() >= deadline) {
        this.#promptWaitedAt = this.#outputBytes
        return answer(false)
      }
      await new Promise((resolve) => setTimeout(resolve, PROMPT_POLL_MILLIS))
    }
  }

  /** Puts back the modes it started with; without effect once the terminal is closed. */
  resetMode(): void {
    if (this.#isOpen() && this.#startModes !== null) libc().setTerminalModes(this.#fd, this.#startModes)
  }

  /** Whatever was delivered stays as it is; the next output takes new memory. */
  releaseMemory(): void {
    this.#slab = NO_SLAB
    this.#slabAt = 0
  }

  /** Hangs up: the terminal is closed whoever still holds it. Output that was not read is lost. */
  destroy(): void {
    this.#finish()
  }

  #isOpen(): boolean {
    return !this.#ended && !this.#stream.destroyed
  }

  #takesInput(): boolean {
    return this.#leaderExit === null && this.#isOpen()
  }

  /**
   * Delivers the `scratchBytes` that the stream read and then, without going back to the event loop for each 4 KB, what
   * else is there, up to one full delivery. Then whatever the state of the terminal has become is acted on.
   */
  #read(scratchBytes: number): void {
    let state: "more" | "empty" | "ended" | "paused" = "paused"
    if (scratchBytes > 0 || !this.#paused) {
      if (!this.#isOpen()) return
      if (this.#slab.length - this.#slabAt < SLAB_ROOM_MIN) {
        this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
        this.#slabAt = 0
      }
      const start = this.#slabAt
      const end = Math.min(start + OUTPUT_CHUNK_BYTES_MAX, SLAB_BYTES)
      let at = start
      if (scratchBytes > 0) at += scratch.copy(this.#slab, start, 0, scratchBytes)
      state = "more"
      while (at < end) {
        const bytes = libc().read(this.#fd, this.#slab.subarray(at, end))
        if (bytes > 0) {
          at += bytes
          continue
        }
        // macOS says 0 where Linux says EIO.
        state = bytes === READ_EMPTY ? "empty" : "ended"
        break
      }
      this.#slabAt = at
      if (at > start) this.#deliver(this.#slab.subarray(start, at))
    }
    if (state === "ended") this.#finish()
    else if (this.#leaderExit !== null) this.#afterExit(this.#leaderExit, state)
  }

  #deliver(bytes: Buffer<ArrayBuffer>): void {
    this.#outputBytes += bytes.length
    if (this.#leaderExit !== null) this.#bytesSinceExit += bytes.length
    if (bytes.length >= PROMPT_TAIL_BYTES) {
      bytes.copy(this.#tail, 0, bytes.length - PROMPT_TAIL_BYTES)
      this.#tailBytes = PROMPT_TAIL_BYTES
    } else {
      const kept = Math.min(this.#tailBytes, PROMPT_TAIL_BYTES - bytes.length)
      this.#tail.copyWithin(0, this.#tailBytes - kept, this.#tailBytes)
      bytes.copy(this.#tail, kept)
      this.#tailBytes = kept + bytes.length
    }
    this.#listener.output(bytes)
  }

  #onExit(exitCode: number, signal: number): void {
    // A program that was killed also reports exit code 0: the signal is the one to believe.
    this.#leaderExit = {
      exitCode: signal === 0 ? exitCode : null,
      signal: signal === 0 ? null : (signalNames.get(signal) ?? `SIG${signal}`),
      timeMicros: Date.now() * 1000
    }
    this.#input.drop()
    if (this.#ended) this.#tellEnd()
    else this.#read(0)
  }

  #afterExit(exit: LeaderExit, state: "more" | "empty" | "paused"): void {
    if (state === "empty" || this.#bytesSinceExit >= KERNEL_BYTES_MAX) this.#tellLeaderExited(exit)
    if (state === "empty" && this.#slave >= 0 && this.#isOpen()) {
      this.#releaseSlave()
      // If nobody else holds the slave this read is the end, in the same tick: no timer, no wait for the event loop.
      this.#read(0)
    } else if (state === "more") {
      setImmediate(() => this.#read(0))
    }
  }

  #finish(): void {
    if (!this.#ended) {
      this.#ended = true
      this.#input.drop()
      this.#stream.destroy()
      this.#releaseSlave()
    }
    this.#tellEnd()
  }

  /** The end of the terminal and the end of the leader reach us independently; both are told, in this order. */
  #tellEnd(): void {
    if (this.#leaderExit === null || this.#closedTold) return
    this.#tellLeaderExited(this.#leaderExit)
    this.#closedTold = true
    this.#listener.closed()
  }

  #tellLeaderExited(exit: LeaderExit): void {
    if (this.#leaderExitTold) return
    this.#leaderExitTold = true
    this.#listener.leaderExited(exit)
  }

  #releaseSlave(): void {
    if (this.#slave < 0) return
    const slave = this.#slave
    this.#slave = -1
    closeSync(slave)
  }
}

const native = (): NativePty => (nodePty as unknown as { readonly native: NativePty }).native

const fork = (
  { argv, cwd, env, session, size, term }: SpawnRequest,
  programUmask: number | undefined,
  onExit: (exitCode: number, signal: number) => void
): ReturnType<NativePty["fork"]> => {
  const environment = { ...env, TERM: term, [SESSION_MARKER]: session }
  const pairs = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  libc().closeDescriptorsOnExec()
  // The program inherits ours. Nothing else runs between the two lines: the fork is synchronous.
  const umask = programUmask === undefined ? undefined : process.umask(programUmask)
  try {
    const { cols, rows } = size
    return withoutOwnReaders(() =>
      native().fork(argv[0]!, argv.slice(1), pairs, cwd, cols, rows, -1, -1, true, spawnHelper(), onExit)
    )
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    // The only failure that Preflight cannot exclude here: no pseudo-terminal, descriptor or process left.
    throw message.includes("forkpty")
      ? new SpawnError("limit", "the kernel gave no terminal: close sessions or raise kernel.pty.max and ulimit -n, -u")
      : new SpawnError("failed", `the program could not be started: ${message}`)
  } finally {
    if (umask !== undefined) process.umask(umask)
  }
}

let startModes: Uint8Array | null = null
/**
 * node-pty starts every terminal with the same modes, in line mode and with echo. They are read once and not from each:
 * on a busy machine a program may have changed its own before we come to read them.
 */
const startModesOf = (fd: number): Uint8Array | null => {
  if (startModes !== null) return startModes
  const modes = libc().terminalModes(fd)
  const termios = libc().termios(fd)
  if (termios?.canonical === true && termios.echo) startModes = modes
  return modes
}

/** macOS starts programs through a helper that lies beside node-pty's native module; Linux needs none. */
const spawnHelper = (): string =>
  process.platform === "darwin"
    ? fileURLToPath(import.meta.resolve(`node-pty/prebuilds/darwin-${process.arch}/spawn-helper`))
    : ""

const holdSlave = (path: string): number => {
  try {
    // O_NOCTTY: a keeper without a terminal must not get this one. Node opens with O_CLOEXEC.
    return openSync(path, fileConstants.O_RDWR | fileConstants.O_NOCTTY)
  } catch {
    // Out of descriptors after the fork: libuv >= 1.52 alone still delivers everything.
    return -1
  }
}
