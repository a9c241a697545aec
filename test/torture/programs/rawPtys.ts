/**
 * node-pty as it is, beside which fast exits are counted: runs `seq 1 LAST` again and again, 8 at once, and prints how many
 * gave less than all of it. Arguments: LAST, how many, for how many milliseconds each is paused from its start on (0: not).
 */
import { setTimeout as sleep } from "node:timers/promises"
import { spawn } from "node-pty"

const AT_ONCE = 8

const [last = "1", times = "1", pauseMillis = "0"] = process.argv.slice(2)
const expected = Array.from({ length: Number(last) }, (_, i) => `${i + 1}\r\n`).join("").length
let left = Number(times)
let short = 0

const runOnce = () =>
  new Promise<void>((resolve) => {
    const terminal = spawn("seq", ["1", last], { encoding: null, cols: 80, rows: 24, cwd: "/" })
    let bytes = 0
    // With `encoding: null` these are bytes, whatever the types say.
    ;(terminal.onData as unknown as (listener: (bytes: Buffer) => void) => void)((data) => {
      bytes += data.length
    })
    if (Number(pauseMillis) > 0) {
      terminal.pause()
      void sleep(Number(pauseMillis)).then(() => terminal.resume())
    }
    terminal.onExit(() => {
      if (bytes < expected) short++
      resolve()
    })
  })

const worker = async () => {
  while (left-- > 0) await runOnce()
}

await Promise.all(Array.from({ length: AT_ONCE }, worker))
process.stdout.write(`${JSON.stringify({ short })}\n`, () => process.exit(0))
