/**
 * A filter for terminal output in front of the emulator (Screen.ts): what comes out of it is valid UTF-8 made of text,
 * control characters and complete, short, clamped escape sequences, and nothing else. A 14-byte sequence can otherwise
 * occupy an emulator for minutes, and an unterminated string grow it without end. It is an allow list: strings that
 * change nothing in a headless screen (DCS, APC, PM, SOS, every OSC but the title) and queries are left out, so hostile
 * ones cost nothing, can never be answered, and the emulator is always between two sequences, which is what makes
 * its state a snapshot. What a well-behaved program shows never changes.
 *
 * Hyperlinks (OSC 8) are among the strings left out: the text of a link is shown, its address is no part of a screen of
 * characters, and each link costs the emulator a marker for ever.
 *
 * State is carried over chunk borders: the same bytes give the same result however they are split.
 */
import { isUtf8 } from "node:buffer"
import type { TerminalSize } from "../journal/Event.ts"
import {
  clearInputModes,
  type InputModes,
  makeInputModes,
  noteControl,
  restoreInputModes,
  type SavedInputModes,
  saveInputModes
} from "./InputModes.ts"
import type { TextMask } from "./TextMask.ts"
import { incompleteTail } from "./utf8.ts"

/** Largest parameter of a CSI: what xterm and VTE clamp to (the kernel's sizes are 16 bits too). */
const CSI_PARAMETER_MAX = 65_535
/** Parameters of one CSI; the emulator reads 32 and ignores more. */
const CSI_PARAMETERS_MAX = 32
/** Bytes of one CSI's parameters: 32 of them in their longest useful form take far less. The rest is dropped. */
const CSI_BYTES_MAX = 1024
/** Bytes of one OSC that are kept. Only titles pass, and 256 characters of one are shown; the rest is dropped. */
const OSC_BYTES_MAX = 4096
/** An OSC that no terminal knows, in the place of one of which a part was dropped. */
const OSC_WITHOUT_MEANING = "65535;"
/** Intermediate bytes of an escape sequence; none in use has more than two. */
const INTERMEDIATES_MAX = 4

const GROUND = 0
const ESCAPE = 1
const CSI = 2
const OSC = 3
const OSC_ESCAPE = 4
const STRING = 5
const STRING_ESCAPE = 6

export interface ScreenGuard {
  size: TerminalSize
  phase: number
  /** Bytes of the sequence that is open, without its introducer. */
  readonly held: Uint8Array
  heldLength: number
  /** Start of a UTF-8 character whose end has not come yet. */
  partial: Uint8Array
  /** What the emulator behind it takes no notice of. */
  readonly modes: InputModes
}

const NOTHING = new Uint8Array(0)
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

export const makeScreenGuard = (size: TerminalSize): ScreenGuard => ({
  size,
  phase: GROUND,
  held: new Uint8Array(OSC_BYTES_MAX),
  heldLength: 0,
  partial: NOTHING,
  modes: makeInputModes()
})

/** The bytes to give to the emulator. The result may be `data` itself. */
export const guard = (state: ScreenGuard, data: Uint8Array): Uint8Array => {
  let bytes = wellFormed(state, data)
  if (state.phase === STRING || (state.phase === OSC && state.heldLength === OSC_BYTES_MAX)) {
    // Megabytes of a string that is left out make no other bytes: they are passed over where they are.
    const end = endOfDropped(state.phase, bytes)
    if (end === -1) return NOTHING
    bytes = bytes.subarray(end)
  }
  if (state.phase === GROUND && bytes.indexOf(0x1b) === -1 && bytes.indexOf(0xc2) === -1) return bytes
  return filter(state, bytes)
}

/** The first byte that may end a string; -1 without one. */
const endOfDropped = (phase: number, bytes: Uint8Array): number => {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === 0x1b || byte === 0xc2 || byte === 0x18 || byte === 0x1a || (byte === 0x07 && phase === OSC)) return at
  }
  return -1
}

/** Whole characters only, invalid ones replaced; so no decoder after this one ever has to guess. */
const wellFormed = (state: ScreenGuard, data: Uint8Array): Uint8Array => {
  let bytes = data
  if (state.partial.length > 0) {
    bytes = new Uint8Array(state.partial.length + data.length)
    bytes.set(state.partial)
    bytes.set(data, state.partial.length)
    state.partial = NOTHING
  }
  const tail = incompleteTail(bytes)
  if (tail > 0) {
    state.partial = bytes.slice(bytes.length - tail)
    bytes = bytes.subarray(0, bytes.length - tail)
  }
  return isUtf8(bytes) ? bytes : Buffer.from(decoder.decode(bytes))
}

/** Where the result goes: never longer than what was held, what came, and one introducer. */
interface Output {
  readonly bytes: Uint8Array
  length: number
}

const filter = (state: ScreenGuard, bytes: Uint8Array): Uint8Array => {
  const output: Output = { bytes: new Uint8Array(state.heldLength + bytes.length + 8), length: 0 }
  const out = output.bytes
  const end = bytes.length
  for (let at = 0; at < end; at++) {
    let byte = bytes[at]!
    if (state.phase === GROUND) {
      // Text: copied until something begins.
      let length = output.length
      while (byte !== 0x1b && byte !== 0xc2) {
        out[length++] = byte
        if (++at >= end) break
        byte = bytes[at]!
      }
      output.length = length
      if (at >= end) break
    }
    if (state.phase === STRING) {
      // Dropped bytes: skipped until something ends the string.
      while (byte !== 0x1b && byte !== 0xc2 && byte !== 0x18 && byte !== 0x1a) {
        if (++at >= end) break
        byte = bytes[at]!
      }
      if (at >= end) break
    }
    if (byte === 0xc2 && bytes[at + 1]! < 0xa0) {
      c1(state, bytes[++at]!, output)
      continue
    }
    step(state, byte, output)
  }
  return out.subarray(0, output.length)
}

/** A C1 control in its UTF-8 form. It ends whatever is open. */
const c1 = (state: ScreenGuard, code: number, output: Output): void => {
  if (code === 0x9c && state.phase === OSC) {
    finishOsc(state, output)
    return
  }
  state.heldLength = 0
  state.phase =
    code === 0x9b
      ? CSI
      : code === 0x9d
        ? OSC
        : code === 0x90 || code === 0x98 || code === 0x9e || code === 0x9f
          ? STRING
          : GROUND
  if (state.phase === GROUND && code !== 0x9c) {
    output.bytes[output.length++] = 0xc2
    output.bytes[output.length++] = code
  }
}

const step = (state: ScreenGuard, byte: number, output: Output): void => {
  if (byte === 0x1b) {
    if (state.phase === OSC) state.phase = OSC_ESCAPE
    else if (state.phase === STRING) state.phase = STRING_ESCAPE
    else {
      state.phase = ESCAPE
      state.heldLength = 0
    }
    return
  }
  if (byte === 0x18 || byte === 0x1a) {
    // CAN and SUB end any sequence without running it.
    state.phase = GROUND
    state.heldLength = 0
    return
  }
  switch (state.phase) {
    case GROUND:
      output.bytes[output.length++] = byte
      return
    case ESCAPE:
      escapeSequence(state, byte, output)
      return
    case CSI:
      csi(state, byte, output)
      return
    case OSC:
      if (byte === 0x07) finishOsc(state, output)
      else if (byte >= 0x20 && state.heldLength < OSC_BYTES_MAX) state.held[state.heldLength++] = byte
      return
    case STRING:
      // BEL does not end these; only ST, CAN, SUB and another sequence do.
      return
    case OSC_ESCAPE:
      if (byte === 0x5c) {
        finishOsc(state, output)
        return
      }
      break
    case STRING_ESCAPE:
      if (byte === 0x5c) {
        state.phase = GROUND
        return
      }
      break
  }
  // ESC and anything but `\` in a string: the string ends, and this is the escape sequence.
  state.heldLength = 0
  state.phase = ESCAPE
  escapeSequence(state, byte, output)
}

const escapeSequence = (state: ScreenGuard, byte: number, output: Output): void => {
  if (byte < 0x20) {
    // Control characters inside a sequence act at once.
    output.bytes[output.length++] = byte
    return
  }
  if (byte === 0x7f) return
  if (byte >= 0x80) {
    state.phase = GROUND
    output.bytes[output.length++] = byte
    return
  }
  if (byte <= 0x2f) {
    if (state.heldLength < INTERMEDIATES_MAX) state.held[state.heldLength++] = byte
    return
  }
  if (state.heldLength === 0) {
    if (byte === 0x5b || byte === 0x5d || byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) {
      state.phase = byte === 0x5b ? CSI : byte === 0x5d ? OSC : STRING
      return
    }
  }
  state.phase = GROUND
  if (byte === 0x63 && state.heldLength === 0) clearInputModes(state.modes)
  output.bytes[output.length++] = 0x1b
  for (let index = 0; index < state.heldLength; index++) output.bytes[output.length++] = state.held[index]!
  output.bytes[output.length++] = byte
  state.heldLength = 0
}

const csi = (state: ScreenGuard, byte: number, output: Output): void => {
  if (byte < 0x20) output.bytes[output.length++] = byte
  else if (byte < 0x40) {
    if (state.heldLength < CSI_BYTES_MAX) state.held[state.heldLength++] = byte
  } else if (byte < 0x7f) {
    state.phase = GROUND
    finishCsi(state, byte, output)
    state.heldLength = 0
  } else if (byte > 0x7f) {
    // Not a byte of any sequence: the emulator would give the sequence up, and so is it here.
    state.phase = GROUND
    state.heldLength = 0
    output.bytes[output.length++] = byte
  }
}

const finishOsc = (state: ScreenGuard, output: Output): void => {
  const { held } = state
  let length = state.heldLength
  state.phase = GROUND
  state.heldLength = 0
  if (length < 2 || (held[0] !== 0x30 && held[0] !== 0x32) || held[1] !== 0x3b) return
  length -= incompleteTail(held, length)
  const out = output.bytes
  out[output.length++] = 0x1b
  out[output.length++] = 0x5d
  out.set(held.subarray(0, length), output.length)
  output.length += length
  out[output.length++] = 0x07
}

/** Prefix (`<=>?`), parameters, intermediates; anything else is not a control sequence. */
const CSI_FORM = /^([<=>?]?)([0-9;:]*)([ -/]*)$/

const finishCsi = (state: ScreenGuard, final: number, output: Output): void => {
  const { held, heldLength } = state
  // Most sequences are short colours: no parameter of two digits needs a look, and nothing is decoded.
  if (final !== 0x6d || heldLength > 24 || !plainDigits(held, heldLength)) {
    const text = Buffer.from(held.buffer, held.byteOffset, heldLength).toString("latin1")
    const match = CSI_FORM.exec(text)
    if (match === null) return
    const [, prefix, parameters, intermediates] = match as unknown as [string, string, string, string]
    if (isDropped(prefix, intermediates, final)) return
    const clamped = clamp(parameters, limitOf(state.size, intermediates, final))
    if (intermediates === "") noteControl(state.modes, prefix, clamped, final)
    const sequence = `\x1b[${prefix}${clamped}${intermediates}${String.fromCharCode(final)}`
    for (let index = 0; index < sequence.length; index++) output.bytes[output.length++] = sequence.charCodeAt(index)
    return
  }
  const out = output.bytes
  out[output.length++] = 0x1b
  out[output.length++] = 0x5b
  for (let index = 0; index < heldLength; index++) out[output.length++] = held[index]!
  out[output.length++] = final
}

/** Digits and semicolons, no number of more than three digits. */
const plainDigits = (held: Uint8Array, length: number): boolean => {
  let digits = 0
  for (let index = 0; index < length; index++) {
    const byte = held[index]!
    if (byte === 0x3b) digits = 0
    else if (byte < 0x30 || byte > 0x39 || ++digits > 3) return false
  }
  return true
}

/** Queries (device attributes, status, modes) and window operations: nothing of them is seen on a screen. */
const isDropped = (prefix: string, intermediates: string, final: number): boolean =>
  intermediates === ""
    ? final === 0x63 || final === 0x6e || final === 0x74 || (final === 0x71 && prefix === ">")
    : intermediates === "$" && final === 0x70

/** What repeats work is clamped to what the screen can use; the rest to 16 bits. */
const limitOf = ({ cols, rows }: TerminalSize, intermediates: string, final: number): number => {
  switch (final) {
    case 0x62: // b: repeat the last character
      return cols * rows
    case 0x4c: // L, M: insert and delete lines; S, T: scroll
    case 0x4d:
    case 0x53:
    case 0x54:
      return rows
    case 0x50: // P, X: delete and erase characters; I, Z: tabs
    case 0x58:
    case 0x49:
    case 0x5a:
      return cols
    case 0x40: // @: insert characters; with a space: scroll left
      return cols
    case 0x41: // A with a space: scroll right; else the cursor, which costs nothing
      return intermediates === " " ? cols : CSI_PARAMETER_MAX
    case 0x7d: // '}, '~: insert and delete columns
    case 0x7e:
      return cols
    default:
      return CSI_PARAMETER_MAX
  }
}

const clamp = (parameters: string, limit: number): string => {
  let count = 1
  let result = ""
  for (const token of parameters.split(/([;:])/)) {
    if (token === ";" || token === ":") {
      if (++count > CSI_PARAMETERS_MAX) break
      result += token
    } else if (token !== "") result += token.length < 3 && limit >= 99 ? token : String(Math.min(Number(token), limit))
  }
  return result
}

/** What of a guard belongs in a snapshot of its screen. */
export interface ScreenGuardState {
  readonly phase: number
  readonly held: string
  readonly partial: string
  /** Absent where none was ever set, and in what older versions wrote. */
  readonly modes?: SavedInputModes | undefined
}

export const saveScreenGuard = (state: ScreenGuard): ScreenGuardState => {
  const modes = saveInputModes(state.modes)
  return {
    phase: state.phase,
    held: Buffer.from(state.held.subarray(0, state.heldLength)).toString("base64"),
    partial: Buffer.from(state.partial).toString("base64"),
    ...(modes !== undefined && { modes })
  }
}

/** What an open string has so far may hold what is to go. */
export const maskScreenGuard = (saved: ScreenGuardState, mask: TextMask): ScreenGuardState => {
  if (saved.phase !== OSC && saved.phase !== OSC_ESCAPE) return saved
  const held = mask.controlString(Buffer.from(saved.held, "base64"))
  return { ...saved, held: Buffer.from(held).toString("base64") }
}

/**
 * The bytes that bring another terminal into the same unfinished sequence, so that the output that finishes it does
 * there what it does here. Of what the guard drops, something is opened that terminals drop too, with the same end.
 */
export const openSequence = (saved: ScreenGuardState): Uint8Array => {
  const held = Buffer.from(saved.held, "base64")
  const partial = Buffer.from(saved.partial, "base64")
  return Buffer.concat([Buffer.from(OPENINGS[saved.phase] ?? ""), openString(saved.phase, held), partial])
}

/** By phase. SOS stands for any of the strings that only ST ends: terminals take it in and do nothing with it. */
const OPENINGS = ["", "\x1b", "\x1b[", "\x1b]", "\x1b]", "\x1bX", "\x1bX\x1b"]

const openString = (phase: number, held: Buffer): Buffer => {
  if (phase !== OSC && phase !== OSC_ESCAPE) return held
  const isCut = held.length === OSC_BYTES_MAX && held[1] !== 0x3b
  const start = isCut ? Buffer.from(OSC_WITHOUT_MEANING) : held
  return phase === OSC ? start : Buffer.concat([start, Buffer.of(0x1b)])
}

export const restoreScreenGuard = (size: TerminalSize, saved: ScreenGuardState): ScreenGuard => {
  const state: ScreenGuard = { ...makeScreenGuard(size), modes: restoreInputModes(saved.modes) }
  const held = Buffer.from(saved.held, "base64")
  if (held.length > OSC_BYTES_MAX || saved.phase < GROUND || saved.phase > STRING_ESCAPE) {
    throw new Error("snapshot: bad guard")
  }
  state.phase = saved.phase
  state.held.set(held)
  state.heldLength = held.length
  state.partial = new Uint8Array(Buffer.from(saved.partial, "base64"))
  return state
}
