/** `reprise diff`: two sessions or two commands, side by side. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Caller } from "../Caller.ts"
import { escapeText } from "../Escape.ts"
import { Ending } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession } from "../SessionArgument.ts"
import { reading } from "../Store.ts"
import { Usage } from "../Usage.ts"

const COMMAND = "diff"
/** As diff(1). */
const DIFFERENT_EXIT_CODE = 1

const run = (name: string, metavar: string) =>
  Argument.String(name).pipe(
    Argument.withMetavar(metavar),
    Argument.withDescription("A session, or with #N the command N of its shell: build, build#2, last#3")
  )

export const diff = Command.make(
  COMMAND,
  {
    one: run("one", "RUN"),
    other: run("other", "OTHER"),
    command: Flag.Int("command").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Compare command N of both sessions"),
      Flag.optional
    ),
    ignore: Flag.String("ignore").pipe(
      Flag.withMetavar("REGEX"),
      Flag.withDescription("What it matches in a line is not compared (times, ids)"),
      Flag.optional
    ),
    stat: Flag.Boolean("stat").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Only the outcomes, and how many lines differ")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.diff")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const key = yield* keyOf(flags.ignore)
    const labels = [flags.one, flags.other] as const
    const [{ compareRuns, differenceJson, differenceStat, differenceText }, { readRun }] = yield* Effect.promise(() =>
      Promise.all([import("../RunDifference.ts"), import("../../src/session/RecordedRun.ts")])
    )
    const read = Effect.fnUntraced(function* (text: string) {
      const { number, reference } = parseRun(text, flags.command)
      return yield* readRun(yield* findSession(reference), number, { key })
    })
    const [one, other] = yield* Effect.all([read(flags.one), read(flags.other)]).pipe(
      Effect.provide(reading(paths, { what: "diff" }))
    )
    const difference = compareRuns(labels, [one, other], key)
    for (const [index, run] of [one, other].entries()) {
      if (!run.isBeginningRemoved) continue
      yield* caller.writeError(`reprise: ${escapeText(labels[index]!)}: the beginning of its history was removed\n`)
    }
    const size = yield* caller.terminalSize
    yield* caller.write(
      flags.json
        ? differenceJson(difference)
        : flags.stat
          ? differenceStat(difference, size?.cols)
          : differenceText(difference, caller.outputIsTerminal)
    )
    if (difference.differences.length > 0) return yield* new Ending({ exitCode: DIFFERENT_EXIT_CODE, note: "" })
  })
).pipe(
  Command.withDescription(
    "Compare two sessions, or two commands: what they printed as plain lines, how they ended, how long they took, folder and " +
      "size. Commands are those of a shell for commands, or of a shell that marks its prompt (OSC 133). Exit code 0: equal, " +
      "1: different, more: trouble. How long they took is no difference. Of more than 200,000 lines the beginnings are " +
      "compared line by line, and the rest as a whole."
  ),
  Command.withShortDescription("Compare two sessions or two commands"),
  Command.withExamples([
    { command: "reprise diff build#1 build#2", description: "Two commands of one shell" },
    { command: "reprise diff monday tuesday --stat", description: "Two sessions, in numbers" },
    {
      command: "reprise diff a b --command 3 --ignore '[0-9]+ms'",
      description: "The third command of each, without times"
    }
  ])
)

const parseRun = (
  text: string,
  command: Option.Option<number>
): { readonly reference: string; readonly number: number | null } => {
  const match = /^(.+)#(\d{1,9})$/.exec(text)
  if (match !== null) return { reference: match[1]!, number: Number(match[2]) }
  return { reference: text, number: Option.getOrNull(command) }
}

const keyOf = (ignore: Option.Option<string>): Effect.Effect<((line: string) => string) | undefined, Usage> => {
  if (Option.isNone(ignore)) return Effect.succeed(undefined)
  return Effect.try({
    try: () => {
      const pattern = new RegExp(ignore.value, "gu")
      return (line: string) => line.replace(pattern, "")
    },
    catch: () => new Usage({ reason: `--ignore: "${ignore.value}" is no regular expression`, command: COMMAND })
  })
}
