/**
 * The engine is killed again and again while commands run in shells: each command is run once, its output is complete and
 * nothing of it is doubled, and whoever waits for it gets its outcome.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { ACTOR_ENGINE, type Language, type SessionEvent, type SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import type { ExecStdin } from "../../src/exec/Exec.ts"
import { EXEC_SPACE, execRowKey } from "../../src/exec/ExecRow.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type ExecUnderTest, text, withShells } from "./execUnderTest.ts"

/** REPRISE_KILLS raises it, REPRISE_SEED moves them (`npm run campaign`). */
const CAMPAIGN = Number(process.env.REPRISE_KILLS ?? 0)
const KILLS = CAMPAIGN > 0 ? CAMPAIGN : 5
const FAST = CAMPAIGN > 0 ? CAMPAIGN : 3
/** A pull request tries one language in each way, the campaign all. */
const ALL = ["bash", "zsh", "python", "node"] as const
const languages = (one: (typeof ALL)[number]) => (CAMPAIGN > 0 ? ALL : [one])
/** While one call waits: a client gives up after some losses in a row (Reconnecting.ts). */
const KILLS_WAITING = CAMPAIGN > 0 ? 5 : 3
const random = seededRandom(Number(process.env.REPRISE_SEED ?? 7))

const LINES = 2000
const numbers = (last: number) => Array.from({ length: last }, (_, i) => `${i + 1}\n`).join("")

/** 2,000 lines, a millisecond or two between them. Shells wait in a read of their own: a `sleep` is a process for each line. */
const counting = `exec {pause}<> <(:); for i in $(seq 1 ${LINES}); do echo $i; read -rt 0.002 -u $pause; done; exec {pause}<&-`
const COUNTING: Record<Language, string> = {
  bash: counting,
  zsh: counting,
  python: `import time\nfor i in range(1, ${LINES + 1}):\n    print(i, flush=True)\n    time.sleep(0.001)`,
  node: `for (let i = 1; i <= ${LINES}; i++) { console.log(i); await new Promise((resolve) => setTimeout(resolve, 1)) }`
}

/** Ends when the file is there. */
const untilThere = (language: Language, file: string): string => {
  switch (language) {
    case "python":
      return `import os\nwhile not os.path.exists("${file}"): time.sleep(0.01)`
    case "node":
      return `while (!require("node:fs").existsSync("${file}")) await new Promise((resolve) => setTimeout(resolve, 10))`
    default:
      return `until [ -e "${file}" ]; do sleep 0.05; done`
  }
}

/**
 * Kills at random moments until `isOver` says so or all are done. Without `starts` it is the command line that starts
 * another engine, as it does whenever it waits for one.
 */
const killing = async (shells: ExecUnderTest, kills: number, isOver: () => boolean, starts = true) => {
  let done = 0
  while (done < kills && !isOver()) {
    await sleep(random.below(250))
    if (!isOver() && (await (starts ? shells.killEngine() : shells.onlyKillEngine()))) done++
  }
  return done
}

describe.concurrent("commands, engine kill -9", { timeout: 60_000 + KILLS * 3000 }, () => {
  it("once in the middle: poll by its id gives all 2,000 lines once, and its exit code", () =>
    withShells(async (shells) => {
      const session = await shells.start()
      await shells.command(session, { code: COUNTING.bash, execId: "count", yieldMillis: 0 })
      for (;;) {
        const { status, stdout } = await shells.exec((exec) => exec.poll(session, "count"))
        if (stdout.byteLength === 0) continue
        assert.strictEqual(status, "running")
        break
      }
      await shells.killEngine()
      if (CAMPAIGN > 0) await killing(shells, KILLS, () => false)
      const result = await shells.exec((exec) => exec.poll(session, "count", { yieldMillis: 60_000 }))
      assert.deepInclude({ ...result }, { status: "completed", exitCode: 0 })
      assert.strictEqual(text(result.stdout), numbers(LINES))
    }))

  for (const language of languages("python")) {
    it(`${language}: ${KILLS_WAITING} times while a call waits for it: the call has the complete result`, () =>
      withShells(async (shells) => {
        const session = await shells.start({ language })
        const killed = join(shells.cli.store, "killed")
        const code = `${COUNTING[language]}\n${untilThere(language, killed)}`
        const running = shells.command(session, { code, execId: "count" })
        assert.strictEqual(await killing(shells, KILLS_WAITING, () => false), KILLS_WAITING)
        writeFileSync(killed, "")
        const result = await running
        assert.deepInclude({ ...result }, { status: "completed", exitCode: 0 })
        assert.strictEqual(text(result.stdout), numbers(LINES))
        const again = await shells.exec((exec) => exec.poll(session, "count"))
        assert.strictEqual(text(again.stdout), numbers(LINES))
      }))
  }

  it("the command line's own exec survives it too, with its exit code", () =>
    withShells(async (shells) => {
      const session = await shells.start({ name: "counter" })
      let isOver = false
      const child = shells.cli.spawn(["exec", "counter", "--id", "count", "--", `${COUNTING.bash}; (exit 7)`])
      const running = shells.cli.finished(child).finally(() => {
        isOver = true
      })
      await killing(shells, 4, () => isOver, false)
      const { code, stderr, stdout } = await running
      assert.deepStrictEqual({ code, stderr }, { code: 7, stderr: "" })
      assert.strictEqual(stdout.toString(), numbers(LINES))
      assert.strictEqual((await shells.exec((exec) => exec.poll(session, "count"))).exitCode, 7)
    }))

  for (const language of languages("bash")) {
    it(`${language}: ${FAST} fast commands with a kill at each: every one is run exactly once`, () =>
      withShells(async (shells) => {
        const session = await shells.start({ language })
        const log = join(shells.cli.store, "log")
        writeFileSync(log, "")
        for (let i = 0; i < FAST; i++) {
          const running = shells.command(session, { code: appending(language, log, i), execId: `id-${i}` })
          await sleep(random.below(12))
          const [result] = await Promise.all([running, shells.killEngine()])
          assert.strictEqual(result.status, "completed", `${i}: ${text(result.stderr)}`)
          assert.strictEqual(text(result.stdout), `out ${i}\n`)
        }
        assert.strictEqual(readFileSync(log, "utf8"), Array.from({ length: FAST }, (_, i) => `${i}\n`).join(""))
      }))
  }

  for (const language of languages("bash")) {
    it(`${language}: killed right after CommandStarted was journaled: the next engine gives it to the shell, once`, () =>
      withShells(async (shells) => {
        const session = await shells.start({ language })
        const log = join(shells.cli.store, "log")
        writeFileSync(log, "")
        for (let i = 1; i <= 2; i++) {
          await shells.withoutEngine(startedOnly(session, i, appending(language, log, i)))
          const result = await shells.command(session, { code: appending(language, log, i), execId: `id-${i}` })
          assert.deepInclude({ ...result }, { status: "completed", exitCode: 0, exec: i })
          assert.strictEqual(text(result.stdout), `out ${i}\n`)
        }
        assert.strictEqual(readFileSync(log, "utf8"), "1\n2\n")
      }))
  }

  it("killed right after a command with input was journaled: the input is there", () =>
    withShells(async (shells) => {
      const session = await shells.start()
      await shells.withoutEngine(startedOnly(session, 1, "cat; echo end", { _tag: "Bytes", data: Buffer.from("in\n") }))
      const result = await shells.exec((exec) => exec.poll(session, "id-1", { yieldMillis: 20_000 }))
      assert.strictEqual(text(result.stdout), "in\nend\n")
      // Of a stream: the piece that was journaled and not given to the command comes once, and before the next.
      await shells.withoutEngine(startedOnly(session, 2, "cat; echo end", { _tag: "Stream" }, "one\n"))
      await shells.exec((exec) => exec.send(session, "id-2", { bytes: Buffer.from("two\n") }))
      await shells.killEngine()
      await shells.exec((exec) => exec.send(session, "id-2", { eof: true }))
      const streamed = await shells.exec((exec) => exec.poll(session, "id-2", { yieldMillis: 20_000 }))
      assert.strictEqual(text(streamed.stdout), "one\ntwo\nend\n")
    }))

  it("input as bytes, and as a stream from the command line, comes once and in order", () =>
    withShells(async (shells) => {
      const session = await shells.start({ name: "reader" })
      const data = Buffer.from(numbers(50_000))
      let isOver = false
      const reading = shells
        .command(session, {
          code: "while read -r i; do echo $i; done",
          stdin: { _tag: "Bytes", data },
          execId: "bytes"
        })
        .finally(() => {
          isOver = true
        })
      await killing(shells, 3, () => isOver)
      assert.isTrue(text((await reading).stdout) === data.toString(), "what was given as bytes is exact")
      isOver = false
      const child = shells.cli.spawn(["exec", "reader", "--id", "stream", "--stdin", "-", "--", "cat"], {
        openInput: true
      })
      const finished = shells.cli.finished(child).finally(() => {
        isOver = true
      })
      const typing = (async () => {
        for (let i = 1; i <= 300; i++) {
          child.stdin!.write(`${i}\n`)
          await sleep(5)
        }
        child.stdin!.end()
      })()
      await killing(shells, 4, () => isOver, false)
      await typing
      const { code, stderr, stdout } = await finished
      assert.deepStrictEqual({ code, stderr, stdout: stdout.toString() }, { code: 0, stderr: "", stdout: numbers(300) })
    }))
})

const appending = (language: Language, log: string, i: number): string => {
  switch (language) {
    case "python":
      return `with open(${JSON.stringify(log)}, "a") as f:\n    n = f.write("${i}\\n")\nprint("out ${i}")`
    case "node":
      return `require("fs").appendFileSync(${JSON.stringify(log)}, "${i}\\n"); console.log("out ${i}")`
    default:
      return `echo ${i} >> ${log}; echo out ${i}`
  }
}

/** What an engine has journaled that dies before a byte of the command reaches the shell. */
const startedOnly = (session: SessionId, exec: number, code: string, stdin?: ExecStdin, fed?: string) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const after = yield* journal.head(session)
    const events: Array<SessionEvent> = [
      {
        _tag: "CommandStarted",
        exec,
        execId: `id-${exec}`,
        code,
        stdin: stdin === undefined ? "none" : stdin._tag === "Bytes" ? "bytes" : "stream",
        tty: false,
        env: {},
        secretEnvNames: [],
        timeoutMillis: null,
        ttyFrom: 0
      }
    ]
    const input = stdin?._tag === "Bytes" ? Buffer.from(stdin.data) : fed === undefined ? undefined : Buffer.from(fed)
    if (input !== undefined)
      events.push({ _tag: "CommandInputWritten", exec, base64: input.toString("base64"), end: fed === undefined })
    yield* journal.append(
      session,
      events.map((event) => ({ event, actor: ACTOR_ENGINE, timeMicros: Date.now() * 1000 })),
      {
        rows: [
          {
            space: EXEC_SPACE,
            key: execRowKey(session, `id-${exec}`),
            value: Buffer.from(JSON.stringify({ exec, after }))
          }
        ]
      }
    )
  })
