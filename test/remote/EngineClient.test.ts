import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Ref, Scope, Stream } from "effect"
import { layer as clientLayer, EngineControl } from "../../src/remote/EngineClient.ts"
import { StopRequest } from "../../src/remote/EngineServer.ts"
import { SessionOutput } from "../../src/remote/SessionOutput.ts"
import { type FollowEvents, History } from "../../src/session/History.ts"
import {
  HistoryDamaged,
  InputRefused,
  SessionEnded,
  SessionUnavailable,
  SpawnFailed
} from "../../src/session/SessionError.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { entry, openDoor, output, SESSION, serve, temporaryPaths, view } from "./fakeEngine.ts"

const connectLocally = (paths: StorePaths) => Layer.build(clientLayer({ paths, start: false, actor: "test" }))
const connectThroughDoor = (paths: StorePaths) =>
  Effect.flatMap(openDoor(paths), ({ token, url }) => Layer.build(clientLayer({ url, token, actor: "test" })))

/** Both ways promise the same. Beside each other: who waits for an engine that is gone waits 10 s. */
describe.each([
  ["the Unix socket", connectLocally],
  ["a WebSocket door", connectThroughDoor]
] as const)("EngineClient over %s", { concurrent: true }, (_name, connect) => {
  it.live("every method comes through with its values", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const seen: Array<unknown> = []
      yield* Layer.build(
        serve(paths, {
          sessions: {
            write: (session, data, options) => {
              seen.push({ session, data, actor: options?.actor })
              return Effect.succeed({ sequence: 5, hidden: true, truncatedTo: 4095 })
            }
          }
        })
      )
      const client = yield* connect(paths)
      const history = Context.get(client, History)
      const sessions = Context.get(client, Sessions)
      assert.deepStrictEqual(yield* history.list, [view])
      assert.strictEqual(yield* history.resolve("fake"), SESSION)
      assert.deepStrictEqual(yield* history.get(SESSION), view)
      assert.deepStrictEqual((yield* history.stateAt(SESSION, { _tag: "Time", timeMicros: 5 })).screen.lines, ["hello"])
      const created = yield* sessions.create({ argv: ["seq", "3"], env: { A: "b" }, size: { cols: 5, rows: 6 } })
      assert.deepStrictEqual(created.argv, ["seq", "3"])
      assert.match(created.id, /^[0-9A-Z]{26}$/)
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
      assert.deepStrictEqual(yield* sessions.write(SESSION, bytes), { sequence: 5, hidden: true, truncatedTo: 4095 })
      assert.deepStrictEqual(seen, [{ session: SESSION, data: bytes, actor: "test" }])
      yield* sessions.closeInput(SESSION)
      assert.deepStrictEqual(yield* sessions.resize(SESSION, { cols: 9, rows: 8 }), { cols: 9, rows: 8 })
      yield* sessions.signal(SESSION, "INT", "session")
      assert.deepStrictEqual(yield* sessions.close(SESSION), { survivors: [{ pid: 9, command: "sleep" }] })
      assert.strictEqual((yield* sessions.status).keepers[0]?.pid, 8)
    })
  )

  it.live("typed errors keep their type, fields and family", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(
        serve(paths, {
          sessions: {
            write: () => Effect.fail(new InputRefused({ session: SESSION, queuedBytesMax: 3 })),
            resize: () => Effect.fail(new SessionEnded({ session: SESSION, status: "exited" })),
            create: () => Effect.fail(new SpawnFailed({ failure: "program-missing", reason: "no x" }))
          },
          history: { events: () => Stream.fail(new HistoryDamaged({ session: SESSION, reason: "bad" })) }
        })
      )
      const client = yield* connect(paths)
      const sessions = Context.get(client, Sessions)
      const history = Context.get(client, History)
      const refused = yield* Effect.flip(sessions.write(SESSION, new Uint8Array(1)))
      assert.isTrue(refused instanceof InputRefused)
      assert.strictEqual(refused.code, "ResourceExhausted")
      const ended = yield* Effect.flip(sessions.resize(SESSION, { cols: Number.NaN, rows: -1 }))
      assert.isTrue(ended instanceof SessionEnded)
      const spawn = yield* Effect.flip(sessions.create({ argv: ["x"] }))
      assert.isTrue(spawn instanceof SpawnFailed && spawn.failure === "program-missing")
      const damaged = yield* Effect.flip(Stream.runDrain(history.events(SESSION)))
      assert.isTrue(damaged instanceof HistoryDamaged)
      const missing = yield* Effect.flip(history.resolve("nobody"))
      assert.strictEqual(missing.code, "NotFound")
    })
  )

  it.live("used after its scope, it says that it is closed, in calls and in streams", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(serve(paths))
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(connect(paths), scope)
      const history = Context.get(client, History)
      assert.deepStrictEqual(yield* history.list, [view])
      yield* Scope.close(scope, Exit.void)
      for (const use of [Effect.asVoid(history.list), Stream.runDrain(history.follow(SESSION, 0))]) {
        const error = yield* Effect.flip(use)
        assert.isTrue(error instanceof SessionUnavailable)
        assert.match(error.message, /closed/)
      }
    })
  )

  it.live("a handler that dies fails its call, not the engine", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(serve(paths, { sessions: { closeInput: () => Effect.die(new Error("bug")) } }))
      const client = yield* connect(paths)
      const exit = yield* Effect.exit(Context.get(client, Sessions).closeInput(SESSION))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual((yield* Context.get(client, History).list).length, 1)
    })
  )

  it.live("a reader that stops reading holds back its producer, and no other call", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      let produced = 0
      const page = new Uint8Array(200 * 1024)
      const endless = Stream.fromEffectRepeat(
        Effect.sync((): FollowEvents => {
          produced += 1
          return { _tag: "Page", entries: [output(produced, (produced - 1) * page.byteLength, page)] }
        })
      )
      yield* Layer.build(serve(paths, { history: { follow: () => endless } }))
      const client = yield* connect(paths)
      const reached = yield* Deferred.make<void>()
      yield* Context.get(client, SessionOutput)
        .stream(SESSION)
        .pipe(
          Stream.take(3),
          Stream.runForEach((item) =>
            item.sequence === 3 ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
          ),
          Effect.forkScoped
        )
      yield* Deferred.await(reached)
      for (let call = 0; call < 50; call++) yield* Context.get(client, Sessions).write(SESSION, new Uint8Array(10))
      assert.isBelow(produced, 20)
    })
  )

  it.live("streams go on after the last item, without gap or duplicate, when the engine comes and goes", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const total = 60
      const killAfter = new Set([7, 20, 41])
      const engineScope = yield* Ref.make(yield* Scope.make())
      const history = {
        follow: (_: unknown, after: number) =>
          Stream.concat(
            Stream.fromIterable(
              Array.from({ length: total - after }, (_unused, index): FollowEvents => {
                const sequence = after + index + 1
                const event =
                  sequence === total
                    ? entry(sequence, {
                        _tag: "SessionClosed",
                        exitCode: 0,
                        signal: null,
                        reason: "exited",
                        survivors: []
                      })
                    : output(sequence, (sequence - 1) * 2, Uint8Array.of(sequence, sequence))
                return { _tag: "Page", entries: [event] }
              })
            ).pipe(Stream.rechunk(1)),
            Stream.make<[FollowEvents]>({ _tag: "Synced", sequence: total })
          )
      }
      const startEngine = Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Layer.build(serve(paths, { history })).pipe(Scope.provide(scope))
        yield* Ref.set(engineScope, scope)
      })
      const restart = Effect.gen(function* () {
        yield* Scope.close(yield* Ref.get(engineScope), Exit.void)
        yield* startEngine
      })
      yield* startEngine
      yield* Effect.addFinalizer(() => Effect.flatMap(Ref.get(engineScope), (scope) => Scope.close(scope, Exit.void)))
      const client = yield* connect(paths)
      const received: Array<number> = []
      let ended = 0
      yield* Context.get(client, SessionOutput)
        .stream(SESSION)
        .pipe(
          Stream.rechunk(1),
          Stream.runForEach((item) => {
            if (item._tag === "Output") received.push(...item.data)
            if (item._tag === "Ended") ended += 1
            return killAfter.delete(item.sequence) ? restart : Effect.void
          })
        )
      const expected = Array.from({ length: total - 1 }, (_, index) => [index + 1, index + 1]).flat()
      assert.deepStrictEqual(received, expected)
      assert.strictEqual(ended, 1)
      // Calls survive it too, on a new connection.
      yield* restart
      assert.strictEqual((yield* Context.get(client, History).list).length, 1)
    })
  )

  it.live("a repeated command keeps its id", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const ids: Array<string | undefined> = []
      const first = yield* Scope.make()
      const written = yield* Deferred.make<void>()
      const write =
        (isAnswered: boolean) => (_s: unknown, _d: unknown, options?: { readonly commandId?: string | undefined }) => {
          ids.push(options?.commandId)
          return isAnswered
            ? Effect.succeed({ sequence: 1, hidden: false, truncatedTo: null })
            : Effect.andThen(Deferred.succeed(written, undefined), Effect.never)
        }
      yield* Layer.build(serve(paths, { sessions: { write: write(false) } })).pipe(Scope.provide(first))
      const client = yield* connect(paths)
      const call = yield* Effect.forkScoped(Context.get(client, Sessions).write(SESSION, new Uint8Array(1)))
      yield* Deferred.await(written)
      yield* Scope.close(first, Exit.void)
      yield* Layer.build(serve(paths, { sessions: { write: write(true) } }))
      yield* Fiber.join(call)
      assert.strictEqual(ids.length, 2)
      assert.isDefined(ids[0])
      assert.strictEqual(ids[0], ids[1])
    })
  )

  it.live("an engine that is gone for good is an error of the session, in bounded time", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const scope = yield* Scope.make()
      yield* Layer.build(serve(paths)).pipe(Scope.provide(scope))
      const client = yield* connect(paths)
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Context.get(client, History).list)
      assert.isTrue(error instanceof SessionUnavailable)
    })
  )

  it.live("stop is answered before the engine goes", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const engine = yield* Layer.build(serve(paths))
      const client = yield* connect(paths)
      const report = yield* Context.get(client, EngineControl).stop({ sessions: true })
      assert.deepStrictEqual(report, {
        pid: process.pid,
        ended: [SESSION],
        survivors: [{ pid: 9, command: "sleep" }]
      })
      yield* Deferred.await(Context.get(engine, StopRequest))
    })
  )
})

describe("EngineClient", { concurrent: true }, () => {
  it.live("without an engine, and not allowed to start one, it says so", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const error = yield* Effect.flip(connectLocally(paths))
      assert.strictEqual(error._tag, "EngineAbsent")
    })
  )

  it.live("through a door behind which there is no engine, it says what the door says", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(connectThroughDoor(yield* temporaryPaths))
      assert.strictEqual(error._tag, "EngineUnavailable")
      assert.include(error.message, "no engine is running")
    })
  )
})
