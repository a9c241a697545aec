/** Flags for rules that redact before anything is recorded, the same wherever a session is made. */
import { Effect } from "effect"
import { Flag } from "effect/cli"
import type { CaptureRequest } from "../src/capture/CaptureRequest.ts"
import { Caller } from "./Caller.ts"
import { Usage } from "./Usage.ts"

export const redactFlags = {
  redact: Flag.String("redact").pipe(
    Flag.withDescription(
      "Take what this rule finds out before anything is recorded (`reprise redact --rules` lists them; all); can be given " +
        "several times (default: REPRISE_REDACT, with commas)"
    ),
    Flag.withMetavar("RULE"),
    Flag.atLeast(0)
  ),
  redactEnv: Flag.String("redact-env").pipe(
    Flag.withDescription("The same for the value of this variable of the caller; can be given several times"),
    Flag.withMetavar("NAME"),
    Flag.atLeast(0)
  ),
  redactPattern: Flag.String("redact-pattern").pipe(
    Flag.withDescription("The same for what this finds (JavaScript, with the flag u); can be given several times"),
    Flag.withMetavar("REGEX"),
    Flag.atLeast(0)
  )
}

export interface ChosenRedact {
  readonly redact: ReadonlyArray<string>
  readonly redactEnv: ReadonlyArray<string>
  readonly redactPattern: ReadonlyArray<string>
}

/** What a request for a session says of them; nothing where nothing was given. What is wrong with a rule the engine tells. */
export const redactOf = Effect.fnUntraced(function* (flags: ChosenRedact, command: string) {
  const { env } = yield* Caller
  const given = flags.redact.length > 0 ? flags.redact : (env.REPRISE_REDACT ?? "").split(",")
  const rules = given.map((rule) => rule.trim()).filter((rule) => rule !== "")
  const texts: Array<string> = []
  for (const name of flags.redactEnv) {
    const text = env[name]
    if (text === undefined || text === "") {
      const reason = name.includes("=")
        ? "--redact-env: give the name only; the value comes from the environment"
        : `--redact-env: ${name} is not set here`
      return yield* new Usage({ reason, command })
    }
    texts.push(text)
  }
  const request: CaptureRequest = { rules, texts, patterns: flags.redactPattern }
  const isAsked = rules.length + texts.length + flags.redactPattern.length > 0
  return isAsked ? { redact: request } : {}
})
