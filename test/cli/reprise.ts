/**
 * The command line in a store of its own, whose engine and sessions are ended, and whose files are removed, with the test:
 * the built program, or the same commands inside the test's process, ten times cheaper.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Exit, Layer, Scope, Stream } from "effect"
import { afterAll } from "vitest"
import type { JournalEntry } from "../../journal/Event.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { gone } from "../fixtures/processes.ts"
import { removeStore } from "../fixtures/removeStore.ts"
import { runInside } from "./runInside.ts"

export const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/reprise.js")

export interface Finished {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface Reprise {
  readonly store: string
  readonly env: NodeJS.ProcessEnv
  /** Runs to its end. */
  run(args: ReadonlyArray<string>, input?: string | Uint8Array): Effect.Effect<Finished>
  /** The same inside the test's process (runInside.ts), for what is not about a process. */
  inside(args: ReadonlyArray<string>, input?: string | Uint8Array): Effect.Effect<Finished>
  /** Starts and leaves running; killed with the test. */
  start(args: ReadonlyArray<string>): Effect.Effect<ChildProcess, never, Scope.Scope>
  // What is asked of the engine that runs, without a process for each question.
  view(reference: string): Effect.Effect<SessionView>
  events(reference: string): Effect.Effect<ReadonlyArray<JournalEntry>>
  /** null when none runs. */
  readonly enginePid: Effect.Effect<number | null>
}

export const finish = (child: ChildProcess): Effect.Effect<Finished> =>
  Effect.callback((resume) => {
    const stdout: Array<Buffer> = []
    let stderr = ""
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.on("close", (code) => resume(Effect.succeed({ code, stdout: Buffer.concat(stdout), stderr })))
  })

/** Keeps everything a stream gives, from now on, and waits for a text in it: nothing is missed between two waits. */
export const watch = (stream: NodeJS.ReadableStream): ((text: string | RegExp) => Effect.Effect<string>) => {
  let seen = ""
  let wake = () => {}
  stream.on("data", (chunk: Buffer) => {
    seen += chunk.toString()
    wake()
  })
  return (text) =>
    Effect.callback((resume) => {
      wake = () => {
        if (typeof text === "string" ? seen.includes(text) : text.test(seen)) resume(Effect.succeed(seen))
      }
      wake()
    })
}

/** Commands that were started as programs by this process of tests. */
const startedPrograms = new Set<string>()

/** Every command is a process. */
export const makeReprise: Effect.Effect<Reprise, never, Scope.Scope> = Effect.suspend(() => make(() => false))

/** The first use of each command is a process, whatever file of tests has it; all others run in this one. */
export const makeRepriseInside: Effect.Effect<Reprise, never, Scope.Scope> = Effect.suspend(() =>
  make((args) => {
    const command = args.find((arg) => !arg.startsWith("-")) ?? ""
    const isStarted = startedPrograms.has(command)
    startedPrograms.add(command)
    return isStarted
  })
)

/**
 * One store with one engine for the tests of a file that are about neither: it is there for the first that asks, and ended
 * behind the last. Called where the tests are described; `name` is a session's own, so that no test meets another's.
 */
export const shareReprise = (
  made = makeRepriseInside
): Effect.Effect<{ readonly reprise: Reprise; readonly name: string }> => {
  const scope = Effect.runSync(Scope.make())
  let names = 0
  let shared: Promise<Reprise> | undefined
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  // Started once: of tests that begin at once each would start an engine, and all but one for nothing.
  const begun = Effect.tap(made, ({ store }) =>
    Effect.scoped(Layer.build(EngineClient.layer({ paths: storePaths(store), start: true, actor: "test" })))
  ).pipe(Effect.orDie, Scope.provide(scope))
  return Effect.promise(() => {
    shared ??= Effect.runPromise(begun)
    return shared.then((reprise) => ({ reprise, name: `it-${++names}` }))
  })
}

const make = Effect.fnUntraced(function* (isInside: (args: ReadonlyArray<string>) => boolean) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rp-"))),
    (folder) => Effect.promise(() => removeStore(join(folder, "store"), folder))
  )
  const store = join(folder, "store")
  const { REPRISE_SESSION: _session, ...inherited } = process.env
  const env = { ...inherited, REPRISE_HOME: store }
  const launch = (args: ReadonlyArray<string>) => spawn(process.execPath, [PROGRAM, ...args], { env, cwd: folder })
  const paths = storePaths(store)
  /** Of the engine that runs; undefined when none does. */
  const ask = <A, E>(question: Effect.Effect<A, E, History | EngineClient.EngineControl>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const services = yield* Layer.build(
          EngineClient.layer({ paths, start: false, anyVersion: true, actor: "test" })
        ).pipe(Effect.catchTag("EngineAbsent", () => Effect.succeed(undefined)))
        if (services === undefined) return undefined
        return yield* Effect.provide(question, services)
      })
    ).pipe(Effect.orDie)
  const mustAnswer = <A>(answer: A | undefined): A => {
    if (answer === undefined) throw new Error("no engine runs")
    return answer
  }
  const stop = Effect.gen(function* () {
    const stopped = yield* ask(EngineClient.EngineControl.use((control) => control.stop({ sessions: true })))
    // Sessions of an engine that is gone need one again to end.
    if (stopped === undefined && (yield* Effect.promise(() => listKeepers(paths.keepers))).length > 0)
      yield* reprise.run(["stop", "--sessions"])
    if (stopped !== undefined) yield* Effect.promise(() => gone(stopped.pid))
  })
  const reprise: Reprise = {
    store,
    env,
    run: (args, input = "") =>
      Effect.suspend(() => {
        if (isInside(args)) return reprise.inside(args, input)
        const child = launch(args)
        // The program may be gone before it has read everything.
        child.stdin.on("error", () => {})
        child.stdin.end(input)
        return finish(child)
      }),
    inside: (args, input = "") => Effect.suspend(() => runInside(args, { env, cwd: folder, input })),
    start: (args) =>
      Effect.acquireRelease(
        Effect.sync(() => launch(args)),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      ),
    view: (reference) =>
      ask(History.use((history) => Effect.flatMap(history.resolve(reference), (session) => history.get(session)))).pipe(
        Effect.map(mustAnswer)
      ),
    events: (reference) =>
      ask(
        History.use((history) =>
          Effect.flatMap(history.resolve(reference), (session) => Stream.runCollect(history.events(session)))
        )
      ).pipe(Effect.map(mustAnswer)),
    enginePid: ask(EngineClient.EngineControl.use((control) => control.status)).pipe(
      Effect.map((status) => status?.enginePid ?? null)
    )
  }
  yield* Effect.addFinalizer(() => stop)
  return reprise
})
