/**
 * What the rules found, and the rule that finds it again: the same text in other places, and pieces of it, which stay in a
 * stream where a line was edited while it was typed. It keeps the secrets in memory for as long as a redaction takes, and
 * gives them to nobody but to whoever asked for it.
 */
import type { RedactRule, Span } from "./RedactRule.ts"

/** UTF-16 units of the shortest piece: shorter ones stand in other words. */
const PIECE_UNITS = 6
/** Beyond so many a session is full of what rules find, and each has been found where it stood. */
const SECRETS_MAX = 10_000

export const COPY_RULE = "copy"

export class FoundSecrets {
  /** Whole, in the order in which they were found. */
  readonly #whole = new Set<string>()
  /** By their first units. */
  readonly #byBeginning = new Map<string, Array<string>>()
  readonly #pieces = new Set<string>()
  readonly #beginnings = new Uint8Array(0x10000)

  get texts(): ReadonlyArray<string> {
    return [...this.#whole]
  }

  add(rule: RedactRule, text: string): void {
    if (rule.looksFor === "nothing" || this.#whole.size >= SECRETS_MAX) return
    for (const line of text.split(/(?:[\r\n]|\\[nr])+/)) {
      const secret = line.trim()
      if (secret.length < PIECE_UNITS || this.#whole.has(secret)) continue
      if (rule.looksFor === "copies" && !looksSecret(secret)) continue
      this.#whole.add(secret)
      const beginning = secret.slice(0, PIECE_UNITS)
      this.#note(beginning)
      const known = this.#byBeginning.get(beginning)
      if (known === undefined) this.#byBeginning.set(beginning, [secret])
      else known.push(secret)
      if (rule.looksFor !== "pieces") continue
      for (let at = 0; at + PIECE_UNITS <= secret.length; at++) {
        const piece = secret.slice(at, at + PIECE_UNITS)
        this.#pieces.add(piece)
        this.#note(piece)
      }
    }
  }

  /** undefined when nothing was found. */
  get rule(): RedactRule | undefined {
    if (this.#whole.size === 0) return undefined
    return {
      name: COPY_RULE,
      description: "further copies and pieces of what the rules found",
      looksFor: "nothing",
      find: (text) => this.#find(text)
    }
  }

  #note(piece: string): void {
    this.#beginnings[hashOf(piece.charCodeAt(0), piece.charCodeAt(1))] = 1
  }

  #find(text: string): ReadonlyArray<ReadonlyArray<Span>> {
    const found: Array<ReadonlyArray<Span>> = []
    let from = -1
    let to = -1
    const last = text.length - PIECE_UNITS
    for (let at = 0; at <= last; at++) {
      if (this.#beginnings[hashOf(text.charCodeAt(at), text.charCodeAt(at + 1))] === 0) continue
      const piece = text.slice(at, at + PIECE_UNITS)
      let end = this.#pieces.has(piece) ? at + PIECE_UNITS : -1
      for (const secret of this.#byBeginning.get(piece) ?? []) {
        if (text.startsWith(secret, at)) end = Math.max(end, at + secret.length)
      }
      if (end < 0) continue
      if (at > to) {
        if (from >= 0) found.push([{ from, to }])
        from = at
      }
      to = Math.max(to, end)
    }
    if (from >= 0) found.push([{ from, to }])
    return found
  }
}

const hashOf = (one: number, other: number): number => (one * 251 + other) & 0xffff

/** A word is no secret in other places; something with letters and digits is. */
const looksSecret = (text: string): boolean => text.length >= 8 && /\d/.test(text) && /[A-Za-z]/.test(text)
