/** `reprise exec`: runs a command in a session's shell, with its own standard output, standard error and exit code. */
import { readFileSync } from "node:fs"
import { Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Exec, type ExecRequest, type ExecStdin, MESSAGE_OUTPUT_BYTES_MAX } from "../../src/exec/Exec.ts"
import { Caller } from "../Caller.ts"
import { escapeLines, toJsonText } from "../Escape.ts"
import { toReport } from "../ExecReport.ts"
import { fileProblem } from "../FileProblem.ts"
import { beside } from "../Follow.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import {
  awaitCommand,
  deadlineIn,
  endWithResult,
  feedInput,
  maxOutputFlag,
  POLL_MILLIS_MIN,
  passInterrupts,
  resultJsonFlag,
  showCommand
} from "../ShowCommand.ts"
import { engine } from "../Store.ts"
import { Usage } from "../Usage.ts"
import { envFlag, parseVariables, secretEnvFlag, secretVariables } from "../Variables.ts"

/** A file of standard input that is larger is given in pieces instead of with the command. */
const STDIN_BYTES_MAX = 2 * 1024 * 1024

const wrong = (reason: string) => new Usage({ reason, command: "exec" })

export const exec = Command.make(
  "exec",
  {
    session: sessionArgument,
    json: resultJsonFlag,
    timeout: Flag.Int("timeout").pipe(
      Flag.withDescription("End the command after this time (INT, TERM, KILL); the shell and its state stay"),
      Flag.withMetavar("MS"),
      Flag.optional
    ),
    yield: Flag.Int("yield").pipe(
      Flag.withDescription(
        "Come back after this time, or when it waits for input; the command goes on (`reprise poll`)"
      ),
      Flag.withMetavar("MS"),
      Flag.optional
    ),
    tty: Flag.Boolean("tty").pipe(
      Flag.withDefault(false),
      Flag.withDescription("The session's terminal is its standard input, output and error")
    ),
    stdin: Flag.String("stdin").pipe(
      Flag.withDescription("Its standard input: a file, or - for the caller's (default: empty)"),
      Flag.withMetavar("FILE"),
      Flag.optional
    ),
    cwd: Flag.String("cwd").pipe(
      Flag.withDescription("Folder for this command only; relative to the shell's"),
      Flag.withMetavar("DIR"),
      Flag.optional
    ),
    env: envFlag("Set a variable for this command only"),
    secretEnv: secretEnvFlag,
    id: Flag.String("id").pipe(
      Flag.withDescription("Name of this execution: with the same one again it is not run again, its result is given"),
      Flag.withMetavar("EXECID"),
      Flag.optional
    ),
    maxOutput: maxOutputFlag,
    rejectBusy: Flag.Boolean("reject-busy").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Fail when another command runs, instead of waiting for it")
    ),
    command: Argument.String("command").pipe(
      Argument.withDescription("The command, its words joined with spaces; without one it is read from standard input"),
      Argument.variadic({ min: 0 })
    )
  },
  Effect.fn("cli.exec")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const maxOutputBytes = Option.getOrUndefined(flags.maxOutput)
    if (maxOutputBytes !== undefined && !flags.json) {
      return yield* wrong("--max-output goes with --json; without it all output is printed")
    }
    const yieldMillis = Option.getOrUndefined(flags.yield)
    if (yieldMillis !== undefined && yieldMillis < 0) return yield* wrong("--yield: not a time in milliseconds")
    const stdinName = Option.getOrUndefined(flags.stdin)
    if (stdinName !== undefined && flags.tty)
      return yield* wrong("--tty: the terminal is standard input; leave out --stdin")
    const code = yield* commandText(flags.command, stdinName)
    const input = yield* standardInput(stdinName)
    const execId = Option.getOrElse(flags.id, () => crypto.randomUUID())
    const request: ExecRequest = {
      code,
      execId,
      stdin: input.stdin,
      tty: flags.tty,
      cwd: Option.getOrUndefined(flags.cwd),
      env: yield* parseVariables(flags.env, "exec"),
      secretEnv: yield* secretVariables(flags.secretEnv, "exec"),
      timeoutMillis: Option.getOrUndefined(flags.timeout),
      onBusy: flags.rejectBusy ? "reject" : "queue"
    }

    yield* Effect.scoped(
      Effect.gen(function* () {
        const session = yield* findSession(flags.session)
        const service = yield* Exec
        const deadline = yield* deadlineIn(yieldMillis)
        const fed = input.pieces === undefined ? Effect.void : feedInput(session, execId, input.pieces)

        if (flags.json) {
          // Input in pieces is given while the command runs, so that one is not waited for in a single call.
          const first = yield* service.exec(session, {
            ...request,
            maxOutputBytes,
            yieldMillis: input.pieces === undefined ? yieldMillis : 0
          })
          const result =
            input.pieces === undefined ? first : yield* beside(awaitCommand(first, deadline, maxOutputBytes), fed)
          yield* caller.write(toJsonText(toReport(result)))
          return yield* endWithResult(result, false)
        }

        const shown = Effect.gen(function* () {
          const first = yield* service.exec(session, {
            ...request,
            maxOutputBytes: MESSAGE_OUTPUT_BYTES_MAX,
            yieldMillis: Math.min(yieldMillis ?? POLL_MILLIS_MIN, POLL_MILLIS_MIN)
          })
          return yield* beside(showCommand(first, { deadline, isTerminalShown: flags.tty }), fed)
        })
        const result = yield* beside(shown, passInterrupts(session, execId))
        if (result.value !== null && caller.outputIsTerminal) yield* caller.write(`${escapeLines(result.value)}\n`)
        return yield* endWithResult(result, true)
      })
    ).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Run a command in the shell of a session made by `reprise start`. Its standard output and standard error come out as " +
      "they are, while it runs, and its exit code is that of this program (124 when --timeout ended it, 80 or 81 when it " +
      "goes on or waits for input after --yield). The command is what follows the session, else standard input. " +
      "Commands of one session run one after the other. Ctrl-C interrupts the command, a second one leaves it."
  ),
  Command.withShortDescription("Run a command in a shell"),
  Command.withExamples([
    { command: "reprise exec build -- 'cd src && make'", description: "The shell is in src afterwards" },
    { command: "reprise exec build < script.sh", description: "Several lines, whatever they hold" },
    { command: "reprise exec py --json -- 'print(6 * 7)'", description: "Output, exit code and directory as JSON" },
    { command: "reprise exec build --stdin data.csv -- sort -u", description: "With standard input" }
  ])
)

/** The words after the session, or all of standard input. */
const commandText = Effect.fnUntraced(function* (words: ReadonlyArray<string>, stdinName: string | undefined) {
  const caller = yield* Caller
  if (words.length > 0) {
    const text = words.join(" ")
    return text.trim() === "" ? yield* wrong("No command provided (it is empty)") : text
  }
  if (stdinName === "-") return yield* wrong("--stdin -: standard input is the command's; put the command after --")
  if (caller.inputIsTerminal) return yield* wrong("No command provided (put it after -- or into standard input)")
  const bytes = Buffer.concat(yield* Stream.runCollect(caller.input))
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    catch: () => wrong("the command on standard input is not UTF-8")
  })
  return text.trim() === "" ? yield* wrong("No command provided (stdin is empty)") : text
})

/** What the command reads: nothing, a file given with it, or pieces that follow it. */
const standardInput = Effect.fnUntraced(function* (name: string | undefined) {
  const caller = yield* Caller
  const nothing: { readonly stdin: ExecStdin | undefined; readonly pieces: undefined } = {
    stdin: undefined,
    pieces: undefined
  }
  if (name === undefined) return nothing
  const pieces = (data: Stream.Stream<Uint8Array, Error>) => ({ stdin: { _tag: "Stream" } as const, pieces: data })
  if (name === "-") return pieces(caller.input)
  const data = yield* Effect.try({
    try: () => readFileSync(name),
    catch: (cause) => wrong(`--stdin: ${fileProblem(name, cause)}`)
  })
  return data.byteLength > STDIN_BYTES_MAX
    ? pieces(Stream.succeed(data))
    : { stdin: { _tag: "Bytes", data } as const, pieces: undefined }
})
