/**
 * Secrets outlive the engine and are never stored: the engine is killed between the start of a command and what it prints,
 * and the next engine redacts, passes on and brings back what only the keeper's memory holds.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { ACTOR_ENGINE, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { EXEC_SPACE, execRowKey } from "../../src/exec/ExecRow.ts"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { silent } from "../keeper/keeperUnderTest.ts"
import { type ExecUnderTest, text, withShells } from "./execUnderTest.ts"

/** In two parts, so that no command line of this test run holds it whole. */
const SECRET = ["correct-horse", "battery-staple"].join("-")
const GIVEN = ["given-to-the", "whole-session"].join("-")
const MASKED = "*".repeat(SECRET.length)
const FAST = Number(process.env.REPRISE_KILLS ?? 2)

/** What the command waits for is there; the engine before has been killed by then. */
const printing = 'printf \'begun \'; until [ -e go ]; do sleep 0.01; done; printf %s "$S"; echo " $GIVEN"'

const begun = async (shells: ExecUnderTest, session: SessionId, execId: string) => {
  for (;;) {
    const result = await shells.exec((exec) => exec.poll(session, execId))
    if (result.stdout.length + result.tty.length > 0) return
    await sleep(10)
  }
}

describe.concurrent("secrets, engine kill -9", { timeout: 60_000 + FAST * 3000 }, () => {
  for (const tty of [false, true]) {
    it(`${tty ? "on the terminal" : "on the streams"}: what is printed afterwards is redacted, and nothing is stored`, () =>
      withShells(async (shells) => {
        const session = await shells.start({ secretEnv: { GIVEN } })
        const request = { code: printing, execId: "print", tty, secretEnv: { S: SECRET } }
        await shells.command(session, { ...request, yieldMillis: 0 })
        await begun(shells, session, "print")
        await shells.killEngine()
        writeFileSync(join(shells.cli.store, "go"), "")
        const result = await shells.exec((exec) => exec.poll(session, "print", { yieldMillis: 30_000 }))
        assert.strictEqual(result.status, "completed")
        const printed = text(tty ? result.tty : result.stdout)
        assert.strictEqual(printed.trimEnd(), `begun ${MASKED} ${"*".repeat(GIVEN.length)}`)
        for (const secret of [SECRET, GIVEN]) assert.isFalse(shells.holds(secret), secret)
        // Nor does the session's own one appear in the next command.
        await shells.killEngine()
        const next = await shells.command(session, { code: 'echo $GIVEN $(printf %s "$S" | wc -c)' })
        assert.strictEqual(text(next.stdout), `${"*".repeat(GIVEN.length)} 0\n`)
        assert.isFalse(shells.holds(GIVEN))
      }))
  }

  it("a command with a secret that was journaled and not given to the shell is run with it", () =>
    withShells(async (shells) => {
      const session = await shells.start()
      await shells.withoutEngine(
        Effect.gen(function* () {
          const journal = yield* Journal
          const generation = yield* journal.head(STORE_STREAM)
          yield* Effect.promise(async () => {
            const [keeper] = await listKeepers(shells.paths.keepers)
            const host = await connectKeeper({ socket: keeper!.socket, generation, listener: silent })
            const note = JSON.parse(Buffer.from((await host.getNote(session))!).toString())
            const commands = { 1: { secretEnv: { S: SECRET }, mark: "" } }
            host.setNote(session, Buffer.from(JSON.stringify({ ...note, commands })))
            await host.dispose()
          })
          const after = yield* journal.head(session)
          const event = {
            _tag: "CommandStarted",
            exec: 1,
            execId: "given",
            code: 'echo $(printf %s "$S" | wc -c) $S',
            stdin: "none",
            tty: false,
            env: {},
            secretEnvNames: ["S"],
            timeoutMillis: null,
            ttyFrom: 0
          } as const
          const value = Buffer.from(JSON.stringify({ exec: 1, after }))
          yield* journal.append(session, [{ event, actor: ACTOR_ENGINE, timeMicros: Date.now() * 1000 }], {
            rows: [{ space: EXEC_SPACE, key: execRowKey(session, "given"), value }]
          })
        })
      )
      const result = await shells.exec((exec) => exec.poll(session, "given", { yieldMillis: 20_000 }))
      assert.strictEqual(result.status, "completed")
      assert.strictEqual(text(result.stdout), `${SECRET.length} ${MASKED}\n`)
      assert.isFalse(shells.holds(SECRET))
    }))

  it(`${FAST} fast commands with a secret and a kill at each: every one is run with it`, () =>
    withShells(async (shells) => {
      const random = seededRandom(Number(process.env.REPRISE_SEED ?? 11))
      const session = await shells.start()
      for (let i = 0; i < FAST; i++) {
        const running = shells.command(session, {
          code: 'echo $(printf %s "$S" | wc -c) $(printf %s "$API_TOKEN" | wc -c) $S',
          execId: `id-${i}`,
          // Not named a secret, but it looks like one: not stored either.
          env: { API_TOKEN: GIVEN },
          secretEnv: { S: SECRET }
        })
        await sleep(random.below(12))
        const [result] = await Promise.all([running, shells.killEngine()])
        assert.deepInclude({ ...result }, { status: "completed", exec: i + 1 })
        assert.strictEqual(text(result.stdout), `${SECRET.length} ${GIVEN.length} ${MASKED}\n`)
      }
      for (const secret of [SECRET, GIVEN]) assert.isFalse(shells.holds(secret), secret)
    }))

  it("a shell that dies after that is started with its whole environment", () =>
    withShells(async (shells) => {
      const env = { PATH: process.env.PATH!, HOME: shells.cli.store, CALLERS: "own" }
      const session = await shells.start({ env, secretEnv: { GIVEN } })
      await shells.command(session, { code: "export MY_TOKEN=$S", secretEnv: { S: SECRET } })
      // The shell executes itself anew: /proc shows another environment than it was started with.
      await shells.command(session, { code: "unset CALLERS; exit 3" })
      await shells.killEngine()
      const died = await shells.command(session, { code: "kill -9 $$" })
      assert.deepInclude({ ...died }, { status: "died", signal: "SIGKILL" })
      const result = await shells.command(session, {
        code: "echo $(printenv GIVEN | wc -c) $(printenv MY_TOKEN | wc -c) $GIVEN; pwd"
      })
      const masked = "*".repeat(GIVEN.length)
      assert.strictEqual(
        text(result.stdout),
        `${GIVEN.length + 1} ${SECRET.length + 1} ${masked}\n${shells.cli.store}\n`
      )
      for (const secret of [SECRET, GIVEN]) assert.isFalse(shells.holds(secret), secret)
    }))
})
