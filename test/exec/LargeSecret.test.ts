/** A secret that is longer than what a record has room for beside a delivery: nothing of it is stored, nothing else is lost. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Exec } from "../../src/exec/Exec.ts"
import { testStore } from "../session/sessionsUnderTest.ts"

/** A private key of this size is usual; its beginning alone is held back, so each delivery may bring that much of the last. */
const SECRET = `${"k".repeat(3000)}END`
/** The secret's beginning again and again, broken off at lengths that fall everywhere in a delivery. */
const FLOOD = `python3 -c "
import sys
for i in range(700): sys.stdout.write('k' * (i * 37 % 2999) + '.')
sys.stdout.write('\\n')"`
const EXPECTED = `${Array.from({ length: 700 }, (_, i) => `${"k".repeat((i * 37) % 2999)}.`).join("")}\n`

describe("a secret longer than a record's slack", () => {
  for (const tty of [false, true]) {
    it.live(`${tty ? "on the terminal" : "on the streams"}: what only begins like it comes whole`, () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const result = yield* Effect.gen(function* () {
          const exec = yield* Exec
          const { id } = yield* exec.start({ language: "bash" })
          return yield* exec.exec(id, { code: `${FLOOD}; echo "$KEY"`, tty, secretEnv: { KEY: SECRET } })
        }).pipe(Effect.provide(store.layer()))
        assert.deepInclude({ ...result }, { status: "completed", exitCode: 0 })
        const shown = Buffer.from(tty ? result.tty : result.stdout)
          .toString()
          .replaceAll("\r\n", "\n")
        assert.isTrue(shown === `${EXPECTED}${"*".repeat(SECRET.length)}\n`)
        assert.isFalse(store.holds(SECRET))
      })
    )
  }
})
