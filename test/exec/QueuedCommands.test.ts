/** Commands that wait for their turn while their shell dies or is reset: each runs in the next one, once. */

import { Stream } from "effect"
import { assert, describe, it } from "vitest"
import { Journal } from "../../journal/index.ts"
import { rowsEngine, type Shell, text } from "./shells.ts"

const engine = rowsEngine()

describe("commands that wait while their shell", { concurrent: true }, () => {
  const waiting = async (shell: Shell, first: string, change: () => Promise<unknown>) => {
    for (const [execId, code] of [
      ["first", first],
      ["one", "echo one"],
      ["two", "echo two"]
    ] as const) {
      await shell.exec(code, { execId, yieldMillis: 0 })
    }
    await change()
    const ended = (execId: string) => engine.exec((exec) => exec.poll(shell.id, execId, { yieldMillis: 60_000 }))
    assert.strictEqual((await ended("first")).status, "died")
    for (const execId of ["one", "two"]) {
      const { exitCode, status, stdout } = await ended(execId)
      assert.deepStrictEqual([status, exitCode, text(stdout)], ["completed", 0, `${execId}\n`])
    }
    assert.strictEqual(text((await shell.exec("echo after")).stdout), "after\n")
    const order: Array<string> = []
    const events = await engine.run(Journal.use((journal) => Stream.runCollect(journal.read(shell.id))))
    for (const { event } of events) {
      if (event._tag === "CommandStarted") order.push(event.execId)
      if (event._tag === "ShellRestarted" || event._tag === "CommandFinished") order.push(event._tag)
    }
    assert.deepStrictEqual(order.slice(0, 5), ["first", "CommandFinished", "ShellRestarted", "one", "CommandFinished"])
  }

  it("dies", async () => {
    const shell = await engine.start()
    await waiting(shell, "sleep 0.5; kill -KILL $$", async () => undefined)
  })

  it("is reset", async () => {
    const shell = await engine.start()
    await waiting(shell, "sleep 1000", async () => {
      const first = () => engine.exec((exec) => exec.poll(shell.id, "first", { yieldMillis: 20 }))
      while ((await first()).status !== "running");
      await engine.exec((exec) => exec.reset(shell.id))
    })
  })
})
