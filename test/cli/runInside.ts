/**
 * Runs a command line inside the test's process, for a caller with pipes and no terminal: what the command does and says
 * is the program's, and it costs a tenth of a process. It proves nothing of the built program, its start and its end:
 * `makeRepriseInside` starts that too, once for every command.
 */
import { Console, Effect, Fiber, Queue, Stream } from "effect"
import { Caller, type CallerSignal } from "../../cli/Caller.ts"
import { runCli } from "../../cli/Cli.ts"
import type { Finished } from "./reprise.ts"

/** Commands that open a store's files set it for a process that is theirs alone. What the first one found is put back behind the last. */
let umask = 0
let running = 0

export const runInside = (
  args: ReadonlyArray<string>,
  options: {
    readonly env: NodeJS.ProcessEnv
    readonly cwd: string
    readonly input: string | Uint8Array
  }
): Effect.Effect<Finished> =>
  Effect.callback((resume) => {
    const stdout: Array<Buffer> = []
    const stderr: Array<Buffer> = []
    const input = Buffer.from(options.input)
    const caller = Caller.of({
      env: Object.fromEntries(
        Object.entries(options.env).filter((entry): entry is [string, string] => entry[1] !== undefined)
      ),
      cwd: options.cwd,
      isInteractive: false,
      inputIsTerminal: false,
      outputIsTerminal: false,
      errorIsTerminal: false,
      terminalSize: Effect.succeed(undefined),
      resizes: Stream.never,
      input: input.length === 0 ? Stream.empty : Stream.make(input),
      write: (data) => Effect.sync(() => void stdout.push(Buffer.from(data))),
      writeError: (data) => Effect.sync(() => void stderr.push(Buffer.from(data))),
      rawMode: () => Effect.void,
      suspend: Effect.void,
      signals: () => Queue.sliding<CallerSignal>(1)
    })
    // Help and completions go to the console.
    const console: Console.Console = Object.assign(Object.create(globalThis.console), {
      log: (...words: ReadonlyArray<unknown>) => void stdout.push(Buffer.from(`${words.join(" ")}\n`))
    })
    if (running === 0) umask = process.umask()
    running += 1
    // Not as a part of the test: a command asks the machine for the time.
    const fiber = Effect.runFork(
      runCli(args).pipe(Effect.provideService(Caller, caller), Effect.provideService(Console.Console, console))
    )
    fiber.addObserver((exit) => {
      running -= 1
      if (running === 0) process.umask(umask)
      resume(
        Effect.map(exit, (code) => ({
          code,
          stdout: Buffer.concat(stdout),
          stderr: Buffer.concat(stderr).toString()
        }))
      )
    })
    return Fiber.interrupt(fiber)
  })
