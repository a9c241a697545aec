/**
 * node-pty as it is, with nothing around it: what reprise is compared with. Run as `rawPty.ts flood PROGRAM…` or
 * `rawPty.ts echo COUNT`; prints one line of JSON. It guards against none of node-pty's ways to lose output, so what it
 * received is told beside the time.
 */
import { spawn } from "node-pty"
import { ECHO_PROGRAM, typeAndWait } from "./keystrokes.ts"

const open = (argv: ReadonlyArray<string>) => {
  const terminal = spawn(argv[0]!, argv.slice(1), { encoding: null, cols: 80, rows: 24, cwd: "/" })
  // With `encoding: null` these are bytes, whatever the types say.
  return { terminal, onBytes: terminal.onData as unknown as (listener: (bytes: Buffer) => void) => void }
}

const flood = (argv: ReadonlyArray<string>) =>
  new Promise<object>((resolve) => {
    const start = performance.now()
    const { onBytes, terminal } = open(argv)
    let outputBytes = 0
    onBytes((bytes) => {
      outputBytes += bytes.length
    })
    terminal.onExit(() => resolve({ millis: performance.now() - start, outputBytes }))
  })

const echo = async (count: number): Promise<object> => {
  const { onBytes, terminal } = open(ECHO_PROGRAM)
  const samples = await typeAndWait(count, onBytes, (bytes) => terminal.write(Buffer.from(bytes)))
  terminal.kill("SIGKILL")
  return { samples }
}

const [command, ...rest] = process.argv.slice(2)
const result = command === "echo" ? await echo(Number(rest[0])) : await flood(rest)
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
