/**
 * A client of a running engine in a process of its own, through the engine's Unix socket: what the measurements
 * `throughput`, `disk`, `echo` and `memory` do with sessions. Run as `engineClient.ts COMMAND STORE …`; prints one line
 * of JSON. It starts and ends no engine.
 *
 *   flood STORE SHA256 PROGRAM…   runs the program; seconds until its end is journaled, and whether its bytes are right
 *   echo STORE COUNT              keystrokes to a program that sends each one back
 *   echo STORE COUNT hostile      the same while another session prints what a terminal works on for minutes
 *   idle STORE COUNT PROGRAM…     sessions that do nothing, and how long creating them took; they are left running
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../../journal/Event.ts"
import * as EngineClient from "../../../src/remote/EngineClient.ts"
import { SessionOutput } from "../../../src/remote/SessionOutput.ts"
import { History } from "../../../src/session/History.ts"
import { Sessions } from "../../../src/session/Sessions.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { ECHO_PROGRAM, typeAndWait } from "./keystrokes.ts"

const NOTHING = new Uint8Array(0)
/** How exactly the end of a session is seen. */
const POLL_MILLIS = 1
const HOSTILE_PROGRAM = ["/bin/sh", "-c", "while printf 'a\\033[2147483647b'; do sleep 0.02; done"]
const HOSTILE_LOOK_MILLIS = 50
/** The engine starts that many at a time. */
const CREATE_CONCURRENCY = 8

const create = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const view = yield* Sessions.use((sessions) => sessions.create({ argv, cwd: "/" }))
  return { id: view.id as SessionId, pid: view.pid }
})

/**
 * An empty write is a no-op that only a session with an end to come accepts: the cheapest way to see that its end is
 * durable. It is asked only once the program is gone, so that the flood itself is not disturbed.
 */
const ended = Effect.fnUntraced(function* (session: SessionId, pid: number | null) {
  while (existsSync(`/proc/${pid}`)) yield* Effect.sleep(POLL_MILLIS)
  for (;;) {
    const asked = performance.now()
    const isLive = yield* Sessions.use((sessions) => sessions.write(session, NOTHING)).pipe(
      // Refused only after the summary was renewed, which takes a while: the moment of the question counts.
      Effect.timeoutOption("100 millis"),
      Effect.map((answer) => answer._tag === "Some"),
      Effect.catch(() => Effect.succeed(false))
    )
    if (!isLive) return asked
    yield* Effect.sleep(POLL_MILLIS)
  }
})

const flood = Effect.fnUntraced(function* (sha256: string, argv: ReadonlyArray<string>) {
  const start = performance.now()
  const { id, pid } = yield* create(argv)
  const millis = (yield* ended(id, pid)) - start
  // The summary of what has ended is made once, after the end: waited for, so that it is in nobody's way later.
  const { outputBytes } = yield* History.use((history) => history.get(id))
  const summaryMillis = performance.now() - start - millis
  const hash = createHash("sha256")
  const output = yield* SessionOutput
  yield* output.stream(id, { live: false }).pipe(
    Stream.runForEach((item) =>
      Effect.sync(() => {
        if (item._tag === "Output") hash.update(item.data)
      })
    )
  )
  return { id, millis, outputBytes, summaryMillis, intact: hash.digest("hex") === sha256 }
})

/** A session that asks for a character 2,147,483,647 times, again and again, and somebody who looks at its screen. */
const hostile = Effect.gen(function* () {
  const { id } = yield* create(HOSTILE_PROGRAM)
  const history = yield* History
  let looks = 0
  yield* history.stateAt(id, { _tag: "Head" }).pipe(
    Effect.tap(() => Effect.sync(() => looks++)),
    Effect.delay(HOSTILE_LOOK_MILLIS),
    Effect.forever,
    Effect.forkScoped
  )
  return { id, looks: () => looks }
})

const echo = Effect.fnUntraced(function* (count: number, isBesideHostile: boolean) {
  const beside = isBesideHostile ? yield* hostile : undefined
  const { id } = yield* create(ECHO_PROGRAM)
  const output = yield* SessionOutput
  const sessions = yield* Sessions
  const context = yield* Effect.context()
  let onBytes: (bytes: Uint8Array) => void = () => {}
  yield* output.stream(id).pipe(
    Stream.runForEach((item) => Effect.sync(() => item._tag === "Output" && onBytes(item.data))),
    Effect.forkScoped
  )
  const run = Effect.runForkWith(context)
  const samples = yield* Effect.promise(() =>
    typeAndWait(
      count,
      (listener) => {
        onBytes = listener
      },
      (bytes) => run(Effect.orDie(sessions.write(id, bytes)))
    )
  )
  yield* sessions.close(id)
  if (beside !== undefined) yield* sessions.close(beside.id)
  return { samples, looks: beside?.looks() }
})

const idle = Effect.fnUntraced(function* (count: number, argv: ReadonlyArray<string>) {
  const start = performance.now()
  yield* Effect.forEach(Array.from({ length: count }), () => create(argv), { concurrency: CREATE_CONCURRENCY })
  return { millis: performance.now() - start }
})

const [command, store, ...rest] = process.argv.slice(2)
const work = (): Effect.Effect<unknown, unknown, Sessions | History | SessionOutput | import("effect").Scope.Scope> => {
  switch (command) {
    case "flood":
      return flood(rest[0]!, rest.slice(1))
    case "echo":
      return echo(Number(rest[0]), rest[1] === "hostile")
    case "idle":
      return idle(Number(rest[0]), rest.slice(1))
    default:
      return Effect.die(new Error(`engineClient: what is ${command}?`))
  }
}

const result = await Effect.runPromise(
  Effect.scoped(work()).pipe(
    Effect.provide(EngineClient.layer({ paths: storePaths(store!), start: false, actor: "bench" }))
  )
)
process.stdout.write(`${JSON.stringify(result)}\n`)
