/**
 * What can be read back of a session's terminal without its whole history: the last bytes exactly as they came, and
 * the last lines as plain text. `tail`, `logs` and searches use it. Both are capped and say how much was left out; the
 * journal keeps everything. Bytes are never changed, and text is never cut inside a character.
 */

import { feedPlainText, LINE_CHARACTERS_MAX, makePlainText, openLine, type PlainText } from "./PlainText.ts"
import type { Projection } from "./Projection.ts"
import { assertShape, decodeSnapshot, encodeSnapshot } from "./SnapshotCodec.ts"
import { incompleteTail, orphanHead } from "./utf8.ts"

/** Bytes of the raw tail: several full screens with colours, and one page of a read. */
export const TAIL_BYTES_MAX = 64 * 1024
/** Lines of text: what terminals usually keep as scrollback. */
const SCROLLBACK_LINES_MAX = 10_000
/** Characters of text in all lines: bounds the memory of one session when its lines are long. */
const SCROLLBACK_CHARACTERS_MAX = 1024 * 1024

export interface BuffersOptions {
  readonly tailBytes?: number | undefined
  readonly lines?: number | undefined
  readonly characters?: number | undefined
}

export interface BuffersState {
  /** The tail as a ring: byte number n of the output stands at n modulo its length. */
  readonly ring: Uint8Array
  /** Bytes received. */
  bytes: number
  /** Bytes that the journal says are missing in between (a hole in the offsets). */
  missingBytes: number
  offset: number
  readonly text: PlainText
  /** Complete lines; those before `first` were dropped already. */
  lines: Array<string>
  first: number
  characters: number
  /** Lines that fell out at the old end. */
  droppedLines: number
}

/** The last bytes as they came. */
export interface RawTail {
  readonly bytes: Uint8Array
  /** Bytes of the output before these. */
  readonly cutBytes: number
}

export interface TextTail {
  readonly lines: ReadonlyArray<string>
  /** The line that has not ended yet (a prompt, usually). */
  readonly open: string
  readonly droppedLines: number
}

/** Snapshots carry the caps in their name: a state of other caps is another projection. */
export const makeBuffers = (options: BuffersOptions = {}): Projection<BuffersState> => {
  const tailBytes = options.tailBytes ?? TAIL_BYTES_MAX
  const linesMax = options.lines ?? SCROLLBACK_LINES_MAX
  const charactersMax = options.characters ?? SCROLLBACK_CHARACTERS_MAX
  const initial = (): BuffersState => ({
    ring: new Uint8Array(tailBytes),
    bytes: 0,
    missingBytes: 0,
    offset: 0,
    text: makePlainText(),
    lines: [],
    first: 0,
    characters: 0,
    droppedLines: 0
  })
  const isDefault =
    tailBytes === TAIL_BYTES_MAX && linesMax === SCROLLBACK_LINES_MAX && charactersMax === SCROLLBACK_CHARACTERS_MAX
  return {
    name: isDefault
      ? "buffers"
      : `buffers-${tailBytes.toString(36)}-${linesMax.toString(36)}-${charactersMax.toString(36)}`,
    version: 1,
    initial,
    fold: (state, { event }) => {
      if (event._tag === "EventsRemoved") {
        state.missingBytes += Math.max(0, event.outputBytes - state.offset)
        state.offset = Math.max(state.offset, event.outputBytes)
        return state
      }
      if (event._tag !== "OutputReceived" || event.channel !== "tty") return state
      if (event.offset > state.offset) state.missingBytes += event.offset - state.offset
      state.offset = event.offset + event.data.length
      writeRing(state, event.data)
      feedPlainText(state.text, event.data, (line) => push(state, line, linesMax, charactersMax))
      return state
    },
    encode: (state) => {
      // How wide the terminal is, is not followed here: a line is one row.
      const { columns: _columns, line, row: _row, ...text } = state.text
      const lines = state.lines.slice(state.first)
      return encodeSnapshot(
        {
          bytes: state.bytes,
          missingBytes: state.missingBytes,
          offset: state.offset,
          droppedLines: state.droppedLines,
          lineCount: lines.length,
          text
        },
        [rawTail(state).bytes, Buffer.from(lines.join("\n")), codePointBytes(line.subarray(0, text.length))]
      )
    },
    decode: (bytes) => {
      const { state: header, parts } = decodeSnapshot<Header>(bytes, 3)
      const state = initial()
      const { columns: _columns, line: _line, row: _row, ...text } = state.text
      assertShape(header, { bytes: 0, missingBytes: 0, offset: 0, droppedLines: 0, lineCount: 0, text: {} })
      assertShape(header.text, text)
      const [tail, lines, line] = parts as [Uint8Array, Uint8Array, Uint8Array]
      if (tail.length !== Math.min(header.bytes, tailBytes)) throw new Error("snapshot: bad tail")
      state.bytes = header.bytes - tail.length
      writeRing(state, tail)
      Object.assign(state, {
        missingBytes: header.missingBytes,
        offset: header.offset,
        droppedLines: header.droppedLines
      })
      state.lines = header.lineCount === 0 ? [] : Buffer.from(lines).toString().split("\n")
      if (state.lines.length !== header.lineCount) throw new Error("snapshot: bad lines")
      for (const one of state.lines) state.characters += one.length + 1
      Object.assign(state.text, header.text)
      if (header.text.length > LINE_CHARACTERS_MAX || line.length !== header.text.length * 4) {
        throw new Error("snapshot: bad line")
      }
      const view = new DataView(line.buffer, line.byteOffset, line.length)
      for (let at = 0; at < header.text.length; at++) state.text.line[at] = view.getUint32(at * 4, true)
      return state
    },
    mask: (state, mask) => {
      const { bytes, cutBytes } = rawTail(state)
      state.bytes = cutBytes
      writeRing(state, mask.output(bytes, cutBytes > 0))
      // With the line that is open: what is looked for may go over several.
      const lines = mask.text([...state.lines.slice(state.first), openLine(state.text)].join("\n")).split("\n")
      const open = Array.from(lines.pop() ?? "", (character) => character.codePointAt(0)!)
      state.lines = lines
      state.first = 0
      state.text.line.set(open.slice(0, state.text.length))
      return state
    }
  }
}

/** The buffers with the default caps. */
export const Buffers = makeBuffers()

/** The last `limit` bytes. */
export const rawTail = (state: BuffersState, limit = state.ring.length): RawTail => {
  const size = state.ring.length
  const length = Math.min(state.bytes, size, Math.max(0, limit))
  const bytes = new Uint8Array(length)
  const start = (state.bytes - length) % size
  const head = Math.min(length, size - start)
  if (length > 0) {
    bytes.set(state.ring.subarray(start, start + head))
    bytes.set(state.ring.subarray(0, length - head), head)
  }
  return { bytes, cutBytes: state.bytes - length }
}

/** The same, cut at characters' borders: for who shows or decodes it. */
export const rawTailText = (state: BuffersState, limit?: number): RawTail => {
  const { bytes, cutBytes } = rawTail(state, limit)
  const head = cutBytes === 0 ? 0 : orphanHead(bytes)
  return {
    bytes: bytes.subarray(head, Math.max(head, bytes.length - incompleteTail(bytes))),
    cutBytes: cutBytes + head
  }
}

/** The last `limit` complete lines and the open one. */
export const textTail = (state: BuffersState, limit = Number.POSITIVE_INFINITY): TextTail => {
  const from = Math.max(state.first, state.lines.length - limit)
  return {
    lines: state.lines.slice(from),
    open: state.text.alternate ? "" : openLine(state.text),
    droppedLines: state.droppedLines + (from - state.first)
  }
}

interface Header {
  readonly bytes: number
  readonly missingBytes: number
  readonly offset: number
  readonly droppedLines: number
  readonly lineCount: number
  readonly text: Omit<PlainText, "line">
}

const writeRing = (state: BuffersState, data: Uint8Array): void => {
  const size = state.ring.length
  const from = Math.max(0, data.length - size)
  const start = (state.bytes + from) % size
  const head = Math.min(data.length - from, size - start)
  state.ring.set(data.subarray(from, from + head), start)
  state.ring.set(data.subarray(from + head), 0)
  state.bytes += data.length
}

/** Dropped lines are cut off the array in batches, so that a drop costs nothing on average. */
const COMPACT_LINES = 1024

const push = (state: BuffersState, line: string, linesMax: number, charactersMax: number): void => {
  state.lines.push(line)
  state.characters += line.length + 1
  while (state.lines.length - state.first > linesMax || state.characters > charactersMax) {
    state.characters -= state.lines[state.first]!.length + 1
    // Lets the dropped line go before the array is compacted.
    state.lines[state.first] = ""
    state.first++
    state.droppedLines++
  }
  if (state.first >= COMPACT_LINES) {
    state.lines = state.lines.slice(state.first)
    state.first = 0
  }
}

const codePointBytes = (line: Uint32Array): Uint8Array => {
  const bytes = new Uint8Array(line.length * 4)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < line.length; at++) view.setUint32(at * 4, line[at]!, true)
  return bytes
}
