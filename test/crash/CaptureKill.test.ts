/**
 * Sessions with rules at capture, and an engine that is killed again and again while secrets are printed and typed piece by
 * piece: none of them is in any file of the store, at no time.
 */
import { writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { Stream } from "effect"
import { assert, describe, it } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { type ExecUnderTest, text, withShells } from "./execUnderTest.ts"

/** In parts, so that no command line of this test run holds one whole. */
const PRINTED = ["correct-horse", "battery", "staple"].join("-")
const TYPED = ["open", "sesame", "4711"].join("-")
const KEY = ["AKIAIOSFO", "DNN7EXAMPLE"].join("")
const SECRETS = [PRINTED, TYPED, KEY]
/** Characters that may be left of a secret that comes slower than it is held back (docs/redaction.md). */
const LEFT_MAX = 9
const KILLS = Number(process.env.REPRISE_KILLS ?? 6)
const REDACT = { rules: ["all"], texts: [PRINTED, TYPED] }

const entriesOf = (shells: ExecUnderTest, session: SessionId) =>
  shells.run(History.use((history) => Stream.runCollect(history.events(session)))).then((entries) => [...entries])

/** What the session's streams hold, put together, without colours. */
const recordOf = async (shells: ExecUnderTest, session: SessionId) => {
  const record = { output: "", input: "", rest: "" }
  for (const { event } of await entriesOf(shells, session)) {
    if (event._tag === "OutputReceived") record.output += Buffer.from(event.data).toString("latin1")
    else if (event._tag === "InputWritten") record.input += Buffer.from(event.data).toString("latin1")
    else record.rest += JSON.stringify(event)
  }
  record.output = record.output.replace(/\x1b\[\d*m/g, "")
  return record
}

const assertNowhere = (shells: ExecUnderTest, secrets = SECRETS) => {
  for (const secret of secrets) assert.deepStrictEqual(filesHolding(shells.cli.store, secret), [], secret)
}

const assertNoPiece = (said: string, secrets = SECRETS) => {
  for (const secret of secrets)
    for (let at = 0; at + LEFT_MAX < secret.length; at++) assert.notInclude(said, secret.slice(at, at + LEFT_MAX + 1))
}

const create = (shells: ExecUnderTest, argv: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  shells
    .run(
      Sessions.use((sessions) =>
        sessions.create({ argv, redact: REDACT, env, inheritEnv: true, cwd: shells.cli.store })
      )
    )
    .then(({ id }) => id as SessionId)

const viewOf = (shells: ExecUnderTest, session: SessionId) => shells.run(History.use((history) => history.get(session)))

const untilEnded = async (shells: ExecUnderTest, session: SessionId) => {
  for (;;) {
    const view = await viewOf(shells, session)
    if (view.status !== "running" && view.status !== "starting" && !view.terminalOpen) return view
    await sleep(50)
  }
}

describe("rules at capture, engine kill -9", { timeout: 120_000 + KILLS * 10_000 }, () => {
  it(`${KILLS} times while secrets are printed letter by letter, whole and with colours, and typed: none is in any file`, () =>
    withShells(async (shells) => {
      const random = seededRandom(Number(process.env.REPRISE_SEED ?? 3))
      const slowly = [
        // Waits in a read of its own: a `sleep` is a process for each letter.
        "exec 9<> <(:)",
        // Nothing of it is in the arguments: the program puts it together.
        'for (( n = 0; n < 400; n++ )); do [ -e stop ] && break; printf "line %d " $n',
        `for (( i = 0; i < \${#P}; i++ )); do printf %s "\${P:i:1}"; read -rt 0.004 -u 9; done; printf "\\r\\n"`,
        `printf "%s\\033[31m%s\\033[0m%s\\r\\n" "\${K:0:4}" "\${K:4:9}" "\${K:13}"`,
        'printf "\\033]0;%s\\007%s\\r\\n" "$P" "$P"; read -rt 0.02 -u 9; done; echo over'
      ].join("\n")
      const printing = await create(shells, ["bash", "-c", slowly, "bash", KEY], { P: PRINTED, K: KEY })
      const echoing = await create(shells, ["cat"])
      const typing = (async () => {
        for (let line = 0; line < KILLS; line++) {
          for (const [index, letter] of [...`${TYPED}\r`].entries()) {
            const commandId = `typed-${line}-${index}`
            const write = Sessions.use((sessions) => sessions.write(echoing, Buffer.from(letter), { commandId }))
            for (;;) {
              const isDone = await shells.run(write).then(
                () => true,
                () => false
              )
              if (isDone) break
              await sleep(20)
            }
          }
          // What cat says of this line would stand in the middle of the next one's echo.
          const bytes = (line + 1) * 2 * (TYPED.length + "\r\n".length)
          while ((await viewOf(shells, echoing).catch(() => undefined))?.outputBytes !== bytes) await sleep(20)
        }
      })()
      for (let kills = 0; kills < KILLS; ) {
        await sleep(20 + random.below(250))
        if (await shells.killEngine()) kills++
        assertNowhere(shells)
      }
      await typing
      await shells.run(Sessions.use((sessions) => sessions.closeInput(echoing)))
      writeFileSync(`${shells.cli.store}/stop`, "")
      const printed = await untilEnded(shells, printing)
      const echoed = await untilEnded(shells, echoing)
      assert.strictEqual(printed.exitCode, 0)
      assert.strictEqual(echoed.exitCode, 0)
      assertNowhere(shells)
      const record = await recordOf(shells, printing)
      assertNoPiece(record.output + record.rest)
      // Every byte has its place.
      assert.match(record.output, /^line 0 [\s\S]*over\r\n$/)
      const echo = await recordOf(shells, echoing)
      for (const part of [echo.output, echo.input, echo.rest]) assertNoPiece(part)
      // Each letter was typed once: the echo, and what cat says, have as many characters.
      const lines = echo.output.split("\r\n").filter((line) => line !== "")
      assert.deepStrictEqual(
        lines.map(({ length }) => length),
        Array(2 * KILLS).fill(TYPED.length)
      )
      for (const { redact } of [printed, echoed]) {
        assert.isAbove(redact!.bytes, 0)
        assert.include(
          redact!.found.map(({ rule }) => rule),
          "text"
        )
      }
    }))

  it("commands: code, variables, both streams and late output, over a kill", () =>
    withShells(async (shells) => {
      const session = await shells.start({ redact: REDACT })
      const code = [
        `f() { echo '${PRINTED}'; }; export K=${KEY}`,
        `for (( i = 0; i < ${PRINTED.length}; i++ )); do P='${PRINTED}'; printf %s "\${P:i:1}"; sleep 0.03; done`,
        `echo; f >&2; echo \${#K} \${#P}`
      ].join("\n")
      const running = shells.command(session, { code, execId: "long", env: { E: `x ${TYPED}` } })
      for (let kills = 0; kills < 2; kills++) {
        await sleep(300)
        await shells.killEngine()
      }
      const result = await running
      assert.strictEqual(result.status, "completed")
      assert.match(text(result.stdout), new RegExp(`\n${KEY.length} ${PRINTED.length}\n$`))
      assert.strictEqual(text(result.stderr), `${"*".repeat(PRINTED.length)}\n`)
      // Asked for again, it is the same command.
      assert.strictEqual((await shells.command(session, { code, execId: "long" })).exec, result.exec)
      // What it exported is there, and is not stored.
      const next = await shells.command(session, {
        code: `echo \${#K}; cat`,
        stdin: { _tag: "Bytes", data: Buffer.from(`${TYPED}\n`) }
      })
      assert.strictEqual(text(next.stdout), `${KEY.length}\n${"*".repeat(TYPED.length)}\n`)
      const record = await recordOf(shells, session)
      assertNoPiece(record.output + record.rest)
      assertNowhere(shells)
    }))
})
