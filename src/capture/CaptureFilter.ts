/**
 * Replaces in a stream of bytes what rules find, before the stream is journaled: as many bytes and cells take the place of
 * each character (CellMask.ts), colours and other sequences stay. What may be the beginning of a match is held back until
 * more has come or its holder's time is over (`release`). It knows nothing of time, sessions and journals.
 *
 * **Details** A window of the last characters is searched anew with each piece, so what is found does not depend on where the
 * stream was cut. It holds what a match that goes on can have, and what rules look back at. Control strings (OSC, DCS …) are
 * held until their end and searched in each of the ways in which terminals and shells write text in them.
 */

import { ByteScan } from "../redact/ByteScan.ts"
import { cellsOf, isInvisible, maskOf } from "../redact/CellMask.ts"
import { stringViews } from "../redact/StringText.ts"
import type { CaptureRule } from "./CaptureRule.ts"

/** Characters before a place that is searched: what a rule looks back at. */
const CONTEXT_UNITS = 256
/** Held at most: beyond, it is given out as when its time is over. The longest matches of the named rules have 16 Ki. */
const HELD_BYTES_MAX = 40 * 1024
/** A match that goes on for longer is none. */
const WINDOW_UNITS_MAX = 44 * 1024
/** What a next filter is asked to begin with, at most: far less than a keeper holds before it pauses the program. */
const NEEDED_BYTES_MAX = 64 * 1024
/** Of a row that is changed, so much of its end is looked at as it was and as it is. */
const ROW_UNITS_MAX = 512
/** Units that gather within one piece, from rows that are changed, before they are searched. */
const GATHERED_UNITS_MAX = 128 * 1024
/** Bytes of a control string that are searched at once; a longer one is searched in pieces that overlap. */
const STRING_BYTES_MAX = 32 * 1024
const STRING_OVERLAP_BYTES = 2 * 1024

/** A line feed takes the place of the carriage return before it: so much of what was searched can be another. */
const LINE_END_UNITS = 2

/** Where the cursor jumped: no rule finds anything across it. */
const JUMP = 0x0b
const BACKSPACE = 0x08
const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const DELETE = 0x7f

export interface Captured {
  /** Given out, in order and contiguous; may be the piece that was pushed, and is valid as long as that. */
  readonly bytes: Uint8Array
  /** Replaced bytes among them. */
  readonly replaced: number
  /** By rule, matches of which something was replaced for the first time. */
  readonly matches: ReadonlyMap<string, number>
}

export interface CaptureFilterOptions {
  readonly rules: ReadonlyArray<CaptureRule>
  /** Where the first byte stands in the stream. */
  readonly position?: number | undefined
  /** Bytes before this are known to be out: they are only looked at, for what goes on from them. */
  readonly outTo?: number | undefined
  /** Cells of a row, where a word that reaches its end goes on in the next one. */
  readonly cols?: number | undefined
  /** Keys that somebody types, and not what a terminal shows. */
  readonly isTyped?: boolean | undefined
}

/** What takes the place of a character, and for which match. */
interface Edit {
  readonly bytes: Uint8Array
  readonly rule: string
  /** Where that match begins. */
  readonly start: number
}

export class CaptureFilter {
  readonly #rules: ReadonlyArray<CaptureRule>
  readonly #scan: ByteScan
  readonly #isTyped: boolean
  #cols: number
  /** The window: UTF-16 units, and for each where its character's bytes begin and how many they are. */
  #units = new Uint16Array(1024)
  #from = new Float64Array(1024)
  #bytes = new Uint8Array(1024)
  #length = 0
  /** The next character comes here: `#length`, or less after a backspace. */
  #cursor = 0
  /** First unit of the row that the cursor is in. */
  #row = 0
  #col = 0
  /**
   * Where a blank (readline) or a carriage return stands that came behind a full row, and is in the window only when what
   * follows shows that the word ended there; -1: there is none.
   */
  #wrapBlankAt = -1
  #wrapReturnAt = -1
  /** Something was printed since the row was last copied. */
  #isRowNew = false
  /** First unit of an open match, as of the last search; the window's length when there is none. */
  #openFrom = 0
  /** The same by rule; -1 for none. */
  readonly #opens: Int32Array
  /** Units that were searched: where nothing was open, what begins now begins behind them. */
  #searched = 0
  /** Bytes before this are out. */
  #out: number
  /** Behind the last byte that was pushed. */
  #position: number
  /** The bytes from `#out` to `#position`. */
  #held: Uint8Array = NO_BYTES
  /** Where a control string's first byte stands that has not ended; -1 outside of one. */
  #stringFrom = -1
  #string: Array<number> = []
  #stringAt: Array<number> = []
  /** By where their bytes stand. */
  readonly #edits = new Map<number, Edit>()
  /** The same of matches that reach the end of the window: searched anew with what follows. */
  #tentative = new Map<number, Edit>()
  /** Not behind the beginning of a sequence or a character whose end has not come. */
  #wholeTo: number
  /** Where a character of several bytes begins whose end has not come; -1: there is none. */
  #characterFrom = -1
  /** Where matches began that were counted, by rule. */
  readonly #counted = new Map<string, Set<number>>()

  constructor({ cols, isTyped, outTo, position = 0, rules }: CaptureFilterOptions) {
    this.#rules = rules
    this.#opens = new Int32Array(rules.length).fill(-1)
    this.#cols = cols ?? Number.POSITIVE_INFINITY
    this.#isTyped = isTyped ?? false
    this.#position = position
    this.#wholeTo = position
    this.#out = Math.max(position, outTo ?? 0)
    this.#scan = new ByteScan({
      print: (code, from, to) => this.#print(code, from, to),
      control: (code, from, to) => this.#control(code, from, to),
      escape: () => undefined,
      sequence: (final, parameters, isPrivate) => {
        if (!isPrivate) this.#sequence(final, parameters[0] ?? 0)
      },
      stringStart: () => {
        this.#stringFrom = Number.POSITIVE_INFINITY
        this.#string = []
        this.#stringAt = []
      },
      stringByte: (byte, at) => {
        if (this.#stringFrom === Number.POSITIVE_INFINITY) this.#stringFrom = at
        this.#string.push(byte)
        this.#stringAt.push(at)
        if (this.#string.length >= STRING_BYTES_MAX) this.#searchString(STRING_OVERLAP_BYTES)
      },
      stringEnd: () => {
        this.#searchString(0)
        this.#stringFrom = -1
      }
    })
  }

  /** Behind the last byte that was pushed. */
  get position(): number {
    return this.#position
  }

  get heldBytes(): number {
    return Math.max(0, this.#position - this.#out)
  }

  /** Whoever goes on from here with another filter needs no byte before this; never behind what is out. */
  get neededFrom(): number {
    let needed = Math.min(this.#out, this.#wholeTo)
    const first = Math.max(0, this.#openFrom - CONTEXT_UNITS)
    if (this.#openFrom < this.#length)
      for (let at = first; at < this.#length; at++) needed = Math.min(needed, this.#from[at]!)
    return Math.min(this.#out, Math.max(needed, this.#position - NEEDED_BYTES_MAX))
  }

  resize(cols: number): void {
    this.#cols = cols
    this.#col = Number.NaN
  }

  push(piece: Uint8Array): Captured {
    const base = this.#position
    this.#position += piece.byteLength
    if (this.#scan.isGround && isPlainText(piece)) {
      for (let at = 0; at < piece.length; at++) {
        const byte = piece[at]!
        if (byte >= SPACE) this.#print(byte, base + at, base + at + 1)
        else this.#control(byte, base + at, base + at + 1)
      }
      this.#wholeTo = this.#position
    } else {
      this.#scan.feed(piece, base)
      // Else it stays at the piece with which a sequence or a character began.
      if (this.#scan.isGround) this.#wholeTo = this.#position
      this.#characterFrom = this.#scan.isGround ? -1 : this.#incompleteFrom(piece)
    }
    return this.#give(piece, false)
  }

  /** Its time is over, or something is to stand behind it: all that is held, masked where a match has shown itself. */
  release(): Captured {
    return this.#give(NO_BYTES, true)
  }

  // --- what the stream says ------------------------------------------------------------------------------------------

  #print(code: number, from: number, to: number): void {
    if (code >= 0xad && isInvisible(code)) return
    this.#endWrap()
    if (this.#col >= this.#cols) {
      this.#col = 0
      if (code === SPACE) {
        this.#col = 1
        this.#wrapBlankAt = from
        return
      }
    }
    if (code < 0x10000) this.#put(code, from, to - from)
    else {
      this.#put(0xd800 + ((code - 0x10000) >> 10), from, to - from)
      this.#put(0xdc00 + (code & 0x3ff), from, to - from)
    }
    this.#col += code < 0x300 ? 1 : cellsOf(code)
  }

  #put(unit: number, from: number, bytes: number): void {
    if (this.#cursor < this.#length) this.#copyRow()
    if (this.#cursor === this.#units.length) this.#grow()
    this.#isRowNew = true
    const at = this.#cursor++
    this.#units[at] = unit
    this.#from[at] = from
    this.#bytes[at] = bytes
    if (this.#cursor > this.#length) this.#length = this.#cursor
  }

  /** No line end follows that would join the rows. */
  #endWrap(): void {
    if (this.#wrapBlankAt >= 0) {
      const at = this.#wrapBlankAt
      this.#wrapBlankAt = -1
      this.#put(SPACE, at, 1)
    }
    if (this.#wrapReturnAt < 0) return
    const at = this.#wrapReturnAt
    this.#wrapReturnAt = -1
    this.#put(CR, at, 1)
    this.#row = this.#cursor
  }

  #control(code: number, from: number, to: number): void {
    if (code === CR && this.#wrapBlankAt >= 0) {
      this.#wrapBlankAt = -1
      this.#col = 0
      return
    }
    if (code === LF && this.#wrapReturnAt >= 0) {
      this.#wrapReturnAt = -1
      this.#row = this.#cursor
      return
    }
    if (code !== CR || this.#wrapReturnAt < 0) this.#endWrap()
    switch (code) {
      case DELETE:
        if (!this.#isTyped) return
        this.#back(1)
        this.#cut(this.#length - this.#cursor)
        return
      case BACKSPACE:
        this.#back(1)
        if (this.#isTyped) this.#cut(this.#length - this.#cursor)
        return
      case TAB:
        this.#put(TAB, from, to - from)
        this.#col = (Math.floor(this.#col / 8) + 1) * 8
        return
      case CR:
        this.#cursor = this.#length
        if (this.#col === this.#cols) this.#wrapReturnAt = from
        else if (this.#wrapReturnAt < 0) {
          // Enter is what ends a line of what is typed; a text has line feeds.
          this.#put(this.#isTyped ? LF : CR, from, to - from)
          this.#row = this.#cursor
        }
        this.#col = 0
        return
      case LF:
        this.#cursor = this.#length
        if (this.#length > 0 && this.#units[this.#length - 1] === CR) this.#length = --this.#cursor
        this.#put(LF, from, to - from)
        this.#row = this.#cursor
        return
    }
  }

  #back(times: number): void {
    this.#cursor = Math.max(this.#row, this.#cursor - times)
    this.#col -= times
  }

  /** Characters at the cursor go; those behind them come nearer. */
  #cut(count: number): void {
    if (count === 0) return
    this.#copyRow()
    const to = Math.min(this.#length, this.#cursor + count)
    this.#units.copyWithin(this.#cursor, to, this.#length)
    this.#from.copyWithin(this.#cursor, to, this.#length)
    this.#bytes.copyWithin(this.#cursor, to, this.#length)
    this.#length -= to - this.#cursor
  }

  /** Something of the row is about to go: as it was it stays in the window, and what becomes of it stands behind that. */
  #copyRow(): void {
    if (!this.#isRowNew) return
    const from = Math.max(this.#row, Math.min(this.#cursor, this.#length - ROW_UNITS_MAX))
    const [cursor, to] = [this.#cursor - from, this.#length]
    this.#cursor = to
    this.#put(JUMP, this.#position, 0)
    this.#row = this.#length
    for (let at = from; at < to; at++) this.#put(this.#units[at]!, this.#from[at]!, this.#bytes[at]!)
    this.#cursor = this.#row + cursor
    this.#isRowNew = false
    if (this.#length < GATHERED_UNITS_MAX) return
    this.#search(false)
    this.#openFrom = this.#row
    this.#opens.fill(-1)
    this.#searched = this.#row
    this.#trim()
  }

  #sequence(final: number, count: number): void {
    if (final !== 0x6d) this.#endWrap()
    const times = Math.max(1, count)
    switch (final) {
      // Cursor forward and back; erase to the end of the row; delete characters. As readline draws a line anew.
      case 0x43:
        if (this.#cursor + times <= this.#length) {
          this.#cursor += times
          this.#col += times
        } else this.#jump()
        return
      case 0x44:
        if (this.#cursor - times >= this.#row) this.#back(times)
        else this.#jump()
        return
      case 0x4b:
        if (count === 0) this.#cut(this.#length - this.#cursor)
        else this.#jump()
        return
      case 0x50:
        this.#cut(Math.min(times, this.#length - this.#cursor))
        return
    }
    // Where the cursor goes elsewhere, what follows is not behind what was before. Colours and modes are within a word.
    if ("@ABEFGHJLMSTXade`f".includes(String.fromCharCode(final))) this.#jump()
  }

  #jump(): void {
    this.#cursor = this.#length
    if (this.#length === 0 || this.#units[this.#length - 1] !== JUMP) this.#put(JUMP, this.#position, 0)
    this.#row = this.#cursor
    this.#col = Number.NaN
  }

  #grow(): void {
    const [units, from, bytes] = [this.#units, this.#from, this.#bytes]
    this.#units = new Uint16Array(units.length * 2)
    this.#units.set(units)
    this.#from = new Float64Array(from.length * 2)
    this.#from.set(from)
    this.#bytes = new Uint8Array(bytes.length * 2)
    this.#bytes.set(bytes)
  }

  // --- what is found -------------------------------------------------------------------------------------------------

  #give(piece: Uint8Array, isDue: boolean): Captured {
    let hold = this.#search(isDue)
    if (this.#stringFrom >= 0) {
      if (isDue) this.#searchString(STRING_OVERLAP_BYTES)
      hold = Math.min(hold, this.#stringFrom)
    } else if (this.#characterFrom >= 0) hold = Math.min(hold, this.#characterFrom)
    if (isDue) hold = this.#position
    const given = this.#giveTo(Math.max(this.#out, Math.min(hold, this.#position)), piece)
    this.#trim()
    // A match that would be longer than any.
    if (isDue || this.heldBytes <= HELD_BYTES_MAX) return given
    const rest = this.release()
    const matches = new Map(given.matches)
    for (const [rule, count] of rest.matches) matches.set(rule, (matches.get(rule) ?? 0) + count)
    return { bytes: Buffer.concat([given.bytes, rest.bytes]), replaced: given.replaced + rest.replaced, matches }
  }

  /** Finds what is in the window, and where what is held begins. */
  #search(isDue: boolean): number {
    const text = Buffer.from(this.#units.buffer, this.#units.byteOffset, this.#length * 2).toString("utf16le")
    this.#tentative = new Map()
    for (const { rule } of this.#rules) {
      for (const spans of rule.find(text)) {
        const start = spans[0]!.from
        const edits = spans.at(-1)!.to === text.length ? this.#tentative : this.#edits
        for (const { from, to } of spans) this.#mask(edits, rule.name, start, from, to)
      }
    }
    let hold = this.#position
    let openFrom = text.length
    const unopened = Math.max(0, Math.min(this.#searched, text.length) - LINE_END_UNITS)
    for (const [index, { keptUnits, open, rule }] of this.#rules.entries()) {
      const before = this.#opens[index]!
      const match = open(text, before < 0 ? undefined : before, unopened)
      this.#opens[index] = match?.from ?? -1
      if (match === undefined) continue
      openFrom = Math.min(openFrom, match.from)
      for (let at = match.secret; at < text.length; at++) {
        const from = this.#from[at]!
        if (from >= this.#out && this.#bytes[at]! > 0) hold = Math.min(hold, from)
      }
      if (isDue && text.length - match.sure > keptUnits)
        this.#mask(this.#tentative, rule.name, match.secret, match.secret, text.length)
    }
    this.#openFrom = openFrom
    this.#searched = text.length
    return hold
  }

  /** Where a character of several bytes begins whose end has not come. */
  #incompleteFrom(piece: Uint8Array): number {
    for (let back = 1; back <= 3 && back <= piece.length; back++) {
      const byte = piece[piece.length - back]!
      if (byte < 0x80) return -1
      if (byte >= 0xc2) return this.#position - back
    }
    return this.#characterFrom
  }

  /** Units [from, to) are masked where they are not out; `start` is the unit at which their match begins. */
  #mask(edits: Map<number, Edit>, rule: string, start: number, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const unit = this.#units[at]!
      const position = this.#from[at]!
      const isTail = unit >= 0xdc00 && unit <= 0xdfff
      if (position < this.#out || this.#bytes[at] === 0 || unit < SPACE || unit === DELETE || isTail) continue
      const isLead = unit >= 0xd800 && unit <= 0xdbff
      const code = isLead ? 0x10000 + ((unit - 0xd800) << 10) + (this.#units[at + 1]! - 0xdc00) : unit
      edits.set(position, { bytes: maskOf(code, this.#bytes[at]!), rule, start: this.#from[start]! })
    }
  }

  #searchString(kept: number): void {
    const payload = Uint8Array.from(this.#string)
    const isOpen = kept > 0
    for (const [index, { edits, form }] of (payload.length === 0 ? [] : stringViews(payload)).entries()) {
      const take = (rule: string, spans: Parameters<typeof edits>[0]) => {
        const first = spans[0]
        if (first === undefined || first.to <= first.from) return
        const start = this.#stringAt[form.from[first.from]!]!
        for (const edit of edits(spans)) {
          for (let at = 0; at < edit.bytes.length; at++) {
            const position = this.#stringAt[edit.from + at]!
            if (position >= this.#out)
              this.#edits.set(position, { bytes: edit.bytes.subarray(at, at + 1), rule, start })
          }
        }
      }
      for (const { keptUnits, open, rule } of this.#rules) {
        for (const spans of rule.find(form.text)) take(rule.name, spans)
        const match = isOpen && index === 0 ? open(form.text, undefined, 0) : undefined
        if (match !== undefined && form.text.length - match.sure > keptUnits)
          take(rule.name, [{ from: match.secret, to: form.text.length }])
      }
    }
    // What was searched is given out; what follows is held.
    if (isOpen) this.#stringFrom = (this.#stringAt.at(-1) ?? this.#position - 1) + 1
    const from = Math.max(0, this.#string.length - kept)
    this.#string = this.#string.slice(from)
    this.#stringAt = this.#stringAt.slice(from)
  }

  // --- what is given out ---------------------------------------------------------------------------------------------

  #giveTo(to: number, piece: Uint8Array): Captured {
    const from = this.#out
    const length = to - from
    this.#out = to
    if (this.#held.length === 0 && length === piece.length && this.#edits.size + this.#tentative.size === 0)
      return { bytes: piece, replaced: 0, matches: NO_MATCHES }
    // Of a piece that was out before this filter began, what is behind that.
    const all =
      this.#held.length === 0
        ? piece.subarray(Math.max(0, piece.length - Math.max(0, this.#position - from)))
        : Buffer.concat([this.#held, piece])
    const bytes = Uint8Array.from(all.subarray(0, length))
    this.#held = Uint8Array.from(all.subarray(length))
    const matches = new Map<string, number>()
    let replaced = 0
    for (const edits of [this.#tentative, this.#edits]) {
      for (const [position, edit] of edits) {
        if (position >= to) continue
        edits.delete(position)
        const at = position - from
        // Found in two ways, it is replaced once.
        if (edits === this.#edits && this.#tentative.has(position)) continue
        bytes.set(edit.bytes.subarray(0, length - at), at)
        replaced += Math.min(edit.bytes.length, length - at)
        if (this.#isFirst(edit)) matches.set(edit.rule, (matches.get(edit.rule) ?? 0) + 1)
      }
    }
    return { bytes, replaced, matches }
  }

  #isFirst({ rule, start }: Edit): boolean {
    const counted = this.#counted.get(rule) ?? new Set()
    this.#counted.set(rule, counted)
    if (counted.has(start)) return false
    counted.add(start)
    return true
  }

  #trim(): void {
    const needed = Math.min(this.#openFrom, this.#cursor, this.#length)
    const first = Math.max(needed - CONTEXT_UNITS, this.#length - WINDOW_UNITS_MAX)
    if (first <= 0) return
    this.#units.copyWithin(0, first, this.#length)
    this.#from.copyWithin(0, first, this.#length)
    this.#bytes.copyWithin(0, first, this.#length)
    this.#length -= first
    this.#cursor = Math.max(0, this.#cursor - first)
    this.#row = Math.max(0, this.#row - first)
    this.#openFrom = Math.max(0, this.#openFrom - first)
    this.#searched = Math.max(0, this.#searched - first)
    for (let at = 0; at < this.#opens.length; at++)
      if (this.#opens[at]! >= 0) this.#opens[at] = Math.max(0, this.#opens[at]! - first)
    const oldest = this.#from[0] ?? 0
    for (const counted of this.#counted.values()) {
      if (counted.size < COUNTED_MAX) continue
      for (const at of counted) if (at < oldest) counted.delete(at)
    }
  }
}

/** Places that are remembered beyond the window, so that they need not be looked through each time. */
const COUNTED_MAX = 256
const NO_BYTES = new Uint8Array(0)
const NO_MATCHES: ReadonlyMap<string, number> = new Map()

/** Text of one byte a character, with line ends and tabs: what needs no reader of sequences. */
const isPlainText = (bytes: Uint8Array): boolean => {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte >= DELETE || (byte < SPACE && byte !== LF && byte !== CR && byte !== TAB && byte !== BACKSPACE))
      return false
  }
  return true
}
