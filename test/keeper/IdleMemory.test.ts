/** Memory that an idle process gives back, in a process of its own that says how large its heap is. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "vitest"

const libc = join(import.meta.dirname, "../../src/keeper/Libc.ts")
const idleMemory = join(import.meta.dirname, "../../src/keeper/IdleMemory.ts")
const GARBAGE_MIB = 40
/** Twice as long as it takes; a busy machine needs more. */
const WAIT_MILLIS = 150_000

/** Makes garbage, then idles or does not; prints MiB of heap each 200 ms, and `released` when it was asked to. */
const program = (isBusy: boolean) => `
import { collectWhenIdle } from ${JSON.stringify(idleMemory)}
collectWhenIdle(() => console.log("released"))
let garbage = Array.from({ length: ${GARBAGE_MIB} }, () => new Array(128 * 1024).fill(0))
const heap = () => process.memoryUsage().heapTotal / 2 ** 20
console.log("full", heap())
garbage = null
setInterval(() => console.log("now", heap()), 200)
// Once is enough to be at work: a machine that stands still may leave no more than that between two looks.
if (${isBusy}) setInterval(() => { for (const end = performance.now() + 12; performance.now() < end; ); }, 50)
`

/**
 * As an output's memory: many blocks, of which V8 frees all but the last when the process is still at work. glibc puts what
 * is smaller than its limit side by side and gives nothing of it back. Prints MiB of RSS.
 */
const freedByV8 = (blockBytes: number, body: string) => `
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { collectWhenIdle } from ${JSON.stringify(idleMemory)}
import { libc } from ${JSON.stringify(libc)}
const resident = () => process.memoryUsage.rss() / 2 ** 20
setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc")
const fill = () => Array.from({ length: ${GARBAGE_MIB} * 2 ** 20 / ${blockBytes} }, () => Buffer.allocUnsafeSlow(${blockBytes}).fill(1))
let kept = []
const burst = (done) => {
  let garbage = fill()
  kept.push(garbage.at(-1))
  console.log("full", resident())
  garbage = null
  collect()
  // What it freed is freed by threads, and counted at the next collection.
  setTimeout(() => { collect(); console.log("freed", resident()); done() }, 500)
}
${body}
`

/** Whether a line of it was what is waited for; the process is gone afterwards. */
const lines = (isBusy: boolean, onLine: (line: string) => boolean) => linesOf(program(isBusy), onLine)
const linesOf = async (text: string, onLine: (line: string) => boolean): Promise<boolean> => {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", text], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const ended = new Promise((resolve) => child.once("exit", resolve))
  const found = await new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => resolve(false), WAIT_MILLIS)
    child.once("error", reject)
    let rest = ""
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      rest += part
      const whole = rest.split("\n")
      rest = whole.pop()!
      if (!whole.some(onLine)) return
      clearTimeout(timer)
      resolve(true)
    })
  })
  if (child.kill("SIGKILL")) await ended
  return found
}

// They mostly wait, each for a process of its own.
describe.concurrent("IdleMemory", () => {
  it("gives back what a burst of work left behind once the process is idle", async () => {
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

  it("gives back what V8 had collected before, and the C library kept", async () => {
    // The first time it is idle it collects whatever there is, and gives it back half a second later: the burst comes then.
    const body = `
setInterval(() => console.log("now", resident()), 1000)
collectWhenIdle(() => { if (kept.length === 0) setTimeout(() => burst(() => {}), 1000) })
`
    let full = 0
    const shrank = await linesOf(freedByV8(60 * 1024, body), (line) => {
      const [what, mib] = line.split(" ")
      if (what === "full") full = Number(mib)
      return what === "now" && Number(mib) < full - GARBAGE_MIB * 0.75
    })
    assert.isTrue(shrank)
  })

  it("blocks that are pages of their own go back while the process is at work", async () => {
    let full = 0
    let freed = Number.POSITIVE_INFINITY
    const body = "libc().returnBlocksFrom(96 * 1024); burst(() => { kept = []; console.log('over') })"
    await linesOf(freedByV8(126 * 1024, body), (line) => {
      const [what, mib] = line.split(" ")
      if (what === "full") full = Number(mib)
      if (what === "freed") freed = Number(mib)
      return what === "over"
    })
    assert.isBelow(freed, full - GARBAGE_MIB * 0.75)
  })
})
