/** A query as it was given becomes one that the search worker runs and the index is asked with; or it is refused. */
import { InvalidRequest } from "../session/SessionError.ts"
import type { WorkerQuery } from "./Matcher.ts"
import type { SearchQuery } from "./Search.ts"
import { literalRuns, slotsOf } from "./Trigrams.ts"

/** A pattern is compiled for each search; nobody types a longer one. */
const PATTERN_CHARACTERS_MAX = 1000

export interface Pattern {
  readonly worker: WorkerQuery
  /** Slots of the index that every text has in which it finds something; none: everything is read. */
  readonly slots: ReadonlyArray<number>
}

const SYNTAX = /[\\^$.*+?()[\]{}|/]/g

export const patternOf = (query: SearchQuery): Pattern | InvalidRequest => {
  const { cwd, exitCode, flags = "", ignoreCase, limit, pattern, regex, since, until } = query
  const refused = (field: string, reason: string) => new InvalidRequest({ field, reason })
  if (typeof pattern !== "string" || pattern === "" || pattern.length > PATTERN_CHARACTERS_MAX) {
    return refused("pattern", `must have 1 to ${PATTERN_CHARACTERS_MAX} characters`)
  }
  if (!/^[imsu]*$/.test(flags) || new Set(flags).size < flags.length) {
    return refused("flags", "are any of i, m, s and u, each once")
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
    return refused("limit", "must be a whole number above 0")
  }
  if (exitCode !== undefined && !Number.isInteger(exitCode)) return refused("exitCode", "must be a whole number")
  for (const [field, time] of Object.entries({ since, until })) {
    if (time !== undefined && !Number.isFinite(time)) return refused(field, "must be a time")
  }
  if (cwd !== undefined && !cwd.startsWith("/")) return refused("cwd", "must be an absolute path")
  const source = regex === true ? pattern : pattern.replace(SYNTAX, "\\$&")
  const all = new Set(regex === true ? flags : "u")
  if (ignoreCase === true) all.add("i")
  const worker = { source, flags: [...all].join(""), in: query.in, cwd, since, until }
  try {
    new RegExp(source, worker.flags)
  } catch (error) {
    return refused("pattern", error instanceof Error ? error.message : String(error))
  }
  return { worker, slots: slotsOf(regex === true ? literalRuns(pattern) : [pattern]) }
}
