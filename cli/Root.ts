/** The command that all others hang under, and what they share: which store. */
import { resolve } from "node:path"
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { defaultKey, defaultStore, type StorePaths, storePaths } from "../src/session/StorePaths.ts"
import { Caller } from "./Caller.ts"
import { EXIT_CODES_HELP } from "./ExitCode.ts"

const store = Flag.String("store").pipe(
  Flag.withDescription(
    "Folder that holds the sessions (default: REPRISE_HOME, else XDG_STATE_HOME/reprise, else ~/.local/state/reprise)"
  ),
  Flag.withMetavar("DIR"),
  Flag.optional
)

const keyFile = Flag.String("key-file").pipe(
  Flag.withDescription(
    "File with the key of an encrypted store (default: REPRISE_STORE_KEY_FILE, else what REPRISE_STORE_KEY_COMMAND prints)"
  ),
  Flag.withMetavar("FILE"),
  Flag.optional
)

export const root = Command.make("reprise").pipe(
  Command.withSharedFlags({ store, keyFile }),
  Command.withDescription(
    "Runs terminal programs, and shells that take commands, in sessions that lose nothing: leave, come back, replay, inspect " +
      "any moment of them.\n\n" +
      `SESSION is an id, the beginning of one, a name, or \`last\`.\n\n${EXIT_CODES_HELP}`
  ),
  Command.withExamples([
    { command: "reprise run -- sh -c 'echo hello; pwd'", description: "Run a program and keep all that happens" },
    { command: "reprise run --detach --name build -- make", description: "Run it in the background" },
    { command: "reprise attach build", description: "Come back to it" },
    { command: "reprise start --name sh; reprise exec sh -- 'cd /tmp; pwd'", description: "Run commands in one shell" },
    { command: "reprise replay last", description: "Print exactly what it printed" }
  ])
)

/** The store that the command line, or else the environment, names. */
export const chosenStore: Effect.Effect<StorePaths, never, Caller | Effect.Services<typeof root>> = Effect.gen(
  function* () {
    const { keyFile, store } = yield* root
    const { cwd, env } = yield* Caller
    const key = Option.isSome(keyFile) ? { file: resolve(cwd, keyFile.value) } : defaultKey(env)
    return storePaths(
      Option.getOrElse(store, () => defaultStore(env)),
      key
    )
  }
)
