/** A result that was put together from memory is what the journal answers with later. */
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Exec } from "../../src/exec/Exec.ts"
import * as Reprise from "../../src/Reprise.ts"
import { removeStore } from "../fixtures/removeStore.ts"

/** Nothing, little, both streams, more than is kept, cut, not text, the terminal, a state that changes, a failure. */
const COMMANDS = [
  { code: "true" },
  { code: "echo out; echo err >&2; echo more" },
  { code: "head -c 65536 /dev/zero" },
  { code: "head -c 65537 /dev/zero; echo err >&2" },
  { code: "seq 1 2000", maxOutputBytes: 100 },
  { code: "printf '\\303'; sleep 0.05; printf '\\251\\377'" },
  { code: "echo seen >/dev/tty; echo out" },
  { code: "echo $TOKEN", secretEnv: { TOKEN: "a-secret-value" } },
  { code: 'f() { echo "$1"; }; export CHANGED=1; cd /; false' },
  { code: "cat", stdin: { _tag: "Bytes", data: Buffer.from("given\n") } },
  { code: "exit 3" },
  // The last one: what comes late moves the cursors of others too.
  { code: "(sleep 0.4; echo late) & echo soon" }
] as const

it.live("an answer from memory is the journal's answer", () => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-answer-"))
  return Effect.gen(function* () {
    const exec = yield* Exec
    const { id } = yield* exec.start({ language: "bash" })
    for (const command of COMMANDS) {
      const { cursor, ...answer } = yield* exec.exec(id, command)
      const { cursor: later, ...polled } = yield* exec.poll(id, answer.execId, {
        maxOutputBytes: "maxOutputBytes" in command ? command.maxOutputBytes : undefined
      })
      if (command.code.includes("late")) continue
      assert.deepStrictEqual(answer, polled, command.code)
      assert.strictEqual(cursor, later, command.code)
    }
    yield* exec.end(id)
  }).pipe(
    Effect.provide(Reprise.layer({ store: join(folder, "store"), inProcess: true })),
    Effect.ensuring(Effect.promise(() => removeStore(join(folder, "store"), folder)))
  )
})
