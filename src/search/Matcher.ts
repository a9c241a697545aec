/**
 * A pattern and what else a line has to be, ready for use in the search worker: nothing that runs a pattern runs anywhere
 * else, since one regular expression can take for ever with one line.
 */
import type { LinePlace, SearchSource } from "./SearchText.ts"

/** What the worker is told of a query. */
export interface WorkerQuery {
  readonly source: string
  /** Of a RegExp, without g and y. */
  readonly flags: string
  readonly in?: SearchSource | undefined
  /** In this folder or below. */
  readonly cwd?: string | undefined
  readonly since?: number | undefined
  readonly until?: number | undefined
}

/** Places of one line that are told. */
const RANGES_MAX = 100

export class Matcher {
  readonly #query: WorkerQuery
  readonly #test: RegExp
  readonly #find: RegExp

  constructor(query: WorkerQuery) {
    this.#query = query
    this.#test = new RegExp(query.source, query.flags)
    this.#find = new RegExp(query.source, `${query.flags}g`)
  }

  matches(line: string, { source, timeMicros }: LinePlace, cwd: string): boolean {
    const { cwd: folder, in: only, since, until } = this.#query
    if (only !== undefined && source !== only) return false
    if (since !== undefined && timeMicros < since) return false
    if (until !== undefined && timeMicros > until) return false
    return this.#test.test(line) && (folder === undefined || isIn(cwd, folder))
  }

  /** Where in the line, in UTF-16 units: from, to (exclusive). */
  ranges(line: string): ReadonlyArray<readonly [number, number]> {
    const ranges: Array<readonly [number, number]> = []
    this.#find.lastIndex = 0
    while (ranges.length < RANGES_MAX) {
      const found = this.#find.exec(line)
      if (found === null) break
      ranges.push([found.index, found.index + found[0].length])
      if (found[0] === "") this.#find.lastIndex++
    }
    return ranges
  }
}

const isIn = (path: string, folder: string): boolean => {
  const base = folder.replace(/\/+$/, "")
  return path === base || path.startsWith(`${base}/`)
}
