/** `reprise search`: lines in all sessions, newest first, each with the place where it stands. */
import { resolve } from "node:path"
import { Clock, Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Search, type SearchGap, type SearchHit, type SearchItem, type SearchQuery } from "../../src/search/Search.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { escapeText, toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { formatLocalTime, formatTime, parseMoment, parseSince } from "../Moment.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { searching } from "../Store.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "search"
const SOURCES = ["output", "input", "commands", "titles"] as const

/** Characters of a line that are shown to people: what was found and what stands around it. JSON has everything. */
const SHOWN_CHARACTERS_MAX = 400
const SHOWN_BEFORE = 80

const timeFlag = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("TIME"), Flag.withDescription(description), Flag.optional)

export const search = Command.make(
  COMMAND,
  {
    text: Argument.String("text").pipe(
      Argument.withMetavar("TEXT|/REGEX/FLAGS"),
      Argument.withDescription("A text, or a regular expression between slashes, with the flags i, m, s and u")
    ),
    in: Flag.Literals("in", SOURCES).pipe(
      Flag.withDescription("Only what was printed, typed, run, or what terminals and sessions are called"),
      Flag.optional
    ),
    session: Flag.String("session").pipe(
      Flag.withMetavar("SESSION"),
      Flag.withDescription("Only this one: an id, the beginning of one, a name, or `last`"),
      Flag.optional
    ),
    since: timeFlag(
      "since",
      "Not before this time: ISO 8601, unix seconds, 30m, 12h, 7d ago, or with --session +1.5s from its start"
    ),
    until: timeFlag("until", "Not after this time"),
    cwd: Flag.String("cwd").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("Only while this, or a folder below it, was the working directory"),
      Flag.optional
    ),
    exit: Flag.Int("exit").pipe(
      Flag.withMetavar("CODE"),
      Flag.withDescription("Only of commands and programs that ended with this code"),
      Flag.optional
    ),
    ignoreCase: Flag.Boolean("ignore-case").pipe(
      Flag.withAlias("i"),
      Flag.withDefault(false),
      Flag.withDescription("Upper and lower case are the same")
    ),
    fixed: Flag.Boolean("fixed").pipe(
      Flag.withAlias("F"),
      Flag.withDefault(false),
      Flag.withDescription("It is a text, also between slashes")
    ),
    limit: Flag.Int("limit").pipe(
      Flag.withAlias("n"),
      Flag.withMetavar("N"),
      Flag.withDescription("At most so many lines"),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDefault(false),
      Flag.withDescription("JSON Lines, one object a line found")
    ),
    count: Flag.Boolean("count").pipe(
      Flag.withAlias("c"),
      Flag.withDefault(false),
      Flag.withDescription("Only how many lines there are")
    )
  },
  Effect.fn("cli.search")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const format = flags.json ? jsonLine : textLines(caller.outputIsTerminal && !caller.env.NO_COLOR)

    yield* Effect.gen(function* () {
      const history = yield* History
      const session = Option.isSome(flags.session) ? yield* findSession(flags.session.value) : undefined
      const startMicros = session === undefined ? undefined : (yield* history.get(session)).createdAt
      const query: SearchQuery = {
        ...patternOf(flags.text, flags.fixed),
        ...(flags.ignoreCase && { ignoreCase: true }),
        in: Option.getOrUndefined(flags.in),
        session,
        since: yield* toMicros(flags.since, "since", startMicros),
        until: yield* toMicros(flags.until, "until", startMicros),
        cwd: Option.getOrUndefined(Option.map(flags.cwd, (folder) => resolve(caller.cwd, folder))),
        exitCode: Option.getOrUndefined(flags.exit),
        limit: Option.getOrUndefined(flags.limit)
      }
      let found = 0
      let gaps = 0
      yield* Search.use(({ search }) =>
        search(query).pipe(
          Stream.runForEachArray((items) => {
            const unread = items.filter(isGap)
            found += items.length - unread.length
            gaps += unread.length
            const shown = flags.count ? "" : items.map((item) => (isGap(item) ? "" : format(item))).join("")
            return Effect.andThen(caller.writeError(unread.map(gapLine).join("")), caller.write(shown))
          })
        )
      )
      if (flags.count) yield* caller.write(flags.json ? toJsonText({ count: found }) : `${found}\n`)
      if (gaps > 0) return yield* new Ending({ exitCode: ExitCode.damaged, note: "" })
      if (found === 0) return yield* new Ending({ exitCode: ExitCode.nothingFound, note: "" })
    }).pipe(Effect.provide(searching(paths)))
  })
).pipe(
  Command.withDescription(
    "Look for a text in everything that sessions printed, were given, ran and are called: as lines of plain text, without what " +
      "full-screen programs drew. The sessions in which something happened last come first, of each the last lines. A line is " +
      "told with its session, time, event, and number of the command. Ends with 1 when nothing is found."
  ),
  Command.withShortDescription("Look for a text in all sessions"),
  Command.withExamples([
    { command: "reprise search 'connection refused' --since 2026-11-01", description: "Where that was printed" },
    { command: "reprise search '/exit(ed)? \\d+/i' --session build --limit 5", description: "The last five" },
    { command: "reprise search git --in commands --cwd ~/src --json", description: "Which commands, as JSON" }
  ])
)

/** `/…/flags` is a regular expression. */
const patternOf = (text: string, isFixed: boolean): Pick<SearchQuery, "pattern" | "regex" | "flags"> => {
  const regex = isFixed ? null : /^\/(.+)\/([a-z]*)$/s.exec(text)
  return regex === null ? { pattern: text } : { pattern: regex[1]!, regex: true, flags: regex[2]! }
}

const toMicros = Effect.fnUntraced(function* (
  text: Option.Option<string>,
  flag: string,
  startMicros: number | undefined
) {
  if (Option.isNone(text)) return undefined
  const micros = parseSince(text.value, yield* Clock.currentTimeMillis)
  if (micros !== undefined) return micros
  const moment = parseMoment(text.value)
  if (moment?._tag === "Offset" && startMicros !== undefined) return startMicros + moment.micros
  const also = startMicros === undefined ? "; +1.5s needs --session" : ", +1.5s"
  const reason = `--${flag}: "${text.value}" is not a time (ISO 8601, unix seconds, 30m, 12h, 7d ago${also})`
  return yield* new Usage({ reason, command: COMMAND })
})

const isGap = (item: SearchItem): item is SearchGap => item._tag === "Gap"

const gapLine = ({ from, reason, session }: SearchGap): string =>
  `reprise: session ${session} cannot be searched from event ${from} on: ${escapeText(reason)}\n`

const replayOf = ({ sequence, session }: SearchHit): string => `reprise replay ${session} --at ${sequence}`

const jsonLine = (hit: SearchHit): string => {
  const { _tag, timeMicros, ...fields } = hit
  return toJsonText({ ...fields, time: formatTime(timeMicros), replay: replayOf(hit) })
}

/** Two lines: where it stands, and what. */
const textLines =
  (isColored: boolean) =>
  (hit: SearchHit): string => {
    const dim = isColored ? (text: string) => `\x1b[2m${text}\x1b[22m` : (text: string) => text
    const strong = isColored ? (text: string) => `\x1b[1;31m${text}\x1b[22;39m` : (text: string) => text
    const { channel, exec, in: source, line, name, ranges, sequence, session, timeMicros } = hit
    const what = source === "output" ? (channel === "tty" ? "" : ` ${channel}`) : ` ${source}`
    const command = exec === null ? "" : ` command ${exec}`
    const place = `${formatLocalTime(timeMicros)} ${name === null ? session : escapeText(name)} event ${sequence}${command}${what}`
    // Where the line is long, what is around the first place.
    const from = Math.max(0, line.length > SHOWN_CHARACTERS_MAX ? (ranges[0]?.[0] ?? 0) - SHOWN_BEFORE : 0)
    const to = Math.min(line.length, from + SHOWN_CHARACTERS_MAX)
    let text = from > 0 ? "…" : ""
    let at = from
    for (const [begin, end] of ranges) {
      if (begin < at || begin >= to) continue
      text += escapeText(line.slice(at, begin)) + strong(escapeText(line.slice(begin, Math.min(end, to))))
      at = Math.min(end, to)
    }
    text += escapeText(line.slice(at, to)) + (to < line.length ? "…" : "")
    return `${dim(`${place}  ${replayOf(hit)}`)}\n  ${text}\n`
  }
