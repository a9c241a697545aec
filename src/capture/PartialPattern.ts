/**
 * The regular expression that finds where a match of another one may have begun that the text does not have the end of yet:
 * every step of it may also be the end of the text. It is made from the source, so the syntax of JavaScript is read here as
 * far as that needs. It also says how many ways a match can be tried, by which patterns are refused that could keep an engine
 * busy for a second.
 */

/** Where the text ends. */
const END = "(?![^])"
/** A repetition of so many characters is the secret itself and not the word before it. */
const RUN_MIN = 8
/** What a repetition without an end counts as. */
export const ENDLESS = 4096

export interface PartialPattern {
  readonly source: string
  /** It has a group `secret`. */
  readonly isNamed: boolean
  /** Ways to try a match at one place, at most. */
  readonly ways: number
  /** Why it is not for streams that nobody watches; undefined: it is. */
  readonly refusal: string | undefined
}

/** `source` is one that RegExp takes. `marksRuns`: long repetitions become groups. */
export const partialPattern = (source: string, options: { readonly marksRuns: boolean }): PartialPattern => {
  const reader = new PatternReader(source, options.marksRuns)
  const { partial, ways } = reader.disjunction()
  return { source: partial, isNamed: reader.isNamed, ways, refusal: reader.refusal }
}

interface Part {
  readonly partial: string
  readonly ways: number
  /** Has alternatives or repetitions of varying length. */
  readonly varies: boolean
}

class PatternReader {
  isNamed = false
  refusal: string | undefined
  readonly #source: string
  readonly #marksRuns: boolean
  #at = 0

  constructor(source: string, marksRuns: boolean) {
    this.#source = source
    this.#marksRuns = marksRuns
  }

  disjunction(): Part {
    const parts = [this.#alternative()]
    while (this.#take("|")) parts.push(this.#alternative())
    return {
      partial: parts.map(({ partial }) => partial).join("|"),
      ways: parts.reduce((sum, { ways }) => sum + ways, 0),
      varies: parts.length > 1 || parts[0]!.varies
    }
  }

  #alternative(): Part {
    let partial = ""
    let ways = 1
    let varies = false
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at]!)) {
      const term = this.#term()
      partial += term.partial
      ways = Math.min(ways * term.ways, Number.MAX_SAFE_INTEGER)
      varies ||= term.varies
    }
    return { partial, ways, varies }
  }

  #term(): Part {
    const from = this.#at
    const first = this.#source[from]!
    if (first === "^" || first === "$" || /^\\[bB]/.test(this.#source.slice(from, from + 2))) {
      this.#at += first === "\\" ? 2 : 1
      return this.#step(this.#source.slice(from, this.#at))
    }
    if (first !== "(") {
      if (first === "[") this.#class()
      else if (first === "\\") this.#escape()
      else this.#at += this.#source.codePointAt(from)! > 0xffff ? 2 : 1
      return this.#quantified({ partial: `(?:${this.#source.slice(from, this.#at)}|${END})`, ways: 1, varies: false })
    }
    const [open, name] = /^\((?:\?(?:<([^=!>][^>]*)>|<?[=!]|[a-z-]*:))?/.exec(this.#source.slice(from))!
    this.#at += open.length
    const inner = this.disjunction()
    this.#at++
    if (/[=!]$/.test(open)) {
      if (open === "(?=") this.refusal ??= "looks ahead"
      const assertion = this.#step(this.#source.slice(from, this.#at))
      return { ...assertion, ways: inner.ways }
    }
    if (name === "secret") this.isNamed = true
    const head = name === "secret" ? "(?<secret>" : /^\(\?[a-z-]+:/.test(open) ? open : "(?:"
    return this.#quantified({ ...inner, partial: `${head}${inner.partial})` }, true)
  }

  #step(text: string): Part {
    return { partial: `(?:${text}|${END})`, ways: 1, varies: false }
  }

  #quantified(atom: Part, isGroup = false): Part {
    const match = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(this.#source.slice(this.#at))
    if (match === null) return atom
    this.#at += match[0].length
    const [text, low, comma, high] = match
    const min = low === undefined ? (text[0] === "+" ? 1 : 0) : Number(low)
    const max =
      low === undefined
        ? text[0] === "?"
          ? 1
          : ENDLESS
        : comma === undefined
          ? min
          : high === ""
            ? ENDLESS
            : Number(high)
    if (isGroup && max > 1 && atom.varies)
      this.refusal ??= "repeats a group that has alternatives or repetitions of its own"
    const partial = `${atom.partial}${text}`
    return {
      partial: this.#marksRuns && !isGroup && max >= RUN_MIN && min >= RUN_MIN ? `(${partial})` : partial,
      ways: Math.min(atom.ways * Math.max(1, Math.min(max, ENDLESS) - min + 1), Number.MAX_SAFE_INTEGER),
      varies: atom.varies || max !== min
    }
  }

  #class(): void {
    this.#at++
    while (this.#source[this.#at] !== "]") {
      if (this.#source[this.#at] === "\\") this.#at++
      this.#at++
    }
    this.#at++
  }

  #escape(): void {
    const match =
      /^\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|k<[^>]*>|[1-9]\d*|[\s\S])/u.exec(
        this.#source.slice(this.#at)
      )!
    if (/^\\(?:k<|[1-9])/.test(match[0])) this.refusal ??= "refers back to a group"
    this.#at += match[0].length
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }
}
