/**
 * Finds the operating system commands (OSC) in a terminal's output: `ESC ] payload BEL` and `ESC ] payload ESC \`. The
 * projections of the working directory, the title and a shell's prompt marks use it. It carries its state over chunk borders, so that the same
 * bytes give the same sequences however they are split, and it never holds more than one capped payload.
 *
 * U+009D and U+009C (as UTF-8: `c2 9d`, `c2 9c`) begin and end one too, as in every UTF-8 terminal. The 8-bit forms
 * 0x9d and 0x9c never do: these bytes are the ends of ordinary characters (`”` is `e2 80 9d`).
 */

import type { TextMask } from "./TextMask.ts"

/** Bytes kept of one payload, unless more is asked for. A path has at most 4,096 (PATH_MAX); what is longer is not one. */
export const OSC_PAYLOAD_BYTES_MAX = 4096

const GROUND = 0
const ESCAPE = 1
const C2 = 2
const STRING = 3
const STRING_ESCAPE = 4
const STRING_C2 = 5

export interface OscScanner {
  phase: number
  /** Payload so far; allocated when the first sequence begins. */
  held: Uint8Array | null
  length: number
  /** The payload was longer than the cap; its rest was dropped. */
  truncated: boolean
  /** Bytes kept of one payload. */
  readonly cap: number
  /** Where the open sequence began, as an index into the chunk that is read: below 0 in an earlier one. Not in a snapshot. */
  from: number
}

export const makeOscScanner = (cap = OSC_PAYLOAD_BYTES_MAX): OscScanner => ({
  phase: GROUND,
  held: null,
  length: 0,
  truncated: false,
  cap,
  from: 0
})

const INTRODUCER = Buffer.from([0x1b, 0x5d])
const INTRODUCER_C1 = Buffer.from([0xc2, 0x9d])

/**
 * What is found: a payload, valid during the call only, and where its sequence stands in `data`: from the introducer (below
 * 0 where that was in an earlier chunk) to behind the terminator.
 */
export type FoundOsc = (payload: Uint8Array, truncated: boolean, from: number, to: number) => void

/** Calls `found` with each complete payload. */
export const scanOsc = (scanner: OscScanner, data: Uint8Array, found: FoundOsc): void => {
  scan(scanner, data, found)
  if (scanner.phase >= STRING) scanner.from -= data.length
}

const scan = (scanner: OscScanner, data: Uint8Array, found: FoundOsc): void => {
  const length = data.length
  if (length === 0) return
  const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, length)
  let at = 0
  // Each search is native and its answer is used until the scan has passed it: a chunk without OSC costs one of each.
  let next7 = -2
  let nextC1 = -2
  while (at < length) {
    if (scanner.phase === GROUND) {
      if (next7 !== -1 && next7 < at) next7 = bytes.indexOf(INTRODUCER, at)
      if (nextC1 !== -1 && nextC1 < at) nextC1 = bytes.indexOf(INTRODUCER_C1, at)
      const next = next7 === -1 ? nextC1 : nextC1 === -1 ? next7 : Math.min(next7, nextC1)
      if (next === -1) {
        const last = bytes[length - 1]
        scanner.phase = last === 0x1b ? ESCAPE : last === 0xc2 ? C2 : GROUND
        return
      }
      begin(scanner, next)
      at = next + 2
      continue
    }
    const byte = bytes[at]!
    switch (scanner.phase) {
      case ESCAPE:
        if (byte === 0x5d) begin(scanner, at - 1)
        else if (byte !== 0x1b) {
          scanner.phase = GROUND
          // Not consumed: it may itself be the first byte of an introducer.
          continue
        }
        at++
        continue
      case C2:
        if (byte === 0x9d) {
          begin(scanner, at - 1)
          at++
        } else scanner.phase = GROUND
        continue
      case STRING_ESCAPE:
        if (byte === 0x5c) finish(scanner, found, at + 1)
        else if (byte === 0x5d) begin(scanner, at - 1)
        else if (byte === 0x1b) scanner.phase = ESCAPE
        else {
          // ESC and anything else ends the string without running it.
          scanner.phase = GROUND
          continue
        }
        at++
        continue
      case STRING_C2:
        if (byte === 0x9c) finish(scanner, found, at + 1)
        else if (byte === 0x9d) begin(scanner, at - 1)
        else {
          put(scanner, 0xc2)
          scanner.phase = STRING
          continue
        }
        at++
        continue
      default:
        at = string(scanner, bytes, at, found)
    }
  }
}

/** The payload's bytes from `at` on; gives back where it stopped. */
const string = (scanner: OscScanner, bytes: Uint8Array, at: number, found: FoundOsc): number => {
  for (; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte >= 0x20 && byte !== 0xc2) put(scanner, byte)
    else if (byte === 0x07) {
      finish(scanner, found, at + 1)
      return at + 1
    } else if (byte === 0x1b) {
      scanner.phase = STRING_ESCAPE
      return at + 1
    } else if (byte === 0xc2) {
      scanner.phase = STRING_C2
      return at + 1
    } else if (byte === 0x18 || byte === 0x1a) {
      scanner.phase = GROUND
      return at + 1
    }
    // Other control characters are ignored inside a string, as terminals do.
  }
  return at
}

const begin = (scanner: OscScanner, from: number): void => {
  scanner.phase = STRING
  scanner.from = from
  scanner.length = 0
  scanner.truncated = false
  scanner.held ??= new Uint8Array(scanner.cap)
}

const put = (scanner: OscScanner, byte: number): void => {
  if (scanner.length < scanner.cap) scanner.held![scanner.length++] = byte
  else scanner.truncated = true
}

const finish = (scanner: OscScanner, found: FoundOsc, to: number): void => {
  scanner.phase = GROUND
  found(scanner.held!.subarray(0, scanner.length), scanner.truncated, scanner.from, to)
}

/** What of a scanner belongs in a snapshot: the held payload only while a sequence is open. */
export const scannerHeader = (scanner: OscScanner) => ({ phase: scanner.phase, truncated: scanner.truncated })
export const scannerPart = (scanner: OscScanner): Uint8Array =>
  scanner.held === null || scanner.phase < STRING ? new Uint8Array(0) : scanner.held.subarray(0, scanner.length)

/** What the open sequence has so far may hold what is to go. */
export const maskScanner = (scanner: OscScanner, mask: TextMask): void => {
  const held = scannerPart(scanner)
  if (held.length > 0) scanner.held!.set(mask.controlString(held))
}

export const restoreScanner = (header: { phase: number; truncated: boolean }, part: Uint8Array): OscScanner => {
  if (!Number.isInteger(header.phase) || header.phase < GROUND || header.phase > STRING_C2) {
    throw new Error("snapshot: bad scanner")
  }
  if (part.length > OSC_PAYLOAD_BYTES_MAX) throw new Error("snapshot: bad scanner")
  const scanner = makeOscScanner()
  if (header.phase >= STRING) {
    begin(scanner, 0)
    scanner.held!.set(part)
    scanner.length = part.length
  }
  scanner.phase = header.phase
  scanner.truncated = header.truncated === true
  return scanner
}
