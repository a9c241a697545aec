/** Engines of two releases die and are started by their clients in turn, and at once, in the middle of what goes on. */
import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { afterAll, beforeAll } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { Journal } from "../../src/index.ts"
import { gone } from "../fixtures/processes.ts"
import { type Programs, RELEASES, unpackPrograms } from "../fixtures/releases/Releases.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { eventsOf } from "../session/sessionsUnderTest.ts"
import { UPGRADE_MILLIS_MAX, upgradeStore } from "./upgradeUnderTest.ts"

/** Who starts the next engine. `npm run campaign` does it more often. */
const ROUNDS = ["new", "old", "both"] as const
const REPEATS = Math.max(1, Math.floor(Number(process.env.REPRISE_KILLS ?? 3) / ROUNDS.length))

/** The first one, whose keeper lacks the most. */
const TRIED = process.env.REPRISE_RELEASES === "all" ? RELEASES : RELEASES.slice(0, 1)

let programs: Programs
beforeAll(() => {
  programs = unpackPrograms()
})
afterAll(() => programs.dispose())

/** Which of the two the process runs. */
const kindOf = (pid: number): "old" | "new" =>
  readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("/protocol-") ? "old" : "new"

describe("an upgrade that is cut off", { timeout: UPGRADE_MILLIS_MAX }, () => {
  for (const release of TRIED) {
    it.live(
      `reliability row 37: ${release} and this version start engines in turn and at once: 0 lines missing, 0 doubled, input once and in order`,
      () =>
        Effect.gen(function* () {
          const store = yield* upgradeStore(programs)
          const { own } = store
          const random = seededRandom(Number(process.env.REPRISE_SEED ?? 7))
          // A line every few milliseconds, and each line it is given, until it is given the end.
          const program = [
            "stty -echo; trap 'stop=1' USR1; exec 3<&0",
            'while read line; do echo "got $line"; done <&3 3<&- & exec 3<&-',
            // Waits in a read of its own: a `sleep` is a process for each line.
            'exec 9<> <(:); i=0; while [ -z "$stop" ]; do i=$((i+1)); echo "line $i"; read -rt 0.002 -u 9; done',
            'echo "last $i"; exit 7'
          ].join("\n")
          const child = yield* Effect.acquireRelease(
            Effect.sync(() =>
              store.old(release).spawn(["run", "--name", "counter", "--", "bash", "-c", program], { openInput: true })
            ),
            (child) => Effect.sync(() => child.kill("SIGKILL"))
          )
          const running = own.finished(child)
          const engine = async () => {
            for (;;) {
              const pid = await own.enginePid()
              if (pid !== null) return pid
              await sleep(5)
            }
          }
          yield* Effect.promise(async () => {
            while (!(await own.run(["replay", "counter"])).stdout.includes("line ")) await sleep(10)
          })
          const seen = new Set<string>()
          const typed: Array<string> = []
          yield* Effect.promise(async () => {
            for (const round of Array.from({ length: REPEATS }, () => ROUNDS).flat()) {
              const pid = await engine()
              seen.add(kindOf(pid))
              if (round === "new") child.kill("SIGSTOP")
              await sleep(random.below(50))
              process.kill(pid, "SIGKILL")
              if (round !== "old") {
                typed.push(`${round}-${typed.length}`)
                // Starts the engine of this version, unless the other client was first.
                await own.text(["send", "counter", `${typed.at(-1)}\\n`])
              }
              child.kill("SIGCONT")
              await gone(pid)
            }
            seen.add(kindOf(await engine()))
            await own.text(["signal", "counter", "USR1", "--target", "leader"])
          })
          const { code, stderr, stdout } = yield* Effect.promise(() => running)
          assert.strictEqual(code, 7, stderr)
          assert.deepStrictEqual([...seen].sort(), ["new", "old"])
          const replayed = (yield* Effect.promise(() => own.run(["replay", "counter"]))).stdout.toString()
          for (const text of [stdout.toString(), replayed]) {
            const lines = [...text.matchAll(/^line (\d+)\r$/gm)].map((match) => Number(match[1]))
            const last = Number(/^last (\d+)\r$/m.exec(text)![1])
            assert.deepStrictEqual(
              lines,
              Array.from({ length: last }, (_, i) => i + 1)
            )
            assert.deepStrictEqual(
              [...text.matchAll(/^got (\S+)\r$/gm)].map((match) => match[1]),
              typed
            )
          }
          const view = yield* Effect.promise(() => own.json(["inspect", "counter"]))
          assert.deepInclude(view, { status: "exited", exitCode: 7 })
          assert.isAtLeast(view.interruptions, REPEATS * ROUNDS.length - 1)
          yield* Effect.promise(() => own.text(["stop"]))
          const entries = yield* Effect.flatMap(Journal, (journal) =>
            Stream.runCollect(journal.read(view.id as SessionId))
          ).pipe(Effect.provide(JournalLevel.layer({ location: store.paths.journal, create: false })))
          assert.isTrue(eventsOf([...entries], "SessionResumed").every(({ gapBytes }) => gapBytes === 0))
          assert.lengthOf(eventsOf([...entries], "SessionLost"), 0)
        }),
      { timeout: UPGRADE_MILLIS_MAX + REPEATS * ROUNDS.length * 10_000 }
    )
  }

  it.live(
    "reliability row 37: a command that runs in a shell outlives the upgrade, and its client gets all of its output",
    () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        const { own } = store
        const old = store.old("protocol-2")
        yield* Effect.promise(() => old.text(["start", "--name", "shell", "bash"]))
        const code =
          "exec {pause}<> <(:); for i in $(seq 300); do echo line $i; echo err $i >&2; read -rt 0.005 -u $pause; done; " +
          "exec {pause}<&-; export AFTER=1; (exit 5)"
        const child = old.spawn(["exec", "shell", "--", code])
        const running = own.finished(child)
        yield* Effect.promise(() => new Promise((resolve) => child.stdout!.once("data", resolve)))
        child.kill("SIGSTOP")
        yield* store.killEngine
        // Behind the other one, by an engine of this version.
        const next = own.text(["exec", "shell", "--", "echo after $AFTER"])
        yield* Effect.promise(async () => {
          while ((await own.enginePid()) === null) await sleep(5)
        })
        child.kill("SIGCONT")
        const { code: exitCode, stderr, stdout } = yield* Effect.promise(() => running)
        assert.strictEqual(exitCode, 5, stderr.slice(-500))
        assert.strictEqual(stdout.toString(), Array.from({ length: 300 }, (_, i) => `line ${i + 1}\n`).join(""))
        assert.strictEqual(stderr, Array.from({ length: 300 }, (_, i) => `err ${i + 1}\n`).join(""))
        assert.strictEqual(yield* Effect.promise(() => next), "after 1\n")
        yield* Effect.promise(() => own.text(["end", "shell"]))
      })
  )
})
