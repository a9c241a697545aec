/** The sockets of a store: on paths longer than a socket may have, and after the death of whoever listened on them. */
import { existsSync, lstatSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Sessions } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { SOCKET_PATH_BYTES_MAX, storePaths } from "../../src/session/StorePaths.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { idOf, type, until } from "../session/sessionsUnderTest.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** Of whole engines; what they do about such a socket is tried 20 times in EngineServer.test.ts. */
const STARTS = 5

describe("sockets", { timeout: TIMEOUT_MILLIS }, () => {
  it("reliability row 33: a store on a path of 174 bytes has its sockets on a short one, through engine and keeper", async () => {
    const folder = mkdtempSync(join(tmpdir(), "reprise-long-"))
    try {
      const bytes = 174
      const start = join(folder, "é")
      const store = start + "x".repeat(bytes - Buffer.byteLength(start))
      const cli = new CommandLine(store)
      const paths = storePaths(store)
      assert.strictEqual(Buffer.byteLength(store), bytes)
      try {
        await cli.text(["run", "--detach", "--name", "long", "--", "sh", "-c", "echo printed; exec cat"])
        const keepers = await listKeepers(paths.keepers)
        assert.lengthOf(keepers, 1)
        for (const path of [paths.engineSocket, ...keepers.map(({ socket }) => socket)]) {
          assert.isAtMost(Buffer.byteLength(path), SOCKET_PATH_BYTES_MAX)
          assert.isTrue(lstatSync(path).isSocket(), path)
        }
        assert.strictEqual(lstatSync(paths.run).mode & 0o777, 0o700)
        assert.strictEqual((await cli.json(["list"])).length, 1)
      } finally {
        await cli.dispose()
        rmSync(paths.run, { recursive: true, force: true })
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it.live(`reliability row 34: ${STARTS} engines are killed on their socket, and ${STARTS} start on it`, () =>
    Effect.gen(function* () {
      const engine = yield* engineProcess
      const { engineSocket } = storePaths(engine.store)
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" }))
        for (let start = 1; start <= STARTS; start++) {
          yield* engine.kill("engine")
          assert.isTrue(existsSync(engineSocket), "the dead engine's socket is in the way")
          // Fails unless the new engine says that it serves.
          yield* engine.start
        }
        yield* type(id, "after all of them\n")
        yield* until(id, "after all of them\r\nafter all of them")
        yield* sessions.close(id)
      }).pipe(Effect.provide(engine.client()))
    })
  )
})
