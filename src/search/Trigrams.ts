/**
 * What the search index knows of a text: which groups of three characters occur in it, without regard to case. Indexing
 * and asking use the same functions, so that whatever a pattern can find is among what the index names. It may name more
 * than that (two groups may share a slot), never less.
 *
 * **Case.** `foldCode` takes all characters together that any case-insensitive comparison of JavaScript's regular
 * expressions takes for the same (with and without the flag u), so one index serves both kinds of search.
 */

/** Slots that the groups are hashed to. 64 KiB of a log have about 10,000 groups: a sixth of the slots. */
export const SLOTS = 65_536
/** A slot is in one of this many buckets; a bucket is one row of the index, and what a query reads. */
export const BUCKETS = 256
export const BUCKET_SLOTS = SLOTS / BUCKETS
/** Fewer say nothing to the index. */
const LITERAL_CHARACTERS_MIN = 3
/** Of a pattern; more narrow nothing down any further. */
const GROUPS_MAX = 16

const ASCII_FOLDED = Uint8Array.from({ length: 128 }, (_, code) => (code >= 0x41 && code <= 0x5a ? code | 0x20 : code))
/** Folded BMP characters found so far, plus one; 0: not asked for yet. */
const folded = new Uint32Array(65_536)

/** The same number for all characters that differ in case only. */
export const foldCode = (code: number): number => {
  if (code < 128) return ASCII_FOLDED[code]!
  if (code > 0xffff) return foldText(code)
  const known = folded[code]!
  if (known !== 0) return known - 1
  const found = foldText(code)
  folded[code] = found + 1
  return found
}

/** Characters that are the same in upper case only, and become several there. */
const UPPER_IS_SEVERAL = new Map([
  [0x1fd3, 0x0390],
  [0x1fe3, 0x03b0],
  [0xfb05, 0xfb06]
])

/** Upper first: σ and ς, k and the Kelvin sign meet only there. What becomes several characters stays as it is. */
const foldText = (code: number): number =>
  UPPER_IS_SEVERAL.get(code) ?? single(single(code, "toUpperCase"), "toLowerCase")

const single = (code: number, change: "toUpperCase" | "toLowerCase"): number => {
  const text = String.fromCodePoint(code)[change]()
  const first = text.codePointAt(0)!
  return text.length === (first > 0xffff ? 2 : 1) ? first : code
}

const slotOf = (a: number, b: number, c: number): number => {
  const mixed = Math.imul(a, 0x2c1b3c6d) + Math.imul(b, 0x297a2d39) + Math.imul(c, 0x61c88647)
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 16
}

/** Slots that were seen: a mark for each, and those that have one in a list. */
export interface SeenSlots {
  readonly marks: Uint8Array
  readonly slots: Uint16Array
  count: number
}

export const makeSeenSlots = (): SeenSlots => ({
  marks: new Uint8Array(SLOTS),
  slots: new Uint16Array(SLOTS),
  count: 0
})

/** Marks the slot of each group in a line. */
export const markTrigrams = (line: string, seen: SeenSlots): void => {
  const { marks, slots } = seen
  let a = 0
  let b = 0
  let count = 0
  const { length } = line
  for (let at = 0; at < length; at++) {
    let code = line.charCodeAt(at)
    if (code < 128) code = ASCII_FOLDED[code]!
    else {
      if (code >= 0xd800 && code <= 0xdbff) {
        code = line.codePointAt(at)!
        if (code > 0xffff) at++
      }
      code = foldCode(code)
    }
    if (count >= 2) {
      const slot = slotOf(a, b, code)
      if (marks[slot] === 0) {
        marks[slot] = 1
        slots[seen.count++] = slot
      }
    } else count++
    a = b
    b = code
  }
}

/**
 * Slots that every text has in which all these runs of characters occur. Spread over the runs: neighbours share two
 * characters and say nearly the same.
 */
export const slotsOf = (runs: ReadonlyArray<string>): ReadonlyArray<number> => {
  const slots: Array<number> = []
  for (const run of [...runs].sort((one, other) => other.length - one.length)) {
    const codes = Array.from(run, (character) => foldCode(character.codePointAt(0)!))
    for (let step = 0; step < LITERAL_CHARACTERS_MIN; step++) {
      for (let at = step; at + 2 < codes.length; at += LITERAL_CHARACTERS_MIN) {
        const slot = slotOf(codes[at]!, codes[at + 1]!, codes[at + 2]!)
        if (!slots.includes(slot)) slots.push(slot)
      }
    }
  }
  return slots.slice(0, GROUPS_MAX)
}

/**
 * Runs of characters that are in every text that a regular expression finds; none where it cannot be said. It reads the
 * outermost level only: what is in brackets of any kind, or may be absent, counts for nothing.
 */
export const literalRuns = (source: string): ReadonlyArray<string> => {
  // Codes, properties, references: what belongs to them looks like text.
  if (/\\[ukpPxc\d]/.test(source)) return []
  const runs: Array<string> = []
  let run = ""
  const end = () => {
    if (Array.from(run).length >= LITERAL_CHARACTERS_MIN) runs.push(run)
    run = ""
  }
  const characters = Array.from(source)
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!
    switch (character) {
      case "|":
        // One of several: none of them is certain.
        return []
      case "[":
        at = classEnd(characters, at)
        end()
        break
      case "(":
        at = groupEnd(characters, at)
        end()
        break
      case "*":
      case "?":
      case "{":
        // What stands before it may be absent. After `+` it is there, and what follows need not be its neighbour.
        run = Array.from(run).slice(0, -1).join("")
        end()
        // Without a flag u, a brace that is no count is a character.
        at += COUNT.exec(characters.slice(at, at + COUNT_CHARACTERS_MAX).join(""))?.[0].length ?? 1
        at--
        break
      case "+":
      case ".":
      case "^":
      case "$":
        end()
        break
      case "\\": {
        const next = characters[++at]
        if (next !== undefined && /^[^\w\s]$/.test(next) && next.codePointAt(0)! < 128) run += next
        // A class or an assertion.
        else end()
        break
      }
      default:
        run += character
    }
  }
  end()
  return runs
}

/** `{2}`, `{2,}`, `{2,5}`. */
const COUNT = /^\{\d+(?:,\d*)?\}/
const COUNT_CHARACTERS_MAX = 40

const classEnd = (characters: ReadonlyArray<string>, from: number): number => {
  for (let at = from + 1; at < characters.length; at++) {
    if (characters[at] === "\\") at++
    else if (characters[at] === "]") return at
  }
  return characters.length
}

const groupEnd = (characters: ReadonlyArray<string>, from: number): number => {
  let depth = 0
  for (let at = from; at < characters.length; at++) {
    const character = characters[at]
    if (character === "\\") at++
    else if (character === "[") at = classEnd(characters, at)
    else if (character === "(") depth++
    else if (character === ")" && --depth === 0) return at
  }
  return characters.length
}
