/** The promises of `Sessions` and `History`, with real programs, in this process and behind a real keeper. */

import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { History, Sessions } from "../../src/index.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { isAlive } from "../fixtures/processes.ts"
import { eventsOf, idOf, type TestStore, testStore, textOf, type, until, untilEnd } from "./sessionsUnderTest.ts"

const bash = { argv: ["bash", "--norc", "--noprofile", "-i"], cwd: "/" }
/** Resizes that wait for each other: each takes the 50 ms in which sizes are gathered. */
const ONE_BY_ONE = 40
const hasPython = spawnSync("python3", ["--version"]).status === 0

for (const inProcess of [true, false]) {
  describe(`sessions ${inProcess ? "in process" : "behind a keeper"}`, { concurrent: true, timeout: 180_000 }, () => {
    const live = (title: string, test: (store: TestStore) => Effect.Effect<void, unknown, Sessions | History>) =>
      it.live(title, () =>
        Effect.flatMap(testStore, (store) => test(store).pipe(Effect.provide(store.layer({ inProcess }))))
      )

    live("gives every byte, then the exit and its code, in this order, and nothing after", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", "seq 1 20000; exit 3"] }))
        const entries = yield* untilEnd(id)
        const expected = Array.from({ length: 20000 }, (_, i) => `${i + 1}\r\n`).join("")
        assert.isTrue(textOf(entries) === expected)
        assert.deepStrictEqual(
          entries.map(({ sequence }) => sequence),
          entries.map((_, i) => i + 1)
        )
        assert.deepStrictEqual(
          entries.slice(-3).map(({ event }) => event._tag),
          ["LeaderExited", "TerminalClosed", "SessionClosed"]
        )
        const history = yield* History
        const view = yield* history.get(id)
        assert.deepInclude(view, {
          status: "exited",
          exitCode: 3,
          signal: null,
          terminalOpen: false,
          outputBytes: expected.length
        })
      })
    )

    live("keeps all 256 byte values", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const program = 'stty -opost; i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %o $i)"; i=$((i+1)); done'
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", program] }))
        const entries = yield* untilEnd(id)
        const bytes = Buffer.concat(eventsOf(entries, "OutputReceived").map(({ data }) => data))
        assert.deepStrictEqual(
          [...bytes],
          Array.from({ length: 256 }, (_, i) => i)
        )
      })
    )

    live("a signal is a signal and no exit code", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", "kill -9 $$"] }))
        yield* untilEnd(id)
        assert.deepInclude(yield* history.get(id), { status: "exited", exitCode: null, signal: "SIGKILL" })
      })
    )

    live("journals input before it is typed, and refuses it after the end", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create(bash))
        yield* until(id, /[#$] /)
        const ack = yield* type(id, "echo typed-$((40+2)); exit\r")
        assert.isFalse(ack.hidden)
        const entries = yield* untilEnd(id)
        assert.include(textOf(entries), "typed-42")
        assert.strictEqual(entries[ack.sequence - 1]!.event._tag, "InputWritten")
        const error = yield* Effect.flip(type(id, "x"))
        assert.deepInclude({ ...error }, { _tag: "SessionEnded", status: "exited" })
        assert.deepStrictEqual(yield* sessions.close(id), { survivors: [] })
        assert.deepStrictEqual(yield* type(id, "").pipe(Effect.orElseSucceed(() => "refused")), "refused")
      })
    )

    live("an empty write is nothing, a repeated command is applied once", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create({ argv: ["cat"] }))
        assert.deepStrictEqual(yield* type(id, ""), { sequence: 0, hidden: false, truncatedTo: null })
        const once = { commandId: "c1", actor: "tester" }
        const first = yield* sessions.write(id, Buffer.from("once\n"), once)
        const second = yield* sessions.write(id, Buffer.from("once\n"), once)
        assert.strictEqual(second.sequence, first.sequence)
        yield* sessions.closeInput(id, { commandId: "c2" })
        yield* sessions.closeInput(id, { commandId: "c3" })
        const entries = yield* untilEnd(id)
        assert.strictEqual(textOf(entries), "once\r\nonce\r\n")
        assert.strictEqual(eventsOf(entries, "InputClosed").length, 1)
        assert.deepInclude(entries[first.sequence - 1], { actor: "tester", commandId: "c1" })
      })
    )

    live("reliability row 7: 1 MB of input arrives whole and in order", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(
          yield* sessions.create({ argv: ["sh", "-c", "stty raw -echo; echo ready; head -c 1000000 | md5sum"] })
        )
        yield* until(id, "ready")
        const data = Buffer.alloc(1_000_000, "0123456789abcdef\n")
        const digest = spawnSync("md5sum", { input: data, encoding: "utf8" }).stdout.slice(0, 32)
        for (let at = 0; at < data.length; at += 250_000) yield* sessions.write(id, data.subarray(at, at + 250_000))
        assert.include(textOf(yield* untilEnd(id)), digest)
      })
    )

    const secrets: ReadonlyArray<readonly [string, ReadonlyArray<string>, string]> = [
      [
        "bash read -s",
        ["bash", "-c", "read -s -p 'Secret: ' x; echo; echo length $(printf %s \"$x\" | wc -c)"],
        "Secret: "
      ],
      ...(hasPython
        ? [
            [
              "python getpass",
              ["python3", "-c", "import getpass; print('length', len(getpass.getpass()))"],
              "Password: "
            ] as const
          ]
        : [])
    ]
    for (const [name, argv, prompt] of secrets) {
      live(`a secret typed at ${name} is in no file of the store, text typed at a prompt is`, (store) =>
        Effect.gen(function* () {
          const sessions = yield* Sessions
          const secret = `hunter2-${name.length}-swordfish`
          const id = idOf(yield* sessions.create({ argv }))
          yield* until(id, prompt)
          const ack = yield* type(id, `${secret}\r`)
          assert.isTrue(ack.hidden)
          const entries = yield* untilEnd(id)
          assert.include(textOf(entries), `length ${secret.length}`)
          assert.strictEqual(eventsOf(entries, "InputHidden").length, 1)
          const shell = idOf(yield* sessions.create(bash))
          yield* until(shell, /[#$] /)
          yield* type(shell, "echo open-sesame\r")
          yield* until(shell, /open-sesame[\s\S]*open-sesame/)
          yield* sessions.close(shell)
          assert.isFalse(store.holds(secret))
          assert.isFalse(store.holds(secret.slice(0, 7)))
          assert.isTrue(store.holds("open-sesame"))
        })
      )
    }

    live("hostile case 19: sizes are clamped or refused, recorded as applied; the last one of 1,000 wins", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const id = idOf(yield* sessions.create({ ...bash, size: { cols: 90, rows: 20 } }))
        for (const bad of [
          { cols: 0, rows: 1 },
          { cols: -1, rows: 1 },
          { cols: 1.5, rows: 1 },
          { cols: Number.NaN, rows: 1 },
          { cols: 1, rows: Number.NEGATIVE_INFINITY }
        ]) {
          assert.deepInclude(
            { ...(yield* Effect.flip(sessions.resize(id, bad))) },
            { _tag: "InvalidRequest", field: "size" }
          )
        }
        assert.deepStrictEqual(yield* sessions.resize(id, { cols: 70000, rows: 1_000_000_000 }), {
          cols: 1000,
          rows: 1000
        })
        // One after the other each is applied; of those that come at once, some, and always the last.
        for (let i = 0; i < ONE_BY_ONE; i++) yield* sessions.resize(id, { cols: 40 + (i % 7), rows: 1 + i })
        const storm = Array.from({ length: 1000 }, (_, i) => ({ cols: 40 + (i % 7), rows: 1 + i }))
        yield* Effect.forEach(storm, (size) => sessions.resize(id, size), { concurrency: 50, discard: true })
        assert.deepStrictEqual((yield* history.get(id)).size, storm.at(-1))
        yield* sessions.resize(id, { cols: 77, rows: 33 })
        yield* sessions.resize(id, { cols: 77, rows: 33 })
        yield* type(id, "stty size\r")
        const entries = yield* until(id, "33 77")
        const sizes = eventsOf(entries, "Resized").map(({ size }) => size)
        assert.isAtLeast(sizes.length, ONE_BY_ONE + 3)
        for (const { cols, rows } of sizes) assert.isTrue(cols >= 1 && cols <= 1000 && rows >= 1 && rows <= 1000)
        assert.deepStrictEqual((yield* history.get(id)).size, { cols: 77, rows: 33 })
      })
    )

    live("the state at an earlier event: its directory, size and screen", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const id = idOf(yield* sessions.create(bash))
        yield* until(id, /[#$] /)
        yield* type(id, "cd /usr; echo one\r")
        const cwdChanges = (count: number) =>
          history.follow(id, 0).pipe(
            Stream.filter((item) => item._tag === "Page"),
            Stream.flatMap((item) => Stream.fromIterable(item.entries)),
            Stream.filter(({ event }) => event._tag === "CwdChanged"),
            Stream.take(count),
            Stream.runCollect
          )
        yield* cwdChanges(1)
        const before = (yield* until(id, /one\r\n[\s\S]*one\r\n/)).at(-1)!.sequence
        yield* sessions.resize(id, { cols: 50, rows: 10 })
        yield* type(id, "cd /tmp; clear; echo two\r")
        yield* cwdChanges(2)
        // The command line may be drawn twice, for the new size: ended lines are its end and what it printed.
        yield* until(id, /two\r\n[\s\S]*two\r\n/)
        const then = yield* history.stateAt(id, { _tag: "Sequence", sequence: before })
        const now = yield* history.stateAt(id, { _tag: "Head" })
        assert.strictEqual(then.view.cwd, "/usr")
        assert.strictEqual(now.view.cwd, "/tmp")
        assert.deepStrictEqual(
          [then.view.size, now.view.size],
          [
            { cols: 80, rows: 24 },
            { cols: 50, rows: 10 }
          ]
        )
        assert.deepStrictEqual([then.screen.status, now.screen.status], ["ok", "ok"])
        assert.isTrue(then.screen.lines.includes("one") && !then.screen.lines.includes("two"))
        assert.isTrue(now.screen.lines.includes("two") && !now.screen.lines.includes("one"))
        for (const sequence of [0, -1, 1.5, 100_000]) {
          assert.strictEqual(
            (yield* Effect.flip(history.stateAt(id, { _tag: "Sequence", sequence })))._tag,
            "InvalidRequest"
          )
        }
        assert.strictEqual(
          (yield* Effect.flip(history.stateAt(id, { _tag: "Time", timeMicros: 1 })))._tag,
          "InvalidRequest"
        )
      })
    )

    live("signals reach the foreground group, the leader or every process", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(
          yield* sessions.create({
            argv: [
              "bash",
              "-c",
              "trap 'echo got int' INT; trap 'echo got usr1' USR1; echo ready; while :; do sleep 0.05; done"
            ]
          })
        )
        yield* until(id, "ready")
        yield* sessions.signal(id, "INT", "foreground")
        yield* until(id, "got int")
        yield* sessions.signal(id, "sigusr1", "leader")
        yield* until(id, "got usr1")
        assert.deepInclude(
          { ...(yield* Effect.flip(sessions.signal(id, "NONSENSE", "leader"))) },
          { _tag: "InvalidRequest", field: "signal" }
        )
        yield* sessions.signal(id, "SIGKILL", "session")
        const entries = yield* untilEnd(id)
        assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", signal: "SIGKILL", exitCode: null })
      })
    )

    live(
      "reliability row 23: close ends every process of the session: nohup, setsid, ignored signals, stopped jobs",
      () =>
        Effect.gen(function* () {
          const sessions = yield* Sessions
          const program = [
            "set -m",
            "nohup sleep 7771 >/dev/null 2>&1 & echo pid $!",
            "setsid sleep 7772 & echo pid $!",
            "(trap '' HUP TERM; echo pid $BASHPID; exec sleep 7773) &",
            "sleep 7774 & kill -STOP $!; echo pid $!",
            "echo started; trap '' HUP INT; sleep 7775"
          ].join("\n")
          const id = idOf(yield* sessions.create({ argv: ["bash", "-c", program] }))
          const all = textOf(yield* until(id, /(pid \d+\r\n[\s\S]*){4}/))
          const pids = [...all.matchAll(/pid (\d+)/g)].map((match) => Number(match[1]))
          // Whoever lives on after 5 s would be named.
          assert.deepStrictEqual(yield* sessions.close(id), { survivors: [] })
          assert.deepStrictEqual(pids.filter(isAlive), [])
          const end = (yield* untilEnd(id)).at(-1)!.event
          assert.deepInclude(end, { _tag: "SessionClosed", reason: "ended" })
        })
    )

    live(
      "hostile case 16: what a grandchild prints 1 s after its shell's exit is kept, with the exit between",
      (store) =>
        Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const go = join(store.paths.store, "go")
          // The hang-up is ignored before the grandchild is there, whose second begins when the exit was seen.
          const grandchild = `until [ -e '${go}' ]; do sleep 0.05; done; sleep 1; echo late`
          const id = idOf(yield* sessions.create({ argv: ["sh", "-c", `trap '' HUP; (${grandchild}) & echo now`] }))
          const isExit = ({ event }: JournalEntry) => event._tag === "LeaderExited"
          yield* history.follow(id, 0).pipe(
            Stream.takeUntil((item) => item._tag === "Page" && item.entries.some(isExit)),
            Stream.runDrain
          )
          writeFileSync(go, "")
          const entries = yield* untilEnd(id)
          const tags = entries.map(({ event }) => event._tag)
          assert.strictEqual(textOf(entries), "now\r\nlate\r\n")
          assert.isBelow(tags.indexOf("LeaderExited"), tags.lastIndexOf("OutputReceived"))
        })
    )

    live("hostile case 20: what cannot be started is a typed error, and no session", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const cases = [
          [{ argv: ["no-such-program-here"] }, "program-missing"],
          [{ argv: ["/usr"] }, "program-not-executable"],
          [{ argv: ["true"], cwd: "/no/such/folder" }, "cwd-missing"],
          [{ argv: ["echo", "a\0b"] }, "invalid-argument"],
          [{ argv: [] }, "invalid-argument"],
          [{ argv: ["echo", "x".repeat(200_000)] }, "invalid-argument"],
          [{ argv: ["true"], env: { BIG: "x".repeat(3_000_000) } }, "invalid-argument"]
        ] as const
        for (const [request, failure] of cases) {
          const error = yield* Effect.flip(sessions.create(request))
          assert.deepInclude({ ...error }, { _tag: "SpawnFailed", failure }, JSON.stringify(request).slice(0, 60))
          assert.notInclude(error.message, "\n")
        }
        const invalid = [
          [{ argv: ["true"], size: { cols: 0, rows: 0 } }, "size"],
          [{ argv: ["true"], cwd: "relative" }, "cwd"],
          [{ argv: ["true"], name: "a\x1b[2J" }, "name"],
          [{ argv: ["true"], name: "last" }, "name"],
          [{ argv: ["true"], actor: "é" }, "actor"],
          [{ argv: ["true"], term: "a b" }, "term"]
        ] as const
        for (const [request, field] of invalid) {
          assert.deepInclude({ ...(yield* Effect.flip(sessions.create(request))) }, { _tag: "InvalidRequest", field })
        }
        for (const id of [
          "../x",
          "..%2f",
          "",
          "x".repeat(1024),
          "CON",
          "01arz3ndektsv4rrffq69g5fav",
          "01ARZ3NDEKTSV4RRFFQ69G5FA\0"
        ]) {
          assert.strictEqual(
            (yield* Effect.flip(sessions.create({ argv: ["true"], id: id as SessionId })))._tag,
            "InvalidRequest"
          )
          assert.strictEqual(
            (yield* Effect.flip(sessions.write(id as SessionId, Buffer.from("x"))))._tag,
            "SessionNotFound"
          )
        }
        assert.deepStrictEqual(yield* history.list, [])
      })
    )

    live("creating the same id again gives the session that is there", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const id = newSessionId()
        const views = yield* Effect.forEach([1, 2, 3, 4], () => sessions.create({ ...bash, id }), {
          concurrency: "unbounded"
        })
        assert.strictEqual(new Set(views.map(({ pid }) => pid)).size, 1)
        assert.strictEqual((yield* sessions.create({ ...bash, id })).pid, views[0]!.pid)
        assert.strictEqual((yield* history.list).length, 1)
        yield* sessions.close(id)
        assert.strictEqual((yield* sessions.create({ ...bash, id })).status, "exited")
      })
    )

    live("names, prefixes and `last` find sessions; the list is newest first", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const one = idOf(yield* sessions.create({ argv: ["true"], name: "build" }))
        const two = idOf(yield* sessions.create({ argv: ["true"], name: "build" }))
        const three = idOf(yield* sessions.create({ argv: ["true"] }))
        assert.deepStrictEqual(
          (yield* history.list).map(({ id }) => id),
          [three, two, one]
        )
        assert.strictEqual(yield* history.resolve("build"), two)
        assert.strictEqual(yield* history.resolve("last"), three)
        assert.strictEqual(yield* history.resolve(one), one)
        const common = [...one].findIndex((letter, index) => letter !== two[index] || letter !== three[index])
        const ambiguous = yield* Effect.flip(history.resolve(one.slice(0, common)))
        assert.isTrue(ambiguous._tag === "SessionNotFound" && ambiguous.candidates.length >= 2)
        assert.strictEqual((yield* Effect.flip(history.resolve("nothing")))._tag, "SessionNotFound")
        assert.strictEqual((yield* Effect.flip(history.get(newSessionId())))._tag, "SessionNotFound")
      })
    )

    live("several followers, one of them slow, each get everything once", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const id = idOf(yield* sessions.create({ argv: ["seq", "1", "60000"] }))
        const expected = Array.from({ length: 60000 }, (_, i) => `${i + 1}\r\n`).join("")
        const follow = (delay: number) =>
          history.follow(id, 0).pipe(
            Stream.mapEffect((item) => Effect.as(delay > 0 ? Effect.sleep(delay) : Effect.void, item)),
            Stream.flatMap((item) => (item._tag === "Page" ? Stream.fromIterable(item.entries) : Stream.empty)),
            Stream.runCollect,
            Effect.map((entries) => textOf(entries) === expected)
          )
        const readers = yield* Effect.forEach([0, 0, 5], (delay) => Effect.forkChild(follow(delay)))
        for (const reader of readers) assert.isTrue(yield* Fiber.join(reader))
      })
    )

    live("hostile output stays in its own session: the journal is exact, others echo, the screen answers", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const other = idOf(yield* sessions.create({ argv: ["cat"] }))
        const echoed = Effect.fnUntraced(function* (probe: string) {
          const before = performance.now()
          yield* type(other, `${probe}\n`)
          yield* until(other, `${probe}\r\n${probe}`)
          return performance.now() - before
        })
        // What the same takes on this machine at this hour: other tests run beside it on every core.
        const usual = Math.max(yield* echoed("first"), yield* echoed("second"), yield* echoed("third"))
        const look = Effect.fnUntraced(function* (round: number) {
          const hostile = idOf(yield* sessions.create({ argv: ["printf", "a\\033[2147483647b"] }))
          const entries = yield* untilEnd(hostile)
          assert.strictEqual(textOf(entries), "a\x1b[2147483647b")
          const looking = yield* Effect.forkChild(history.stateAt(hostile, { _tag: "Head" }))
          const start = performance.now()
          let slowest = 0
          for (let i = 0; i < 10; i++) slowest = Math.max(slowest, yield* echoed(`probe-${round}-${i}`))
          const { screen } = yield* Fiber.join(looking)
          assert.include(["ok", "quarantined", "behind"], screen.status)
          return [slowest, performance.now() - start] as const
        })
        // 50 ms is the aim, which the bench measures. A machine that stands still for a second does not do so each time.
        const isQuick = ([slowest, all]: readonly [number, number]) =>
          slowest < 500 + 5 * usual && all < 4000 + 50 * usual
        let took = yield* look(0)
        for (let round = 1; round < 4 && !isQuick(took); round++) took = yield* look(round)
        assert.isTrue(isQuick(took), `the slowest echo and all: ${took} ms; usual: ${usual} ms`)
        yield* sessions.close(other)
      })
    )
  })
}
