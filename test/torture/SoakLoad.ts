/**
 * What people and agents do to an engine in one hour, one after the other as fast as it answers: sessions of every kind and
 * end, commands in shells, clients that attach and leave, changes of size, slow and impatient readers. `SoakRun.ts` gives
 * it to an engine hour by hour. Each thing it does checks what came back; what it does in which order comes from the seed.
 */
import assert from "node:assert"
import { Effect, Fiber, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Exec } from "../../src/exec/Exec.ts"
import { Attach } from "../../src/session/Attach.ts"
import { History } from "../../src/session/History.ts"
import { Lifecycle } from "../../src/session/Lifecycle.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import type { seededRandom } from "../fixtures/seededRandom.ts"

export type SoakServices = Attach | Exec | History | Lifecycle | Sessions
type Work = Effect.Effect<void, unknown, SoakServices>
type Random = ReturnType<typeof seededRandom>

/** At once: what two cores can do without waiting for each other. */
const CONCURRENCY = 6
/** Of an hour of people: time is the load here, so what waits minutes there waits moments. */
const IDLE_MILLIS = 150
const RETENTION_MILLIS = 1000
const LINES = 20_000
const SLOW_PAGE_MILLIS = 5
const limits = { retentionMillis: RETENTION_MILLIS }

const numbers = (last: number, end: string) => Array.from({ length: last }, (_, i) => `${i + 1}${end}`).join("")
const EXPECTED = numbers(LINES, "\r\n")

const create = (script: string, more: { readonly idleMillis?: number } = {}) =>
  Effect.map(
    Sessions.use((sessions) =>
      sessions.create({ argv: ["sh", "-c", script], cwd: "/", limits: { ...limits, ...more } })
    ),
    ({ id }) => id
  )

/** The output until it holds `text`, or to the end. */
const shown = (session: SessionId, text?: string, pageMillis = 0) =>
  Effect.gen(function* () {
    const history = yield* History
    const pieces: Array<string> = []
    yield* history.follow(session, 0).pipe(
      Stream.mapEffect((item) =>
        pageMillis > 0 ? Effect.delay(Effect.succeed(item), pageMillis) : Effect.succeed(item)
      ),
      Stream.takeUntil((item) => {
        if (item._tag !== "Page") return false
        for (const { event } of item.entries) {
          if (event._tag === "OutputReceived") pieces.push(Buffer.from(event.data).toString("latin1"))
        }
        return text !== undefined && pieces.join("").includes(text)
      }),
      Stream.runDrain
    )
    return pieces.join("")
  })

const ends = Effect.fnUntraced(function* (session: SessionId, expected: object) {
  const history = yield* History
  yield* shown(session)
  const { exitCode, signal, status } = yield* history.get(session)
  assert.deepStrictEqual({ exitCode, signal, status }, { exitCode: null, signal: null, status: "exited", ...expected })
})

const prints: Work = Effect.gen(function* () {
  const id = yield* create("seq 1 500; exit 3")
  assert.strictEqual(yield* shown(id), numbers(500, "\r\n"))
  yield* ends(id, { exitCode: 3 })
})

const isTypedInto: Work = Effect.gen(function* () {
  const sessions = yield* Sessions
  const id = yield* create("stty -echo; echo ready; exec cat")
  yield* shown(id, "ready")
  yield* sessions.write(id, Buffer.from("typed\n"), { commandId: "one" })
  yield* sessions.write(id, Buffer.from("typed\n"), { commandId: "one" })
  yield* shown(id, "typed\r\n")
  yield* sessions.closeInput(id)
  assert.strictEqual(yield* shown(id), "ready\r\ntyped\r\n")
  yield* ends(id, { exitCode: 0 })
})

const hasClients = (random: Random): Work =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const { attach } = yield* Attach
    const id = yield* create("echo ready; exec cat")
    const attached = Effect.fnUntraced(function* (client: string) {
      const isReady = Promise.withResolvers<void>()
      const reading = yield* attach(id, { client, size: { cols: 80 + random.below(40), rows: 24 } }).pipe(
        Stream.runForEach((item) =>
          Effect.sync(() => {
            if (item._tag === "ReplayComplete") isReady.resolve()
          })
        ),
        Effect.ensuring(Effect.sync(() => isReady.resolve())),
        Effect.forkChild
      )
      yield* Effect.promise(() => isReady.promise)
      return reading
    })
    const leaving = yield* attached("leaving")
    const staying = yield* attached("staying")
    for (let change = 0; change < 3; change++) {
      yield* sessions.resize(id, { cols: 40 + random.below(100), rows: 10 + random.below(40) })
    }
    yield* Fiber.interrupt(leaving)
    yield* sessions.write(id, Buffer.from("to all\r"), { client: "staying" })
    yield* shown(id, "to all\r\nto all")
    yield* sessions.close(id)
    // It is told of the end.
    yield* Fiber.join(staying)
  })

const isReadSlowly: Work = Effect.gen(function* () {
  const id = yield* create(`seq 1 ${LINES}`)
  assert.strictEqual(yield* shown(id, undefined, SLOW_PAGE_MILLIS), EXPECTED)
})

const isLeftInTheMiddle: Work = Effect.gen(function* () {
  const id = yield* create("yes")
  yield* shown(id, "y\r\ny\r\n")
  yield* Sessions.use((sessions) => sessions.close(id))
  yield* ends(id, { signal: "SIGHUP" })
})

const isForgotten: Work = Effect.gen(function* () {
  const id = yield* create("echo ready; exec sleep 1000", { idleMillis: IDLE_MILLIS })
  yield* ends(id, { signal: "SIGHUP" })
})

const isKilled: Work = Effect.gen(function* () {
  const id = yield* create("echo ready; exec sleep 1000")
  yield* shown(id, "ready")
  yield* Sessions.use((sessions) => sessions.signal(id, "KILL", "session"))
  yield* ends(id, { signal: "SIGKILL" })
})

const cannotStart: Work = Effect.gen(function* () {
  const error = yield* Effect.flip(Sessions.use((sessions) => sessions.create({ argv: ["no-such-program-here"] })))
  assert.strictEqual(error._tag, "SpawnFailed")
})

const isLookedAt: Work = Effect.gen(function* () {
  const history = yield* History
  const id = yield* create("printf '\\033[31mred\\033[0m\\n'; exec cat")
  yield* shown(id, "red")
  const { screen } = yield* history.stateAt(id, { _tag: "Head" })
  assert.strictEqual(screen.lines[0], "red")
  yield* Effect.flatMap(Lifecycle, (lifecycle) => lifecycle.usage(id))
  yield* Sessions.use((sessions) => sessions.close(id))
})

const command = Effect.fnUntraced(function* (session: SessionId, number: number, random: Random) {
  const { exec, poll } = yield* Exec
  const check = (
    result: { readonly status: string; readonly exitCode: number | null; readonly stdout: Uint8Array },
    stdout: string,
    exitCode: number | null = 0
  ) => assert.deepStrictEqual([result.exitCode, Buffer.from(result.stdout).toString()], [exitCode, stdout])
  switch (random.below(8)) {
    case 0:
      return check(yield* exec(session, { code: "seq 1 5000" }), numbers(5000, "\n"))
    case 1:
      return check(
        yield* exec(session, { code: "cat; (exit 4)", stdin: { _tag: "Bytes", data: Buffer.from(`in ${number}`) } }),
        `in ${number}`,
        4
      )
    case 2: {
      const execId = `poll-${number}`
      yield* exec(session, { code: `echo ${number}; sleep 0.01; echo end`, execId, yieldMillis: 0 })
      return check(yield* poll(session, execId, { yieldMillis: 60_000 }), `${number}\nend\n`)
    }
    case 3:
      return check(
        yield* exec(session, { code: `export V=${number}; cd /tmp; echo $V $PWD; cd /` }),
        `${number} /tmp\n`
      )
    default:
      return check(yield* exec(session, { code: `echo ${number}` }), `${number}\n`)
  }
})

const takesCommands = (commands: number, random: Random): Work =>
  Effect.gen(function* () {
    const exec = yield* Exec
    const { id } = yield* exec.start({ language: "bash", cwd: "/", limits })
    for (let number = 0; number < commands; number++) yield* command(id, number, random)
    // A command that is ended by its time takes its session with it where it does not end itself; once a shell is enough.
    const late = yield* exec.exec(id, { code: "sleep 1000", timeoutMillis: 20 })
    assert.strictEqual(late.status, "timeout")
    assert.deepStrictEqual(yield* exec.end(id), { survivors: [] })
  })

export interface HourLoad {
  /** Shells are among them. */
  readonly sessions: number
  readonly commands: number
}

/** An hour of a day of 1,440 sessions and 8,640 commands. */
export const FULL_HOUR: HourLoad = { sessions: 60, commands: 360 }
const COMMANDS_PER_SHELL = 60

/** Sessions created, commands given, attachments: what has been done is what was asked for. */
export const soakHour = ({ commands, sessions }: HourLoad, random: Random): Work => {
  const shells = Math.max(1, Math.round(commands / COMMANDS_PER_SHELL))
  const kinds: ReadonlyArray<Work> = [
    prints,
    isTypedInto,
    hasClients(random),
    isReadSlowly,
    isLeftInTheMiddle,
    isForgotten,
    isKilled,
    cannotStart,
    isLookedAt
  ]
  const work: Array<Work> = Array.from({ length: shells }, () => takesCommands(Math.round(commands / shells), random))
  for (let index = 0; work.length < sessions; index++) work.push(kinds[index % kinds.length]!)
  for (let index = work.length - 1; index > 0; index--) {
    const other = random.below(index + 1)
    ;[work[index], work[other]] = [work[other]!, work[index]!]
  }
  return Effect.forEach(work, (one) => Effect.timeout(one, "120 seconds"), { concurrency: CONCURRENCY, discard: true })
}
