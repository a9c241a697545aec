/** The promises of `Attach`, with real programs behind a real keeper, the engine in this process. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, type Scope, Stream } from "effect"
import type { EventTag, SessionId } from "../../journal/Event.ts"
import { Attach, type AttachItem, type AttachOptions, Exec, History, Sessions } from "../../src/index.ts"
import { idOf, type TestStore, testStore, until } from "./sessionsUnderTest.ts"

type Services = Sessions | History | Attach | Exec

const live = (title: string, test: (store: TestStore) => Effect.Effect<void, unknown, Services | Scope.Scope>) =>
  it.live(title, () =>
    Effect.flatMap(testStore, (store) => test(store).pipe(Effect.scoped, Effect.provide(store.layer())))
  )

/** An attached client that keeps what it is sent; it leaves with the scope, or by `leave`. */
const attached = (session: SessionId, options: AttachOptions = {}) =>
  Effect.gen(function* () {
    const attach = yield* Attach
    const items: Array<AttachItem> = []
    let wake = () => {}
    const reading = yield* attach.attach(session, options).pipe(
      Stream.runForEach((item) =>
        Effect.sync(() => {
          items.push(item)
          wake()
        })
      ),
      Effect.onExit(() => Effect.sync(() => wake())),
      Effect.forkScoped
    )
    const seen = (found: (items: ReadonlyArray<AttachItem>) => boolean) =>
      Effect.gen(function* () {
        while (!found(items)) {
          if (reading.pollUnsafe() !== undefined)
            return yield* Effect.andThen(Fiber.join(reading), Effect.die("ended before"))
          yield* Effect.callback<void>((resume) => {
            wake = () => resume(Effect.void)
          })
        }
      })
    return {
      items,
      seen,
      ready: seen((items) => items.some(({ _tag }) => _tag === "ReplayComplete")),
      text: (text: string) => seen((items) => output(items).includes(text)),
      leave: Fiber.interrupt(reading),
      /** All of it; fails as the stream does. */
      ended: Effect.as(Fiber.join(reading), items)
    }
  })

const output = (items: ReadonlyArray<AttachItem>, channel?: "stdout" | "stderr"): string =>
  Buffer.concat(
    items.flatMap((item) => (item._tag === "Output" && item.channel === channel ? [item.data] : []))
  ).toString()

const tagsOf = (items: ReadonlyArray<AttachItem>) => items.map(({ _tag }) => _tag)

const eventTags = (session: SessionId, ...tags: ReadonlyArray<EventTag>) =>
  Effect.gen(function* () {
    const history = yield* History
    const events = yield* Stream.runCollect(history.events(session))
    return events.map(({ event }) => event).filter(({ _tag }) => tags.includes(_tag))
  })

const create = (script: string, more: { readonly name?: string } = {}) =>
  Effect.flatMap(Sessions, (sessions) =>
    Effect.map(sessions.create({ argv: ["sh", "-c", script], cwd: "/", ...more }), idOf)
  )

describe("attaching", () => {
  live("G17 G24 G27: every client gets every byte, in order, then the exit code, then the end", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const id = yield* create("read go; seq 1 5000; exit 3")
      const clients = yield* Effect.forEach(["a", "b", "c"], (client) => attached(id, { client }))
      yield* Effect.forEach(clients, ({ ready }) => ready)
      yield* sessions.write(id, Buffer.from("go\n"), { client: "b" })
      const expected = `go\r\n${Array.from({ length: 5000 }, (_, i) => `${i + 1}\r\n`).join("")}`
      for (const { ended } of clients) {
        const items = yield* ended
        assert.strictEqual(items[0]!._tag, "Attached")
        assert.strictEqual(items[1]!._tag, "Screen")
        assert.isTrue(output(items) === expected)
        assert.deepStrictEqual(tagsOf(items).slice(-2), ["Exited", "Ended"])
        assert.deepInclude(items.at(-1), { reason: "exited", exitCode: 3, signal: null })
        assert.lengthOf(
          items.filter(({ _tag }) => _tag === "ReplayComplete"),
          1
        )
      }
    })
  )

  live("G18: clients come and go, the others stay, and the journal has it before the session's last word only", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const id = yield* create("read go; exit 0")
      const names = ["a", "b", "c", "d", "e"]
      // One after the other: that is the order in which the journal has them.
      const clients = yield* Effect.forEach(names, (client) =>
        Effect.tap(attached(id, { client, readOnly: client === "e" }), ({ ready }) => ready)
      )
      yield* clients[2]!.leave
      yield* sessions.write(id, Buffer.from("go\n"))
      for (const index of [0, 1, 3, 4]) assert.strictEqual((yield* clients[index]!.ended).at(-1)?._tag, "Ended")
      const told = yield* eventTags(id, "ClientAttached", "ClientDetached", "SessionClosed")
      assert.deepStrictEqual(
        told.map((event) =>
          event._tag === "ClientAttached" || event._tag === "ClientDetached"
            ? `${event._tag} ${event.client}`
            : event._tag
        ),
        [...names.map((name) => `ClientAttached ${name}`), "ClientDetached c", "SessionClosed"]
      )
      // Somebody who looks at it afterwards is nobody's company.
      const late = yield* attached(id, { client: "late" })
      assert.strictEqual((yield* late.ended).at(-1)?._tag, "Ended")
      assert.lengthOf(yield* eventTags(id, "ClientAttached"), 5)
    })
  )

  live("the same name again takes the earlier connection's place, which is told so, and nobody left", () =>
    Effect.gen(function* () {
      const id = yield* create("read go")
      const first = yield* attached(id, { client: "me" })
      yield* first.ready
      const second = yield* attached(id, { client: "me" })
      yield* second.ready
      const error = yield* Effect.flip(first.ended)
      assert.deepInclude(error, { _tag: "AccessDenied", code: "PermissionDenied" })
      assert.deepStrictEqual(yield* eventTags(id, "ClientAttached", "ClientDetached"), [
        { _tag: "ClientAttached", client: "me", readOnly: false }
      ])
    })
  )

  live("a client that only looks is refused whatever would act", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const id = yield* create("cat")
      const watcher = yield* attached(id, { client: "watcher", readOnly: true, size: { cols: 100, rows: 30 } })
      yield* watcher.ready
      assert.deepInclude(watcher.items[0], { readOnly: true, size: { cols: 80, rows: 24 } })
      const client = "watcher"
      for (const refused of [
        sessions.write(id, Buffer.from("x"), { client }),
        sessions.resize(id, { cols: 90, rows: 20 }, { client }),
        sessions.signal(id, "TERM", "session", { client }),
        sessions.closeInput(id, { client }),
        sessions.close(id, { client })
      ]) {
        assert.deepInclude(yield* Effect.flip(refused), { _tag: "AccessDenied", code: "PermissionDenied" })
      }
      assert.deepStrictEqual(yield* eventTags(id, "InputWritten", "Resized", "SignalSent", "InputClosed"), [])
      yield* sessions.write(id, Buffer.from("hello\n"))
      yield* watcher.text("hello\r\nhello\r\n")
    })
  )

  live("the writer's lease keeps everybody else out until its client leaves", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const id = yield* create("cat")
      const other = yield* attached(id, { client: "other" })
      yield* other.ready
      const writer = yield* attached(id, { client: "writer", exclusive: true })
      yield* writer.ready
      for (const options of [{}, { client: "other" }, { client: "nobody" }]) {
        for (const refused of [
          sessions.write(id, Buffer.from("x"), options),
          sessions.resize(id, { cols: 90, rows: 20 }, options),
          sessions.signal(id, "TERM", "session", options),
          sessions.closeInput(id, options)
        ]) {
          assert.strictEqual((yield* Effect.flip(refused))._tag, "AccessDenied")
        }
      }
      const second = yield* attached(id, { client: "second", exclusive: true })
      assert.strictEqual((yield* Effect.flip(second.ended))._tag, "AccessDenied")
      // It may come as anyone else, and its window is only drawn for.
      const third = yield* attached(id, { client: "third", size: { cols: 120, rows: 40 } })
      yield* third.ready
      assert.deepInclude(third.items[0], { size: { cols: 80, rows: 24 } })
      yield* sessions.write(id, Buffer.from("mine\n"), { client: "writer" })
      yield* other.text("mine\r\nmine\r\n")
      yield* writer.leave
      yield* sessions.write(id, Buffer.from("free\n"), { client: "other" })
      yield* third.text("free\r\nfree\r\n")
      // And whoever may write may also end it, lease or not.
      const again = yield* attached(id, { client: "again", exclusive: true })
      yield* again.ready
      yield* sessions.close(id)
      assert.strictEqual((yield* again.ended).at(-1)?._tag, "Ended")
    })
  )

  live("what is wrong with the request is told before anything happens", () =>
    Effect.gen(function* () {
      const id = yield* create("read go")
      const wrong: ReadonlyArray<readonly [string, AttachOptions]> = [
        ["after", { after: -1 }],
        ["after", { after: 1.5 }],
        ["client", { client: "" }],
        ["client", { client: "x".repeat(65) }],
        ["client", { client: "a\nb" }],
        ["size", { size: { cols: 0, rows: 24 } }],
        ["size", { size: { cols: 80, rows: Number.NaN } }],
        ["scrollback", { scrollback: -1 }],
        ["exclusive", { exclusive: true, readOnly: true }]
      ]
      for (const [field, options] of wrong) {
        const refused = yield* attached(id, options)
        assert.deepInclude(yield* Effect.flip(refused.ended), { _tag: "InvalidRequest", field })
      }
      const unknown = yield* attached("01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId)
      assert.deepInclude(yield* Effect.flip(unknown.ended), { _tag: "SessionNotFound", code: "NotFound" })
      assert.deepStrictEqual(yield* eventTags(id, "ClientAttached"), [])
    })
  )

  live("the window's size comes first, then the screen of that size", () =>
    Effect.gen(function* () {
      const id = yield* create("echo before; read go")
      yield* until(id, "before")
      const client = yield* attached(id, { size: { cols: 100, rows: 30 } })
      yield* client.ready
      const [first, screen] = client.items
      assert.deepInclude(first, { _tag: "Attached", size: { cols: 100, rows: 30 } })
      assert.deepInclude(screen, { _tag: "Screen", size: { cols: 100, rows: 30 }, reason: null })
      assert.include(screen?._tag === "Screen" ? Buffer.from(screen.data).toString() : "", "before")
      assert.lengthOf(yield* eventTags(id, "Resized"), 1)
      const other = yield* attached(id, { size: { cols: 60, rows: 10 } })
      yield* client.seen((items) => items.some((item) => item._tag === "Resized" && item.size.cols === 60))
      yield* other.ready
    })
  )

  live("G9 G28: after is exclusive; at the end there is nothing but the end, exactly once; beyond it is refused", () =>
    Effect.gen(function* () {
      const history = yield* History
      const id = yield* create("seq 1 100; exit 5")
      const all = yield* (yield* attached(id, { after: 0 })).ended
      const { sequence: head } = yield* history.get(id)
      for (let after = 0; after <= head; after++) {
        const items = yield* (yield* attached(id, { after })).ended
        assert.lengthOf(
          items.filter(({ _tag }) => _tag === "Ended"),
          1
        )
        assert.deepInclude(items.at(-1), { _tag: "Ended", reason: "exited", exitCode: 5, signal: null })
        const got = items.filter(
          (item) => item._tag !== "Ended" && "sequence" in item && item._tag !== "ReplayComplete"
        )
        // Neighbouring output may be joined differently: what counts is that nothing comes twice and nothing is left out.
        if (after === 0) assert.strictEqual(output(items), output(all))
        for (const item of got) assert.isAbove("sequence" in item ? item.sequence : 0, after)
      }
      const refused = yield* Effect.flip((yield* attached(id, { after: head + 1 })).ended)
      assert.deepInclude(refused, { _tag: "InvalidRequest", field: "after" })
    })
  )

  live("G10: the 101st unanswered write of a client is refused, nothing of it is done, the others stand in order", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const id = yield* create("stty raw -echo; echo ready; exec cat")
      yield* until(id, "ready")
      const write = (index: number, client?: string) =>
        Effect.exit(sessions.write(id, Buffer.from(`${index},`), { client }))
      const results = yield* Effect.forEach(
        Array.from({ length: 105 }, (_, i) => i),
        (index) => write(index, "flood"),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        results.map(({ _tag }) => _tag),
        [...Array(100).fill("Success"), ...Array(5).fill("Failure")]
      )
      const refused = results[104]
      assert.deepInclude(refused?._tag === "Failure" ? Cause.squash(refused.cause) : undefined, {
        _tag: "LimitExceeded",
        code: "ResourceExhausted",
        max: 100
      })
      const again = yield* write(999, "flood")
      assert.strictEqual(again._tag, "Success")
      const typed = (yield* eventTags(id, "InputWritten"))
        .map((event) => (event._tag === "InputWritten" ? Buffer.from(event.data).toString() : ""))
        .join("")
        .split(",")
      assert.deepStrictEqual(typed, [...Array.from({ length: 100 }, (_, i) => String(i)), "999", ""])
    })
  )

  // A client's keys go to the terminal, which an exec session has too; what its commands write apart from it comes apart.
  live("G3 G12: stdout and stderr of an exec session's commands come in order, each with its channel and command", () =>
    Effect.gen(function* () {
      const exec = yield* Exec
      const sessions = yield* Sessions
      const id = idOf(yield* exec.start({ language: "bash", cwd: "/" }))
      const client = yield* attached(id)
      yield* client.ready
      for (let round = 0; round < 5; round++) {
        yield* exec.exec(id, { code: `echo out ${round}; echo err ${round} >&2; echo tty ${round} > /dev/tty` })
      }
      const has = (channel: "stdout" | "stderr" | undefined, text: string) =>
        client.seen((items) => output(items, channel).endsWith(text))
      yield* has("stdout", "out 4\n")
      yield* has("stderr", "err 4\n")
      yield* has(undefined, "tty 4\r\n")
      for (const channel of ["stdout", "stderr"] as const) {
        const name = channel === "stdout" ? "out" : "err"
        assert.strictEqual(output(client.items, channel), [0, 1, 2, 3, 4].map((i) => `${name} ${i}\n`).join(""))
        const numbers = client.items.flatMap((item) =>
          item._tag === "Output" && item.channel === channel ? [item.exec] : []
        )
        assert.deepStrictEqual(numbers, [1, 2, 3, 4, 5])
      }
      const sequences = client.items.flatMap((item) => (item._tag === "Output" ? [item.sequence] : []))
      assert.deepStrictEqual(
        sequences,
        [...sequences].sort((one, other) => one - other)
      )
      assert.strictEqual((yield* sessions.resize(id, { cols: 90, rows: 30 })).cols, 90)
      yield* client.seen((items) => items.some(({ _tag }) => _tag === "Resized"))
      yield* exec.end(id)
      assert.deepInclude((yield* client.ended).at(-1), { _tag: "Ended", reason: "ended" })
    })
  )
})
