/** KILL ends a command whatever the shell that runs it does: one that cannot answer any more goes with it. */
import { assert, describe, it } from "vitest"
import { rowsEngine, text } from "./shells.ts"

const engine = rowsEngine()

describe("KILL for a command of the shell itself", { concurrent: true }, () => {
  for (const [what, code] of [
    ["executes nothing any more", "echo begun; set -n"],
    ["cannot open what it needs", "echo begun; ulimit -n 3"],
    ["takes no interrupt", "trap '' INT TERM; echo begun; while :; do read -t 0.1 <> <(:); done"]
  ] as const) {
    it(`a shell that ${what} is brought back with its state`, async () => {
      const shell = await engine.start()
      await shell.exec("export KEPT=1; f() { echo $KEPT$1; }")
      await shell.exec(code, { execId: "hung", yieldMillis: 0 })
      const look = (yieldMillis: number) => engine.exec((exec) => exec.poll(shell.id, "hung", { yieldMillis }))
      while (text((await look(20)).stdout) !== "begun\n");
      assert.strictEqual((await look(100)).status, "running")
      await engine.exec((exec) => exec.kill(shell.id, "hung", "SIGKILL"))
      const over = await look(60_000)
      assert.deepInclude(over, { status: "died", signal: "SIGKILL" })
      const next = await shell.exec("f 2")
      assert.deepStrictEqual([text(next.stdout), next.exitCode], ["12\n", 0])
    })
  }
})
