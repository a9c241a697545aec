/** The engine is killed again and again while a program runs: nothing is missing, nothing is doubled, the program does not notice. */
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { isAlive } from "../fixtures/processes.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Finished, withCommandLine } from "./commandLine.ts"

/** REPRISE_KILLS raises it, REPRISE_SEED moves them (`npm run campaign`). */
const KILLS = Number(process.env.REPRISE_KILLS ?? 25)

describe("engine kill -9", () => {
  it(
    `reliability row 8: ${KILLS} times during a run: 0 lines missing, 0 doubled, input once and in order, the pid never changes`,
    { timeout: 60_000 + KILLS * 20_000 },
    () =>
      withCommandLine(async (cli) => {
        const random = seededRandom(Number(process.env.REPRISE_SEED ?? 5))
        // A line every millisecond, and each line it is given, until it is given the end.
        const program = [
          "stty -echo; trap 'stop=1' USR1",
          // Waits in a read of its own: a `sleep` is a process for each line.
          "exec 9<> <(:)",
          'while read line; do echo "got $line"; done <&3 3<&- & exec 3<&-',
          'i=0; while [ -z "$stop" ]; do i=$((i+1)); echo "line $i"; read -rt 0.001 -u 9; done',
          'echo "last $i"; exit 7'
        ].join("\n")
        const child = cli.spawn(["run", "--name", "counter", "--", "bash", "-c", `exec 3<&0; ${program}`], {
          openInput: true
        })
        const running = cli.finished(child)
        let ended: Finished | undefined
        void running.then((result) => {
          ended = result
        })
        let view: { id: string; pid: number } | undefined
        while (view === undefined) {
          view = (await cli.json(["list"])).find(
            ({ name, status }: { name: string; status: string }) => name === "counter" && status === "running"
          )
        }
        const inputs = Array.from({ length: 80 }, (_, i) => i)
        const typing = (async () => {
          // Nobody tells the writer about the kills.
          for (const i of inputs) {
            child.stdin!.write(`input-${i}\n`)
            await sleep(50)
          }
        })()
        let kills = 0
        for (; kills < KILLS; ) {
          await sleep(1 + random.below(200))
          // Only a client starts another engine: without this one there is nothing left to kill.
          assert.isUndefined(ended, ended?.stderr)
          const engine = await cli.enginePid()
          if (engine === null) continue
          try {
            process.kill(engine, "SIGKILL")
            kills++
          } catch {
            // It was replaced since.
          }
        }
        await typing
        assert.isTrue(isAlive(view.pid))
        await cli.text(["signal", "counter", "USR1", "--target", "leader"])
        const { code, stderr, stdout } = await running
        assert.strictEqual(code, 7, stderr)
        const replayed = (await cli.run(["replay", "counter"])).stdout.toString()
        for (const text of [stdout.toString(), replayed]) {
          const lines = [...text.matchAll(/^line (\d+)\r$/gm)].map((match) => Number(match[1]))
          const last = Number(/^last (\d+)\r$/m.exec(text)![1])
          assert.isAbove(last, 500)
          assert.deepStrictEqual(
            lines,
            Array.from({ length: last }, (_, i) => i + 1)
          )
          assert.deepStrictEqual(
            [...text.matchAll(/^got input-(\d+)\r$/gm)].map((match) => Number(match[1])),
            inputs
          )
        }
        const final = await cli.json(["inspect", "counter"])
        assert.deepInclude(final, { status: "exited", exitCode: 7, pid: view.pid })
        assert.isAtLeast(final.interruptions, KILLS - 2)
      })
  )
})
