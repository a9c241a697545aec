/**
 * The rules that are applied to a session before anything of it is journaled: what may be asked for, and each rule with what
 * tells where one of its matches may have begun that has not ended yet. Pure. Names are kept with the session; texts and
 * patterns are secrets themselves, and are never journaled.
 */

import { visibleOf } from "../redact/CellMask.ts"
import {
  MATCH_UNITS_MAX,
  patternRule,
  REDACT_RULES,
  type RedactRule,
  ruleNamed,
  TEXT_RULE
} from "../redact/RedactRule.ts"
import type { CaptureRequest } from "./CaptureRequest.ts"
import { partialPattern } from "./PartialPattern.ts"

/** In the place of a name: all named rules. */
const ALL_RULES = "all"

/** Characters of the shortest text: shorter ones stand in ordinary output everywhere. */
const TEXT_CHARACTERS_MIN = 4
/** Texts and patterns of one session, and all their bytes: they travel with the request that starts its program. */
const GIVEN_MAX = 64
const GIVEN_BYTES_MAX = 64 * 1024
/**
 * Characters that a pattern may look at from one place: with 64 KiB of output that was made for it, a second at worst. With
 * one repetition that has no end, there are some 1000 and for each character behind it as many.
 */
const STEPS_MAX = 8192

/**
 * Characters of a beginning that has not gone on in time that are given out as they are: as many as say nothing. Words that
 * begin like a token are typed all the time. A text that was given begins nothing else.
 */
const OPEN_UNITS_KEPT = 5
const TEXT_UNITS_KEPT = 3

/** UTF-16 units of the text at whose end a match of a pattern can have begun without having its least length. */
const OPEN_UNITS_MAX = 4096
/** The same of the named rules: those of their matches have some 100. */
const NAMED_OPEN_UNITS_MAX = 1024

/** The end of a text that may be a match once it goes on. */
export interface OpenMatch {
  /** First unit of what may match; before it nothing is needed any more. */
  readonly from: number
  /** First unit of what would be masked. */
  readonly secret: number
  /** First unit of what is the secret and not the word that tells of one; as `secret` where that is not known apart. */
  readonly sure: number
}

export interface CaptureRule {
  readonly rule: RedactRule
  /**
   * undefined: nothing has begun. `open`: first unit of what was open in this text before it became longer; where nothing was,
   * nothing begins before `unopened`.
   */
  readonly open: (text: string, open: number | undefined, unopened: number) => OpenMatch | undefined
  /** Of an open match whose time is over: shorter ones are given out as they are. */
  readonly keptUnits: number
}

/** Why a request cannot be met, in words that follow its name; undefined: it can. */
export const captureRefusal = ({ patterns = [], rules = [], texts = [] }: CaptureRequest): string | undefined => {
  for (const name of rules) {
    if (name !== ALL_RULES && ruleNamed(name) === undefined)
      return `"${name.slice(0, 40)}" is no rule; \`reprise redact --rules\` lists them, and "${ALL_RULES}" is all of them`
  }
  if (texts.length + patterns.length > GIVEN_MAX) return `at most ${GIVEN_MAX} texts and patterns`
  if ([...texts, ...patterns].reduce((sum, text) => sum + Buffer.byteLength(text), 0) > GIVEN_BYTES_MAX)
    return `texts and patterns have at most ${GIVEN_BYTES_MAX} bytes in all`
  for (const text of texts) {
    if (visibleOf(text).trim().length < TEXT_CHARACTERS_MIN)
      return `a text has at least ${TEXT_CHARACTERS_MIN} characters`
    if (text.length > MATCH_UNITS_MAX) return `a text has at most ${MATCH_UNITS_MAX} characters`
  }
  for (const source of patterns) {
    const refusal = patternRefusal(source)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

const patternRefusal = (source: string): string | undefined => {
  let isEmpty: boolean
  try {
    isEmpty = new RegExp(source, "u").test("")
  } catch (error) {
    return `a pattern is no regular expression: ${error instanceof Error ? error.message : String(error)}`
  }
  if (isEmpty) return "a pattern finds nothing everywhere: it matches the empty text"
  const { refusal, steps } = partialPattern(source, { isGiven: true })
  if (refusal !== undefined) return `a pattern ${refusal}, which is not possible while output runs`
  if (steps > STEPS_MAX)
    return "a pattern can match in too many ways to be looked for while output runs: of *, + and {n,} it may have one, with little behind it; write others with an end, such as {0,40}"
  return undefined
}

/** The rules of a request that is right. */
export const captureRules = ({ patterns = [], rules = [], texts = [] }: CaptureRequest): ReadonlyArray<CaptureRule> => {
  const named = rules.includes(ALL_RULES) ? REDACT_RULES : [...new Set(rules)].flatMap((name) => ruleNamed(name) ?? [])
  return [
    ...named.map(namedRule),
    ...[...new Set(texts)].map(givenText),
    ...[...new Set(patterns)].map(
      (source): CaptureRule => ({
        rule: patternRule(partialPattern(source, { isGiven: true }).whole),
        open: openByPattern(new RegExp(source, "u"), { isGiven: true, unitsMax: OPEN_UNITS_MAX }),
        keptUnits: OPEN_UNITS_KEPT
      })
    )
  ]
}

const namedRule = (rule: RedactRule): CaptureRule => {
  const open =
    rule.pattern !== undefined
      ? openByPattern(rule.pattern, { isGiven: false, unitsMax: NAMED_OPEN_UNITS_MAX })
      : rule.name === "private-key"
        ? openKey(rule)
        : openCard
  return { rule, open, keptUnits: OPEN_UNITS_KEPT }
}

const openByPattern = (
  pattern: RegExp,
  { isGiven, unitsMax }: { readonly isGiven: boolean; readonly unitsMax: number }
): CaptureRule["open"] => {
  const { isNamed, source } = partialPattern(pattern.source, { isGiven })
  const flags = pattern.flags.replace(/[dg]/g, "")
  const partial = new RegExp(`(?:${source})(?![^])`, `${flags}g`)
  // Places of groups cost more than the search, which nearly always finds nothing.
  const placed = new RegExp(partial.source, `${flags}dy`)
  return (shown, open, unopened) => {
    const text = isGiven ? lineEnded(shown) : shown
    partial.lastIndex = open ?? Math.max(unopened, text.length - unitsMax)
    const found = partial.exec(text)
    if (found === null || found.index === text.length) return undefined
    placed.lastIndex = found.index
    const { index, indices } = placed.exec(text)!
    if (isNamed) {
      const secret = indices!.groups?.secret?.[0] ?? text.length
      return { from: index, secret, sure: secret }
    }
    const runs = indices!.slice(1)
    if (runs.length === 0) return { from: index, secret: index, sure: index }
    return { from: index, secret: index, sure: Math.min(text.length, ...runs.flatMap((run) => run?.[0] ?? [])) }
  }
}

/** A carriage return at the end is a line's: the line feed behind it, which takes its place, has not come. */
const lineEnded = (text: string): string => (text.endsWith("\r") ? `${text.slice(0, -1)}\n` : text)

/** A text; its line ends are those of the window, which has one character for each. */
const givenText = (given: string): CaptureRule => {
  const text = visibleOf(given).replace(/\r\n?/g, "\n")
  const rule: RedactRule = {
    name: TEXT_RULE,
    description: "a text that was given",
    looksFor: "nothing",
    find: (within) => {
      const found: Array<ReadonlyArray<{ readonly from: number; readonly to: number }>> = []
      for (let at = within.indexOf(text); at >= 0; at = within.indexOf(text, at + 1))
        found.push([{ from: at, to: at + text.length }])
      return found
    }
  }
  const failure = failureOf(text)
  return {
    rule,
    open: (shown) => {
      const within = lineEnded(shown)
      let matched = 0
      for (let at = Math.max(0, within.length - text.length + 1); at < within.length; at++) {
        const unit = within.charCodeAt(at)
        while (matched > 0 && text.charCodeAt(matched) !== unit) matched = failure[matched - 1]!
        if (text.charCodeAt(matched) === unit) matched++
      }
      if (matched === 0) return undefined
      return openAt(within.length - matched)
    },
    keptUnits: Math.min(TEXT_UNITS_KEPT, text.length >> 1)
  }
}

/** Of each beginning of the text, the length of the longest shorter one that it ends with (Knuth, Morris, Pratt). */
const failureOf = (text: string): Int32Array => {
  const failure = new Int32Array(text.length)
  for (let at = 1, matched = 0; at < text.length; at++) {
    while (matched > 0 && text[at] !== text[matched]) matched = failure[matched - 1]!
    if (text[at] === text[matched]) matched++
    failure[at] = matched
  }
  return failure
}

/** A number that is being printed, from the seventh digit on: the six before it may be shown. */
const CARD_DIGITS_SHOWN = 6
const CARD_BEGINNING = /(?<![\d.,])[2-6]\d*(?:[ -]\d+){0,4}[ -]?$/
const CARD_UNITS_MAX = 24
const openCard: CaptureRule["open"] = (text) => {
  const from = Math.max(0, text.length - CARD_UNITS_MAX - 1)
  const match = CARD_BEGINNING.exec(text.slice(from))
  if (match === null || match[0].length > CARD_UNITS_MAX) return undefined
  let digits = 0
  let at = from + match.index
  for (; at < text.length && digits < CARD_DIGITS_SHOWN; at++) if (/\d/.test(text[at]!)) digits++
  return { ...openAt(at), from: from + match.index }
}

/** The secret begins with the match. */
const openAt = (secret: number): OpenMatch => ({ from: secret, secret, sure: secret })

const KEY_BEGIN = "-----BEGIN "
const KEY_HEAD = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/g
/** A line that may be one of a key, and what of the key's end has come. */
const KEY_REST =
  /(?:\s|\\[nr])*(?:[A-Za-z0-9+/=]*|[A-Za-z-]{1,30}(?:: ?[^\n]{0,200})?)(?:\s|\\[nr])*\\?(?:-{1,5}(?:E(?:N(?:D[A-Z0-9 ]{0,60}-{0,5})?)?)?)?$/y
const KEY_END = /(?:\s|\\[nr])*-{5}E(?:N(?:D[A-Z0-9 ]{0,60}-{0,5})?)?$/y

/** Behind the head of a key, while it goes on. */
const openKey =
  (rule: RedactRule): CaptureRule["open"] =>
  (text) => {
    KEY_HEAD.lastIndex = 0
    let head: RegExpExecArray | undefined
    for (let next = KEY_HEAD.exec(text); next !== null; next = KEY_HEAD.exec(text)) head = next
    if (head !== undefined) {
      const begin = head.index + head[0].length
      const body = rule.find(text).at(-1)?.[0]
      const to = body !== undefined && body.from === begin ? body.to : begin
      KEY_END.lastIndex = to
      if (KEY_END.test(text)) return { ...openAt(text.length), from: head.index }
      KEY_REST.lastIndex = to
      if (KEY_REST.test(text)) return { ...openAt(begin), from: head.index }
    }
    // The head itself is no secret; it has to be known whole.
    const from = text.lastIndexOf(KEY_BEGIN)
    if (from >= 0 && text.length - from < 80 && !text.slice(from).includes("\n"))
      return { ...openAt(text.length), from }
    for (let length = Math.min(KEY_BEGIN.length - 1, text.length); length > 0; length--)
      if (text.endsWith(KEY_BEGIN.slice(0, length))) return { ...openAt(text.length), from: text.length - length }
    return undefined
  }
