/** `reprise redact`: takes secrets out of what a session recorded, or tells what it would. */
import { Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { RedactRule } from "../../src/redact/RedactRule.ts"
import { History } from "../../src/session/History.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { retaining } from "../Store.ts"
import { table } from "../Table.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "redact"
/** Of what is read from standard input: as much as one command line can hold. */
const TEXT_BYTES_MAX = 128 * 1024
const wrong = (reason: string) => new Usage({ reason, command: COMMAND })

export const redact = Command.make(
  COMMAND,
  {
    session: Argument.String("session").pipe(
      Argument.withMetavar("SESSION"),
      Argument.withDescription("An id, the beginning of one, a name, or `last`"),
      Argument.optional
    ),
    rule: Flag.String("rule").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("Look for this shape; can be given several times (default: all of --rules)"),
      Flag.atLeast(0)
    ),
    text: Flag.String("text").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Look for this text; `-` reads it from standard input, where nobody sees it"),
      Flag.optional
    ),
    pattern: Flag.String("pattern").pipe(
      Flag.withMetavar("REGEX"),
      Flag.withDescription("Look for what this finds (JavaScript, with the flag u)"),
      Flag.optional
    ),
    range: Flag.String("range").pipe(
      Flag.withMetavar("FROM-TO"),
      Flag.withDescription("All text of these events"),
      Flag.optional
    ),
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Why; it is kept with the session"),
      Flag.withDefault("")
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Only tell what would be redacted")
    ),
    rules: Flag.Boolean("rules").pipe(Flag.withDefault(false), Flag.withDescription("List the rules")),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.redact")(function* (flags) {
    const caller = yield* Caller
    const modules = yield* Effect.promise(() => import("../Redact.ts"))
    if (flags.rules) {
      const rules = modules.REDACT_RULES.map(({ description, name }) => ({ name, description }))
      return yield* caller.write(
        flags.json
          ? toJsonText({ rules })
          : table(
              ["RULE", "WHAT IT FINDS"],
              rules.map(({ description, name }) => [name, description])
            )
      )
    }
    if (Option.isNone(flags.session)) return yield* wrong("say which session, or --rules")
    const reference = flags.session.value
    const given = Option.getOrUndefined(flags.text)
    const text = given === "-" ? yield* textOf(caller.input) : given
    const pattern = Option.getOrUndefined(flags.pattern)
    const chosen = [flags.rule.length > 0, text !== undefined, pattern !== undefined, Option.isSome(flags.range)]
    if (chosen.filter(Boolean).length > 1)
      return yield* wrong("--rule, --text, --pattern and --range: one of them at a time")
    const range = Option.isSome(flags.range) ? parseRange(flags.range.value) : undefined
    if (Option.isSome(flags.range) && range === undefined) {
      return yield* wrong(`--range: "${flags.range.value}" is not two numbers of events, such as 10-20`)
    }
    const rules: Array<RedactRule> = []
    for (const name of flags.rule) {
      const rule = modules.ruleNamed(name)
      if (rule === undefined)
        return yield* wrong(`--rule: there is no "${name}"; \`reprise redact --rules\` lists them`)
      rules.push(rule)
    }
    if (text === "") return yield* wrong("--text: nothing to look for")
    if (text !== undefined) rules.push(modules.textRule(text))
    if (pattern !== undefined) {
      const rule = yield* Effect.try({
        try: () => modules.patternRule(pattern),
        catch: (error) => wrong(`--pattern: ${(error as Error).message}`)
      })
      rules.push(rule)
    }
    const paths = yield* chosenStore
    const { found, session } = yield* Effect.gen(function* () {
      const session = yield* findSession(reference)
      const { hold } = yield* History.use((history) => history.get(session))
      if (hold != null && !flags.dryRun) {
        const note = `session ${session} is held (${hold.reason}), and what is held is not changed; \`reprise release ${session}\` ends that`
        return yield* new Ending({ exitCode: ExitCode.denied, note })
      }
      const found = yield* modules.redactSession(session, {
        rules: rules.length === 0 ? modules.REDACT_RULES : rules,
        range,
        texts: text === undefined ? [] : [text],
        reason: flags.reason,
        isDryRun: flags.dryRun
      })
      return { found, session }
    }).pipe(Effect.provide(retaining(paths)))
    const { events, keptStates, left, secrets, to, unreadable } = found
    const files = flags.dryRun ? [] : modules.filesHolding(paths, secrets)
    if (flags.json) {
      yield* caller.write(
        toJsonText({
          session,
          dryRun: flags.dryRun,
          from: range?.from ?? 1,
          to,
          rules: found.rules,
          events,
          left,
          keptStates,
          unreadable,
          files
        })
      )
    } else {
      const size = yield* caller.terminalSize
      const rows = found.rules.map(({ matches, rule }) => [rule, String(matches)])
      if (rows.length > 0) yield* caller.write(table(["RULE", "FOUND"], rows, size?.cols))
      const of = `${events.length - left.length} event${events.length - left.length === 1 ? "" : "s"}`
      const kept =
        keptStates === 0 ? "" : ` and ${keptStates} state${keptStates === 1 ? "" : "s"} kept of removed events`
      yield* caller.writeError(
        `${of}${kept} ${flags.dryRun ? "would be redacted" : "redacted"}; events 1 to ${to} were searched\n`
      )
    }
    if (files.length > 0) {
      yield* caller.writeError(
        `what was found still stands in ${files.join(", ")}: remove ${files.length === 1 ? "it" : "them"} when nothing else needs ${files.length === 1 ? "it" : "them"}\n`
      )
    }
    if (unreadable.length > 0) {
      const names = unreadable.join(", ")
      const note = `what was kept of removed events (${names}) cannot be read, and was left as it is: it may hold what is to go`
      return yield* new Ending({ exitCode: ExitCode.damaged, note })
    }
    if (left.length === 0) return
    const note = `${left.length} input event${left.length === 1 ? " is" : "s are"} not typed yet, or of a command that runs: redact again when it is done`
    return yield* new Ending({ exitCode: ExitCode.exhausted, note })
  })
).pipe(
  Command.withDescription(
    "Take secrets out of what a session recorded: output, typed input, commands, variables, titles. Asterisks take their place, " +
      "so that times and the screen stay as they were, and an event in the session says what was done. What was there is gone " +
      "from the store's files. Nothing finds every secret: change what was seen."
  ),
  Command.withShortDescription("Take secrets out of a session"),
  Command.withExamples([
    { command: "reprise redact build --dry-run", description: "What the rules find" },
    { command: "reprise redact build --text - --reason 'case 4711'", description: "A password, from standard input" },
    { command: "reprise redact --rules", description: "What there is to look for" }
  ])
)

/** All of standard input, without the line end behind it. */
const textOf = Effect.fnUntraced(function* (input: Stream.Stream<Uint8Array>) {
  const parts = yield* Stream.runCollect(input)
  const bytes = Buffer.concat([...parts])
  if (bytes.byteLength > TEXT_BYTES_MAX) return yield* wrong(`--text: at most ${TEXT_BYTES_MAX} bytes`)
  return bytes.toString("utf8").replace(/\r?\n$/, "")
})

/** undefined when it is none. */
const parseRange = (text: string): { readonly from: number; readonly to: number } | undefined => {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(text)
  if (match === null) return undefined
  const [from, to] = [Number(match[1]), Number(match[2])]
  return from >= 1 && to >= from ? { from, to } : undefined
}
