/**
 * The keeper of shells is killed: what ran in them is lost and says so, no process of them is left, and the next command
 * finds a shell with what the journal has of the old one.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import type { Language, SessionId } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { type ExecUnderTest, processesWith, text, withShells } from "./execUnderTest.ts"

const LANGUAGES = ["bash", "zsh", "python", "node"] as const
/** DESIGN.md: closing ends every process within this; a keeper's death may take no longer. */
const END_MILLIS_MAX = 5000

const noneLeft = async (session: SessionId): Promise<ReadonlyArray<number>> => {
  const ends = performance.now() + END_MILLIS_MAX
  for (;;) {
    const left = processesWith(session)
    if (left.length === 0 || performance.now() > ends) return left
    await sleep(20)
  }
}

const statusOf = (shells: ExecUnderTest, session: SessionId) =>
  shells.run(History.use((history) => history.get(session))).then(({ status }) => status)

const lost = async (shells: ExecUnderTest, session: SessionId) => {
  while ((await statusOf(shells, session)) !== "lost") await sleep(10)
}

/** Runs for a minute, with a child, and a daemon that left the shell's kernel session and ignores the hang-up. */
const BUSY: Record<Language, string> = {
  bash: "(trap '' HUP TERM; setsid sleep 60 &) ; sleep 60",
  zsh: "(trap '' HUP TERM; setsid sleep 60 &) ; sleep 60",
  python:
    "import subprocess\nsubprocess.Popen('trap \"\" HUP; exec setsid sleep 60', shell=True)\nsubprocess.run(['sleep', '60'])",
  node: "const { spawn } = require('child_process'); spawn('sh', ['-c', 'trap \"\" HUP; exec setsid sleep 60'], { stdio: 'ignore' }); await new Promise((done) => spawn('sleep', ['60']).on('exit', done))"
}
const PROCESSES_BUSY = 3

describe.concurrent("keeper kill -9", { timeout: 60_000 }, () => {
  for (const how of ["idle", "busy", "busy, and no engine runs"] as const) {
    it(`${how}: the sessions are lost, and no process of theirs is left after 5 s`, () =>
      withShells(async (shells) => {
        const sessions = await Promise.all(LANGUAGES.map((language) => shells.start({ language })))
        const running: Array<Promise<unknown>> = []
        if (how !== "idle") {
          for (const [index, session] of sessions.entries()) {
            const code = BUSY[LANGUAGES[index]!]
            running.push(shells.command(session, { code, execId: "busy", yieldMillis: 0 }))
          }
          await Promise.all(running)
          for (const session of sessions) while (processesWith(session).length < PROCESSES_BUSY) await sleep(20)
        }
        if (how === "busy, and no engine runs") await shells.whileNoEngine(() => shells.killKeepers())
        else await shells.killKeepers()
        for (const session of sessions) {
          assert.deepStrictEqual(await noneLeft(session), [])
          await lost(shells, session)
          if (how === "idle") continue
          const result = await shells.exec((exec) => exec.poll(session, "busy"))
          assert.deepInclude({ ...result }, { status: "lost", exitCode: null, signal: null })
        }
      }))
  }

  it("a call that waits is answered with lost; history and output so far can be read", () =>
    withShells(async (shells) => {
      const session = await shells.start()
      await shells.command(session, { code: "echo before", execId: "before" })
      const waiting = shells.command(session, { code: "echo begun; sleep 60", execId: "lost" })
      while (
        (await shells.exec((exec) => exec.poll(session, "lost")).catch(() => ({ stdout: [] }))).stdout.length === 0
      )
        await sleep(10)
      await shells.killKeepers()
      const result = await waiting
      assert.deepInclude({ ...result }, { status: "lost", exitCode: null, signal: null })
      assert.strictEqual(text(result.stdout), "begun\n")
      await lost(shells, session)
      const history = await shells.exec((exec) => exec.history(session))
      assert.deepStrictEqual(
        history.map(({ execId, status }) => [execId, status]),
        [
          ["before", "completed"],
          ["lost", "lost"]
        ]
      )
    }))

  it("a program of a terminal that ignores the hang-up is left alone", () =>
    withShells(async (shells) => {
      const over = join(shells.cli.store, "over")
      const script = `trap '' HUP; until [ -e ${over} ]; do sleep 0.1; done`
      const { id } = await shells.cli.json(["run", "--detach", "--json", "--", "sh", "-c", script])
      while (processesWith(id).length < 2) await sleep(10)
      await shells.killKeepers()
      await lost(shells, id)
      await sleep(1000)
      assert.isNotEmpty(processesWith(id))
      writeFileSync(over, "")
      while (processesWith(id).length > 0) await sleep(50)
    }))

  const SET: Record<Language, string> = {
    bash: "cd sub; export COLOR=blue MY_TOKEN=hidden-token-value; greet() { echo \"hello $1\"; }; alias ll='ls -l'; shopt -s expand_aliases",
    zsh: "cd sub; export COLOR=blue MY_TOKEN=hidden-token-value; greet() { echo \"hello $1\"; }; alias ll='ls -l'",
    python:
      "import os, json\nfrom pathlib import Path\nos.chdir('sub'); os.environ['COLOR'] = 'blue'; os.environ['MY_TOKEN'] = 'hidden-token-value'",
    node: "const path = require('path'); process.chdir('sub'); process.env.COLOR = 'blue'; process.env.MY_TOKEN = 'hidden-token-value'"
  }
  const GET: Record<Language, string> = {
    bash: "pwd; echo $COLOR $(printenv MY_TOKEN || echo none) $(printenv CALLERS || echo none); greet you; alias ll",
    zsh: "pwd; echo $COLOR $(printenv MY_TOKEN || echo none) $(printenv CALLERS || echo none); greet you; alias ll",
    python:
      "print(os.getcwd(), os.environ['COLOR'], os.environ.get('MY_TOKEN', 'none'), os.environ.get('CALLERS', 'none'), json.dumps(1), Path('a').name)",
    node: "console.log(process.cwd(), process.env.COLOR, process.env.MY_TOKEN ?? 'none', process.env.CALLERS ?? 'none', path.basename('/a/b'))"
  }
  const GOT: Record<Language, (sub: string) => string> = {
    bash: (sub) => `${sub}\nblue none none\nhello you\nalias ll='ls -l'\n`,
    zsh: (sub) => `${sub}\nblue none none\nhello you\nll='ls -l'\n`,
    python: (sub) => `${sub} blue none none 1 a\n`,
    node: (sub) => `${sub} blue none none b\n`
  }
  for (const language of LANGUAGES) {
    it(`${language}: the next command has directory, environment and definitions; the report says what is missing`, () =>
      withShells(async (shells) => {
        const sub = join(shells.cli.store, "sub")
        mkdirSync(sub)
        const env = { PATH: process.env.PATH!, HOME: shells.cli.store, CALLERS: "own" }
        const session = await shells.start({ language, env, secretEnv: { GIVEN: "never-stored" } })
        assert.strictEqual((await shells.command(session, { code: SET[language] })).status, "completed")
        await shells.killKeepers()
        await lost(shells, session)
        const report = language === "node" ? null : await shells.exec((exec) => exec.restore(session))
        const result = await shells.command(session, { code: GET[language] })
        assert.strictEqual(text(result.stdout) + text(result.stderr), GOT[language](sub))
        assert.strictEqual(await statusOf(shells, session), "running")
        if (report === null) return
        assert.strictEqual(report.reason, "lost")
        assert.strictEqual(report.restored.cwd, sub)
        assert.include(report.restored.env, "COLOR")
        for (const name of ["MY_TOKEN", "CALLERS", "GIVEN"]) {
          assert.include(report.missing.join("\n"), name)
          assert.notInclude(report.restored.env, name)
        }
        assert.isNull(await shells.exec((exec) => exec.restore(session)))
      }))
  }
})
