/**
 * What a redaction looks for in text: named rules for the shapes of well-known secrets and for card numbers, and rules made
 * of a text or a pattern that somebody gives. Pure; a rule sees text whose escape sequences are gone and knows nothing of
 * sessions. What has no shape (a password alone on a line) no rule can find.
 */

import { visibleOf } from "./CellMask.ts"

/** UTF-16 units of the longest match: what is found is not longer, so that streams are searched in bounded windows. */
export const MATCH_UNITS_MAX = 16 * 1024

/** UTF-16 units of a text, [from, to). */
export interface Span {
  readonly from: number
  readonly to: number
}

export interface RedactRule {
  readonly name: string
  readonly description: string
  /** Every place to be masked, in order; one match can have several. */
  readonly find: (text: string) => ReadonlyArray<ReadonlyArray<Span>>
  /**
   * What else is looked for once it has found something. `pieces`: also parts of it, which are left where a line was edited.
   * `copies`: the same text in other places, if it looks like a secret there too. `nothing`: what it found says nothing of
   * other places.
   */
  readonly looksFor: "pieces" | "copies" | "nothing"
  /** What it is made of, where that is one pattern. */
  readonly pattern?: RegExp
}

/** A regular expression with the flags `g` and `d`; what is masked is its group `secret`, or all of it. */
const byPattern =
  (pattern: RegExp): RedactRule["find"] =>
  (text) => {
    const found: Array<ReadonlyArray<Span>> = []
    for (const match of text.matchAll(pattern)) {
      const [from, to] = match.indices!.groups?.secret ?? match.indices![0]!
      if (to > from) found.push([{ from, to: Math.min(to, from + MATCH_UNITS_MAX) }])
    }
    return found
  }

/** What every token begins with or has in it. Nearly no row of a screen does, and one look says so for all of them. */
const TOKEN_HINT =
  /AKIA|ASIA|ABIA|ACCA|aws|gh[pousr]_|github_pat_|gl[a-z]{1,6}[_-]|xox|xapp-|slack|[sr]k_|whsec_|sk-|gsk_|AIza|GOCSPX-|ya29\.|npm_|pypi-|hf_|SG\.|shp[a-z]{2}_|lin_|ntn_|secret_|hv[sbr]\.|dapi|dckr_|fig[dour]_|tskey-|do[opr]_v1_|ops_eyJ|AGE-|eyJ/i

let hintedText = ""
let isHinted = false
const mayHoldToken = (text: string): boolean => {
  if (text !== hintedText) {
    hintedText = text
    isHinted = TOKEN_HINT.test(text)
  }
  return isHinted
}

const token = (name: string, description: string, pattern: RegExp): RedactRule => {
  const find = byPattern(pattern)
  return { name, description, find: (text) => (mayHoldToken(text) ? find(text) : NOTHING), looksFor: "pieces", pattern }
}

/** `hint`: without it in the text nothing is found. */
const shape = (name: string, description: string, hint: RegExp, pattern: RegExp): RedactRule => {
  const find = byPattern(pattern)
  return { name, description, find: (text) => (hint.test(text) ? find(text) : NOTHING), looksFor: "copies", pattern }
}

const NOTHING: ReadonlyArray<ReadonlyArray<Span>> = []

/** Each begins with literal text, and has an end: a search takes time in proportion to the text. */
const TOKENS: ReadonlyArray<RedactRule> = [
  token("aws-access-key", "AWS access key id", /(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])/dg),
  token(
    "aws-secret-key",
    "AWS secret access key behind its name",
    /aws_?secret_?(?:access_?)?key["']?\s{0,4}[:=]\s{0,4}["']?(?<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])/dgi
  ),
  token("github-token", "GitHub tokens", /(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})/dg),
  token("gitlab-token", "GitLab tokens", /(?<![\w-])gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt|agent)-[\w-]{16,255}/dg),
  token("slack-token", "Slack tokens", /(?<![\w-])(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{8,255}/dg),
  token(
    "slack-webhook",
    "Slack webhook addresses",
    /hooks\.slack\.com\/(?:services|workflows)\/(?<secret>[A-Za-z0-9/_-]{20,200})/dg
  ),
  token("stripe-key", "Stripe keys", /(?<![A-Za-z0-9_])(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,255}/dg),
  token("openai-key", "OpenAI, Anthropic and like keys", /(?<![\w-])sk-[\w-]{16,255}/dg),
  token("groq-key", "Groq keys", /(?<![A-Za-z0-9_])gsk_[A-Za-z0-9]{40,100}/dg),
  token("google-key", "Google API keys", /(?<![\w-])(?:AIza[\w-]{30,60}|GOCSPX-[\w-]{20,60})/dg),
  token("google-oauth", "Google access tokens", /(?<![\w-])ya29\.[\w-]{16,1024}/dg),
  token("npm-token", "npm tokens", /(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{20,255}/dg),
  token("pypi-token", "PyPI tokens", /(?<![\w-])pypi-[\w-]{32,500}/dg),
  token("huggingface-token", "Hugging Face tokens", /(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{20,100}/dg),
  token("sendgrid-key", "SendGrid keys", /(?<![\w.-])SG\.[\w-]{16,64}\.[\w-]{16,64}/dg),
  token("shopify-token", "Shopify tokens", /(?<![A-Za-z0-9_])shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}/dg),
  token(
    "grafana-token",
    "Grafana tokens",
    /(?<![A-Za-z0-9_])gl(?:sa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|c_[\w+/=-]{32,400})/dg
  ),
  token("linear-key", "Linear keys", /(?<![A-Za-z0-9_])lin_(?:api|oauth)_[A-Za-z0-9]{32,64}/dg),
  token("notion-token", "Notion tokens", /(?<![A-Za-z0-9_])(?:ntn_|secret_)[A-Za-z0-9]{40,60}/dg),
  token("vault-token", "HashiCorp Vault tokens", /(?<![\w.-])hv[sbr]\.[\w-]{24,300}/dg),
  token("databricks-token", "Databricks tokens", /(?<![A-Za-z0-9])dapi[a-f0-9]{32}(?:-\d)?/dg),
  token("docker-token", "Docker tokens", /(?<![\w-])dckr_(?:pat|oat)_[\w-]{20,64}/dg),
  token("figma-token", "Figma tokens", /(?<![\w-])fig[dour]_[\w-]{36,64}/dg),
  token("tailscale-key", "Tailscale keys", /(?<![\w-])tskey-(?:auth|api|client|scim|webhook)-[\w-]{16,100}/dg),
  token("digitalocean-token", "DigitalOcean tokens", /(?<![A-Za-z0-9_])do[opr]_v1_[a-f0-9]{32,80}/dg),
  token("onepassword-token", "1Password service tokens", /(?<![\w-])ops_eyJ[\w-]{40,2000}/dg),
  token("age-key", "age secret keys", /AGE-SECRET-KEY-1[A-Z0-9]{50,70}/dg),
  token("jwt", "JSON web tokens", /(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,8000}\.[\w-]{0,2000}/dg),
  shape(
    "authorization-header",
    "credentials of an Authorization header",
    /authorization|bearer|basic/i,
    /(?<![A-Za-z])(?:authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:\w{1,20} +)?|(?:bearer|basic) +)(?<secret>[\w.~+/=-]{8,8000})/dgi
  ),
  shape(
    "url-credentials",
    "the password of an address",
    /:\/\/[^\s@]{0,700}@/,
    /(?<![A-Za-z0-9])[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/?#@:"']{0,200}:(?<secret>[^\s/?#"']{1,500})@/dgi
  ),
  shape(
    "assignment",
    "what is given to a name that is a secret's: password=…, --token …, api_key: …",
    /(?:pass(?:word|wd|phrase)|pwd|secret|token|key)["']?(?:[ \t]{0,4}[:=]| )/i,
    /(?<![A-Za-z0-9])(?:[A-Za-z0-9]{1,30}[_-]){0,4}(?:password|passwd|passphrase|pwd|secret|token|api_?key|auth_?key|access_?key|private_?key|secret_?key|client_?secret)["']?(?:[ \t]{0,4}[:=][ \t]{0,4}|(?<=--[a-z-]{1,60}) )["']?(?<secret>(?<=")[^"\n]{4,500}(?=")|(?<=')[^'\n]{4,500}(?=')|[^\s"'$;,&|<>(){}*][^\s"';,&|<>()]{3,499})/dgi
  )
]

const PEM_BEGIN = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/g
const PEM_END = /-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/g
const PEM_LINE = /(?:\s|\\[nr])*[A-Za-z0-9+/=]{16,}|(?:\s|\\[nr])*[A-Za-z-]{3,30}: [^\n]{1,200}/y
const PEM_UNITS_MAX = 12_000

const privateKeys: RedactRule = {
  name: "private-key",
  description: "private keys in PEM: what stands between BEGIN and END",
  looksFor: "pieces",
  find: (text) => {
    const found: Array<ReadonlyArray<Span>> = []
    if (!text.includes("PRIVATE KEY")) return found
    PEM_BEGIN.lastIndex = 0
    for (let begin = PEM_BEGIN.exec(text); begin !== null; begin = PEM_BEGIN.exec(text)) {
      const from = begin.index + begin[0].length
      PEM_END.lastIndex = from
      const end = PEM_END.exec(text)
      let to = from
      if (end !== null && end.index - from <= PEM_UNITS_MAX) to = end.index
      else {
        // Cut off: as much as looks like one.
        for (;;) {
          PEM_LINE.lastIndex = to
          const line = PEM_LINE.exec(text)
          if (line === null || line[0].length === 0 || to - from > PEM_UNITS_MAX) break
          to = PEM_LINE.lastIndex
        }
      }
      if (to > from) found.push([{ from, to }])
      PEM_BEGIN.lastIndex = Math.max(to, from)
    }
    return found
  }
}

/** How the digits of a card number are written in groups. */
const CARD_GROUPS = new Set(["16", "15", "14", "13", "19", "4-4-4-4", "4-6-5", "4-6-4", "4-4-4-4-3"])
const CARD_HINT = /\d[\d -]{11}/
const CARD_RUN = /(?<![\d.,])\d[\d -]{11,60}\d(?![\d])/g
/** First digits of the issuers, and how many digits their numbers have. */
const CARD_ISSUERS: ReadonlyArray<readonly [first: RegExp, lengths: ReadonlyArray<number>]> = [
  [/^4/, [13, 16, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^3[47]/, [15]],
  [/^(?:30[0-5]|309|3[689])/, [14, 16, 19]],
  [/^(?:6011|65|64[4-9]|62|35)/, [16, 19]]
]
const isCardNumber = (digits: string): boolean =>
  CARD_ISSUERS.some(([first, lengths]) => lengths.includes(digits.length) && first.test(digits)) && isLuhn(digits)

/** PCI DSS 3.4.1: at most the BIN and the last four may be shown. */
const CARD_BIN_DIGITS = 6
const CARD_LAST_DIGITS = 4

const isLuhn = (digits: string): boolean => {
  let sum = 0
  for (let at = digits.length - 1, isSecond = false; at >= 0; at--, isSecond = !isSecond) {
    const digit = digits.charCodeAt(at) - 48
    sum += isSecond ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

const cardNumbers: RedactRule = {
  name: "card-number",
  description: "payment card numbers (Luhn); the first six and last four digits stay",
  looksFor: "nothing",
  find: (text) => {
    const found: Array<ReadonlyArray<Span>> = []
    if (!CARD_HINT.test(text)) return found
    for (const run of text.matchAll(CARD_RUN)) {
      const groups = [...run[0].matchAll(/\d+/g)].map((group) => ({
        at: run.index + group.index,
        digits: group[0]
      }))
      for (let first = 0; first < groups.length; first++) {
        for (let last = Math.min(groups.length, first + 5); last > first; last--) {
          const part = groups.slice(first, last)
          const isTight = part.every(({ at }, index) => {
            const before = part[index - 1]
            return before === undefined || at === before.at + before.digits.length + 1
          })
          const number = part.map(({ digits }) => digits).join("")
          if (!isTight || !CARD_GROUPS.has(part.map(({ digits }) => digits.length).join("-"))) continue
          if (!isCardNumber(number)) continue
          const places = part.flatMap(({ at, digits }) => Array.from(digits, (_, index) => at + index))
          found.push(places.slice(CARD_BIN_DIGITS, -CARD_LAST_DIGITS).map((at): Span => ({ from: at, to: at + 1 })))
          first = last - 1
          break
        }
      }
    }
    return found
  }
}

/** All named rules. */
export const REDACT_RULES: ReadonlyArray<RedactRule> = [...TOKENS, privateKeys, cardNumbers]

/** undefined when there is none of this name. */
export const ruleNamed = (name: string): RedactRule | undefined => REDACT_RULES.find((rule) => rule.name === name)

/** What stands for a text that was given: the text itself is kept nowhere. */
export const TEXT_RULE = "text"
export const PATTERN_RULE = "pattern"

/** Finds a text wherever it stands; a line end of it is found however a terminal shows it. */
export const textRule = (text: string): RedactRule => {
  const parts = visibleOf(text)
    .split(/\r?\n/)
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"))
  return given(TEXT_RULE, new RegExp(parts.join("[\\r\\n]+"), "dgu"))
}

/** Throws SyntaxError for what is no regular expression. */
export const patternRule = (source: string): RedactRule => given(PATTERN_RULE, new RegExp(source, "dgu"))

/** Finds everything that is no blank. */
export const everythingRule: RedactRule = {
  name: "range",
  description: "all text of some events",
  find: byPattern(/[^\s]{1,16000}/dgu),
  looksFor: "nothing"
}

const given = (name: string, pattern: RegExp): RedactRule => ({
  name,
  description: `a ${name} that was given`,
  find: byPattern(pattern),
  looksFor: "nothing",
  pattern
})
