/**
 * What may not be run or typed in a session: regular expressions over a command's text and over the line that is being
 * typed, in however many pieces. It reads text, and a shell gives text more meanings than anybody can match: it keeps an
 * agent from what it should not do by mistake. A fence against one that wants to is the operating system's.
 */

/** Rules of one session, and characters of one: an expression is tried on every command. */
export const POLICY_RULES_MAX = 64
export const POLICY_RULE_CHARACTERS_MAX = 512
/** Of a line that is being typed; what stands before it is forgotten. */
const LINE_CHARACTERS_MAX = 8 * 1024

export class Policy {
  readonly #rules: ReadonlyArray<RegExp>
  #line = ""

  /** Throws SyntaxError for what is not a regular expression. */
  constructor(deny: ReadonlyArray<string>) {
    this.#rules = deny.map((rule) => new RegExp(rule, "u"))
  }

  /** The rule that refuses a command's text. */
  refusesCommand(text: string): string | undefined {
    return this.#rules.find((rule) => rule.test(text))?.source
  }

  /** The rule that refuses these bytes behind what was typed since the last Enter. Refused text counts as not typed. */
  refusesTyped(bytes: Uint8Array): string | undefined {
    if (this.#rules.length === 0) return undefined
    const line = (this.#line + new TextDecoder().decode(bytes)).slice(-LINE_CHARACTERS_MAX)
    const refused = this.refusesCommand(line)
    if (refused === undefined) this.#line = line.slice(Math.max(line.lastIndexOf("\n"), line.lastIndexOf("\r")) + 1)
    return refused
  }
}
