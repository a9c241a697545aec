/**
 * One round against a real engine and real programs while storage and sockets fail: a program that counts and repeats what it is
 * given, a client that types numbered lines until each is acknowledged, engines that end and start. It goes on until enough
 * has failed. Then nothing fails any more, and every line must have been typed once, in order, and every byte of output be
 * in the journal. Rejects with what is not as promised.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { Exit } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { HANG_MILLIS } from "./Campaign.ts"
import { oneIn } from "./FaultPlan.ts"
import { FaultyEngine } from "./FaultyEngine.ts"

/** A line every few milliseconds until it is told the end, and each line that it is given, in between. */
const PROGRAM = [
  "stty -echo; trap 'stop=1' USR1; exec 3<&0",
  'while read -r typed; do [ "$typed" = end ] && { kill -USR1 $$; break; }; echo "got $typed"; done <&3 & exec 3<&-',
  'i=0; while [ -z "$stop" ]; do i=$((i+1)); echo "line $i"; sleep 0.003; done',
  'echo "last $i"; exit 7'
].join("\n")

/** A silent keeper is given up after 10 s, and a loaded machine is slow by itself. */
const ANSWER_MILLIS_MAX = 10_000 + 4 * HANG_MILLIS

export interface RoundResult {
  readonly faults: number
  readonly typed: number
  readonly hangs: number
}

/** How many calls of storage and sockets a line takes is the kernel's and the machine's: some rounds need more of them. */
const LINES_FACTOR_MAX = 20

/** Types `linesMin` lines, and more while fewer than `faultsMin` faults have happened. */
export const faultyRound = async (seed: number, linesMin: number, faultsMin: number): Promise<RoundResult> => {
  const random = seededRandom(seed)
  const engine = new FaultyEngine({ seed, storage: oneIn(10), socket: oneIn(40) })
  const id = `01FAVXTYRAVND0000000${String(seed % 1_000_000).padStart(6, "0")}` as SessionId
  let hangs = 0
  /** Until it is said to be done. */
  const insist = async <A>(what: string, ask: () => Promise<Exit.Exit<A, unknown>>): Promise<A> => {
    for (let attempt = 0; ; attempt++) {
      const before = performance.now()
      const exit = await ask()
      const millis = performance.now() - before
      if (millis > ANSWER_MILLIS_MAX) {
        hangs++
        console.error(`seed ${seed}: ${what} was answered after ${Math.round(millis)} ms: ${exit._tag}`)
      }
      if (Exit.isSuccess(exit)) return exit.value
      if (attempt > 2000) throw new Error(`seed ${seed}: ${what} does not succeed: ${String(exit.cause)}`)
      await sleep(5)
    }
  }
  const type = (line: string) =>
    insist(`typing ${line}`, () =>
      engine.run(Sessions.use((sessions) => sessions.write(id, Buffer.from(`${line}\n`), { commandId: line })))
    )
  try {
    await engine.start()
    await insist("creating", () =>
      engine.run(Sessions.use((sessions) => sessions.create({ id, argv: ["bash", "-c", PROGRAM], cwd: "/" })))
    )
    let lines = 0
    while (lines < linesMin || (engine.plan.faults < faultsMin && lines < LINES_FACTOR_MAX * linesMin)) {
      await type(`typed-${lines++}`)
      if (random.below(15) > 0) continue
      await engine.stop()
      await engine.start()
    }
    const { faults } = engine.plan
    engine.plan.stop()
    await type("end")
    let output = ""
    for (const since = performance.now(); !/^last \d+\r$/m.test(output); await sleep(20)) {
      output = (await engine.outputOf(id))?.toString("latin1") ?? ""
      if (performance.now() - since > ANSWER_MILLIS_MAX)
        throw new Error(`seed ${seed}: the program's last word is not in the journal: ${output.slice(-200)}`)
    }
    const counted = [...output.matchAll(/^line (\d+)\r$/gm)].map((match) => Number(match[1]))
    const last = Number(/^last (\d+)\r$/m.exec(output)![1])
    const isWhole = counted.length === last && counted.every((number, index) => number === index + 1)
    if (!isWhole) throw new Error(`seed ${seed}: ${counted.length} of ${last} lines are in the journal`)
    const got = [...output.matchAll(/^got typed-(\d+)\r$/gm)].map((match) => Number(match[1]))
    const isTyped = got.length === lines && got.every((number, index) => number === index)
    if (!isTyped) throw new Error(`seed ${seed}: typed were ${JSON.stringify(got)} of ${lines}`)
    return { faults, typed: lines, hangs }
  } finally {
    await engine.dispose()
  }
}
