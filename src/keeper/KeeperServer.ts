/**
 * The keeper's side of the socket: serves Terminals to one engine at a time. Used by main.ts. A connection that breaks,
 * sends garbage or is replaced costs nothing but itself: the sessions go on and hold their output for the next one. It
 * never ends a session by itself and never listens for anyone but the owner of its folder.
 */

import { chmodSync, lstatSync, unlinkSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { dirname } from "node:path"
import type { SignalTarget } from "../../journal/Event.ts"
import { deadline } from "./Deadline.ts"
import {
  BODY_AT,
  FRAME_BYTES_MAX,
  FrameDecoder,
  FrameError,
  FrameType,
  frame,
  HANDSHAKE_FRAME_BYTES_MAX,
  jsonFrame,
  jsonIn,
  PIPE_BYTES,
  PROTOCOL_VERSION,
  pipeFrame,
  readPipe,
  readSession,
  readU64,
  SESSION_BYTES,
  sessionFrame,
  WRITE_OUTCOMES
} from "./Frames.ts"
import { NOTE_BYTES_MAX, PipeError, type PipeRequest } from "./PipeHost.ts"
import {
  capabilitiesOf,
  commonProtocol,
  PROTOCOL_OF_SILENT_PROBES,
  PROTOCOL_OLDEST,
  PROTOCOL_RANGE,
  rangeIn
} from "./Protocol.ts"
import type { PtyHostListener, SpawnRequest } from "./PtyHost.ts"
import { SpawnError } from "./PtyHost.ts"
import { Terminals } from "./Terminals.ts"
import type { WriteResult } from "./WriteResult.ts"

/** The kernel's limit for the path of a socket is 108 bytes on Linux, 104 on macOS, with its end mark. */
export const SOCKET_PATH_BYTES_MAX = 103
/**
 * A peer that says nothing is not an engine. Counted in turns of the event loop that each take at least a part of it: a
 * keeper that was held up for all of the time has not looked for the greeting yet.
 */
const HANDSHAKE_MILLIS_MAX = 1000
/** Its successor, some that ask who is there; one more ends the oldest, so that silent ones cannot keep an engine out. */
const STRANGERS_MAX = 16
/** Connections that wait to be accepted: the most that Linux allows. */
const BACKLOG = 4096
/** What waits in Node for the engine's socket; above it deliveries wait in the held output, which has its own bound. */
const SOCKET_QUEUED_BYTES_MAX = 256 * 1024
/** Answers that an engine has not read: above it none of its further requests are read. */
const ANSWERS_QUEUED_BYTES_MAX = 4 * 1024 * 1024

export interface KeeperServerOptions {
  readonly id: string
  readonly sessionsMax: number
  readonly programUmask: number
  /** No session and no engine for this long: `onIdle` is called. */
  readonly idleMillis: number
  readonly onIdle: () => void
}

export class KeeperServer {
  readonly #options: KeeperServerOptions
  readonly #terminals: Terminals
  readonly #server: Server
  #engine: Socket | null = null
  /** Connections that are not the engine's, oldest first. */
  readonly #strangers = new Set<Socket>()
  #generation = 0
  /** An engine of an older version ends the connection at a frame that it does not know. */
  #speaksOfPipes = true
  #idleTimer: NodeJS.Timeout | undefined
  #lastFault = ""

  constructor(options: KeeperServerOptions) {
    this.#options = options
    const { id, sessionsMax, programUmask } = options
    this.#terminals = new Terminals({ id, sessionsMax, programUmask, listener: this.#listener() })
    this.#server = createServer((socket) => this.#accept(socket))
  }

  get sessions(): number {
    return this.#terminals.size
  }

  /** Resolves once engines can connect. Rejects with one line that says what is wrong with the path. */
  async listen(path: string): Promise<void> {
    checkFolder(path)
    await removeStale(path)
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject)
      this.#server.listen({ path, backlog: BACKLOG }, () => {
        this.#server.off("error", reject)
        this.#server.on("error", (error) => this.fault(error))
        resolve()
      })
    })
    // The umask made it ours alone already; this drops the execute bits.
    chmodSync(path, 0o600)
    this.#checkIdle()
  }

  /** Something that nobody expected: the engine's view may be wrong now, so it has to attach anew. Sessions go on. */
  fault(error: unknown): void {
    this.#lastFault = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    this.#engine?.destroy()
  }

  /** Drops what is kept only to be used again. */
  releaseMemory(): void {
    this.#terminals.releaseMemory()
  }

  #accept(socket: Socket): void {
    const decoder = new FrameDecoder(HANDSHAKE_FRAME_BYTES_MAX, (type, body) => {
      if (socket === this.#engine) this.#onRequest(socket, type, body)
      else if (!socket.writableEnded) this.#onHandshake(socket, decoder, type, body)
    })
    const cancelDeadline = deadline(HANDSHAKE_MILLIS_MAX, () => {
      if (socket !== this.#engine) socket.destroy()
    })
    this.#strangers.add(socket)
    if (this.#strangers.size > STRANGERS_MAX) {
      const [oldest] = this.#strangers
      this.#strangers.delete(oldest!)
      oldest!.destroy()
    }
    socket.on("data", (chunk) => {
      if (socket.destroyed) return
      try {
        decoder.push(chunk)
      } catch (error) {
        if (!(error instanceof FrameError)) this.#lastFault = String(error)
        socket.destroy()
      }
    })
    // A peer may vanish at any moment; `close` follows each error.
    socket.on("error", () => {})
    socket.on("close", () => {
      cancelDeadline()
      this.#strangers.delete(socket)
      if (socket === this.#engine) this.#release()
    })
    socket.on("drain", () => {
      if (socket.isPaused()) socket.resume()
      if (socket === this.#engine) this.#terminals.resumeDeliveries()
    })
  }

  #onHandshake(socket: Socket, decoder: FrameDecoder, type: number, body: Buffer): void {
    if (type === FrameType.Probe) {
      const range = body.length > REQUEST_BYTES ? rangeIn(jsonIn(body)) : { protocol: PROTOCOL_OF_SILENT_PROBES }
      socket.end(this.#welcome((range && commonProtocol(range)) ?? PROTOCOL_VERSION))
      return
    }
    if (type !== FrameType.Hello) throw new FrameError("the first frame says hello")
    const hello = jsonIn(body) as { protocol?: unknown; generation?: unknown } | null
    const refuse = (reason: string, message: string) =>
      socket.end(jsonFrame(FrameType.Refused, 0, { reason, message, ...PROTOCOL_RANGE }))
    const range = rangeIn(hello)
    const protocol = range && commonProtocol(range)
    if (hello === null || protocol === undefined) {
      const own = `protocol ${PROTOCOL_OLDEST} to ${PROTOCOL_VERSION}`
      refuse("protocol", `this keeper speaks ${own}, the engine speaks ${show(hello?.protocol)}`)
      return
    }
    const generation = hello.generation
    if (typeof generation !== "number" || !Number.isSafeInteger(generation) || generation < 0) {
      throw new FrameError("hello without a generation")
    }
    if (generation < this.#generation) {
      refuse("superseded", `engine ${generation} is older than engine ${this.#generation}, which was here`)
      return
    }
    this.#generation = generation
    const older = this.#engine
    if (older !== null) {
      this.#release()
      older.end(jsonFrame(FrameType.Refused, 0, { reason: "superseded", message: "a newer engine took over" }))
    }
    this.#engine = socket
    this.#strangers.delete(socket)
    clearTimeout(this.#idleTimer)
    this.#speaksOfPipes = capabilitiesOf(protocol).pipes
    decoder.allow(FRAME_BYTES_MAX)
    socket.write(this.#welcome(protocol))
  }

  #welcome(protocol: number): Buffer {
    return jsonFrame(FrameType.Welcome, 0, {
      protocol,
      keeper: this.#options.id,
      pid: process.pid,
      generation: this.#generation,
      sessions: this.#terminals.size,
      sessionsMax: this.#options.sessionsMax,
      lastFault: this.#lastFault
    })
  }

  /** The engine is gone: everything is held until one attaches again. */
  #release(): void {
    this.#engine = null
    this.#terminals.detachAll()
    this.#terminals.resumeDeliveries()
    this.#checkIdle()
  }

  #checkIdle(): void {
    clearTimeout(this.#idleTimer)
    if (this.#engine !== null || this.#terminals.size > 0) return
    this.#idleTimer = setTimeout(this.#options.onIdle, this.#options.idleMillis)
  }

  #onRequest(socket: Socket, type: number, body: Buffer): void {
    switch (type) {
      case FrameType.Ack:
        this.#terminals.ack(readSession(body, 0), number64(body, SESSION_BYTES))
        break
      case FrameType.AckPipe:
        this.#terminals.ackPipe(readSession(body, 0), readPipe(body, 0), number64(body, PIPE_BYTES))
        break
      case FrameType.ClosePipes:
        this.#terminals.closePipes(readSession(body, 0), pipeNumbersIn(body, SESSION_BYTES + 8))
        break
      case FrameType.SetNote:
        this.#setNote(readSession(body, 0), body.subarray(SESSION_BYTES + 8))
        break
      case FrameType.Forget:
        this.#terminals.forget(readSession(body, 0))
        break
      case FrameType.Shutdown:
        if (this.#terminals.size === 0) this.#options.onIdle()
        break
      default:
        this.#answer(socket, type, body)
    }
  }

  #setNote(session: SpawnRequest["session"], bytes: Uint8Array): void {
    if (bytes.length > NOTE_BYTES_MAX) throw new FrameError(`a note of ${bytes.length} bytes is not possible`)
    this.#terminals.setNote(session, bytes)
  }

  #answer(socket: Socket, type: number, body: Buffer): void {
    if (body.length < 4) throw new FrameError("the frame ends within its request number")
    const request = body.readUInt32BE(0)
    const reply = (bytes: Buffer) => {
      if (socket !== this.#engine || !socket.writable) return
      socket.write(bytes)
      if (socket.writableLength > ANSWERS_QUEUED_BYTES_MAX) socket.pause()
    }
    this.#run(type, body).then(
      (value) => {
        if (WRITES.has(type)) reply(writeResultFrame(request, value as WriteResult))
        else reply(jsonFrame(FrameType.Result, request, value))
      },
      (error: unknown) => {
        if (error instanceof FrameError) {
          socket.destroy()
          return
        }
        const { name, message } = error instanceof Error ? error : new Error(String(error))
        const failure = error instanceof SpawnError || error instanceof PipeError ? error.failure : undefined
        reply(jsonFrame(FrameType.Failure, request, { name, message, failure }))
      }
    )
  }

  /** Runs up to its first wait at once, so that requests are applied in the order in which they came. */
  async #run(type: number, body: Buffer): Promise<unknown> {
    const terminals = this.#terminals
    if (type === FrameType.Spawn) return terminals.spawn(spawnRequestIn(body))
    if (type === FrameType.List) return terminals.list()
    const session = readSession(body, 4)
    if (PIPE_CALLS.has(type)) return this.#runPipe(type, session, body)
    // All others: request, session, one number, data.
    const number = number64(body, 4 + SESSION_BYTES)
    const data = body.subarray(4 + SESSION_BYTES + 8)
    switch (type) {
      case FrameType.OpenPipes:
        return terminals.openPipes(session, jsonIn(data, 0) as ReadonlyArray<PipeRequest>)
      case FrameType.ListPipes:
        return terminals.listPipes(session)
      case FrameType.GetNote: {
        const note = await terminals.getNote(session)
        return note === null ? null : Buffer.from(note).toString("base64")
      }
      case FrameType.InputWait:
        return terminals.inputWait(session)
      case FrameType.ResetMode:
        return terminals.resetMode(session)
      case FrameType.Attach:
        return terminals.attach(session, number)
      case FrameType.Write:
        return terminals.write(session, number, data)
      case FrameType.CloseInput:
        return terminals.closeInput(session, number)
      case FrameType.Mode:
        return terminals.mode(session)
      case FrameType.Resize:
        return terminals.resize(session, { cols: Math.floor(number / 0x10000), rows: number % 0x10000 })
      case FrameType.Signal: {
        const { signal, target } = jsonIn(data, 0) as { signal: NodeJS.Signals; target: SignalTarget }
        return terminals.signal(session, signal, target)
      }
      case FrameType.Close:
        return terminals.close(session, number)
      default:
        throw new FrameError(`a frame of type ${type} is not known`)
    }
  }

  async #runPipe(type: number, session: SpawnRequest["session"], body: Buffer): Promise<unknown> {
    const pipe = readPipe(body, 4)
    const number = number64(body, 4 + PIPE_BYTES)
    switch (type) {
      case FrameType.AttachPipe:
        return this.#terminals.attachPipe(session, pipe, number)
      case FrameType.WritePipe:
        return this.#terminals.writePipe(session, pipe, number, body.subarray(4 + PIPE_BYTES + 8))
      default:
        return this.#terminals.endPipe(session, pipe, number)
    }
  }

  #listener(): PtyHostListener {
    const send = (head: Buffer, data: Uint8Array) => {
      const engine = this.#engine
      if (engine === null || !engine.writable) return
      // One system call for both parts, and no copy of the data.
      engine.cork()
      engine.write(head)
      engine.write(data)
      engine.uncork()
      if (engine.writableLength > SOCKET_QUEUED_BYTES_MAX) this.#terminals.holdDeliveries()
    }
    return {
      output: (session, offset, bytes) => send(sessionFrame(FrameType.Output, session, offset, bytes.length), bytes),
      leaderExited: (session, { exitCode, signal, timeMicros }) => {
        const data = Buffer.from(JSON.stringify({ exitCode, signal }))
        send(sessionFrame(FrameType.LeaderExited, session, timeMicros, data.length), data)
      },
      terminalClosed: (session, outputBytes) =>
        send(sessionFrame(FrameType.TerminalClosed, session, outputBytes), new Uint8Array(0)),
      pipeOutput: (session, pipe, offset, bytes) => {
        if (this.#speaksOfPipes) send(pipeFrame(FrameType.PipeOutput, session, pipe, offset, bytes.length), bytes)
      },
      pipeEnded: (session, pipe, bytes) => {
        if (this.#speaksOfPipes) send(pipeFrame(FrameType.PipeEnded, session, pipe, bytes), new Uint8Array(0))
      },
      disconnected: () => {}
    }
  }
}

/** In front of the JSON of a frame. */
const REQUEST_BYTES = 4
/** Answered with a WriteResult. */
const WRITES = new Set<number>([FrameType.Write, FrameType.CloseInput, FrameType.WritePipe, FrameType.EndPipe])
/** request, session, number of the pipe, one number, data. */
const PIPE_CALLS = new Set<number>([FrameType.AttachPipe, FrameType.WritePipe, FrameType.EndPipe])

const pipeNumbersIn = (body: Buffer, at: number): ReadonlyArray<number> => {
  const numbers = jsonIn(body, at)
  if (!Array.isArray(numbers)) throw new FrameError("a list of pipes that is none")
  return numbers
}

const number64 = (body: Buffer, at: number): number => {
  if (at + 8 > body.length) throw new FrameError("the frame ends within a number")
  return readU64(body, at)
}

const writeResultFrame = (request: number, { outcome, truncatedTo }: WriteResult): Buffer => {
  const bytes = frame(FrameType.WriteResult, 9)
  bytes.writeUInt32BE(request, BODY_AT)
  bytes[BODY_AT + 4] = WRITE_OUTCOMES.indexOf(outcome)
  bytes.writeUInt32BE(truncatedTo ?? 0, BODY_AT + 5)
  return bytes
}

/** Only the shape; Preflight checks the content. */
const spawnRequestIn = (body: Buffer): SpawnRequest => {
  const value = jsonIn(body) as Omit<SpawnRequest, "note"> & { readonly note?: unknown }
  const strings = (values: ReadonlyArray<unknown>) => values.every((item) => typeof item === "string")
  const valid =
    typeof value === "object" &&
    value !== null &&
    Array.isArray(value.argv) &&
    strings(value.argv) &&
    typeof value.env === "object" &&
    value.env !== null &&
    strings(Object.values(value.env)) &&
    strings([value.session, value.cwd, value.term]) &&
    typeof value.size === "object" &&
    value.size !== null
  if (!valid) throw new SpawnError("invalid-argument", "the request to start a program is malformed")
  const { note, ...request } = value
  return { ...request, ...(typeof note === "string" && { note: Buffer.from(note, "base64") }) }
}

/** Whoever can write to the folder can replace the socket: it must be a real folder, ours, and closed to all others. */
const checkFolder = (path: string): void => {
  const bytes = Buffer.byteLength(path)
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new Error(
      `the socket path has ${bytes} bytes, the system takes ${SOCKET_PATH_BYTES_MAX}: use a shorter folder`
    )
  }
  const folder = dirname(path)
  const stats = lstatSync(folder, { throwIfNoEntry: false })
  if (stats === undefined) throw new Error(`the socket folder ${show(folder)} does not exist`)
  if (!stats.isDirectory()) throw new Error(`${show(folder)} is not a folder, or a link to one: name the folder itself`)
  if (stats.uid !== process.getuid?.()) throw new Error(`the folder ${show(folder)} belongs to another user`)
  if ((stats.mode & 0o077) !== 0) throw new Error(`the folder ${show(folder)} is open to others: chmod 700 it`)
}

/** A socket whose keeper was killed is removed; one that answers is never touched. */
const removeStale = async (path: string): Promise<void> => {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  if (!stats.isSocket()) throw new Error(`${show(path)} exists and is not a socket: remove it`)
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path)
    socket.on("connect", () => resolve(true))
    socket.on("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT")
    )
    socket.on("connect", () => socket.destroy())
  })
  if (answers) throw new Error(`a keeper listens on ${show(path)} already`)
  unlinkSync(path)
}

const show = (value: unknown): string => JSON.stringify(value ?? null).slice(0, 200)
