/**
 * What a search is asked for and what it gives, in types that name nothing of Effect: the same as those of
 * `src/search/Search.ts`, which an engine is asked in.
 */

/** The session is an id, a unique beginning of one, a name, or `last`. Times are microseconds since 1970, both inclusive. */
export interface ClientSearch {
  /** A text, or with `regex` the source of a regular expression of JavaScript. 1 to 1,000 characters. */
  readonly pattern: string
  readonly regex?: boolean | undefined
  /** Of the regular expression: any of `imsu`. */
  readonly flags?: string | undefined
  readonly ignoreCase?: boolean | undefined
  readonly in?: "output" | "input" | "commands" | "titles" | undefined
  readonly session?: string | undefined
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Lines that appeared while the working directory was this one or below it; an absolute path. */
  readonly cwd?: string | undefined
  /** Of commands that ended with this exit code; of sessions without commands, of programs that did. */
  readonly exitCode?: number | undefined
  /** Lines, at most; absent: all. */
  readonly limit?: number | undefined
}

/** One line that was found. */
export interface SearchHit {
  readonly _tag: "Hit"
  readonly session: string
  readonly name: string | null
  /** The event with which the line was complete. */
  readonly sequence: number
  /** Of that event, microseconds since 1970. */
  readonly timeMicros: number
  readonly in: "output" | "input" | "commands" | "titles"
  /** Of output: where it was printed. */
  readonly channel: "tty" | "stdout" | "stderr" | null
  /** Number of the command that it belongs to in a shell for commands; null where there is none. */
  readonly exec: number | null
  readonly cwd: string
  /** Without control sequences, at most 10,000 characters; not escaped. */
  readonly line: string
  /** What was found in it: from, to (exclusive), in UTF-16 units; the first 100. */
  readonly ranges: ReadonlyArray<readonly [number, number]>
}

/** A part of a session that cannot be read: what is in it is not known. */
export interface SearchGap {
  readonly _tag: "Gap"
  readonly session: string
  /** Events from this one on. */
  readonly from: number
  readonly reason: string
}

export type SearchItem = SearchHit | SearchGap
