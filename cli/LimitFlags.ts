/** Flags that bound a session: `--group`, `--idle-timeout` and `--max-bytes`, the same wherever one is made. */
import { Effect, Option } from "effect"
import { Flag } from "effect/cli"
import type { SessionLimits } from "../journal/Event.ts"
import { Usage } from "./Usage.ts"

export const limitFlags = {
  group: Flag.String("group").pipe(
    Flag.withDescription("Sessions of one group are counted together, and only so many may live"),
    Flag.optional
  ),
  idleTimeout: Flag.String("idle-timeout").pipe(
    Flag.withDescription(
      "End it when nobody is attached and nothing is typed or printed for so long, and no command runs: 90s, 30m, 1h, 2d (default: never)"
    ),
    Flag.withMetavar("TIME"),
    Flag.optional
  ),
  maxBytes: Flag.String("max-bytes").pipe(
    Flag.withDescription("End it when more output and input than this is kept: 500k, 100M, 2G (default: no limit)"),
    Flag.withMetavar("BYTES"),
    Flag.optional
  )
}

export interface ChosenLimits {
  readonly group: Option.Option<string>
  readonly idleTimeout: Option.Option<string>
  readonly maxBytes: Option.Option<string>
}

/** What a request for a session says of them; nothing where no flag was given. */
export const limitsOf = Effect.fnUntraced(function* (flags: ChosenLimits, command: string) {
  const limits: { idleMillis?: number; journalBytes?: number } = {}
  if (Option.isSome(flags.idleTimeout)) {
    const millis = parseDuration(flags.idleTimeout.value)
    if (millis === undefined) {
      return yield* new Usage({
        reason: `--idle-timeout: "${flags.idleTimeout.value}" is not a time, such as 90s, 30m or 1h`,
        command
      })
    }
    limits.idleMillis = millis
  }
  if (Option.isSome(flags.maxBytes)) {
    const bytes = parseBytes(flags.maxBytes.value)
    if (bytes === undefined) {
      return yield* new Usage({
        reason: `--max-bytes: "${flags.maxBytes.value}" is not a number of bytes, such as 100M`,
        command
      })
    }
    limits.journalBytes = bytes
  }
  const chosen: { group?: string; limits?: SessionLimits } = {}
  if (Option.isSome(flags.group)) chosen.group = flags.group.value
  if (Object.keys(limits).length > 0) chosen.limits = limits
  return chosen
})

const MILLIS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds; undefined when it is not a time above zero. A unit is needed: a bare number could be any. */
export const parseDuration = (text: string): number | undefined => {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)$/.exec(text)
  const millis = match === null ? 0 : Number(match[1]) * MILLIS[match[2]!]!
  return millis >= 1 ? millis : undefined
}

/** Units are 1024 times each other, as in ls and dd. undefined when it is not a whole number of bytes above zero. */
export const parseBytes = (text: string): number | undefined => {
  const match = /^(\d{1,15})([kKMGT]?)$/.exec(text)
  if (match === null) return undefined
  const bytes = Number(match[1]) * 1024 ** ["", "K", "M", "G", "T"].indexOf(match[2]!.toUpperCase())
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}
