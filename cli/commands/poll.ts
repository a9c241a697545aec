/** `reprise poll`: the output and outcome of a command, while it runs and for as long as the store lives. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Exec, MESSAGE_OUTPUT_BYTES_MAX } from "../../src/exec/Exec.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { execArgument } from "../ExecArgument.ts"
import { toReport } from "../ExecReport.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { deadlineIn, endWithResult, maxOutputFlag, resultJsonFlag, showCommand } from "../ShowCommand.ts"
import { engine } from "../Store.ts"
import { Usage } from "../Usage.ts"

export const poll = Command.make(
  "poll",
  {
    session: sessionArgument,
    exec: execArgument,
    json: resultJsonFlag,
    after: Flag.Int("after").pipe(
      Flag.withDescription("Only what came after this `cursor` of an earlier answer (default: from the beginning)"),
      Flag.withMetavar("CURSOR"),
      Flag.optional
    ),
    yield: Flag.Int("yield").pipe(
      Flag.withDescription("Wait for its end for at most this time (default: do not wait)"),
      Flag.withMetavar("MS"),
      Flag.withDefault(0)
    ),
    tty: Flag.Boolean("tty").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Print what the terminal showed too: the output of a command that ran with --tty")
    ),
    maxOutput: maxOutputFlag
  },
  Effect.fn("cli.poll")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const wrong = (reason: string) => new Usage({ reason, command: "poll" })
    if (flags.yield < 0) return yield* wrong("--yield: not a time in milliseconds")
    if (Option.isSome(flags.maxOutput) && !flags.json) {
      return yield* wrong("--max-output goes with --json; without it all output is printed")
    }
    const after = Option.getOrUndefined(flags.after)
    yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      const exec = yield* Exec
      if (flags.json) {
        const maxOutputBytes = Option.getOrUndefined(flags.maxOutput)
        const result = yield* exec.poll(session, flags.exec, { after, yieldMillis: flags.yield, maxOutputBytes })
        yield* caller.write(toJsonText(toReport(result)))
        return yield* endWithResult(result, false)
      }
      const deadline = yield* deadlineIn(flags.yield)
      const first = yield* exec.poll(session, flags.exec, { after, maxOutputBytes: MESSAGE_OUTPUT_BYTES_MAX })
      return yield* endWithResult(yield* showCommand(first, { deadline, isTerminalShown: flags.tty }), true)
    }).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Print the output of a command that runs or has ended, and end as `reprise exec` does: with its exit code, or 80 while " +
      "it runs, 81 while it waits for input."
  ),
  Command.withShortDescription("Come back to a command"),
  Command.withExamples([
    { command: "reprise poll build 5f2c… --yield 60000", description: "Watch it for a minute" },
    { command: "reprise poll build 5f2c… --json --after 812", description: "What came since the last answer" }
  ])
)
