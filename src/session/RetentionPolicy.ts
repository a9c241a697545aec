/**
 * What a store keeps: rules in the words of its `config.json`, and of whoever asks for a removal. It holds the rules and
 * checks them; RetentionEngine.ts applies them. No rule is: everything is kept for ever.
 *
 *     { "retention": { "session": { "maxAgeMillis": 2592000000 }, "store": { "maxSessions": 1000 } } }
 */

/** Of every session, also while it lives: its oldest events go. */
export interface SessionRules {
  /** Events that happened longer ago go. */
  readonly maxAgeMillis?: number | undefined
  /** Of the records of its events, as they are stored. */
  readonly maxBytes?: number | undefined
  readonly maxEvents?: number | undefined
}

/** Of the store: whole sessions go, those that have ended, in the order of their ends. */
export interface StoreRules {
  /** Sessions that ended longer ago go. */
  readonly maxAgeMillis?: number | undefined
  /** Of the files of the journal. */
  readonly maxBytes?: number | undefined
  /** In the list, with those that live. */
  readonly maxSessions?: number | undefined
}

export interface RetentionPolicy {
  readonly session: SessionRules
  readonly store: StoreRules
}

export const KEEP_EVERYTHING: RetentionPolicy = { session: {}, store: {} }

const RULES = {
  session: ["maxAgeMillis", "maxBytes", "maxEvents"],
  store: ["maxAgeMillis", "maxBytes", "maxSessions"]
} as const

export const hasRules = (rules: SessionRules | StoreRules): boolean =>
  Object.values(rules).some((value) => value !== undefined)

/** The policy, or in words what is wrong with it. */
export const checkPolicy = (given: unknown): RetentionPolicy | string => {
  if (!isObject(given)) return ` is not an object, such as {"store": {"maxSessions": 1000}}`
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(RULES, name)) return `.${name.slice(0, 40)} is not known; there are session, store`
  }
  for (const part of ["session", "store"] as const) {
    const rules = given[part] ?? {}
    if (!isObject(rules)) return `.${part} is not an object`
    for (const [name, value] of Object.entries(rules)) {
      if (!(RULES[part] as ReadonlyArray<string>).includes(name)) {
        return `.${part}.${name.slice(0, 40)} is not known; there are ${RULES[part].join(", ")}`
      }
      if (value === undefined) continue
      const isRight = name === "maxAgeMillis" ? Number.isFinite(value) : Number.isSafeInteger(value)
      if (!isRight || (value as number) < 1) {
        return `.${part}.${name} is ${JSON.stringify(value)} and must be a ${name === "maxAgeMillis" ? "" : "whole "}number of 1 or more; leave it out for no limit`
      }
    }
  }
  const { session = {}, store = {} } = given as Partial<RetentionPolicy>
  return { session, store }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const DAY_MILLIS = 86_400_000

/** A time in the largest unit that says it exactly. */
export const inWords = (millis: number): string => {
  for (const [name, unit] of [
    ["day", DAY_MILLIS],
    ["hour", 3_600_000],
    ["minute", 60_000],
    ["second", 1000]
  ] as const) {
    if (millis >= unit && millis % unit === 0) return `${millis / unit} ${name}${millis === unit ? "" : "s"}`
  }
  return `${millis} ms`
}
