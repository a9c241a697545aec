/**
 * Finds given texts, of which there may be thousands, and takes them out of the states that stand for removed events. It is
 * quick where there is nothing to find: it works in an engine, beside its sessions.
 */
import type { TextMask } from "../../projections/TextMask.ts"
import { maskOf, visibleOf } from "./CellMask.ts"
import { type ChannelKind, ChannelScan } from "./ChannelScan.ts"
import type { Edit } from "./Marks.ts"
import { type RedactRule, type Span, TEXT_RULE, textRule } from "./RedactRule.ts"

/** UTF-16 units by which a text is looked up. */
const BEGINNING_UNITS = 6
/** Bytes of the shortest end of a text that is masked where its beginning is not there any more: shorter ones stand in other words. */
const END_BYTES_MIN = 6
/** Of the end of what was found, in which another text is looked for that goes on behind it. */
const OVERLAP_UNITS = 256
/** What begins a control string, for who has only what is behind it. */
const INTRODUCER = Buffer.from("\x1b]")
/** Characters between which something that is not shown may stand. */
const ESCAPES = /[\u001b\u0080-\u009f]/
const NEWLINE = /[\r\n]/

export interface SecretMaskOptions {
  readonly texts: ReadonlyArray<string>
  /** Of the terminal. */
  readonly size: { readonly cols: number; readonly rows: number }
}

export class SecretMask implements TextMask {
  readonly #options: SecretMaskOptions
  readonly #rule: RedactRule
  #places = 0

  constructor(options: SecretMaskOptions) {
    this.#options = options
    this.#rule = textsRule(options.texts)
  }

  get places(): number {
    return this.#places
  }

  text(text: string): string {
    if (ESCAPES.test(text)) {
      const bytes = this.#scanned({ _tag: "text" }, Buffer.from(text))
      return bytes === undefined ? text : Buffer.from(bytes).toString()
    }
    const visible = visibleOf(text)
    const spans = this.find(visible)
    return spans.length === 0 ? text : maskedAt(text, spans, visible.length === text.length)
  }

  words(words: ReadonlyArray<string>): Array<string> {
    const alone = words.map((word) => this.text(word))
    const line = alone.join(" ")
    const masked = this.text(line)
    if (masked === line) return alone
    let at = 0
    return alone.map((word) => {
      const from = at
      at += word.length + 1
      return masked.slice(from, from + word.length)
    })
  }

  pair(name: string, value: string): [string, string] {
    const masked = this.text(`${name}=${value}`)
    return [masked.slice(0, name.length), masked.slice(name.length + 1)]
  }

  output(bytes: Uint8Array, isCut: boolean): Uint8Array {
    const { size, texts } = this.#options
    const masked = Buffer.from(this.#scanned({ _tag: "screen", ...size }, bytes) ?? bytes)
    const cut = isCut ? Math.max(...texts.map((text) => endAtStart(Buffer.from(text), masked)), 0) : 0
    if (cut > 0) {
      masked.fill(0x2a, 0, cut)
      this.#places++
    }
    return masked
  }

  controlString(payload: Uint8Array): Uint8Array {
    const masked = this.#scanned({ _tag: "text" }, Buffer.concat([INTRODUCER, payload]))
    return masked === undefined ? payload : masked.subarray(INTRODUCER.length)
  }

  find(text: string): ReadonlyArray<Span> {
    const found = this.#rule.find(text).flat()
    this.#places += found.length
    return found
  }

  /** undefined: nothing is found in it. */
  #scanned(kind: ChannelKind, bytes: Uint8Array): Uint8Array | undefined {
    const scan = new ChannelScan(kind, { rules: [this.#rule], matches: new Map(), secrets: undefined })
    scan.feed(bytes)
    const edits: ReadonlyArray<Edit> = scan.end()
    if (edits.length === 0) return undefined
    this.#places += edits.length
    const masked = Uint8Array.from(bytes)
    for (const edit of edits) masked.set(edit.bytes, edit.from)
    return masked
  }
}

/** `isVisible`: the spans count every character of the text, and not only those that are shown. */
const maskedAt = (text: string, spans: ReadonlyArray<Span>, isVisible: boolean): string => {
  const isMasked = new Uint8Array(text.length)
  for (const { from, to } of spans) isMasked.fill(1, from, to)
  let unit = 0
  let masked = ""
  for (const character of text) {
    if (!isVisible && visibleOf(character) === "") {
      masked += character
      continue
    }
    const code = character.codePointAt(0)!
    masked += isMasked[unit] === 1 && code >= 0x20 && code !== 0x7f ? maskedCharacter(character, code) : character
    unit += character.length
  }
  return masked
}

const maskedCharacter = (character: string, code: number): string =>
  code < 0x80 ? "*" : Buffer.from(maskOf(code, Buffer.byteLength(character))).toString()

/** Bytes at the start of `bytes` that are the end of a text. */
const endAtStart = (text: Buffer, bytes: Buffer): number => {
  for (let length = Math.min(text.length - 1, bytes.length); length >= END_BYTES_MIN; length--) {
    if (bytes.compare(text, text.length - length, text.length, 0, length) === 0) return length
  }
  return 0
}

/** One rule for all of the texts: it looks at each place once. */
const textsRule = (texts: ReadonlyArray<string>): RedactRule => {
  /** By their beginnings, and then by their lengths: many may begin alike, as tokens do. */
  const byBeginning = new Map<string, Map<number, Set<string>>>()
  const firsts = new Uint8Array(0x10000)
  const lengths = new Set<number>()
  const overLines: Array<RedactRule> = []
  for (const given of texts) {
    const text = visibleOf(given)
    if (text === "") continue
    if (NEWLINE.test(text)) {
      overLines.push(textRule(text))
      continue
    }
    const beginning = text.slice(0, BEGINNING_UNITS)
    firsts[text.charCodeAt(0)] = 1
    lengths.add(beginning.length)
    const byLength = byBeginning.get(beginning) ?? new Map<number, Set<string>>()
    byBeginning.set(beginning, byLength)
    byLength.set(text.length, (byLength.get(text.length) ?? new Set()).add(text))
  }
  const endAt = (text: string, at: number): number => {
    let end = at
    for (const length of lengths) {
      for (const [units, found] of byBeginning.get(text.slice(at, at + length)) ?? []) {
        if (at + units > end && found.has(text.slice(at, at + units))) end = at + units
      }
    }
    return end
  }
  return {
    name: TEXT_RULE,
    description: "texts that were given",
    looksFor: "nothing",
    find: (text) => {
      const found: Array<ReadonlyArray<Span>> = overLines.flatMap(({ find }) => find(text))
      for (let at = 0; at < text.length; at++) {
        if (firsts[text.charCodeAt(at)] === 0) continue
        const to = endAt(text, at)
        if (to === at) continue
        found.push([{ from: at, to }])
        at = Math.max(at, to - OVERLAP_UNITS)
      }
      return found
    }
  }
}
