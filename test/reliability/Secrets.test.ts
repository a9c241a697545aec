/**
 * A secret at each kind of prompt of the failure table: typed where a program reads one, it is in no file of the store and in
 * nothing that the command line shows; typed at a prompt that is none, it is input as any other. A real engine and keeper.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Sessions } from "../../src/index.ts"
import { hasProgram } from "../contracts/PtyHostContract.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { eventsOf, idOf, textOf, type, until, untilEnd } from "../session/sessionsUnderTest.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

interface Prompt {
  readonly name: string
  readonly argv: ReadonlyArray<string>
  /** Shown when it reads. */
  readonly shows: string | RegExp
  readonly isSecret: boolean
}

/** Without an account: su asks it for root's password. */
const NOBODYS_UID = 61234

/** Programs that ask, and programs that read keys and only look as if: those of the failure table that are installed. */
const PROMPTS: ReadonlyArray<Prompt> = [
  { name: "bash's prompt", argv: ["bash", "--norc", "--noprofile", "-i"], shows: /[$#] $/, isSecret: false },
  { name: "sh's prompt", argv: ["sh", "-i"], shows: /[$#] $/, isSecret: false },
  {
    name: "read -s",
    argv: ["bash", "-c", "read -s -p 'Secret: ' x; echo; echo got it"],
    shows: "Secret: ",
    isSecret: true
  },
  {
    name: "stty -echo",
    argv: ["sh", "-c", "stty -echo; printf 'Type: '; read x; echo got it"],
    shows: "Type: ",
    isSecret: true
  },
  { name: "cat", argv: ["sh", "-c", "echo ready; exec cat"], shows: "ready", isSecret: false },
  ...(hasProgram("python3")
    ? [
        {
          name: "getpass",
          argv: ["python3", "-c", "import getpass; print('got', len(getpass.getpass()))"],
          shows: "Password: ",
          isSecret: true
        },
        { name: "Python's prompt", argv: ["python3", "-q"], shows: ">>> ", isSecret: false }
      ]
    : []),
  ...(process.getuid?.() === 0 && hasProgram("su")
    ? [
        {
          name: "su",
          argv: ["setpriv", `--reuid=${NOBODYS_UID}`, "--clear-groups", "su", "-c", "true"],
          shows: "Password: ",
          isSecret: true
        }
      ]
    : []),
  ...(hasProgram("less") ? [{ name: "less", argv: ["less", "/etc/passwd"], shows: "root:", isSecret: false }] : []),
  ...(hasProgram("vim")
    ? [{ name: "vim", argv: ["vim", "-u", "NONE", "-i", "NONE", "-n"], shows: "~", isSecret: false }]
    : [])
]

const holds = (folder: string, text: string): boolean =>
  readdirSync(folder, { withFileTypes: true, recursive: true }).some((entry) => {
    if (!entry.isFile()) return false
    try {
      return readFileSync(join(entry.parentPath, entry.name)).includes(text)
    } catch {
      // The engine removed it meanwhile.
      return false
    }
  })

/** Whatever of these sessions the command line can show. */
const shownOf = async (store: string, sessions: ReadonlyArray<string>): Promise<string> => {
  const cli = new CommandLine(store)
  let shown = ""
  for (const args of [
    ...sessions.map((session) => ["events", session, "--json"]),
    ...["replay", "inspect", "events"].map((command) => [command, sessions[0]!]),
    ["list", "--json"],
    ["status", "--json"]
  ]) {
    const { code, stderr, stdout } = await cli.run(args)
    assert.strictEqual(code, 0, stderr)
    shown += stdout.toString() + stderr
  }
  return shown
}

describe("reliability row 29: secrets", { timeout: TIMEOUT_MILLIS }, () => {
  const tryPrompt = (store: string, { argv, isSecret, name, shows }: Prompt) =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const secret = `${name.replace(/\W/g, "")}-swordfish`
      const id = idOf(yield* sessions.create({ argv, cwd: "/" }))
      yield* until(id, shows)
      const ack = yield* type(id, `${secret}\r`)
      assert.strictEqual(ack.hidden, isSecret, name)
      if (isSecret) {
        const entries = yield* untilEnd(id)
        assert.notInclude(textOf(entries), secret, name)
        assert.strictEqual(eventsOf(entries, "InputHidden").length, 1, name)
        assert.strictEqual(eventsOf(entries, "InputWritten").length, 0, name)
        // Nor the beginning of it.
        assert.isFalse(holds(store, secret.slice(0, -4)), name)
      } else {
        assert.isTrue(holds(store, secret), name)
        yield* sessions.close(id)
      }
      return { id, isSecret, secret }
    })

  it.live(`${PROMPTS.length} prompts: what is typed without echo is in no file, log or output`, () =>
    Effect.gen(function* () {
      const engine = yield* engineProcess
      const tried = yield* Effect.forEach(PROMPTS, (prompt) => tryPrompt(engine.store, prompt), {
        concurrency: "unbounded"
      }).pipe(Effect.provide(engine.client()))
      const secrets = tried.filter(({ isSecret }) => isSecret)
      const shown = yield* Effect.promise(() =>
        shownOf(
          engine.store,
          secrets.map(({ id }) => id)
        )
      )
      assert.include(shown, "InputHidden")
      for (const { secret } of secrets) assert.notInclude(shown, secret)
    })
  )
})
