/**
 * A PtyHost over a keeper's socket: what the engine holds while it is connected. It correlates answers with requests,
 * gives every request a time limit, and on the end of the connection rejects all that is pending with HostUnavailable,
 * once. It never reconnects by itself: the engine has to compare its journal with what the keeper holds first. Output
 * can be delivered before the continuation of the `spawn` or `attach` that started it runs.
 */
import { connect, type Socket } from "node:net"
import {
  FRAME_BYTES_MAX,
  FrameDecoder,
  FrameError,
  FrameType,
  frame,
  jsonFrame,
  jsonIn,
  PIPE_BYTES,
  PROTOCOL_VERSION,
  pipeFrame,
  pipeRequestFrame,
  readPipe,
  readSession,
  readU64,
  requestFrame,
  SESSION_BYTES,
  SESSIONS_MAX_DEFAULT,
  sessionFrame,
  WRITE_OUTCOMES
} from "./Frames.ts"
import {
  type HeldPipe,
  type InputWait,
  NOTE_BYTES_MAX,
  PipeError,
  type PipeFailure,
  type PipeRequest
} from "./PipeHost.ts"
import { capabilitiesOf, commonProtocol, PROTOCOL_RANGE } from "./Protocol.ts"
import type {
  HeldSession,
  HostCapabilities,
  ProcessIdentity,
  PtyHost,
  PtyHostListener,
  SpawnFailure,
  SpawnRequest
} from "./PtyHost.ts"
import {
  CLOSE_GRACE_MILLIS_MAX,
  HostUnavailable,
  INPUT_WRITE_BYTES_MAX,
  SessionUnknown,
  SpawnError
} from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

/** A keeper answers within milliseconds; one that does not is hung, or its machine is. */
export const CONNECT_MILLIS_MAX = 5000
export const REQUEST_MILLIS_MAX = 10_000
/** Read in one go: all that the kernel buffers for a Unix socket. Shared, because frames are copied out of it at once. */
const READ_BYTES = 256 * 1024
/** How a refusal names a keeper that lacks something. */
const OLDER = "was started by an older version"

export interface KeeperConnectOptions {
  readonly socket: string
  /** Number of this engine among those of its store: a keeper refuses one that is older than the newest it has seen. */
  readonly generation: number
  readonly listener: PtyHostListener
}

/** What a keeper says of itself. */
export interface KeeperWelcome {
  readonly id: string
  readonly pid: number
  /** The newest that both sides speak, or else its own newest (Protocol.ts tells which). */
  readonly protocol: number
  readonly sessions: number
  /** How many it takes. */
  readonly sessionsMax: number
  /** The last error of its own that it survived; "" when there was none. */
  readonly lastFault: string
}

/**
 * In the newest protocol that both sides speak: `capabilities` of the host says what an older one lacks. Rejects with
 * HostUnavailable, whose message says why: nobody listens, no common protocol, a newer engine.
 */
export const connectKeeper = async ({ socket, generation, listener }: KeeperConnectOptions): Promise<PtyHost> => {
  const greet = (protocol: number) =>
    connectionOf(
      socket,
      jsonFrame(FrameType.Hello, 0, { ...PROTOCOL_RANGE, protocol, generation }),
      (welcomed) => commonProtocol({ protocol: welcomed }) === welcomed
    )
  const { connection, welcome } = await greet(PROTOCOL_VERSION).catch(async (error: unknown) => {
    if (!(error instanceof OtherProtocol)) throw error
    // One that speaks a single protocol refuses all others, and says which it is only when it is asked.
    const { protocol } = await probeKeeper(socket)
    if (commonProtocol({ protocol }) === undefined) throw error
    return greet(protocol)
  })
  return new KeeperClient(connection, welcome, listener)
}

/** Asks who listens there, without disturbing the engine that it serves. Its protocol may be one that is not spoken here. */
export const probeKeeper = async (socket: string): Promise<KeeperWelcome> => {
  const { connection, welcome } = await connectionOf(socket, jsonFrame(FrameType.Probe, 0, PROTOCOL_RANGE), () => true)
  connection.socket.destroy()
  return welcome
}

/** Internal: the keeper is there, and refuses this protocol. */
class OtherProtocol extends HostUnavailable {}

interface Connection {
  readonly socket: Socket
  /** Replaced once the handshake is done. */
  onFrame: (type: number, body: Buffer) => void
  onEnd: (reason: string) => void
}

const connectionOf = (
  path: string,
  greeting: Buffer,
  accepts: (protocol: number) => boolean
): Promise<{ readonly connection: Connection; readonly welcome: KeeperWelcome }> =>
  new Promise((resolve, reject) => {
    let failure = "the connection ended"
    let isOtherProtocol = false
    let isFinal = false
    const decoder = new FrameDecoder(FRAME_BYTES_MAX, (type, body) => connection.onFrame(type, body))
    const socket = connect({
      path,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BYTES),
        callback: (bytes, buffer) => {
          try {
            decoder.push(buffer.subarray(0, bytes))
          } catch (error) {
            failure = `the keeper sent something that is no frame: ${String(error)}`
            socket.destroy()
          }
          return true
        }
      }
    })
    const timer = setTimeout(() => {
      failure = `the keeper at ${path} did not answer within ${CONNECT_MILLIS_MAX} ms`
      socket.destroy()
    }, CONNECT_MILLIS_MAX)
    const connection: Connection = {
      socket,
      onFrame: (type, body) => {
        clearTimeout(timer)
        const answer = jsonIn(body) as Record<string, unknown>
        const protocol = Number(answer.protocol)
        if (type !== FrameType.Welcome || !accepts(protocol)) {
          failure = type === FrameType.Refused ? String(answer.message) : `the keeper speaks protocol ${protocol}`
          isOtherProtocol = type !== FrameType.Refused || answer.reason === "protocol"
          isFinal = true
          socket.destroy()
          return
        }
        // Sent by the keeper right behind the welcome: kept until there is someone to take it.
        connection.onFrame = () => {}
        const welcome = {
          id: String(answer.keeper),
          pid: Number(answer.pid),
          protocol,
          sessions: Number(answer.sessions),
          sessionsMax: Number(answer.sessionsMax ?? SESSIONS_MAX_DEFAULT),
          lastFault: String(answer.lastFault)
        }
        resolve({ connection, welcome })
      },
      onEnd: (reason) =>
        reject(isOtherProtocol ? new OtherProtocol(reason, { isFinal }) : new HostUnavailable(reason, { isFinal }))
    }
    socket.on("error", (error: NodeJS.ErrnoException) => {
      failure = `no keeper at ${path}: ${error.message}`
      // Nobody listens, or the socket is gone: it has ended. Everything else (no descriptors left, a full backlog) may pass.
      isFinal = error.code === "ECONNREFUSED" || error.code === "ENOENT"
    })
    socket.on("close", () => {
      clearTimeout(timer)
      connection.onEnd(failure)
    })
    socket.write(greeting)
    socket.resume()
  })

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

type SessionId = SpawnRequest["session"]

class KeeperClient implements PtyHost {
  readonly id: string
  readonly pid: number
  readonly capabilities: HostCapabilities
  readonly sessionsMax: number
  readonly #socket: Socket
  readonly #listener: PtyHostListener
  readonly #pending = new Map<number, Pending>()
  #list: Promise<ReadonlyArray<HeldSession>> | undefined
  #nextList: Promise<ReadonlyArray<HeldSession>> | undefined
  #request = 0
  /** Why the connection ended; null while it is there. */
  #ended: string | null = null
  #disposing = false
  #refusal: string | null = null

  constructor(connection: Connection, { id, pid, protocol, sessionsMax }: KeeperWelcome, listener: PtyHostListener) {
    this.id = id
    this.pid = pid
    this.capabilities = capabilitiesOf(protocol)
    this.sessionsMax = sessionsMax
    this.#socket = connection.socket
    this.#listener = listener
    connection.onFrame = (type, body) => this.#onFrame(type, body)
    connection.onEnd = (reason) => this.#onEnd(this.#refusal ?? reason)
  }

  async spawn(request: SpawnRequest): Promise<ProcessIdentity> {
    if (!this.capabilities.takesSessions) throw new SpawnError("failed", `its keeper ${OLDER}, which takes no programs`)
    return this.#ask<ProcessIdentity>((number) => {
      try {
        const note = request.note === undefined ? undefined : Buffer.from(request.note).toString("base64")
        return [jsonFrame(FrameType.Spawn, number, { ...request, note })]
      } catch {
        throw new SpawnError("invalid-argument", "arguments and environment are too large: pass some of it in a file")
      }
    })
  }

  /** The answer names every session: an engine that takes all of them back asks once for many, and not for each. */
  list(): Promise<ReadonlyArray<HeldSession>> {
    const ask = () => {
      this.#nextList = undefined
      this.#list = this.#ask<ReadonlyArray<HeldSession>>((number) => [jsonFrame(FrameType.List, number, null)]).finally(
        () => {
          this.#list = undefined
        }
      )
      return this.#list
    }
    if (this.#list === undefined) return ask()
    // The one that is under way may be older than this question.
    this.#nextList ??= this.#list.then(ask, ask)
    return this.#nextList
  }

  async attach(session: SessionId, fromOffset: number, attached?: (held: HeldSession) => void): Promise<HeldSession> {
    return this.#ask<HeldSession>((number) => [requestFrame(FrameType.Attach, number, session, fromOffset)], attached)
  }

  ack(session: SessionId, offset: number): void {
    this.#send([sessionFrame(FrameType.Ack, session, offset)])
  }

  async write(session: SessionId, sequence: number, bytes: Uint8Array): Promise<WriteResult> {
    if (bytes.length > INPUT_WRITE_BYTES_MAX) return { outcome: "full" }
    // The socket may keep its part for a while, and the caller may use its buffer again.
    return this.#ask<WriteResult>((number) => [
      requestFrame(FrameType.Write, number, session, sequence, bytes.length),
      Buffer.from(bytes)
    ])
  }

  async mode(session: SessionId): Promise<Awaited<ReturnType<PtyHost["mode"]>>> {
    return this.#ask<Awaited<ReturnType<PtyHost["mode"]>>>((number) => [requestFrame(FrameType.Mode, number, session)])
  }

  async closeInput(session: SessionId, sequence: number): Promise<WriteResult> {
    return this.#ask<WriteResult>((number) => [requestFrame(FrameType.CloseInput, number, session, sequence)])
  }

  async resize(session: SessionId, { cols, rows }: SpawnRequest["size"]): Promise<void> {
    await this.#ask((number) => [requestFrame(FrameType.Resize, number, session, cols * 0x10000 + rows)])
  }

  async signal(session: SessionId, signal: NodeJS.Signals, target: Parameters<PtyHost["signal"]>[2]): Promise<boolean> {
    const data = Buffer.from(JSON.stringify({ signal, target }))
    return this.#ask<boolean>((number) => [requestFrame(FrameType.Signal, number, session, 0, data.length), data])
  }

  async close(
    session: SessionId,
    graceMillis = CLOSE_GRACE_MILLIS_MAX
  ): Promise<Awaited<ReturnType<PtyHost["close"]>>> {
    const grace = Math.min(Math.max(Math.round(graceMillis), 0), CLOSE_GRACE_MILLIS_MAX)
    return this.#ask<Awaited<ReturnType<PtyHost["close"]>>>((number) => [
      requestFrame(FrameType.Close, number, session, grace)
    ])
  }

  forget(session: SessionId): void {
    this.#send([sessionFrame(FrameType.Forget, session, 0)])
  }

  #checkPipes(): void {
    if (!this.capabilities.pipes) throw new PipeError("unsupported", `its keeper ${OLDER}, which has no pipes`)
  }

  async openPipes(session: SessionId, pipes: ReadonlyArray<PipeRequest>): Promise<void> {
    this.#checkPipes()
    const data = Buffer.from(JSON.stringify(pipes))
    await this.#ask((number) => [requestFrame(FrameType.OpenPipes, number, session, 0, data.length), data])
  }

  async listPipes(session: SessionId): Promise<ReadonlyArray<HeldPipe>> {
    if (!this.capabilities.pipes) return []
    return this.#ask<ReadonlyArray<HeldPipe>>((number) => [requestFrame(FrameType.ListPipes, number, session)])
  }

  async attachPipe(
    session: SessionId,
    pipe: number,
    fromOffset: number,
    attached?: (held: HeldPipe) => void
  ): Promise<HeldPipe> {
    this.#checkPipes()
    return this.#ask<HeldPipe>(
      (number) => [pipeRequestFrame(FrameType.AttachPipe, number, session, pipe, fromOffset)],
      attached
    )
  }

  ackPipe(session: SessionId, pipe: number, offset: number): void {
    if (this.capabilities.pipes) this.#send([pipeFrame(FrameType.AckPipe, session, pipe, offset)])
  }

  async writePipe(session: SessionId, pipe: number, sequence: number, bytes: Uint8Array): Promise<WriteResult> {
    this.#checkPipes()
    if (bytes.length > INPUT_WRITE_BYTES_MAX) return { outcome: "full" }
    return this.#ask<WriteResult>((number) => [
      pipeRequestFrame(FrameType.WritePipe, number, session, pipe, sequence, bytes.length),
      Buffer.from(bytes)
    ])
  }

  async endPipe(session: SessionId, pipe: number, sequence: number): Promise<WriteResult> {
    this.#checkPipes()
    return this.#ask<WriteResult>((number) => [pipeRequestFrame(FrameType.EndPipe, number, session, pipe, sequence)])
  }

  closePipes(session: SessionId, pipes: ReadonlyArray<number>): void {
    if (!this.capabilities.pipes) return
    const data = Buffer.from(JSON.stringify(pipes))
    this.#send([sessionFrame(FrameType.ClosePipes, session, 0, data.length), data])
  }

  setNote(session: SessionId, bytes: Uint8Array): void {
    if (bytes.length > NOTE_BYTES_MAX) throw new PipeError("limit", `a note has at most ${NOTE_BYTES_MAX} bytes`)
    if (this.capabilities.notes)
      this.#send([sessionFrame(FrameType.SetNote, session, 0, bytes.length), Buffer.from(bytes)])
  }

  async getNote(session: SessionId): Promise<Uint8Array | null> {
    if (!this.capabilities.notes) return null
    const note = await this.#ask<string | undefined>((number) => [requestFrame(FrameType.GetNote, number, session)])
    return note === undefined ? null : Buffer.from(note, "base64")
  }

  async inputWait(session: SessionId): Promise<InputWait | null> {
    if (!this.capabilities.pipes) return null
    return (await this.#ask<InputWait | undefined>((n) => [requestFrame(FrameType.InputWait, n, session)])) ?? null
  }

  async resetMode(session: SessionId): Promise<void> {
    this.#checkPipes()
    await this.#ask((number) => [requestFrame(FrameType.ResetMode, number, session)])
  }

  async dispose(): Promise<void> {
    if (this.#ended !== null) return
    this.#disposing = true
    // An empty keeper has nothing to wait for; one with sessions ignores this.
    this.#send([frame(FrameType.Shutdown, 0)])
    await new Promise<void>((resolve) => {
      this.#socket.once("close", () => resolve())
      // Acknowledgements sent before go out; then the keeper closes its side.
      this.#socket.end(() => this.#socket.destroy())
    })
  }

  /** `answered` is called with the answer in the turn in which it arrives, before any frame behind it. */
  #ask<A>(encode: (number: number) => ReadonlyArray<Uint8Array>, answered?: (answer: A) => void): Promise<A> {
    return new Promise<A>((fulfil, reject) => {
      const resolve = (answer: unknown) => {
        answered?.(answer as A)
        fulfil(answer as A)
      }
      if (this.#ended !== null) return reject(new HostUnavailable(this.#ended))
      this.#request = (this.#request + 1) % 2 ** 32
      const number = this.#request
      const parts = encode(number)
      const timer = setTimeout(() => {
        // Its other answers would be as late; and the state of the request is not known.
        this.#refusal = `the keeper did not answer within ${REQUEST_MILLIS_MAX} ms`
        this.#socket.destroy()
      }, REQUEST_MILLIS_MAX)
      this.#pending.set(number, { resolve, reject, timer })
      this.#send(parts)
    })
  }

  #send(parts: ReadonlyArray<Uint8Array>): void {
    if (this.#ended !== null || !this.#socket.writable) return
    this.#socket.cork()
    for (const part of parts) this.#socket.write(part)
    this.#socket.uncork()
  }

  #onFrame(type: number, body: Buffer): void {
    if (this.#ended !== null || this.#disposing) return
    switch (type) {
      case FrameType.Output:
        this.#listener.output(readSession(body, 0), readU64(body, SESSION_BYTES), body.subarray(SESSION_BYTES + 8))
        return
      case FrameType.PipeOutput:
        this.#listener.pipeOutput(
          readSession(body, 0),
          readPipe(body, 0),
          readU64(body, PIPE_BYTES),
          body.subarray(PIPE_BYTES + 8)
        )
        return
      case FrameType.PipeEnded:
        this.#listener.pipeEnded(readSession(body, 0), readPipe(body, 0), readU64(body, PIPE_BYTES))
        return
      case FrameType.LeaderExited: {
        const { exitCode, signal } = jsonIn(body, SESSION_BYTES + 8) as {
          exitCode: number | null
          signal: string | null
        }
        const timeMicros = readU64(body, SESSION_BYTES)
        this.#listener.leaderExited(readSession(body, 0), { exitCode, signal, timeMicros })
        return
      }
      case FrameType.TerminalClosed:
        this.#listener.terminalClosed(readSession(body, 0), readU64(body, SESSION_BYTES))
        return
      case FrameType.Refused:
        this.#refusal = String((jsonIn(body) as { message?: unknown }).message)
        return
      case FrameType.Result:
        this.#settle(body, ({ resolve }) => resolve(jsonIn(body) ?? undefined))
        return
      case FrameType.WriteResult:
        this.#settle(body, ({ resolve }) => resolve(writeResultIn(body)))
        return
      case FrameType.Failure:
        this.#settle(body, ({ reject }) => reject(errorIn(jsonIn(body))))
        return
      default:
        throw new FrameError(`a frame of type ${type} is not known`)
    }
  }

  #settle(body: Buffer, finish: (pending: Pending) => void): void {
    const number = body.readUInt32BE(0)
    const pending = this.#pending.get(number)
    if (pending === undefined) return
    this.#pending.delete(number)
    clearTimeout(pending.timer)
    finish(pending)
  }

  #onEnd(reason: string): void {
    if (this.#ended !== null) return
    this.#ended = this.#disposing ? "this connection was closed" : reason
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer)
      reject(new HostUnavailable(this.#ended))
    }
    this.#pending.clear()
    if (!this.#disposing) this.#listener.disconnected(this.#ended)
  }
}

const writeResultIn = (body: Buffer): WriteResult => {
  const outcome = WRITE_OUTCOMES[body[4]!]
  if (outcome === undefined) throw new FrameError("an unknown outcome")
  const truncatedTo = body.readUInt32BE(5)
  return truncatedTo === 0 ? { outcome } : { outcome, truncatedTo }
}

const errorIn = (value: unknown): Error => {
  const { name, message, failure } = value as { name: string; message: string; failure?: string }
  switch (name) {
    case "SpawnError":
      return new SpawnError((failure as SpawnFailure | undefined) ?? "failed", message)
    case "PipeError":
      return new PipeError((failure as PipeFailure | undefined) ?? "failed", message)
    case "SessionUnknown":
      return new SessionUnknown(message)
    default:
      return new HostUnavailable(message)
  }
}
