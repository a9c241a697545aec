/**
 * A whole engine in one thread and in time that a seed makes pass: real `SessionEngine`, real journal, over a storage in
 * memory and keepers in memory, both of which fail as a plan says. A seeded client creates sessions, types, resizes, reads,
 * ends engines and kills them; beside the engine stands what it said. Then the faults stop, and everything must work
 * again without help, and be there: once, in order, as it was acknowledged. One seed is one run, to the last call.
 */
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Clock, Context, Effect, Exit, Layer, Logger, ManagedRuntime, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import { JournalCore } from "../../journal/JournalCore.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"
import { makeJournal } from "../../journal/makeJournal.ts"
import type { Storage } from "../../journal/Storage.ts"
import { HostUnavailable } from "../../src/keeper/PtyHost.ts"
import * as SessionEngine from "../../src/SessionEngine.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import type { KeeperPort } from "../../src/session/Hosts.ts"
import { Sessions, type WriteAck } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { HANG_MILLIS } from "./Campaign.ts"
import { type Decide, FaultPlan } from "./FaultPlan.ts"
import { faultyConnect } from "./FaultyHost.ts"
import { FaultyStorage } from "./FaultyStorage.ts"
import { SimulatedKeeper, type SimulatedProgram } from "./SimulatedKeeper.ts"
import { VirtualTime } from "./VirtualTime.ts"

export interface SimulationOptions {
  readonly seed: number
  readonly steps: number
  readonly storage: Decide
  readonly host: Decide
  /** Engines that are killed, keepers that are: one step in so many; 0: never. */
  readonly engineKills?: number
  readonly keeperKills?: number
  /** Jumps of the wall clock: one step in so many; 0: never. */
  readonly clockJumps?: number
}

export interface Simulated {
  readonly plan: FaultPlan
  /** Writes that were acknowledged, and inputs and bytes that were found. */
  readonly acknowledged: number
  readonly outputBytes: number
  readonly sessions: number
  readonly engines: number
  /** Appends that failed and were there nevertheless. */
  readonly ghosts: number
  /** Batches that a broken handle said it had. */
  readonly lies: number
  /** Times the wall clock jumped, and events whose time is before that of the event before them. */
  readonly jumps: number
  readonly backwards: number
}

/** What is not as promised: the seed shows it again. */
export class Broken extends Error {
  override readonly name = "Broken"
}

const SESSIONS_MAX = 3
/** Longer than any run, shorter than a jump of the clock: none of them may ever be reached. */
const LIMITS = { idleMillis: 3_600_000, noClientMillis: 3_600_000 }
/** Attempts to start an engine while the storage fails. */
const OPENINGS_MAX = 20
/** The last decisions that a failure is told with. REPRISE_TRACE raises it. */
/** Of this process alone: what somebody left in a place that all know would be found, and no run be like another. */
const NOWHERE = join(tmpdir(), `reprise-simulated-${process.pid}`)
const TRACE_SHOWN = Number(process.env.REPRISE_TRACE ?? 60)
/** The slowest fault there is: a host that is silent. */
const SILENCE_MILLIS = 10_000
/** An answer may take as long as that, and no hang more. */
const FAULTY_ANSWER_MILLIS_MAX = SILENCE_MILLIS + 5 * HANG_MILLIS
/** From the last fault until everything has been taken up again: a silent host's time, and the storage's longest wait. */
const RECOVERY_MILLIS_MAX = 15_000

interface Write {
  readonly session: SessionId
  readonly text: string
  readonly commandId: string | undefined
  isHidden: boolean
  ack: WriteAck | undefined
  /** A refusal that says that nothing was done. */
  isRefused: boolean
}

interface Asked {
  readonly what: string
  readonly sinceMillis: number
}

type Services = Sessions | History | Journal

export const simulate = async (options: SimulationOptions): Promise<Simulated> => {
  const time = new VirtualTime()
  time.install()
  const simulation = new Simulation(options, time)
  try {
    return await simulation.run()
  } catch (error) {
    const trace = simulation.plan.trace.slice(-TRACE_SHOWN).join("\n  ")
    const what = error instanceof Error ? error.stack : String(error)
    throw new Broken(`seed ${options.seed}: ${what}\n${await simulation.told()}\n  ${trace}`)
  } finally {
    time.restore()
  }
}

class Engine {
  isAlive = true
  readonly runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  readonly storage: FaultyStorage
  constructor(runtime: ManagedRuntime.ManagedRuntime<Services, unknown>, storage: FaultyStorage) {
    this.runtime = runtime
    this.storage = storage
  }
}

class Simulation {
  readonly plan: FaultPlan
  readonly #options: SimulationOptions
  readonly #time: VirtualTime
  readonly #random: ReturnType<typeof seededRandom>
  readonly #disk = new MemoryStorage()
  readonly #keepers: Array<SimulatedKeeper> = []
  readonly #sessions: Array<SessionId> = []
  readonly #created = new Set<SessionId>()
  readonly #writes: Array<Write> = []
  readonly #asked = new Set<Asked>()
  #engine: Engine | undefined
  #engines = 0
  #ids = 0
  #lies = 0
  #jumps = 0
  #backwards = 0
  readonly #isKeeperKilled = new Set<SimulatedKeeper>()

  constructor(options: SimulationOptions, time: VirtualTime) {
    this.#options = options
    this.#time = time
    this.plan = new FaultPlan(options.seed)
    this.#random = seededRandom(options.seed)
  }

  async run(): Promise<Simulated> {
    for (let step = 0; step < this.#options.steps; step++) {
      if (this.#engine === undefined) await this.#open()
      await this.#step()
      await this.#time.pass(this.#random.below(4) === 0 ? this.#random.below(3000) : this.#random.below(60))
      this.#checkHangs()
    }
    this.plan.stop()
    this.plan.note("the faults stop")
    if (this.#engine === undefined) await this.#open()
    await this.#time.pass(RECOVERY_MILLIS_MAX)
    await this.#time.pass(FAULTY_ANSWER_MILLIS_MAX)
    if (this.#asked.size > 0) throw new Error(`no answer: ${[...this.#asked].map(({ what }) => what).join(", ")}`)
    await this.#works("after the faults")
    await this.#check()
    await this.#stop()
    await this.#open()
    await this.#time.pass(1000)
    await this.#works("after another start")
    await this.#checkHeld()
    const ghosts = await this.#check()
    await this.#stop()
    return {
      plan: this.plan,
      acknowledged: this.#writes.filter(({ ack }) => ack !== undefined).length,
      outputBytes: this.#programs().reduce((sum, { printed }) => sum + printed.length, 0),
      sessions: this.#created.size,
      engines: this.#engines,
      ghosts,
      lies: this.#lies,
      jumps: this.#jumps,
      backwards: this.#backwards
    }
  }

  /** What the journal has of each session, for whoever looks at a failure. */
  async told(): Promise<string> {
    const lines: Array<string> = []
    for (const session of this.#sessions) {
      const events = await this.#eventsOf(session).catch(() => [])
      lines.push(
        `${session}: ${events.map(({ event, sequence }) => `${sequence} ${event._tag}${"reason" in event ? ` (${event.reason})` : ""}`).join(", ")}`
      )
    }
    return lines.join("\n")
  }

  // --- what the client does ------------------------------------------------------------------------------------------

  async #step(): Promise<void> {
    const random = this.#random
    const { clockJumps = 0, engineKills = 0, keeperKills = 0 } = this.#options
    if (engineKills > 0 && random.below(engineKills) === 0) return this.#killEngine()
    if (keeperKills > 0 && random.below(keeperKills) === 0) return this.#killKeeper()
    if (clockJumps > 0 && random.below(clockJumps) === 0) {
      this.#time.jumpMillis += [-10_000, 86_400_000, -86_400_000][random.below(3)]!
      this.#jumps++
      this.plan.note(`the clock says ${this.#time.jumpMillis}`)
      return
    }
    const program = this.#program()
    const dice = random.below(100)
    if (program === undefined || (dice < 8 && this.#sessions.length < SESSIONS_MAX + this.#ended()))
      return this.#create()
    if (dice < 50) return this.#write(program)
    if (dice < 70) return this.#print(program)
    if (dice < 73)
      return void this.#ask(
        "resize",
        Sessions.use((s) => s.resize(program.session, this.#size()))
      )
    if (dice < 75)
      return void this.#ask(
        "signal",
        Sessions.use((s) => s.signal(program.session, "USR1", "foreground"))
      )
    if (dice < 78) {
      program.isSecret = !program.isSecret
      return
    }
    if (dice < 88) return void this.#read(program.session)
    if (dice < 92) return this.#again()
    if (dice < 94) return program.end(random.below(256))
    if (dice < 95)
      return void this.#ask(
        "close",
        Sessions.use((s) => s.close(program.session))
      )
    if (dice < 96)
      return void this.#ask(
        "closeInput",
        Sessions.use((s) => s.closeInput(program.session))
      )
    if (dice < 98)
      return void this.#ask(
        "list",
        History.use((h) => h.list)
      )
    // The store is locked until it has ended.
    await this.#stop()
  }

  #size() {
    return { cols: 20 + this.#random.below(100), rows: 5 + this.#random.below(50) }
  }

  /** Programs that run, in keepers that do. */
  #running(): ReadonlyArray<SimulatedProgram> {
    return this.#keepers
      .filter(({ isAlive }) => isAlive)
      .flatMap(({ programs }) => [...programs.values()])
      .filter(({ exit }) => exit === null)
  }

  #programs(): ReadonlyArray<SimulatedProgram> {
    return this.#keepers.flatMap(({ everStarted }) => everStarted)
  }

  #program(): SimulatedProgram | undefined {
    const running = this.#running()
    return running[this.#random.below(Math.max(1, running.length))]
  }

  #ended(): number {
    return this.#sessions.length - this.#running().length
  }

  #create(): void {
    const id = `01TESTTESTTESTTESTTEST${String(++this.#ids).padStart(4, "0")}` as SessionId
    this.#sessions.push(id)
    this.#askFor(id)
  }

  /** Asked again with the same id, it is the same session. */
  #askFor(id: SessionId): void {
    this.#ask(
      `create ${id}`,
      Sessions.use((s) => s.create({ id, argv: ["/bin/sh"], cwd: "/", limits: LIMITS })),
      () => this.#created.add(id)
    )
  }

  #write(program: SimulatedProgram): void {
    const number = this.#writes.length
    const write: Write = {
      session: program.session,
      text: `<${number}:${"x".repeat(this.#random.below(60))}>`,
      commandId: this.#random.below(3) > 0 ? `c${number}` : undefined,
      isHidden: false,
      ack: undefined,
      isRefused: false
    }
    this.#writes.push(write)
    this.#send(write)
  }

  #send(write: Write): void {
    const { commandId, session, text } = write
    this.#ask(
      `write ${text.slice(0, 12)}`,
      Sessions.use((s) => s.write(session, Buffer.from(text), { commandId })),
      (ack) => {
        write.ack = ack
        if (ack.hidden) write.isHidden = true
      }
    )
  }

  /** Commands that were not acknowledged are sent again, as their sender would: with the same id. */
  #again(): void {
    const unanswered = this.#writes.filter(({ ack, commandId }) => ack === undefined && commandId !== undefined)
    for (const write of unanswered.slice(-3)) this.#send(write)
    const [uncreated] = this.#sessions.filter((id) => !this.#created.has(id)).slice(-1)
    if (uncreated !== undefined) this.#askFor(uncreated)
  }

  #print(program: SimulatedProgram): void {
    const large = this.#random.below(5) === 0
    program.print(this.#random.bytes(1 + this.#random.below(large ? 3000 : 80)))
  }

  /** Whatever is served while things fail is right, as far as it goes. */
  #read(session: SessionId): void {
    this.#ask(
      "read",
      History.use((h) => Stream.runCollect(h.events(session))),
      (events) => this.#checkOutput(session, [...events])
    )
  }

  #ask<A>(what: string, effect: Effect.Effect<A, unknown, Services>, answered: (answer: A) => void = () => {}): void {
    const engine = this.#engine
    if (engine === undefined) return
    const asked: Asked = { what, sinceMillis: this.#time.nowMillis }
    this.#asked.add(asked)
    this.plan.note(`asked ${what}`)
    engine.runtime.runPromiseExit(effect).then((exit) => {
      if (!engine.isAlive) return
      this.#time.activity++
      this.#asked.delete(asked)
      this.plan.note(`answered ${what} ${Exit.isSuccess(exit) ? "yes" : tagOf(exit)}`)
      if (Exit.isSuccess(exit)) this.#safely(() => answered(exit.value))
      else if (!EXPECTED.has(tagOf(exit))) this.#safely(() => fail(`${what}: ${String(exit.cause)}`))
    })
  }

  #failure: unknown
  #safely(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#failure ??= error
    }
  }

  // --- engines and keepers -------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const engine = this.#makeEngine()
      let exit: Exit.Exit<unknown, unknown> | undefined
      engine.runtime.runPromiseExit(Effect.void).then((answer) => {
        exit = answer
        this.#time.activity++
      })
      const since = this.#time.nowMillis
      const faultsBefore = this.plan.faults
      while (exit === undefined) {
        await this.#time.pass(5)
        // It asks a silent host again before it goes on without it, so each fault on the way may cost its time.
        const most = FAULTY_ANSWER_MILLIS_MAX + (this.plan.faults - faultsBefore) * SILENCE_MILLIS
        if (this.#time.nowMillis - since > most) throw new Error("the engine does not open")
      }
      this.#engines++
      if (Exit.isSuccess(exit)) {
        this.#engine = engine
        return
      }
      this.plan.note(`not opened: ${tagOf(exit)}`)
      engine.isAlive = false
      if (this.plan.isOver) throw new Error(`the engine does not open: ${String(exit.cause)}`)
      // With a storage that fails for ever there is nothing more to see: the faults stop here.
      if (attempt >= OPENINGS_MAX) this.plan.stop()
      await this.#time.pass(100)
    }
  }

  #makeEngine(): Engine {
    const { host, storage } = this.#options
    let engine: Engine
    const isAlive = () => engine.isAlive
    const activity = () => this.#time.activity++
    // Below the faults too: a slow write of a dead engine must not come through later.
    const faulty = new FaultyStorage(severable(this.#disk, isAlive, activity), this.plan.port("storage", storage))
    const severed = severable(faulty, isAlive, activity)
    const port = this.plan.port("host", host)
    const keepers: KeeperPort = {
      start: async ({ id }) => {
        if (port.next("start", ["refused"]) !== undefined)
          throw new HostUnavailable("the keeper could not be started: spawn EAGAIN")
        const keeper = new SimulatedKeeper(id, `/nowhere/${this.#keepers.length}`, () => this.#time.activity++)
        this.#keepers.push(keeper)
        return { id, socket: keeper.socket, pid: keeper.pid }
      },
      list: async () => this.#keepers.filter((keeper) => keeper.isAlive).map(({ welcome }) => welcome),
      connect: faultyConnect(
        (options) => this.#keepers.find(({ socket }) => socket === options.socket)!.connect(options),
        port,
        isAlive
      ),
      directoryOf: async () => undefined
    }
    const journal = Layer.effect(
      Journal,
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(
            () =>
              new JournalCore({
                storage: severed,
                durability: "process",
                nowMicros: () => this.#time.clock.currentTimeMillisUnsafe() * 1000
              })
          ),
          (core) => Effect.promise(() => core.close())
        ),
        makeJournal
      )
    )
    const layer = SessionEngine.layer({ paths: storePaths(NOWHERE), keeperEntry: "/nowhere", keepers }).pipe(
      Layer.provideMerge(HistoryLive.layer),
      Layer.provideMerge(journal),
      Layer.provide(Layer.succeedContext(Context.make(Clock.Clock, this.#time.clock))),
      // Hundreds of engines log each fault; nobody reads it, and the run's own trace tells more.
      Layer.provideMerge(Logger.layer([]))
    )
    engine = new Engine(ManagedRuntime.make(layer as Layer.Layer<Services, unknown>), faulty)
    return engine
  }

  /** As kill -9: nothing of it arrives anywhere from here on, and nobody is answered. */
  #killEngine(): void {
    const engine = this.#engine
    if (engine === undefined) return
    this.plan.note("the engine is killed")
    engine.isAlive = false
    this.#lies += engine.storage.lies
    this.#engine = undefined
    this.#asked.clear()
  }

  /** An end in order. Whatever it waits for, it is over in time. */
  async #stop(): Promise<void> {
    const engine = this.#engine
    if (engine === undefined) return
    this.plan.note("the engine is stopped")
    this.#engine = undefined
    const asked = { what: "stop", sinceMillis: this.#time.nowMillis }
    let isStopped = false
    engine.runtime.dispose().then(() => {
      isStopped = true
      this.#time.activity++
    })
    for (let waited = 0; !isStopped && waited < FAULTY_ANSWER_MILLIS_MAX; waited += 10) await this.#time.pass(10)
    if (!isStopped) throw new Error(`${asked.what} takes more than ${FAULTY_ANSWER_MILLIS_MAX} ms`)
    engine.isAlive = false
    this.#lies += engine.storage.lies
    this.#asked.clear()
  }

  #killKeeper(): void {
    const alive = this.#keepers.filter(({ isAlive }) => isAlive)
    const keeper = alive[this.#random.below(Math.max(1, alive.length))]
    if (keeper === undefined) return
    this.plan.note(`keeper ${this.#keepers.indexOf(keeper)} is killed`)
    this.#isKeeperKilled.add(keeper)
    keeper.kill()
  }

  // --- what must hold ------------------------------------------------------------------------------------------------

  #checkHangs(): void {
    if (this.#failure !== undefined) throw this.#failure
    for (const { sinceMillis, what } of this.#asked) {
      const millis = this.#time.nowMillis - sinceMillis
      if (millis > FAULTY_ANSWER_MILLIS_MAX) throw new Error(`${what}: no answer for ${millis} ms`)
    }
  }

  /** Nothing fails now: each session that has a program is there, takes input and shows output, within HANG_MILLIS. */
  async #works(when: string): Promise<void> {
    this.#again()
    await this.#time.pass(HANG_MILLIS)
    if (this.#failure !== undefined) throw this.#failure
    const late = [...this.#asked].map(({ what }) => what)
    if (late.length > 0) throw new Error(`${when}: no answer within ${HANG_MILLIS} ms: ${late.join(", ")}`)
    for (const program of this.#running()) {
      // Of a creation that was refused there may be one that nobody was told of: it must be ended, not usable.
      if ((await this.#eventsOf(program.session)).some(({ event }) => event._tag === "SessionClosed")) {
        throw new Error(`${when}: the program of ${program.session} runs, and the journal says that it ended`)
      }
      program.isSecret = false
      const before = this.#writes.length
      this.#write(program)
      await this.#time.pass(HANG_MILLIS)
      const probe = this.#writes[before]!
      if (probe.ack === undefined) throw new Error(`${when}: ${program.session} takes no input`)
      if (!Buffer.concat(program.applied.map(({ bytes }) => bytes)).includes(probe.text))
        throw new Error(`${when}: the input of ${program.session} was acknowledged and not typed`)
      const events = await this.#eventsOf(program.session)
      if (outputOf(events).length !== program.printed.length)
        throw new Error(`${when}: ${outputOf(events).length} of ${program.printed.length} bytes of ${program.session}`)
    }
    if (this.#running().length === 0) {
      const before = this.#created.size
      this.#create()
      await this.#time.pass(HANG_MILLIS)
      if (this.#created.size === before) throw new Error(`${when}: no session can be created`)
    }
  }

  async #eventsOf(session: SessionId): Promise<ReadonlyArray<JournalEntry>> {
    const core = new JournalCore({ storage: this.#disk, durability: "process", nowMicros: () => 0 })
    const head = await core.head(session)
    const entries: Array<JournalEntry> = []
    while (entries.length < head) {
      const page = await core.page(session, entries.length, head)
      if (page.damage !== undefined) throw page.damage
      entries.push(...page.entries)
    }
    return entries
  }

  #checkOutput(session: SessionId, events: ReadonlyArray<JournalEntry>): void {
    const output = outputOf(events)
    const printed = this.#programs().find((program) => program.session === session)?.printed ?? Buffer.alloc(0)
    if (!output.equals(printed.subarray(0, output.length))) throw new Error(`wrong output is served of ${session}`)
    events.forEach(({ sequence }, index) => {
      if (sequence !== index + 1) throw new Error(`${session}: ${sequence} is served in the place of ${index + 1}`)
    })
  }

  /** Answers how many failed appends are there. */
  async #check(): Promise<number> {
    let ghosts = 0
    for (const session of this.#sessions) {
      const events = await this.#eventsOf(session)
      const programs = this.#programs().filter((program) => program.session === session)
      const where = (what: string) => `${session}: ${what}`
      if (programs.length > 1) throw new Error(where(`${programs.length} programs were started`))
      if (events.length === 0) {
        if (this.#created.has(session)) throw new Error(where("it was created and is not there"))
        continue
      }
      this.#checkOutput(session, events)
      ghosts += this.#checkEvents(session, events, programs[0])
    }
    return ghosts
  }

  #checkEvents(session: SessionId, events: ReadonlyArray<JournalEntry>, program: SimulatedProgram | undefined): number {
    const where = (what: string) => new Error(`${session}: ${what}`)
    const keeper = this.#keepers.find(({ everStarted }) => program !== undefined && everStarted.includes(program))
    const closed = events.findIndex(({ event }) => event._tag === "SessionClosed")
    if (closed >= 0 && closed !== events.length - 1) throw where("something stands behind its last word")
    const isLost = events.at(-1)?.event._tag === "SessionLost"
    if (isLost && keeper?.isAlive === true) throw where("it is said to be lost, and its keeper lives")
    if (events.filter(({ event }) => event._tag === "ProcessStarted").length > 1) throw where("it was started twice")
    if (events.some(({ event }) => event._tag === "LimitReached")) throw where("a timeout fired")
    this.#backwards += events.filter(
      ({ timeMicros }, index) => timeMicros < (events[index - 1]?.timeMicros ?? 0)
    ).length
    const isStarted = events.some(({ event }) => event._tag === "ProcessStarted")
    if (this.#created.has(session) && closed < 0 && !isLost && !isStarted)
      throw where("its creation was acknowledged, and it was never started")
    if (program === undefined) return 0

    const output = outputOf(events)
    if (output.length < program.heldFrom)
      throw where(`${program.heldFrom - output.length} bytes were acknowledged to the keeper and are not there`)
    const gap = events.find(({ event }) => event._tag === "GapDetected" && event.what === "output")
    if (gap !== undefined) throw where("output is missing")
    if (closed >= 0 && keeper?.isAlive === true && output.length !== program.printed.length)
      throw where(`it was closed with ${output.length} of ${program.printed.length} bytes`)
    const last = events[closed]?.event
    if (last?._tag === "SessionClosed" && last.reason === "exited" && last.exitCode !== program.exit?.exitCode)
      throw where(`exit code ${last.exitCode} in the place of ${program.exit?.exitCode}`)

    const refused = new Set<number>()
    for (const { event } of events) {
      if (event._tag !== "GapDetected" || event.what !== "input") continue
      for (let at = event.from; at <= (event.to ?? at); at++) refused.add(at)
    }
    const typed = new Map(program.applied.map(({ bytes, sequence }) => [sequence, bytes]))
    if (typed.size !== program.applied.length) throw where("an input was typed twice")
    for (const [sequence, bytes] of typed) {
      const event = events[sequence - 1]?.event
      const isRight =
        event?._tag === "InputHidden" ||
        event?._tag === "InputClosed" ||
        (event?._tag === "InputWritten" && bytes.equals(event.data))
      if (!isRight) throw where(`what was typed as ${sequence} is not what the journal has`)
      if (refused.has(sequence)) throw where(`${sequence} is said to be missing, and was typed`)
    }
    const isLive = closed < 0 && !isLost
    let ghosts = 0
    const journaled = new Map<string, number>()
    for (const { event, sequence } of events) {
      if (event._tag !== "InputWritten") continue
      const text = Buffer.from(event.data).toString()
      journaled.set(text, (journaled.get(text) ?? 0) + (refused.has(sequence) ? 0 : 1))
      if (isLive && !typed.has(sequence) && !refused.has(sequence)) throw where(`${sequence} was never typed`)
    }
    const all = program.applied.map(({ bytes }) => bytes.toString())
    for (const { ack, commandId, isHidden, session: of, text } of this.#writes) {
      if (of !== session) continue
      const times = all.filter((one) => one === text).length
      if (times > 1) throw where(`${text} (${commandId ?? "no id"}) was typed ${times} times`)
      if ((journaled.get(text) ?? 0) > 1) throw where(`${text} (${commandId ?? "no id"}) is journaled twice`)
      if (ack === undefined) {
        ghosts += journaled.get(text) ?? 0
        continue
      }
      if (isHidden && times === 0 && isLive) throw where(`the secret ${text} was acknowledged and not typed`)
      if (isHidden) continue
      const event = events[ack.sequence - 1]?.event
      // A repeated command is answered with the event it caused first, which may be a hidden one.
      if (event?._tag === "InputHidden") continue
      if (event?._tag !== "InputWritten" || Buffer.from(event.data).toString() !== text)
        throw where(`${text} was acknowledged as ${ack.sequence}, which is ${event?._tag ?? "not there"}`)
      // Typed again after the connection broke, it can meet a full queue: that is told in the journal.
      if (isLive && times === 0 && !refused.has(ack.sequence)) throw where(`${text} was acknowledged and not typed`)
    }
    return ghosts
  }

  /** A keeper holds what lives, and nothing that has ended: an engine's start has cleared up. */
  async #checkHeld(): Promise<void> {
    for (const keeper of this.#keepers) {
      if (!keeper.isAlive) continue
      for (const { session, exit } of keeper.programs.values()) {
        const events = await this.#eventsOf(session)
        if (exit !== null || events.at(-1)?.event._tag === "SessionClosed")
          throw new Error(`${session} has ended and is still held by its keeper`)
      }
    }
  }
}

const fail = (message: string): never => {
  throw new Error(message)
}

/** What a client may be told while things fail; anything else is a defect. */
const EXPECTED = new Set([
  "SessionUnavailable",
  "SessionEnded",
  "SessionNotFound",
  "StorageUnavailable",
  "SpawnFailed",
  "InputRefused",
  "LimitExceeded",
  "Interrupt"
])

const tagOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return ""
  for (const reason of exit.cause.reasons) {
    if (reason._tag === "Fail") return String((reason.error as { readonly _tag?: unknown })._tag)
    if (reason._tag === "Interrupt") return "Interrupt"
  }
  return "Defect"
}

const outputOf = (events: ReadonlyArray<JournalEntry>): Buffer => {
  const parts: Array<Uint8Array> = []
  let offset = 0
  for (const { event } of events) {
    if (event._tag !== "OutputReceived" || event.channel !== "tty") continue
    if (event.offset !== offset) throw new Error(`output at byte ${event.offset} stands at byte ${offset}`)
    offset += event.data.length
    parts.push(event.data)
  }
  return Buffer.concat(parts)
}

/** The storage as an engine has it that can be killed: nothing that a dead one still asks is done or answered. */
const severable = (storage: Storage, isAlive: () => boolean, activity: () => void): Storage => {
  const living = async <A>(call: () => Promise<A>): Promise<A> => {
    activity()
    const answer = isAlive() ? await call() : undefined
    activity()
    return isAlive() ? (answer as A) : new Promise<A>(() => {})
  }
  return {
    batch: (operations) => living(() => storage.batch(operations)),
    range: (options) => living(() => storage.range(options)),
    reopen: () => living(() => storage.reopen()),
    close: () => living(() => storage.close())
  }
}
