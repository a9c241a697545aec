/**
 * The regular expression that finds where a match of another one may have begun that the text does not have the end of yet:
 * every step of it may also be the end of the text. It is made from the source, so the syntax of JavaScript is read here as
 * far as that needs. It also says how many steps a try to match can take, by which patterns are refused that could keep an
 * engine busy for a second, and gives repetitions without an end one: a search that fails would else take as many steps as
 * the square of a line's length.
 */

/** Where the text ends. */
const END = "(?![^])"
/** Beyond it nobody asks how many they are. */
const STEPS_COUNTED_MAX = 1e9
/** A repetition of so many characters is the secret itself and not the word before it. */
const RUN_MIN = 8
/** Times that a repetition without an end is looked at, unless the pattern ends with it: then no try of it fails. */
const ENDLESS_TIMES = 1024

export interface PartialPattern {
  readonly source: string
  /** The pattern itself, with an end to its repetitions where it was given by somebody. */
  readonly whole: string
  /** It has a group `secret`. */
  readonly isNamed: boolean
  /** Of a try to match at one place, at most: characters that are looked at. */
  readonly steps: number
  /** Why it is not for streams that nobody watches; undefined: it is. */
  readonly refusal: string | undefined
}

/** `source` is one that RegExp takes. `isGiven`: by somebody; of the named rules, long repetitions become groups. */
export const partialPattern = (source: string, options: { readonly isGiven: boolean }): PartialPattern => {
  const reader = new PatternReader(source, options.isGiven)
  const { last, steps } = reader.disjunction()
  return { source: last.partial, whole: last.whole, isNamed: reader.isNamed, steps, refusal: reader.refusal }
}

interface Sources {
  readonly partial: string
  readonly whole: string
}

interface Part extends Sources {
  /** The same where nothing follows that could fail. */
  readonly last: Sources
  /** Ways to match at one place, at most. */
  readonly ways: number
  readonly steps: number
  /** Has alternatives or repetitions of varying length. */
  readonly varies: boolean
}

class PatternReader {
  isNamed = false
  refusal: string | undefined
  readonly #source: string
  readonly #isGiven: boolean
  #at = 0

  constructor(source: string, isGiven: boolean) {
    this.#source = source
    this.#isGiven = isGiven
  }

  disjunction(): Part {
    const parts = [this.#alternative()]
    while (this.#take("|")) parts.push(this.#alternative())
    const joined = (sources: ReadonlyArray<Sources>): Sources => ({
      partial: sources.map(({ partial }) => partial).join("|"),
      whole: sources.map(({ whole }) => whole).join("|")
    })
    return {
      ...joined(parts),
      last: joined(parts.map(({ last }) => last)),
      ways: parts.reduce((sum, { ways }) => sum + ways, 0),
      steps: parts.reduce((sum, { steps }) => sum + steps, 0),
      varies: parts.length > 1 || parts[0]!.varies
    }
  }

  #alternative(): Part {
    let sources: Sources = { partial: "", whole: "" }
    let last = sources
    let ways = 1
    let steps = 0
    let varies = false
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at]!)) {
      const term = this.#term()
      last = { partial: sources.partial + term.last.partial, whole: sources.whole + term.last.whole }
      sources = { partial: sources.partial + term.partial, whole: sources.whole + term.whole }
      // Each way that leads here is tried with all that follows.
      steps = Math.min(steps + ways * term.steps, STEPS_COUNTED_MAX)
      ways = Math.min(ways * term.ways, STEPS_COUNTED_MAX)
      varies ||= term.varies
    }
    return { ...sources, last, ways, steps, varies }
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
      return this.#quantified(this.#step(this.#source.slice(from, this.#at)))
    }
    const [open, name] = /^\((?:\?(?:<([^=!>][^>]*)>|<?[=!]|[a-z-]*:))?/.exec(this.#source.slice(from))!
    this.#at += open.length
    const inner = this.disjunction()
    this.#at++
    if (/[=!]$/.test(open)) {
      if (open === "(?=") this.refusal ??= "looks ahead"
      const assertion = this.#step(this.#isGiven ? `${open}${inner.whole})` : this.#source.slice(from, this.#at))
      return { ...assertion, ways: inner.ways, steps: inner.steps }
    }
    if (name === "secret") this.isNamed = true
    const head = name === "secret" ? "(?<secret>" : /^\(\?[a-z-]+:/.test(open) ? open : "(?:"
    const grouped = ({ partial, whole }: Sources): Sources => ({
      partial: `${head}${partial})`,
      whole: `${head}${whole})`
    })
    return this.#quantified({ ...inner, ...grouped(inner), last: grouped(inner.last) }, true)
  }

  #step(text: string): Part {
    const sources = { partial: `(?:${text}|${END})`, whole: text }
    return { ...sources, last: sources, ways: 1, steps: 1, varies: false }
  }

  #quantified(atom: Part, isGroup = false): Part {
    const match = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(this.#source.slice(this.#at))
    if (match === null) return atom
    this.#at += match[0].length
    const [text, low, comma, high] = match
    const min = low === undefined ? (text[0] === "+" ? 1 : 0) : Number(low)
    const end = low === undefined ? (text[0] === "?" ? 1 : undefined) : comma === undefined ? min : high
    const isEndless = end === undefined || end === ""
    const max = isEndless ? Math.max(min, ENDLESS_TIMES) : Number(end)
    if (isGroup && max > 1 && atom.varies)
      this.refusal ??= "repeats a group that has alternatives or repetitions of its own"
    const times = this.#isGiven && isEndless ? `{${min},${max}}${text.endsWith("?") ? "?" : ""}` : text
    const isRun = !this.#isGiven && !isGroup && max >= RUN_MIN && min >= RUN_MIN
    const repeated = ({ partial, whole }: Sources, by: string): Sources => ({
      partial: isRun ? `(${partial}${by})` : `${partial}${by}`,
      whole: `${whole}${by}`
    })
    return {
      ...repeated(atom, times),
      // Of a group that is repeated, what repeats in it is followed by itself.
      last: repeated(max > 1 ? atom : atom.last, text),
      ways: Math.min(atom.ways * (max - min + 1), STEPS_COUNTED_MAX),
      steps: Math.min(atom.steps * Math.max(1, max), STEPS_COUNTED_MAX),
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
