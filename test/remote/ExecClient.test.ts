import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Exec, type ExecInput, type ExecResult } from "../../src/exec/Exec.ts"
import { ExecFinished, ExecNotFound, ExecRejected, SessionBusy } from "../../src/exec/ExecError.ts"
import { layer as clientLayer } from "../../src/remote/EngineClient.ts"
import { WRITE_BYTES_MAX } from "../../src/remote/SessionRpcs.ts"
import { InvalidRequest, SessionUnavailable } from "../../src/session/SessionError.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { SESSION, serve, temporaryPaths } from "./fakeEngine.ts"
import { makeFakeExec } from "./fakeExec.ts"

const connect = (paths: StorePaths) =>
  Effect.map(Layer.build(clientLayer({ paths, start: false, actor: "test" })), Context.get(Exec))

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

describe("ExecClient", () => {
  it.live("every method comes through with its values", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const fake = yield* makeFakeExec
      yield* Layer.build(serve(paths, fake))
      const exec = yield* connect(paths)
      const view = yield* exec.start({ language: "bash", env: { PATH: process.env.PATH! }, cwd: "/usr", name: "n" })
      assert.include(view, { kind: "exec", name: "n", cwd: "/usr" })
      const session = view.id
      const result = yield* exec.exec(session, { code: "cd /tmp; echo out; echo err >&2; exit 3", execId: "one" })
      assert.include(result, { status: "completed", exitCode: 3, execId: "one", cwd: "/tmp", exec: 1 })
      assert.strictEqual(text(result.stdout), "out\n")
      assert.strictEqual(text(result.stderr), "err\n")
      const given = yield* exec.exec(session, {
        code: "cat; echo $A$B",
        stdin: { _tag: "Bytes", data: Uint8Array.of(0, 255) },
        env: { A: "a" },
        secretEnv: { B: "b" }
      })
      assert.deepStrictEqual([...given.stdout], [0, 255, 97, 98, 10])
      assert.strictEqual(text(yield* exec.output(session, "one", { channel: "stderr", from: 1, to: 3 })), "rr")
      assert.strictEqual((yield* exec.poll(session, "one", { after: result.cursor })).stdout.byteLength, 0)
      assert.strictEqual((yield* exec.state(session)).workingDirectory, "/tmp")
      assert.deepStrictEqual(
        (yield* exec.history(session)).map((record) => record.exec),
        [1, 2]
      )
      assert.strictEqual((yield* exec.reset(session)).reason, "reset")
      assert.isNull(yield* exec.restore(session))
      assert.deepStrictEqual(yield* exec.end(session), { survivors: [] })

      const first = fake.calls.find(({ method }) => method === "exec")!.args[1]
      assert.include(first as object, { actor: "test", execId: "one" })
    })
  )

  it.live("input of every kind reaches the command", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const fake = yield* makeFakeExec
      const seen: Array<ExecInput> = []
      const send: typeof fake.exec.send = (_session, _execId, input) => Effect.sync(() => void seen.push(input))
      yield* Layer.build(serve(paths, { exec: { ...fake.exec, send } }))
      const exec = yield* connect(paths)
      const inputs: ReadonlyArray<ExecInput> = [
        { text: "a\u0000€" },
        { keys: ["C-c", "Enter"] },
        { bytes: Uint8Array.of(0, 200) },
        { eof: true }
      ]
      for (const input of inputs) yield* exec.send(SESSION, "x", input)
      assert.deepStrictEqual(seen, inputs)
    })
  )

  it.live("typed errors keep their type, fields and family", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const fake = yield* makeFakeExec
      const busy = new SessionBusy({ session: SESSION, runningExecId: "r", queued: 2 })
      const rejected = new ExecRejected({ execId: "x", reason: "other code" })
      const finished = new ExecFinished({ session: SESSION, execId: "x", status: "completed", exitCode: 0 })
      const fail = {
        exec: (_: SessionId, request: { readonly code: string }) =>
          Effect.fail(request.code === "busy" ? busy : rejected),
        interrupt: () => Effect.fail(finished)
      }
      yield* Layer.build(serve(paths, { exec: { ...fake.exec, ...fail } }))
      const exec = yield* connect(paths)
      const first = yield* Effect.flip(exec.exec(SESSION, { code: "busy" }))
      assert.isTrue(first instanceof SessionBusy && first.code === "ResourceExhausted" && first.queued === 2)
      assert.isTrue((yield* Effect.flip(exec.exec(SESSION, { code: "" }))) instanceof ExecRejected)
      const over = yield* Effect.flip(exec.interrupt(SESSION))
      assert.isTrue(over instanceof ExecFinished && over.exitCode === 0)
      const view = yield* exec.start({})
      assert.isTrue((yield* Effect.flip(exec.poll(view.id, "nothing"))) instanceof ExecNotFound)
      // What is wrong with a value is for the engine to say; what would not fit a message is not sent.
      const large = { code: "cat", stdin: { _tag: "Bytes", data: new Uint8Array(WRITE_BYTES_MAX) } } as const
      const refused = yield* Effect.flip(exec.exec(SESSION, large))
      assert.isTrue(refused instanceof InvalidRequest && refused.field === "stdin")
      assert.isTrue(
        (yield* Effect.flip(exec.exec(SESSION, { code: "", yieldMillis: Number.NaN }))) instanceof ExecRejected
      )
    })
  )

  it.live("a thousand long commands come through, in order", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const fake = yield* makeFakeExec
      const view = yield* fake.exec.start({ env: { PATH: process.env.PATH! } })
      yield* fake.exec.exec(view.id, { code: ":", execId: "x" })
      const [record] = yield* fake.exec.history(view.id)
      const commands = Array.from({ length: 1000 }, (_, index) => ({
        ...record!,
        exec: index + 1,
        code: "x".repeat(index % 100 === 0 ? 2 * 1024 * 1024 : 100)
      }))
      const state = yield* fake.exec.state(view.id)
      yield* Layer.build(
        serve(paths, {
          exec: {
            ...fake.exec,
            history: () => Effect.succeed(commands),
            state: () => Effect.succeed({ ...state, commands })
          }
        })
      )
      const exec = yield* connect(paths)
      const numbers = commands.map((each) => each.exec)
      assert.deepStrictEqual(
        (yield* exec.history(view.id)).map((each) => each.exec),
        numbers
      )
      const told = yield* exec.state(view.id)
      assert.deepStrictEqual(
        told.commands.map((each) => each.exec),
        numbers
      )
      assert.strictEqual(told.workingDirectory, state.workingDirectory)
    })
  )

  it.live("a command whose engine dies is asked for again under its id", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const fake = yield* makeFakeExec
      const result = yield* Effect.gen(function* () {
        const view = yield* fake.exec.start({ env: { PATH: process.env.PATH! } })
        return yield* fake.exec.exec(view.id, { code: "echo once" })
      })
      const ids: Array<string | undefined> = []
      const serveOnce = Effect.fnUntraced(function* (answer: ExecResult | undefined) {
        const scope = yield* Scope.make()
        const called = yield* Deferred.make<void>()
        const exec: typeof fake.exec.exec = (_session, request) => {
          ids.push(request.execId)
          return Effect.andThen(
            Deferred.succeed(called, undefined),
            answer === undefined ? Effect.never : Effect.succeed(answer)
          )
        }
        yield* Layer.build(serve(paths, { exec: { ...fake.exec, exec } })).pipe(Scope.provide(scope))
        return { called, scope }
      })
      const first = yield* serveOnce(undefined)
      const exec = yield* connect(paths)
      const call = yield* Effect.forkScoped(exec.exec(SESSION, { code: "echo once" }))
      yield* Deferred.await(first.called)
      yield* Scope.close(first.scope, Exit.void)
      const second = yield* serveOnce(result)
      yield* Effect.addFinalizer(() => Scope.close(second.scope, Exit.void))
      assert.strictEqual(text((yield* Fiber.join(call)).stdout), "once\n")
      assert.strictEqual(ids.length, 2)
      assert.isDefined(ids[0])
      assert.strictEqual(ids[0], ids[1])
    })
  )

  it.live("typing that met a dying engine is not repeated, and said to be uncertain", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const fake = yield* makeFakeExec
      let sent = 0
      const called = yield* Deferred.make<void>()
      const send = () => {
        sent += 1
        return Effect.andThen(Deferred.succeed(called, undefined), Effect.never)
      }
      const first = yield* Scope.make()
      yield* Layer.build(serve(paths, { exec: { ...fake.exec, send } })).pipe(Scope.provide(first))
      const exec = yield* connect(paths)
      const call = yield* Effect.forkScoped(Effect.flip(exec.send(SESSION, "x", { text: "rm" })))
      yield* Deferred.await(called)
      yield* Scope.close(first, Exit.void)
      yield* Layer.build(serve(paths, { exec: { ...fake.exec, send: () => Effect.void } }))
      const error = yield* Fiber.join(call)
      assert.isTrue(error instanceof SessionUnavailable)
      assert.match(error.message, /not known whether/)
      assert.strictEqual(sent, 1)
      // A connection that went stale while nothing was asked costs nothing: it is opened anew first.
      yield* exec.send(SESSION, "x", { text: "y" })
    })
  )
})
