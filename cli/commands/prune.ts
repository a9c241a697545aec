/** `reprise prune`: removes old events, by the rules of the command line or else of the store, or tells what it would. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type PruneItem, type PruneReport, Retention } from "../../src/erasure/Retention.ts"
import type { RetentionPolicy } from "../../src/session/RetentionPolicy.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { parseBytes, parseDuration } from "../LimitFlags.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { retaining } from "../Store.ts"
import { table } from "../Table.ts"
import { Usage } from "../Usage.ts"
import { formatBytes } from "../WatchTable.ts"

const COMMAND = "prune"
const HEAD = ["SESSION", "NAME", "EVENTS", "BYTES", "OUTCOME", "RULE"]

export const prune = Command.make(
  COMMAND,
  {
    sessions: Argument.String("session").pipe(
      Argument.withMetavar("SESSION"),
      Argument.withDescription("Only of these (default: of the store)"),
      Argument.variadic()
    ),
    olderThan: Flag.String("older-than").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("Events that happened, and of the store also sessions that ended, longer ago: 12h, 30d"),
      Flag.optional
    ),
    maxBytes: Flag.String("max-bytes").pipe(
      Flag.withMetavar("BYTES"),
      Flag.withDescription("Keep at most these: of the store's files, or of each SESSION's events: 500M, 10G"),
      Flag.optional
    ),
    maxEvents: Flag.Int("max-events").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Keep at most so many events of a session"),
      Flag.optional
    ),
    maxSessions: Flag.Int("max-sessions").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Keep at most so many sessions; those that ended first go"),
      Flag.optional
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Only tell what would be removed")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.prune")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const isStore = flags.sessions.length === 0
    const policy = yield* chosenPolicy(flags, isStore)
    const report = yield* Effect.gen(function* () {
      const sessions = yield* Effect.forEach(flags.sessions, findSession)
      return yield* Retention.use((retention) =>
        retention.prune({ ...(isStore ? {} : { sessions }), ...(policy && { policy }), dryRun: flags.dryRun })
      )
    }).pipe(Effect.provide(retaining(paths)))
    if (flags.json) yield* caller.write(toJsonText(report))
    else {
      const size = yield* caller.terminalSize
      if (report.items.length > 0) yield* caller.write(table(HEAD, report.items.map(row), size?.cols))
      yield* caller.writeError(`${describe(report)}\n`)
    }
    const held = isStore ? undefined : report.items.find(({ outcome }) => outcome === "held")
    if (held === undefined) return
    const note = `session ${held.session} is held (${held.detail}); \`reprise release ${held.session}\` ends that`
    return yield* new Ending({ exitCode: ExitCode.denied, note })
  })
).pipe(
  Command.withDescription(
    "Remove old events and give their space back. With SESSION and no limit everything of it goes, and it must have ended; " +
      "with a limit its oldest events go, also while it runs. Without SESSION the limits are the store's: sessions that have " +
      "ended go as a whole, oldest end first. Without anything the store's own rules apply (`retention` in its config.json). " +
      "What is removed leaves an event that says so; held sessions are left alone."
  ),
  Command.withShortDescription("Remove old events"),
  Command.withExamples([
    { command: "reprise prune --older-than 30d --dry-run", description: "What would go" },
    { command: "reprise prune --max-bytes 10G", description: "Make room" },
    { command: "reprise prune build --max-events 10000", description: "Keep the end of a long session" }
  ])
)

interface Chosen {
  readonly olderThan: Option.Option<string>
  readonly maxBytes: Option.Option<string>
  readonly maxEvents: Option.Option<number>
  readonly maxSessions: Option.Option<number>
}

const wrong = (reason: string) => new Usage({ reason, command: COMMAND })

/** undefined: no flag was given. */
const chosenPolicy = Effect.fnUntraced(function* (flags: Chosen, isStore: boolean) {
  const olderThan = Option.getOrUndefined(flags.olderThan)
  const bytes = Option.getOrUndefined(flags.maxBytes)
  const maxEvents = Option.getOrUndefined(flags.maxEvents)
  const maxSessions = Option.getOrUndefined(flags.maxSessions)
  const maxAgeMillis = olderThan === undefined ? undefined : parseDuration(olderThan)
  if (olderThan !== undefined && maxAgeMillis === undefined) {
    return yield* wrong(`--older-than: "${olderThan}" is not a time, such as 12h or 30d`)
  }
  const maxBytes = bytes === undefined ? undefined : parseBytes(bytes)
  if (bytes !== undefined && maxBytes === undefined) {
    return yield* wrong(`--max-bytes: "${bytes}" is not a number of bytes, such as 10G`)
  }
  for (const [name, value] of [
    ["max-events", maxEvents],
    ["max-sessions", maxSessions]
  ] as const) {
    if (value !== undefined && value < 1) return yield* wrong(`--${name}: must be 1 or more`)
  }
  if (maxSessions !== undefined && !isStore)
    return yield* wrong("--max-sessions: is about the store, not about a SESSION")
  if ([maxAgeMillis, maxBytes, maxEvents, maxSessions].every((value) => value === undefined)) return undefined
  const policy: RetentionPolicy = isStore
    ? { session: { maxAgeMillis, maxEvents }, store: { maxAgeMillis, maxBytes, maxSessions } }
    : { session: { maxAgeMillis, maxEvents, maxBytes }, store: {} }
  return policy
})

const row = (item: PruneItem): ReadonlyArray<string> => [
  item.session,
  item.name ?? "",
  `${item.events}${item.whole ? " (all)" : ""}`,
  formatBytes(item.bytes),
  item.detail === "" ? item.outcome : `${item.outcome}: ${item.detail}`,
  item.policy
]

const describe = ({ bytesAfter, bytesBefore, dryRun, items }: PruneReport): string => {
  const done = items.filter(({ outcome }) => outcome === "removed" || outcome === "would be removed")
  const events = done.reduce((sum, item) => sum + item.events, 0)
  const held = items.filter(({ outcome }) => outcome === "held").length
  const of = `${events} event${events === 1 ? "" : "s"} of ${done.length} session${done.length === 1 ? "" : "s"}`
  const parts = [`${of} ${dryRun ? "would be removed" : "removed"}`]
  if (!dryRun) parts.push(`the journal's files went from ${formatBytes(bytesBefore)} to ${formatBytes(bytesAfter)}`)
  if (held > 0) parts.push(`${held} held`)
  return parts.join("; ")
}
