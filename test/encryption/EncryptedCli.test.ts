/** An encrypted store behind the command line: its engine, killed and not, its search, its shells, and a key that is destroyed. */
import { mkdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeReprise } from "../cli/reprise.ts"
import { isAlive } from "../fixtures/processes.ts"
import { filesHolding } from "../redact/storeHolds.ts"

const SECRET = "swordfish-4711"

const TEST_MILLIS_MAX = 300_000

describe("the command line with an encrypted store", () => {
  it.live(
    "10.7: an engine that is killed loses nothing, no file holds a secret, and a destroyed key erases a session",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const reprise = yield* makeReprise
          const folder = dirname(reprise.store)
          const ok = (args: ReadonlyArray<string>, input = "") =>
            Effect.map(reprise.run(args, input), ({ code, stderr, stdout }) => {
              assert.strictEqual(code, 0, `${args.join(" ")}: ${stderr}`)
              return stdout.toString()
            })
          const file = join(folder, "key")
          const key = JSON.parse(yield* ok(["keys", "--new-store-key", file, "--json"])).key
          // By flag, so that the engine has it from the client; then from the environment.
          const where = join(folder, `at-${SECRET}`)
          mkdirSync(where)
          const script = `printf '\\033]0;${SECRET}\\007out ${SECRET}\\n'; read x; echo "got $x"`
          const run = ["run", "--name", `n-${SECRET}`, "--cwd", where, "--", "sh", "-c", script]
          assert.include(yield* ok(["--key-file", file, ...run], `in ${SECRET}\n`), `got in ${SECRET}`)
          reprise.env.REPRISE_STORE_KEY_FILE = file
          yield* ok(["start", "--name", "sh"])
          assert.strictEqual(yield* ok(["exec", "sh", "--", `A=${SECRET}; echo exec-$A`]), `exec-${SECRET}\n`)
          yield* ok(["end", "sh"])
          assert.include(yield* ok(["search", SECRET, "--json"]), "exec-")
          assert.deepStrictEqual(filesHolding(reprise.store, SECRET), [])

          const living = 'i=0; while read x; do i=$((i+1)); echo "$i $x"; done'
          const id = (yield* ok(["run", "--detach", "--name", "living", "--", "sh", "-c", living])).trim()
          yield* ok(["send", "living", "--", `one ${SECRET}\n`])
          const engine = (yield* reprise.enginePid)!
          process.kill(engine, "SIGKILL")
          while (isAlive(engine)) yield* Effect.sleep(10)
          yield* ok(["send", "living", "--", `two ${SECRET}\n`])
          // Its end would come before the answer of a program that the machine holds up.
          while (!(yield* ok(["replay", "living"])).includes(`2 two ${SECRET}`)) yield* Effect.sleep(20)
          yield* ok(["end", "living"])
          const replayed = yield* ok(["replay", "living"])
          assert.include(replayed, `1 one ${SECRET}`)
          assert.include(replayed, `2 two ${SECRET}`)
          assert.deepStrictEqual(filesHolding(reprise.store, SECRET), [])

          // Through the engine.
          assert.strictEqual((yield* reprise.run(["destroy-key", "living"])).code, 2)
          yield* ok(["destroy-key", "living", "--yes", "--reason", "case 4711"])
          const gone = yield* reprise.events(id)
          assert.deepStrictEqual(
            gone.map(({ event }) => event._tag),
            ["EventsRemoved"]
          )
          assert.strictEqual((yield* reprise.view(id)).name, null)
          yield* ok(["stop"])

          // Without an engine.
          assert.match(yield* ok(["list"]), new RegExp(`${id} .* key destroyed`))
          delete reprise.env.REPRISE_STORE_KEY_FILE
          const refused = yield* reprise.run(["list"])
          assert.strictEqual(refused.code, 73)
          assert.include(refused.stderr, `is encrypted with the key ${key}, and no key was given`)
          const started = yield* reprise.run(["run", "--", "true"])
          assert.strictEqual(started.code, 73)
          assert.include(started.stderr, "no key was given")
          reprise.env.REPRISE_STORE_KEY_COMMAND = `cat ${file}`
          assert.include(yield* ok(["list"]), SECRET)
          assert.deepStrictEqual(filesHolding(reprise.store, SECRET), [])
        })
      ),
    // Twenty processes, one after the other.
    TEST_MILLIS_MAX
  )
})
