/** Memory that an idle process gives back, in a process of its own that says how large its heap is. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { afterEach, assert, describe, it } from "vitest"

const idleMemory = join(import.meta.dirname, "../../src/keeper/IdleMemory.ts")
const GARBAGE_MIB = 40
/** Twice as long as it takes; a busy machine needs more. */
const WAIT_MILLIS = 20_000

/** Makes garbage, then idles or does not; prints MiB of heap each 200 ms, and `released` when it was asked to. */
const program = (isBusy: boolean) => `
import { collectWhenIdle } from ${JSON.stringify(idleMemory)}
collectWhenIdle(() => console.log("released"))
let garbage = Array.from({ length: ${GARBAGE_MIB} }, () => new Array(128 * 1024).fill(0))
const heap = () => process.memoryUsage().heapTotal / 2 ** 20
console.log("full", heap())
garbage = null
setInterval(() => console.log("now", heap()), 200)
if (${isBusy}) setInterval(() => { for (const end = performance.now() + 5; performance.now() < end; ); }, 20)
`

let child: ChildProcess | undefined
const lines = (isBusy: boolean, onLine: (line: string) => boolean): Promise<boolean> =>
  new Promise((resolve, reject) => {
    child = spawn(process.execPath, ["--input-type=module", "--eval", program(isBusy)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const timer = setTimeout(() => resolve(false), WAIT_MILLIS)
    child.once("error", reject)
    let text = ""
    child.stdout!.setEncoding("utf8").on("data", (part: string) => {
      text += part
      const whole = text.split("\n")
      text = whole.pop()!
      if (!whole.some(onLine)) return
      clearTimeout(timer)
      resolve(true)
    })
  })

describe("IdleMemory", () => {
  afterEach(async () => {
    const ended = new Promise((resolve) => child?.once("exit", resolve))
    if (child?.kill("SIGKILL") === true) await ended
  })

  it("gives back what a burst of work left behind once the process is idle", { timeout: 30_000 }, async () => {
    let full = 0
    let released = false
    const shrank = await lines(false, (line) => {
      const [what, mib] = line.split(" ")
      if (what === "full") full = Number(mib)
      if (what === "released") released = true
      return what === "now" && Number(mib) < full - GARBAGE_MIB * 0.75
    })
    assert.isAtLeast(full, GARBAGE_MIB)
    assert.isTrue(shrank)
    assert.isTrue(released)
  })

  it("stops no process that is at work", async () => {
    let looks = 0
    // 5 s: two looks and more.
    const isOver = await lines(true, (line) => line === "released" || (line.startsWith("now") && ++looks === 25))
    assert.isTrue(isOver)
    assert.strictEqual(looks, 25)
  })
})
