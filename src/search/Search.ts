/**
 * Looking for a text in all sessions of a store: what was printed, typed, run, and what terminals called themselves.
 * SearchEngine.ts does it over a journal, in an engine or in a process of its own; clients ask the engine for it.
 */
import { Context, Schema, type Stream } from "effect"
import { SessionId } from "../../journal/Event.ts"
import type { InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"

/**
 * output: of the terminal and of commands, as plain text. input: what was typed and given to commands; never what was typed
 * without echo. commands: what a session and its shell were told to run. titles: of the terminal, and the session's name.
 */
export const SearchSource = Schema.Literals(["output", "input", "commands", "titles"])
export type SearchSource = typeof SearchSource.Type

export interface SearchQuery {
  /** A text, or with `regex` the source of a regular expression of JavaScript. 1 to 1,000 characters. */
  readonly pattern: string
  readonly regex?: boolean | undefined
  /** Of the regular expression: any of `imsu`. */
  readonly flags?: string | undefined
  readonly ignoreCase?: boolean | undefined
  readonly in?: SearchSource | undefined
  readonly session?: SessionId | undefined
  /** Microseconds since 1970, both inclusive. */
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
export const SearchHit = Schema.TaggedStruct("Hit", {
  session: SessionId,
  name: Schema.NullOr(Schema.String),
  /** The event with which the line was complete: `stateAt` there shows it. */
  sequence: Schema.Int,
  /** Of that event, microseconds since 1970. */
  timeMicros: Schema.Finite,
  in: SearchSource,
  /** Of output: where it was printed. */
  channel: Schema.NullOr(Schema.Literals(["tty", "stdout", "stderr"])),
  /** Number of the command that it belongs to in a shell for commands; null where there is none. */
  exec: Schema.NullOr(Schema.Int),
  cwd: Schema.String,
  /** Without control sequences, at most 10,000 characters; not escaped. */
  line: Schema.String,
  /** What was found in it: from, to (exclusive), in UTF-16 units; the first 100. */
  ranges: Schema.Array(Schema.Tuple([Schema.Int, Schema.Int]))
})
export type SearchHit = typeof SearchHit.Type

/** A part of a session that cannot be read: what is in it is not known. */
export const SearchGap = Schema.TaggedStruct("Gap", {
  session: SessionId,
  /** Events from this one on. */
  from: Schema.Int,
  reason: Schema.String
})
export type SearchGap = typeof SearchGap.Type

export const SearchItem = Schema.Union([SearchHit, SearchGap])
export type SearchItem = typeof SearchItem.Type

export interface SearchShape {
  /**
   * Sessions in which something happened last come first, and of each session its last lines. What happens after the search
   * began may be missing. Ends early with its reader. InvalidRequest: the pattern is none, or takes too long with a line.
   */
  search(query: SearchQuery): Stream.Stream<SearchItem, InvalidRequest | SessionNotFound | SessionUnavailable>
}

export class Search extends Context.Service<Search, SearchShape>()("reprise/search/Search") {}
