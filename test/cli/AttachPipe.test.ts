/** `reprise attach` without a terminal: bytes, input, exit codes, and what happens to them when the engine dies. */
import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { built } from "../client/clientUnderTest.ts"
import { finish, makeRepriseInside, type Reprise, shareReprise, watch } from "./reprise.ts"

const json = (bytes: Buffer) => JSON.parse(bytes.toString())
const detached = (reprise: Reprise, script: string, name = "it") =>
  reprise.run(["run", "--detach", "--name", name, "--", "bash", "-c", script])

describe("attach in a pipe", { concurrent: true, timeout: 120_000 }, () => {
  /** For what leaves the engine and its keeper alone. */
  const shared = shareReprise()

  it.live(
    "rides through engines that are killed: no byte lost or doubled, input in order, the program's exit code",
    () =>
      Effect.gen(function* () {
        const reprise = yield* makeRepriseInside
        // A line every millisecond until a file is there, and then what is typed. A `sleep` is a process for each line.
        const stop = join(dirname(reprise.store), "stop")
        const script = [
          `stty -echo; exec 9<> <(:); i=0; while [ ! -e '${stop}' ]; do i=$((i+1)); echo "line $i"; read -rt 0.001 -u 9; done`,
          'echo "last $i"; for i in 1 2; do read line; echo "got $line"; done; exit 7'
        ].join("\n")
        yield* detached(reprise, script)
        const attached = yield* reprise.start(["attach", "it"])
        const finished = finish(attached)
        const shows = watch(attached.stdout!)
        let output = ""
        for (let kill = 1; kill <= 5; kill++) {
          output = yield* shows(`line ${kill * 100}\r\n`)
          const pid = yield* reprise.enginePid
          if (pid !== null) process.kill(pid, "SIGKILL")
        }
        yield* shows(/line 600\r\n/)
        writeFileSync(stop, "")
        yield* shows("last ")
        attached.stdin!.write("first\n")
        yield* shows("got first")
        const pid = yield* reprise.enginePid
        assert.isNotNull(pid)
        process.kill(pid!, "SIGKILL")
        attached.stdin!.write("second\n")
        const ended = Effect.runPromise(finished)
        output = yield* shows("got second\r\n")
        const lines = output.split("\r\n")
        const last = Number(/^last (\d+)\r$/m.exec(output)![1])
        assert.deepStrictEqual(lines, [
          ...Array.from({ length: last }, (_, index) => `line ${index + 1}`),
          `last ${last}`,
          "got first",
          "got second",
          ""
        ])
        assert.strictEqual((yield* Effect.promise(() => ended)).code, 7)
        assert.strictEqual((yield* reprise.run(["attach", "it"])).stdout.toString(), output)
      })
  )

  it.live("begins behind any event", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* detached(reprise, "stty -echo; for i in 1 2 3; do read line; echo got $line; done; exit 4", name)
      const attached = yield* reprise.start(["attach", name])
      const shows = watch(attached.stdout!)
      for (const word of ["one", "two"]) {
        attached.stdin!.write(`${word}\n`)
        yield* shows(`got ${word}\r\n`)
      }
      const events = (yield* reprise.run(["events", name])).stdout
        .toString()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
      const later = yield* reprise.start(["attach", name, "--read-only", "--after", String(events.at(-1).sequence)])
      const laterShows = watch(later.stdout!)
      const ended = Effect.runPromise(finish(later))
      attached.stdin!.write("three\n")
      assert.strictEqual(yield* laterShows("got three\r\n"), "got three\r\n")
      assert.strictEqual((yield* Effect.promise(() => ended)).code, 4)

      const all = (yield* reprise.run(["attach", name])).stdout
      for (const { sequence } of [events[0], events[Math.floor(events.length / 2)]]) {
        const expected = events
          .filter((event) => event.type === "OutputReceived" && event.sequence > sequence)
          .map((event) => event.text.replaceAll("\\r\\n", "\r\n"))
          .join("")
        const found = yield* reprise.run(["attach", name, "--after", String(sequence)])
        assert.strictEqual(found.stdout.toString(), `${expected}got three\r\n`)
        assert.strictEqual(found.code, 4)
        if (sequence === 1) assert.strictEqual(found.stdout.toString(), all.toString())
      }
      assert.strictEqual((yield* reprise.run(["attach", name, "--after", "-1"])).code, 2)
    })
  )

  it.live("--read-only passes nothing on, and a signal does not reach the program", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* detached(reprise, "stty -echo; echo ready; read line; echo got $line", name)
      const reader = yield* reprise.start(["attach", name, "--read-only"])
      const shows = watch(reader.stdout!)
      yield* shows("ready")
      reader.stdin!.write("never\n")
      reader.kill("SIGTERM")
      yield* Effect.callback<void>((resume) => void reader.on("close", () => resume(Effect.void)))
      const typed = yield* reprise.run(["attach", name], "typed\n")
      assert.strictEqual(typed.stdout.toString(), "ready\r\ngot typed\r\n")
      assert.strictEqual(typed.code, 0)
    })
  )

  it.live("types a long input into a session that takes less of it at once: all, once, in order", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      const input = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `${index}\n`).join(""))
      const script = `stty raw -echo; echo ready; head -c ${input.byteLength} | sha1sum`
      yield* Effect.promise(async () => {
        const client = await built.connect({ store: reprise.store })
        const limits = { inputChunkBytes: 3000 }
        await client.terminal({ command: ["sh", "-c", script], name, orphans: "keep", limits })
        await client.close()
      })
      const attached = yield* reprise.start(["attach", name])
      const finished = Effect.runPromise(finish(attached))
      yield* watch(attached.stdout!)("ready")
      attached.stdin!.end(input)
      const { code, stderr, stdout } = yield* Effect.promise(() => finished)
      assert.strictEqual(stderr, "")
      assert.include(stdout.toString(), createHash("sha1").update(input).digest("hex"))
      assert.strictEqual(code, 0)
    })
  )

  it.live("a reader that goes away ends it without a word", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* detached(reprise, "exec 9<> <(:); while :; do echo line; read -rt 0.01 -u 9; done", name)
      const attached = yield* reprise.start(["attach", name])
      const shows = watch(attached.stdout!)
      yield* shows("line")
      let stderr = ""
      attached.stderr!.on("data", (chunk) => {
        stderr += chunk
      })
      attached.stdout!.destroy()
      const code = yield* Effect.callback<number | null>(
        (resume) => void attached.on("exit", (code) => resume(Effect.succeed(code)))
      )
      assert.strictEqual(code, 141)
      assert.strictEqual(stderr, "")
      assert.strictEqual((yield* reprise.view(name)).status, "running")
      yield* reprise.run(["end", name])
    })
  )

  it.live("of a shell for commands it gives their standard output and error, each on its own stream", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* reprise.run(["start", "--name", name])
      const attached = yield* reprise.start(["attach", name, "--read-only"])
      const finished = Effect.runPromise(finish(attached))
      yield* reprise.run(["exec", name, "--", "echo out; echo err >&2"])
      yield* reprise.run(["reset", name])
      yield* reprise.run(["exec", name, "--", "echo again"])
      yield* reprise.run(["end", name])
      const { stderr, stdout } = yield* Effect.promise(() => finished)
      assert.strictEqual(stdout.toString(), "out\nagain\n")
      assert.strictEqual(stderr, "err\n")
    })
  )

  it.live("a session whose keeper was killed ends it with 79, also afterwards", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      yield* detached(reprise, "echo ready; exec sleep 1000")
      const attached = yield* reprise.start(["attach", "it"])
      const finished = Effect.runPromise(finish(attached))
      yield* watch(attached.stdout!)("ready")
      for (const keeper of json((yield* reprise.run(["status", "--json"])).stdout).keepers)
        process.kill(keeper.pid, "SIGKILL")
      const { code, stderr } = yield* Effect.promise(() => finished)
      assert.strictEqual(code, 79)
      assert.match(stderr, /^reprise: session \w+ is lost[^\n]*\n$/)
      assert.strictEqual((yield* reprise.run(["attach", "it"])).code, 79)
    })
  )
})
