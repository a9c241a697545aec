/**
 * Names of keys and the bytes that a terminal sends for them, as xterm does without extended keys. Two ways to write them
 * are known, in any case: words (`arrow_up`, `ctrl+c`, `page_down`) and tmux's tokens (`Up`, `C-c`, `^C`, `M-x`, `S-Tab`). A
 * single character stands for itself. The exec service, the CLI and every other door that types uses this. Pure: it types
 * nothing, and an unknown name is an error rather than text, because text has its own field.
 */
import { Result, Schema } from "effect"
import type { ErrorCode } from "../session/SessionError.ts"

/** A name that is no key. Found before anything is typed. */
export class UnknownKey extends Schema.TaggedError<UnknownKey>()("UnknownKey", {
  key: Schema.String,
  /** The name that is nearest to it, when one is near. */
  suggestion: Schema.NullOr(Schema.String),
  /** Every name there is, without modifiers. */
  names: Schema.Array(Schema.String)
}) {
  readonly code: ErrorCode = "InvalidArgument"
  override get message() {
    const hint = this.suggestion === null ? "" : ` (did you mean ${this.suggestion}?)`
    return `unknown key "${this.key}"${hint}; keys are single characters and ${this.names.join(", ")}, with C-, M-, S- or ctrl+, alt+, shift+ before them`
  }
}

const ESC = "\x1b"

/**
 * What a key sends. `final`: ESC [ final, or ESC [ 1 ; modifiers final. `tilde`: ESC [ number ~, or ESC [ number ; modifiers
 * ~. `ss3`: like `final`, but ESC O final without modifiers (F1 to F4). `text`: these bytes; Alt puts an ESC before them.
 */
type Key =
  | { readonly kind: "final" | "ss3"; readonly final: string }
  | { readonly kind: "tilde"; readonly number: number }
  | { readonly kind: "text"; readonly text: string; readonly ctrl?: string; readonly shift?: string }

const final = (letter: string): Key => ({ kind: "final", final: letter })
const tilde = (number: number): Key => ({ kind: "tilde", number })
const ss3 = (letter: string): Key => ({ kind: "ss3", final: letter })
const text = (characters: string, changes: { readonly ctrl?: string; readonly shift?: string } = {}): Key => ({
  kind: "text",
  text: characters,
  ...changes
})

/** Each key with all its names, as they are shown; they are found in any case. */
const KEYS: ReadonlyArray<readonly [names: string, key: Key]> = [
  // The Enter key of a terminal sends CR; the line discipline makes a line's end of it.
  ["enter Enter return CR", text("\r")],
  ["tab Tab", text("\t", { shift: `${ESC}[Z` })],
  ["BTab back_tab", text(`${ESC}[Z`)],
  ["escape Escape Esc", text(ESC)],
  ["space Space", text(" ", { ctrl: "\0" })],
  ["backspace BSpace", text("\x7f", { ctrl: "\b" })],
  ["arrow_up Up", final("A")],
  ["arrow_down Down", final("B")],
  ["arrow_right Right", final("C")],
  ["arrow_left Left", final("D")],
  ["home Home", final("H")],
  ["end End", final("F")],
  ["insert Insert IC ins", tilde(2)],
  ["delete Delete DC del", tilde(3)],
  ["page_up PageUp PPage PgUp", tilde(5)],
  ["page_down PageDown NPage PgDn", tilde(6)],
  ["f1 F1", ss3("P")],
  ["f2 F2", ss3("Q")],
  ["f3 F3", ss3("R")],
  ["f4 F4", ss3("S")],
  ["f5 F5", tilde(15)],
  ["f6 F6", tilde(17)],
  ["f7 F7", tilde(18)],
  ["f8 F8", tilde(19)],
  ["f9 F9", tilde(20)],
  ["f10 F10", tilde(21)],
  ["f11 F11", tilde(23)],
  ["f12 F12", tilde(24)],
  // The keypad in application mode: that is what makes its keys others than those of the main block.
  ["KPEnter kp_enter", text(`${ESC}OM`)],
  ["KP/", text(`${ESC}Oo`)],
  ["KP*", text(`${ESC}Oj`)],
  ["KP-", text(`${ESC}Om`)],
  ["KP+", text(`${ESC}Ok`)],
  ["KP.", text(`${ESC}On`)],
  ...Array.from("pqrstuvwxy", (letter, digit): readonly [string, Key] => [
    `KP${digit} kp_${digit}`,
    text(`${ESC}O${letter}`)
  ])
]

const BY_NAME = new Map(KEYS.flatMap(([names, key]) => names.split(" ").map((name) => [name.toLowerCase(), key])))

/** All names of keys, without modifiers; those that differ only in case once. */
export const KEY_NAMES: ReadonlyArray<string> = KEYS.flatMap(([names]) => {
  const seen = new Set<string>()
  return names.split(" ").filter((name) => !seen.has(name.toLowerCase()) && seen.add(name.toLowerCase()))
})

/** What goes back in an error: enough to see which key it was. */
const SHOWN_CHARACTERS_MAX = 64

const textEncoder = new TextEncoder()

/** The bytes of one key. */
export const keyBytes = (key: string): Result.Result<Uint8Array, UnknownKey> => {
  const found = keyText(key)
  if (found !== undefined) return Result.succeed(textEncoder.encode(found))
  const shown = key.slice(0, SHOWN_CHARACTERS_MAX).toWellFormed()
  return Result.fail(new UnknownKey({ key: shown, suggestion: nearest(shown), names: KEY_NAMES }))
}

/** The bytes of keys pressed one after another. All of them, or the error of the first that is none. */
export const keysBytes = (keys: ReadonlyArray<string>): Result.Result<Uint8Array, UnknownKey> => {
  const parts: Array<Uint8Array> = []
  for (const key of keys) {
    const bytes = keyBytes(key)
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    parts.push(bytes.success)
  }
  return Result.succeed(joined(parts))
}

export interface HexBytes {
  readonly bytes: Uint8Array
  /** One for each token that is no byte; it gave nothing. */
  readonly warnings: ReadonlyArray<string>
}

/** Bytes written as hex tokens, such as `0d` and `0x0a`. */
export const hexBytes = (tokens: ReadonlyArray<string>): HexBytes => {
  const bytes: Array<number> = []
  const warnings: Array<string> = []
  for (const token of tokens) {
    const match = /^(?:0x)?([0-9a-f]{1,2})$/i.exec(token.trim())
    if (match !== null) bytes.push(Number.parseInt(match[1]!, 16))
    else warnings.push(`"${token.slice(0, SHOWN_CHARACTERS_MAX).toWellFormed()}" is not a byte in hex; it was left out`)
  }
  return { bytes: Uint8Array.from(bytes), warnings }
}

export interface Typing {
  /** Typed as it is. */
  readonly literal?: string | undefined
  readonly hex?: ReadonlyArray<string> | undefined
  readonly keys?: ReadonlyArray<string> | undefined
}

/** Text, then hex bytes, then keys, as one input. */
export const typingBytes = ({ literal = "", hex = [], keys = [] }: Typing): Result.Result<HexBytes, UnknownKey> => {
  const { bytes, warnings } = hexBytes(hex)
  return Result.map(keysBytes(keys), (pressed) => ({
    bytes: joined([textEncoder.encode(literal), bytes, pressed]),
    warnings
  }))
}

export const PASTE_START = `${ESC}[200~`
export const PASTE_END = `${ESC}[201~`

/**
 * Text as a bracketed paste: the program takes it as text, whatever keys it would be. Removed from it is what would end the
 * paste early (and let the rest be typed), also where the removal itself would form it.
 */
export const pasteBytes = (pasted: string, options: { readonly bracketed?: boolean } = {}): Uint8Array => {
  const bytes = textEncoder.encode(pasted)
  if (options.bracketed === false) return bytes
  const start = textEncoder.encode(PASTE_START)
  const end = textEncoder.encode(PASTE_END)
  // The same with CSI as one character (U+009B).
  const end8 = textEncoder.encode("\u009b201~")
  const out = new Uint8Array(start.length + bytes.length + end.length)
  out.set(start)
  let length = start.length
  for (const byte of bytes) {
    out[length++] = byte
    if (byte !== TILDE) continue
    for (const marker of [end, end8]) {
      if (length - marker.length >= start.length && endsWith(out, length, marker)) length -= marker.length
    }
  }
  out.set(end, length)
  return out.subarray(0, length + end.length)
}

const TILDE = 0x7e

const endsWith = (bytes: Uint8Array, length: number, suffix: Uint8Array): boolean => {
  for (let back = 1; back <= suffix.length; back++) {
    if (bytes[length - back] !== suffix[suffix.length - back]) return false
  }
  return true
}

const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

// --- one key -------------------------------------------------------------------------------------------------------

interface Modified {
  readonly ctrl: boolean
  readonly alt: boolean
  readonly shift: boolean
  readonly base: string
}

const MODIFIER =
  /^(?:(c-|ctrl-|ctrl\+|control\+|control-)|(m-|a-|alt-|alt\+|meta-|meta\+|option\+)|(?:s-|shift-|shift\+))(?=.)/i

const withModifiers = (key: string): Modified => {
  let base = key
  let ctrl = false
  let alt = false
  let shift = false
  // There are three, so a name is looked at no oftener.
  for (let round = 0; round < 3; round++) {
    const match = MODIFIER.exec(base)
    if (match === null) break
    if (match[1] !== undefined) ctrl = true
    else if (match[2] !== undefined) alt = true
    else shift = true
    base = base.slice(match[0].length)
  }
  const caret = base.slice(1)
  if (!ctrl && base.startsWith("^") && isCharacter(caret)) return { ctrl: true, alt, shift, base: caret }
  return { ctrl, alt, shift, base }
}

const keyText = (key: string): string | undefined => {
  if (key.length > SHOWN_CHARACTERS_MAX) return undefined
  if (isCharacter(key)) return key
  const modified = withModifiers(key)
  const named = BY_NAME.get(modified.base.toLowerCase())
  if (named !== undefined) return namedText(named, modified)
  if (!isCharacter(modified.base)) return undefined
  return characterText(modified)
}

/** One code point that UTF-8 can hold. */
const isCharacter = (key: string): boolean => {
  const code = key.codePointAt(0)
  return code !== undefined && key.length === (code > 0xffff ? 2 : 1) && key.isWellFormed()
}

/** xterm's parameter: 1, and 1 for Shift, 2 for Alt, 4 for Ctrl. */
const modifierParameter = ({ ctrl, alt, shift }: Modified): number =>
  1 + (shift ? 1 : 0) + (alt ? 2 : 0) + (ctrl ? 4 : 0)

const namedText = (key: Key, modified: Modified): string => {
  const parameter = modifierParameter(modified)
  switch (key.kind) {
    case "final":
      return parameter === 1 ? `${ESC}[${key.final}` : `${ESC}[1;${parameter}${key.final}`
    case "ss3":
      return parameter === 1 ? `${ESC}O${key.final}` : `${ESC}[1;${parameter}${key.final}`
    case "tilde":
      return parameter === 1 ? `${ESC}[${key.number}~` : `${ESC}[${key.number};${parameter}~`
    case "text": {
      // Where a terminal sends nothing else for Ctrl or Shift with such a key, it sends the key.
      const characters = (modified.ctrl ? key.ctrl : modified.shift ? key.shift : undefined) ?? key.text
      return modified.alt ? `${ESC}${characters}` : characters
    }
  }
}

/** Control characters under other keys than letters, as xterm has them: C-Space is C-@, C-/ is C-_, and the digits of VT220. */
const CONTROLS: Readonly<Record<string, string>> = {
  "@": "\0",
  " ": "\0",
  "2": "\0",
  "[": ESC,
  "3": ESC,
  "\\": "\x1c",
  "4": "\x1c",
  "]": "\x1d",
  "5": "\x1d",
  "^": "\x1e",
  "6": "\x1e",
  _: "\x1f",
  "/": "\x1f",
  "7": "\x1f",
  "?": "\x7f",
  "8": "\x7f"
}

/** undefined: a terminal has no such key (C-é). */
const characterText = ({ ctrl, alt, shift, base }: Modified): string | undefined => {
  let characters = shift ? base.toUpperCase() : base
  if (ctrl) {
    const letter = base.toLowerCase()
    const control = /^[a-z]$/.test(letter) ? String.fromCharCode(letter.charCodeAt(0) & 0x1f) : CONTROLS[base]
    if (control === undefined) return undefined
    characters = control
  }
  return alt ? `${ESC}${characters}` : characters
}

// --- the nearest name ----------------------------------------------------------------------------------------------

const CTRL_LETTERS = [..."abcdefghijklmnopqrstuvwxyz"].map((letter) => `ctrl+${letter}`)

/** The name with the fewest changed letters, if it is no more than one in three. The modifiers are kept. */
const nearest = (key: string): string | null => {
  const { base } = withModifiers(key)
  const prefix = key.slice(0, key.length - base.length)
  const wanted = plain(base)
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const name of prefix === "" ? [...KEY_NAMES, ...CTRL_LETTERS] : KEY_NAMES) {
    const found = distance(wanted, plain(name))
    if (found < bestDistance) {
      best = prefix + name
      bestDistance = found
    }
  }
  return best
}

/** `page-up`, `page up` and `page_up` are no slip at all apart. */
const plain = (name: string): string => name.toLowerCase().replace(/[\s_-]/g, "")

/** Levenshtein's, of names as short as SHOWN_CHARACTERS_MAX. */
const distance = (one: string, other: string): number => {
  let before = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let row = 1; row <= one.length; row++) {
    const line = [row]
    for (let column = 1; column <= other.length; column++) {
      const change = before[column - 1]! + (one[row - 1] === other[column - 1] ? 0 : 1)
      line.push(Math.min(change, before[column]! + 1, line[column - 1]! + 1))
    }
    before = line
  }
  return before[other.length]!
}
