/** What somebody sees who attaches to a shell for commands: its programs, and nothing of the shell's own machinery. */
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Exec } from "../../src/exec/Exec.ts"
import * as Reprise from "../../src/Reprise.ts"
import { History } from "../../src/session/History.ts"
import { removeStore } from "../fixtures/removeStore.ts"

const ENDS = { bash: "exit 3", zsh: "exit 3", python: "raise SystemExit(3)", node: "process.exit(3)" } as const

it.live.each(["bash", "zsh", "python", "node"] as const)(
  "the terminal of a %s that exits and goes on stays empty",
  (language) => {
    const folder = mkdtempSync(join(tmpdir(), "reprise-quiet-"))
    return Effect.gen(function* () {
      const exec = yield* Exec
      const history = yield* History
      const { id } = yield* exec.start({ language })
      for (let i = 0; i < 2; i++) {
        assert.deepInclude({ ...(yield* exec.exec(id, { code: ENDS[language] })) }, { status: "exited", exitCode: 3 })
      }
      const events = yield* Stream.runCollect(history.events(id))
      const shown = [...events].flatMap(({ event }) =>
        event._tag === "OutputReceived" && event.channel === "tty" ? [Buffer.from(event.data).toString()] : []
      )
      assert.deepStrictEqual(shown, [])
      yield* exec.end(id)
    }).pipe(
      Effect.provide(Reprise.layer({ store: join(folder, "store"), inProcess: true })),
      Effect.ensuring(Effect.promise(() => removeStore(join(folder, "store"), folder)))
    )
  }
)
