/**
 * The command tree, how its errors are told, and how the process ends. `main.ts` loads it when there is something to do.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync } from "node:fs"
import { Cause, Effect, Exit, FileSystem, Layer, Option, Path, Stdio, Terminal } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { ChildProcessSpawner } from "effect/process"
import { packageVersion } from "../src/EntryPoints.ts"
import { EngineMismatch } from "../src/remote/EngineError.ts"
import { Caller, OutputClosed } from "./Caller.ts"
import { anchor } from "./commands/anchor.ts"
import { attach } from "./commands/attach.ts"
import { audit } from "./commands/audit.ts"
import { backup } from "./commands/backup.ts"
import { cleanup } from "./commands/cleanup.ts"
import { destroyKey } from "./commands/destroyKey.ts"
import { diff } from "./commands/diff.ts"
import { doctor } from "./commands/doctor.ts"
import { end } from "./commands/end.ts"
import { events } from "./commands/events.ts"
import { exec } from "./commands/exec.ts"
import { exportCommand } from "./commands/export.ts"
import { history } from "./commands/history.ts"
import { hold } from "./commands/hold.ts"
import { importCommand } from "./commands/import.ts"
import { inspect } from "./commands/inspect.ts"
import { interrupt } from "./commands/interrupt.ts"
import { key } from "./commands/key.ts"
import { keys } from "./commands/keys.ts"
import { kill } from "./commands/kill.ts"
import { list } from "./commands/list.ts"
import { poll } from "./commands/poll.ts"
import { prune } from "./commands/prune.ts"
import { redact } from "./commands/redact.ts"
import { release } from "./commands/release.ts"
import { repair } from "./commands/repair.ts"
import { replay } from "./commands/replay.ts"
import { reset } from "./commands/reset.ts"
import { resize } from "./commands/resize.ts"
import { restore } from "./commands/restore.ts"
import { run } from "./commands/run.ts"
import { search } from "./commands/search.ts"
import { send } from "./commands/send.ts"
import { serve } from "./commands/serve.ts"
import { signal } from "./commands/signal.ts"
import { start } from "./commands/start.ts"
import { state } from "./commands/state.ts"
import { status } from "./commands/status.ts"
import { stop } from "./commands/stop.ts"
import { verify } from "./commands/verify.ts"
import { watch } from "./commands/watch.ts"
import { escapeText } from "./Escape.ts"
import { ExitCode, exitCodeOf } from "./ExitCode.ts"
import { Ending, signalNumber } from "./Outcome.ts"
import { separateProgram } from "./ProgramArguments.ts"
import { root } from "./Root.ts"
import { Usage } from "./Usage.ts"

const cli = root.pipe(
  Command.withSubcommands([
    { group: "Terminals", commands: [run, attach, resize, signal] },
    {
      group: "Shells for commands",
      commands: [start, exec, poll, interrupt, kill, history, state, reset, restore, cleanup]
    },
    { group: "Both", commands: [send, key, list, watch, end, search, replay, inspect, diff, events, exportCommand] },
    { group: "Retention", commands: [prune, hold, release, redact, destroyKey] },
    { group: "Evidence", commands: [verify, anchor, keys, audit] },
    { group: "Engine", commands: [status, serve, stop] },
    { group: "The store", commands: [doctor, backup, importCommand, repair] }
  ])
)

/** Runs one command line. Gives the exit code; whatever is to be said was said. */
export const runCli = (argv: ReadonlyArray<string>): Effect.Effect<number, never, Caller> =>
  Command.runWith(cli, { version: packageVersion })(separateProgram(argv)).pipe(
    Effect.as<number>(ExitCode.ok),
    Effect.catchCause((cause) => tell(cause)),
    Effect.provide(environment)
  )

/** One line on standard error and an exit code. A stack is only shown for a bug. */
const tell = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
  const caller = yield* Caller
  const found = Option.orElse(Cause.findErrorOption(cause), () => mismatchIn(cause))
  if (Option.isNone(found)) {
    if (Cause.hasInterruptsOnly(cause)) return ExitCode.signalBase + signalNumber("SIGINT")
    yield* caller.writeError(`reprise: this is a bug: ${escapeText(String(Cause.squash(cause)))}\n`)
    return ExitCode.internal
  }
  const error = found.value
  if (error instanceof Ending) {
    const note = escapeText(error.note)
    if (note !== "") yield* caller.writeError(error.isBracketed === true ? `[${note}]\n` : `reprise: ${note}\n`)
    return error.exitCode
  }
  const exitCode = exitCodeOf(error)
  if (error instanceof OutputClosed && error.failure === undefined) return exitCode
  // Help that was asked for, or help in place of a missing command: shown already.
  if (CliError.isCliError(error) && error._tag === "ShowHelp") {
    const first = error.errors[0]
    if (first === undefined) return ExitCode.ok
    const usage = new Usage({ reason: oneLine(first.message), command: error.commandPath.slice(1).join(" ") })
    yield* caller.writeError(`reprise: ${escapeText(usage.message)}\n`)
    return ExitCode.usage
  }
  const message = error instanceof Error ? error.message : String(error)
  yield* caller.writeError(`reprise: ${escapeText(message)}\n`)
  return exitCode
})

/** An engine of another version met in the middle of a call: no failure of the services, and no bug. */
const mismatchIn = (cause: Cause.Cause<unknown>): Option.Option<EngineMismatch> =>
  Option.fromUndefinedOr(
    cause.reasons.flatMap((reason) =>
      reason._tag === "Die" && reason.defect instanceof EngineMismatch ? [reason.defect] : []
    )[0]
  )

/** "Unrecognized flag: --jsom in command reprise list\n\n  Did you mean this?\n    --json" becomes one line. */
const oneLine = (message: string): string => {
  const [head, ...suggestions] = message
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && line !== "Did you mean this?")
  const text = `${head!.charAt(0).toLowerCase()}${head!.slice(1)}`
  return suggestions.length === 0 ? text : `${text} (did you mean ${suggestions.join(", ")}?)`
}

/** Help goes to standard output when it was asked for. For a wrong command line the one line of `tell` is enough. */
const presenter: CliOutput.Presenter = {
  present: (event) => (event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event))
}

/** The CLI module can ask for files, prompts and processes; no flag of ours does. */
const environment = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Stdio.layerTest({}),
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(80),
      rows: Effect.succeed(24),
      size: Effect.die("no prompt"),
      readInput: Effect.die("no prompt"),
      readLine: Effect.die("no prompt"),
      display: () => Effect.void
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => Effect.die("no process"))
  ),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
  CliOutput.layerPresenter(presenter)
)

/** Bytes that are no UTF-8 are decoded to another character, and nobody has them any more but the kernel. */
const isCutByDecoding = (argv: ReadonlyArray<string>): boolean => {
  if (!argv.some((argument) => argument.includes("\ufffd"))) return false
  try {
    return !isUtf8(readFileSync("/proc/self/cmdline"))
  } catch {
    // No such file: another system.
    return false
  }
}

/** From a signal to the end of a command that still has a file to remove or a store to close. A second signal does not wait. */
const CLEAN_UP_MILLIS_MAX = 3000

/** Runs the process's own command line and ends the process. */
export const main = (argv: ReadonlyArray<string>): void => {
  if (isCutByDecoding(argv)) {
    process.stderr.write("reprise: an argument is not UTF-8: the program would get another one than was typed\n")
    process.exit(ExitCode.usage)
  }
  const fiber = Effect.runFork(runCli(argv).pipe(Effect.provide(Caller.layer)))
  let end: (() => void) | undefined
  // A command that handles these has taken them itself; any other ends by them, as programs do, when it has cleaned up.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    const listener = () => {
      if (process.listenerCount(name) > 1) return
      const isAgain = end !== undefined
      end = () => {
        process.off(name, listener)
        process.kill(process.pid, name)
      }
      if (isAgain) return end()
      setTimeout(end, CLEAN_UP_MILLIS_MAX)
      fiber.interruptUnsafe()
    }
    process.on(name, listener)
  }
  fiber.addObserver((exit) => {
    if (end !== undefined) return end()
    if (Exit.isFailure(exit)) process.stderr.write(`reprise: this is a bug: ${String(Cause.squash(exit.cause))}\n`)
    process.exit(Exit.isSuccess(exit) ? exit.value : ExitCode.internal)
  })
}
