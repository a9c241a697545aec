/** A machine that has no more to give: descriptors, processes, threads. The engine says so, lives, and goes on when there is room. */
import { execFileSync, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { History, Sessions } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { gone } from "../fixtures/processes.ts"
import { MIB } from "../fixtures/processFigures.ts"
import { idOf, textOf, type, until, untilEnd } from "../session/sessionsUnderTest.ts"
import type { LimitedRound } from "./limitedUser.ts"
import { ANOTHER_NEEDS, canBeAnother, withOtherUser } from "./otherUser.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** Room for so many more processes: below the head-room that a keeper leaves free (32), around it, and above it. */
const ROOMS = [-8, 0, 16, 31, 34, 40, 48, 60]
const HEAD_ROOM = 32
const SESSIONS_MAX = 70

/** As `ulimit` does, for a process that runs. `soft:hard`; an empty part stays as it is. */
const limit = (pid: number, what: "nofile" | "as", value: string): void => {
  execFileSync("prlimit", ["--pid", String(pid), `--${what}=${value}`])
}

describe("a machine that is full", { timeout: TIMEOUT_MILLIS }, () => {
  it.live(
    "reliability row 18: an engine and a keeper with 64 descriptors refuse what is too much, by name, and live",
    () =>
      Effect.gen(function* () {
        const engine = yield* engineProcess
        const { engineSocket } = storePaths(engine.store)
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const { enginePid } = yield* sessions.status
          // Both: Node raises the soft one to the hard one when it starts, and the keeper is started now.
          limit(enginePid, "nofile", "64:64")
          const ids = [idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" }))]
          let refused: unknown
          while (refused === undefined && ids.length < SESSIONS_MAX) {
            yield* sessions.create({ argv: ["cat"], cwd: "/" }).pipe(
              Effect.tap((view) => Effect.sync(() => ids.push(idOf(view)))),
              Effect.catch((error) => {
                refused = { ...error }
                return Effect.void
              })
            )
          }
          assert.deepInclude(refused, { _tag: "SpawnFailed", failure: "limit", code: "ResourceExhausted" })
          assert.isAbove(ids.length, 3)
          // More connections than the engine has descriptors left: they wait for their turn, or are ended for their silence.
          const sockets = Array.from({ length: 100 }, () => connect(engineSocket).on("error", () => {}))
          yield* Effect.forEach(ids, (id) => type(id, "still here\n"))
          yield* Effect.forEach(ids, (id) => until(id, "still here\r\nstill here"))
          for (const socket of sockets) socket.destroy()
          // What was ended makes room.
          yield* Effect.forEach(ids.splice(0, 2), (id) => sessions.close(id))
          ids.push(idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" })))
          yield* Effect.forEach(ids, (id) => sessions.close(id))
          assert.strictEqual((yield* sessions.status).enginePid, enginePid)
        }).pipe(Effect.scoped, Effect.provide(engine.client()))
      })
  )

  it.live(
    "reliability row 18: a journal that gets no more descriptors pauses its sessions, and goes on without a lost byte",
    () =>
      Effect.gen(function* () {
        const engine = yield* engineProcess
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const { enginePid } = yield* sessions.status
          // More than the database keeps in memory: it has to open another file.
          const argv = ["sh", "-c", "stty -echo; echo ready; read go; seq 1 1200000; exit 3"]
          const id = idOf(yield* sessions.create({ argv, cwd: "/" }))
          yield* until(id, "ready")
          // Less than are open: those stay, and there are no others.
          limit(enginePid, "nofile", "10:")
          yield* type(id, "go\n")
          const suspended = Effect.map(sessions.status, (status) => status.suspended)
          const reason = yield* Effect.repeat(Effect.delay(suspended, 20), { until: (why) => why !== null })
          assert.isFalse(reason?.diskFull)
          limit(enginePid, "nofile", "1024:")
          const entries = yield* untilEnd(id)
          const expected = Array.from({ length: 1_200_000 }, (_, i) => `${i + 1}\r\n`).join("")
          assert.isTrue(textOf(entries) === `ready\r\n${expected}`)
          assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", exitCode: 3 })
          assert.isNull(yield* suspended)
          assert.strictEqual((yield* sessions.status).enginePid, enginePid)
        }).pipe(Effect.scoped, Effect.provide(engine.client()))
      })
  )

  it.live(
    "reliability row 18: a keeper that aborts for want of a thread takes its own sessions, and nothing else",
    () =>
      Effect.gen(function* () {
        const engine = yield* engineProcess
        const keepersOf = Effect.promise(() => listKeepers(storePaths(engine.store).keepers))
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const { enginePid } = yield* sessions.status
          const doomed = idOf(yield* sessions.create({ argv: ["sh", "-c", "echo before; exec cat"], cwd: "/" }))
          yield* until(doomed, "before")
          const [keeper] = yield* keepersOf
          const size = /^VmSize:\s+(\d+) kB/m.exec(readFileSync(`/proc/${keeper!.pid}/status`, "latin1"))![1]
          // No place for the stack of another thread: the thread that node-pty starts for a terminal cannot be, and that aborts.
          limit(keeper!.pid, "as", `${Number(size) * 1024 + MIB}:`)
          const marker = "REPRISE_TEST_ABORT"
          const failed = yield* Effect.flip(sessions.create({ argv: ["cat"], cwd: "/", env: { [marker]: "1" } }))
          assert.strictEqual(failed.code, "Unavailable")
          // It aborted: its sockets are closed a moment before it is gone.
          yield* Effect.promise(() => gone(keeper!.pid))
          yield* Effect.repeat(Effect.delay(history.get(doomed), 5), { until: ({ status }) => status === "lost" })
          assert.deepInclude(yield* history.get(doomed), { exitCode: null, signal: null })
          const next = idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" }))
          yield* type(next, "another keeper\n")
          yield* until(next, "another keeper\r\nanother keeper")
          const [other] = yield* keepersOf
          assert.notStrictEqual(other!.pid, keeper!.pid)
          yield* sessions.close(next)
          assert.strictEqual((yield* sessions.status).enginePid, enginePid)
          // Nothing runs of what was forked and not started.
          for (const { status } of yield* history.list) assert.include(["lost", "failed", "exited"], status)
        }).pipe(Effect.scoped, Effect.provide(engine.client()))
      })
  )

  // The kernel counts no process of root's: it takes another user, whom only root can become.
  it.skipIf(!canBeAnother)(
    `reliability row 18: ${ROOMS.length} limits of a user's processes: what is too much is refused by name, engine and keeper live (${ANOTHER_NEEDS})`,
    () =>
      withOtherUser(async ({ as, folder }) => {
        const [program = "", ...words] = as
        const script = fileURLToPath(new URL("limitedUser.ts", import.meta.url))
        const child = spawn(
          program,
          [...words, process.execPath, script, join(folder, "store"), JSON.stringify(ROOMS)],
          { cwd: "/", env: { HOME: folder, PATH: process.env.PATH }, stdio: ["ignore", "pipe", "pipe"] }
        )
        let out = ""
        let err = ""
        child.stdout.on("data", (data) => (out += data))
        child.stderr.on("data", (data) => (err += data))
        const code = await new Promise((resolve) => child.once("close", resolve))
        assert.strictEqual(code, 0, err)
        const { results, text } = JSON.parse(out) as { results: ReadonlyArray<LimitedRound>; text: string }
        assert.strictEqual(text, "still here\r\nstill here\r\n")
        assert.deepStrictEqual(
          results.map(({ room }) => room),
          ROOMS
        )
        for (const { code, isSameEngine, message, room, started } of results) {
          assert.deepInclude({ code, isSameEngine }, { code: "ResourceExhausted", isSameEngine: true }, message)
          assert.include(message, "ulimit -u")
          if (room < HEAD_ROOM) assert.strictEqual(started, 0)
          else assert.isAtMost(started, room)
          if (room > HEAD_ROOM + 4) assert.isAbove(started, 0)
        }
      })
  )
})
