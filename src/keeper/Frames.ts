/**
 * The wire format between engine and keeper: frames of `u32 length | u8 type | body` over a Unix socket, all numbers
 * big-endian. Used by KeeperServer and KeeperClient. Output, input and acknowledgements are binary; bodies of rare
 * frames are JSON. It encodes and cuts, it knows no socket and gives no frame a meaning. A frame's layout never
 * changes within a protocol version; the version is the first thing either side hears. Which others are spoken, and how
 * one is agreed on, is Protocol.ts.
 */
import type { SpawnRequest } from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

type SessionId = SpawnRequest["session"]

export const PROTOCOL_VERSION = 3

/** Sessions of a keeper that was not told how many, and of one whose welcome does not say. */
export const SESSIONS_MAX_DEFAULT = 64

/** Engine to keeper below 64, keeper to engine from 64. */
export const FrameType = {
  Hello: 1,
  Probe: 2,
  Spawn: 3,
  List: 4,
  Attach: 5,
  Ack: 6,
  Write: 7,
  Mode: 8,
  CloseInput: 9,
  Resize: 10,
  Signal: 11,
  Close: 12,
  Forget: 13,
  Shutdown: 14,
  OpenPipes: 15,
  ListPipes: 16,
  AttachPipe: 17,
  AckPipe: 18,
  WritePipe: 19,
  EndPipe: 20,
  ClosePipes: 21,
  InputWait: 22,
  ResetMode: 23,
  SetNote: 24,
  GetNote: 25,
  Welcome: 64,
  Refused: 65,
  Result: 66,
  Failure: 67,
  WriteResult: 68,
  Output: 69,
  LeaderExited: 70,
  TerminalClosed: 71,
  PipeOutput: 72,
  PipeEnded: 73
} as const

/** Outcomes of a write on the wire, by index. */
export const WRITE_OUTCOMES: ReadonlyArray<WriteResult["outcome"]> = ["applied", "repeated", "full", "closed"]

/** Type and body. The largest that is used is a spawn with 1.5 MiB of arguments and note as JSON; output stays far below. */
export const FRAME_BYTES_MAX = 2 * 1024 * 1024
/** Before the handshake nobody has a reason to send more. */
export const HANDSHAKE_FRAME_BYTES_MAX = 4 * 1024
const LENGTH_BYTES = 4
const HEADER_BYTES = LENGTH_BYTES + 1
export const SESSION_BYTES = 16
/** A session and the number of its pipe. */
export const PIPE_BYTES = SESSION_BYTES + 4

export class FrameError extends Error {
  override readonly name = "FrameError"
}

/** A whole frame with a body of `bodyBytes`, to be filled from `BODY_AT` on. */
export const BODY_AT = HEADER_BYTES
export const frame = (type: number, bodyBytes: number): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + bodyBytes)
  bytes.writeUInt32BE(bodyBytes + 1, 0)
  bytes[LENGTH_BYTES] = type
  return bytes
}

/** A frame of a number (the request it asks or answers) and JSON. */
export const jsonFrame = (type: number, request: number, value: unknown): Buffer => {
  const text = Buffer.from(JSON.stringify(value ?? null))
  if (text.length + 5 > FRAME_BYTES_MAX) throw new FrameError(`${text.length} bytes are too many for one frame`)
  const bytes = frame(type, 4 + text.length)
  bytes.writeUInt32BE(request, BODY_AT)
  text.copy(bytes, BODY_AT + 4)
  return bytes
}

/** The JSON in a body from `at` on; throws FrameError. Callers check the shape: this is what a peer sent. */
export const jsonIn = (body: Buffer, at = 4): unknown => {
  try {
    return JSON.parse(body.toString("utf8", at))
  } catch {
    throw new FrameError("the body is not JSON")
  }
}

/**
 * The head of a frame whose last part (`dataBytes`) is sent after it as it is, without a copy. Numbers after the
 * session are 64 bits: offsets and sequences.
 */
export const sessionFrame = (type: number, session: SessionId, number64: number, dataBytes = 0): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + SESSION_BYTES + 8)
  bytes.writeUInt32BE(1 + SESSION_BYTES + 8 + dataBytes, 0)
  bytes[LENGTH_BYTES] = type
  writeSession(bytes, BODY_AT, session)
  writeU64(bytes, BODY_AT + SESSION_BYTES, number64)
  return bytes
}

/** As `sessionFrame`, for a request that is answered. */
export const requestFrame = (
  type: number,
  request: number,
  session: SessionId,
  number64 = 0,
  dataBytes = 0
): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + 4 + SESSION_BYTES + 8)
  bytes.writeUInt32BE(1 + 4 + SESSION_BYTES + 8 + dataBytes, 0)
  bytes[LENGTH_BYTES] = type
  bytes.writeUInt32BE(request, BODY_AT)
  writeSession(bytes, BODY_AT + 4, session)
  writeU64(bytes, BODY_AT + 4 + SESSION_BYTES, number64)
  return bytes
}

/** As `sessionFrame`, for one pipe of the session: its number stands between the two. */
export const pipeFrame = (type: number, session: SessionId, pipe: number, number64: number, dataBytes = 0): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + PIPE_BYTES + 8)
  bytes.writeUInt32BE(1 + PIPE_BYTES + 8 + dataBytes, 0)
  bytes[LENGTH_BYTES] = type
  writePipe(bytes, BODY_AT, session, pipe)
  writeU64(bytes, BODY_AT + PIPE_BYTES, number64)
  return bytes
}

/** As `requestFrame`, for one pipe of the session. */
export const pipeRequestFrame = (
  type: number,
  request: number,
  session: SessionId,
  pipe: number,
  number64 = 0,
  dataBytes = 0
): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + 4 + PIPE_BYTES + 8)
  bytes.writeUInt32BE(1 + 4 + PIPE_BYTES + 8 + dataBytes, 0)
  bytes[LENGTH_BYTES] = type
  bytes.writeUInt32BE(request, BODY_AT)
  writePipe(bytes, BODY_AT + 4, session, pipe)
  writeU64(bytes, BODY_AT + 4 + PIPE_BYTES, number64)
  return bytes
}

const writePipe = (bytes: Buffer, at: number, session: SessionId, pipe: number): void => {
  if (!(Number.isInteger(pipe) && pipe >= 0 && pipe < 2 ** 32)) throw new FrameError("a pipe has a number of 32 bits")
  writeSession(bytes, at, session)
  bytes.writeUInt32BE(pipe, at + SESSION_BYTES)
}

/** Number of the pipe whose session begins at `at`. */
export const readPipe = (bytes: Buffer, at: number): number => {
  if (at + PIPE_BYTES > bytes.length) throw new FrameError("the frame ends within a pipe's number")
  return bytes.readUInt32BE(at + SESSION_BYTES)
}

/** Offsets stay below 2^53: at 1 GB/s that is 104 days of output, and JavaScript counts no further. */
const writeU64 = (bytes: Buffer, at: number, value: number): void => {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  bytes.writeUInt32BE(value % 2 ** 32, at + 4)
}
export const readU64 = (bytes: Buffer, at: number): number => {
  if (at + 8 > bytes.length) throw new FrameError("the frame ends within a number")
  const value = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
  if (!Number.isSafeInteger(value)) throw new FrameError("a number is larger than 2^53")
  return value
}

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
const VALUES = new Map([...ALPHABET].map((character, index) => [character.charCodeAt(0), index]))
const SESSION_CHARS = 26

/** The 128 bits of a ULID. Throws FrameError for anything else. */
const writeSession = (bytes: Buffer, at: number, session: SessionId): void => {
  if (session.length !== SESSION_CHARS) throw new FrameError("a session id has 26 characters")
  // 26 characters of 5 bits are 130 bits: the first character holds 3.
  let bits = 0
  let bitCount = -2
  let to = at
  for (let i = 0; i < SESSION_CHARS; i++) {
    const value = VALUES.get(session.charCodeAt(i))
    if (value === undefined || (i === 0 && value > 7)) throw new FrameError("a session id is an upper-case ULID")
    bits = ((bits << 5) | value) & 0xfff
    bitCount += 5
    if (bitCount >= 8) {
      bitCount -= 8
      bytes[to++] = (bits >> bitCount) & 0xff
    }
  }
}

export const readSession = (bytes: Buffer, at: number): SessionId => {
  if (at + SESSION_BYTES > bytes.length) throw new FrameError("the frame ends within a session id")
  let text = ""
  let bits = 0
  let bitCount = 2
  for (let i = at; i < at + SESSION_BYTES; i++) {
    bits = ((bits << 8) | bytes[i]!) & 0xffff
    bitCount += 8
    while (bitCount >= 5) {
      bitCount -= 5
      text += ALPHABET[(bits >> bitCount) & 31]
    }
  }
  return text as SessionId
}

/**
 * Cuts a stream into frames. A body is valid during the call that hands it over and no longer: most lie in the chunk that
 * was read, the others are put together in one buffer that is used again. A flood then allocates nothing here, and V8,
 * which counts the memory of buffers, has nothing to collect. That buffer grows with what really came: a length alone
 * allocates nothing.
 */
export class FrameDecoder {
  readonly #onFrame: (type: number, body: Buffer) => void
  #bytesMax: number
  /** The frame that is under way, from its length on. */
  #frame = Buffer.alloc(0)
  #frameBytes = 0

  constructor(bytesMax: number, onFrame: (type: number, body: Buffer) => void) {
    this.#bytesMax = bytesMax
    this.#onFrame = onFrame
  }

  allow(bytesMax: number): void {
    this.#bytesMax = bytesMax
  }

  /** Throws FrameError at the first length that is not possible; then the connection cannot go on. */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = 0
    while (at < bytes.length) {
      if (this.#frameBytes === 0 && bytes.length - at >= HEADER_BYTES) {
        const end = at + LENGTH_BYTES + this.#lengthIn(bytes, at)
        if (end <= bytes.length) {
          this.#onFrame(bytes[at + LENGTH_BYTES]!, bytes.subarray(at + HEADER_BYTES, end))
          at = end
          continue
        }
      }
      const wanted = this.#frameBytes < HEADER_BYTES ? HEADER_BYTES : LENGTH_BYTES + this.#lengthIn(this.#frame, 0)
      const take = Math.min(wanted - this.#frameBytes, bytes.length - at)
      this.#reserve(this.#frameBytes + take)
      bytes.copy(this.#frame, this.#frameBytes, at, at + take)
      this.#frameBytes += take
      at += take
      if (this.#frameBytes < HEADER_BYTES) return
      const total = LENGTH_BYTES + this.#lengthIn(this.#frame, 0)
      if (this.#frameBytes < total) continue
      this.#frameBytes = 0
      this.#onFrame(this.#frame[LENGTH_BYTES]!, this.#frame.subarray(HEADER_BYTES, total))
      if (this.#frame.length > FRAME_BYTES_KEPT) this.#frame = Buffer.alloc(0)
    }
  }

  #lengthIn(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32BE(at)
    if (length < 1 || length > this.#bytesMax) throw new FrameError(`a frame of ${length} bytes is not possible`)
    return length
  }

  #reserve(bytes: number): void {
    if (this.#frame.length >= bytes) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#frame.length * 2, bytes, FRAME_FIRST_BYTES))
    this.#frame.copy(grown, 0, 0, this.#frameBytes)
    this.#frame = grown
  }
}

const FRAME_FIRST_BYTES = 1024
/** An output frame fits; the buffer of a larger one is given back. */
const FRAME_BYTES_KEPT = 128 * 1024
