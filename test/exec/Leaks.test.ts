/**
 * Hundreds of commands of every ending on a machine whose cores are busy: none hangs, and afterwards nothing of the session
 * is left: no process, no pipe, no file, no descriptor of the keeper.
 */

import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Cause, type Context, Effect, Exit, Layer, Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { Exec, type ExecRequest, type ExecResult, type ExecShape } from "../../src/exec/Exec.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import * as Reprise from "../../src/Reprise.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { processesWith, text } from "../crash/execUnderTest.ts"
import { INSIDE_NEEDS, seesInside } from "../fixtures/processFigures.ts"
import { removeStore } from "../fixtures/removeStore.ts"

/** Commands; `npm run campaign` runs 300. */
const REPETITIONS = Number(process.env.REPRISE_REPETITIONS ?? 36)
const CORES = 2

let folder: string
let scope: Scope.Closeable
let context: Context.Context<Exec>
let busy: ReadonlyArray<ChildProcess>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "reprise-leaks-"))
  scope = Effect.runSync(Scope.make())
  context = await Effect.runPromise(Layer.buildWithScope(Reprise.layer({ store: join(folder, "store") }), scope))
  // They end with this process, should it be killed: their standard input is ours.
  const loop =
    "process.stdin.on('end', () => process.exit()).resume(); setInterval(() => { const ends = Date.now() + 90; while (Date.now() < ends); }, 1)"
  busy = Array.from({ length: CORES }, () =>
    spawn(process.execPath, ["-e", loop], { stdio: ["pipe", "ignore", "ignore"] })
  )
})
afterAll(async () => {
  for (const child of busy) child.kill("SIGKILL")
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await removeStore(join(folder, "store"), folder)
})

const exec = <A, E>(use: (exec: ExecShape) => Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromiseExit(Effect.provideContext(Exec.use(use), context)).then((exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.squash(exit.cause)
  })

interface Kind {
  readonly request: (i: number) => ExecRequest
  readonly expect: (result: ExecResult, i: number) => unknown
}

const KINDS: ReadonlyArray<Kind> = [
  {
    request: (i) => ({ code: `echo out ${i}; echo err ${i} >&2; (exit 4)` }),
    expect: ({ exitCode, status, stderr, stdout }, i) =>
      assert.deepStrictEqual(
        [status, exitCode, text(stdout), text(stderr)],
        ["completed", 4, `out ${i}\n`, `err ${i}\n`]
      )
  },
  {
    request: (i) => ({ code: `echo ${i}; exit 3` }),
    expect: ({ exitCode, status, stdout }, i) =>
      assert.deepStrictEqual([status, exitCode, text(stdout)], ["exited", 3, `${i}\n`])
  },
  {
    request: (i) => ({ code: `echo ${i}; kill -9 $$` }),
    expect: ({ signal, status, stdout }, i) =>
      assert.deepStrictEqual([status, signal, text(stdout)], ["died", "SIGKILL", `${i}\n`])
  },
  {
    request: () => ({ code: "sleep 60", timeoutMillis: 100 }),
    expect: ({ status }) => assert.strictEqual(status, "timeout")
  },
  {
    request: (i) => ({ code: `(sleep 0.3; echo late) & echo ${i}` }),
    expect: ({ status, stdout }, i) => {
      assert.strictEqual(status, "completed")
      assert.match(text(stdout), new RegExp(`^(late\n)?${i}\n`))
    }
  },
  {
    request: (i) => ({ code: "cat", stdin: { _tag: "Bytes", data: Buffer.from(`in ${i}\n`) } }),
    expect: ({ status, stdout }, i) => assert.deepStrictEqual([status, text(stdout)], ["completed", `in ${i}\n`])
  }
]

const keeperPid = async () => (await listKeepers(storePaths(join(folder, "store")).keepers))[0]!.pid
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length

describe(`${REPETITIONS} commands, two cores busy`, { timeout: 60_000 + REPETITIONS * 2000 }, () => {
  it.skipIf(!seesInside)(`none hangs, and nothing is left (${INSIDE_NEEDS})`, async () => {
    // The keeper's descriptors with nothing in it, after it has been used once.
    const first = (await exec((shells) => shells.start({ cwd: folder }))).id as SessionId
    await exec((shells) => shells.exec(first, { code: "true" }))
    await exec((shells) => shells.end(first))
    const keeper = await keeperPid()
    const before = descriptors(keeper)
    const session = (await exec((shells) => shells.start({ cwd: folder }))).id as SessionId
    const own = join(storePaths(join(folder, "store")).exec, session)
    for (let i = 0; i < REPETITIONS; i++) {
      const kind = KINDS[i % KINDS.length]!
      kind.expect(await exec((shells) => shells.exec(session, kind.request(i))), i)
    }
    // Of the commands only those whose children are still there have pipes: after the last child there is none.
    const pipesOf = () => readdirSync(own).filter((name) => /^\d/.test(name))
    const ends = performance.now() + 60_000
    while (pipesOf().length > 0 && performance.now() < ends) await sleep(20)
    assert.deepStrictEqual(pipesOf(), [])
    const report = await exec((shells) => shells.end(session))
    assert.deepStrictEqual(report.survivors, [])
    assert.deepStrictEqual(processesWith(session), [])
    assert.isFalse(existsSync(own))
    while (descriptors(keeper) > before && performance.now() < ends) await sleep(20)
    assert.isAtMost(descriptors(keeper), before)
  })
})
