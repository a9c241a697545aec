/**
 * What is to be kept out of a session's record from the start: asked for when the session is created, or set for a whole
 * store. Only its shape; CaptureRule.ts says what may stand in it.
 */
import { Schema } from "effect"

export const CaptureRequest = Schema.Struct({
  /** Names of rules (`reprise redact --rules`), or `all`. */
  rules: Schema.optional(Schema.Array(Schema.String)),
  /** Texts that are secret, 4 characters at least. They are in the memory of engine and keeper, and nowhere on disk. */
  texts: Schema.optional(Schema.Array(Schema.String)),
  /** Regular expressions (JavaScript, flag `u`); with a group `secret`, that is what is replaced. Kept as texts are. */
  patterns: Schema.optional(Schema.Array(Schema.String))
})
export type CaptureRequest = typeof CaptureRequest.Type

/** What stands for it in the journal: names of rules, and one of these for each text and pattern. */
export const captureNames = ({ patterns = [], rules = [], texts = [] }: CaptureRequest): ReadonlyArray<string> => [
  ...new Set(rules),
  ...texts.map(() => TEXT_RULE),
  ...patterns.map(() => PATTERN_RULE)
]
export const TEXT_RULE = "text"
export const PATTERN_RULE = "pattern"

/** Both; undefined when neither looks for anything. */
export const mergeCapture = (
  one: CaptureRequest | undefined,
  other: CaptureRequest | undefined
): CaptureRequest | undefined => {
  const both = (name: keyof CaptureRequest) => [...new Set([...(one?.[name] ?? []), ...(other?.[name] ?? [])])]
  const merged = { rules: both("rules"), texts: both("texts"), patterns: both("patterns") }
  return merged.rules.length + merged.texts.length + merged.patterns.length === 0 ? undefined : merged
}

/** How a keeper remembers it for the next engine. */
export interface CaptureNote extends CaptureRequest {
  /** Base64: the last that was typed, while a match may go on from it. */
  readonly typed?: string
  /** Bytes of journaled input when the last of it is among them. */
  readonly typedTo?: number
}

/** The whole note of a terminal's session. */
export const captureNote = (capture: CaptureNote): Uint8Array => Buffer.from(JSON.stringify({ capture }))
