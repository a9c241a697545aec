/**
 * Clients of a tmux server, attached in terminals of their own: what the doors of reprise are compared with. Run as
 * `tmuxClient.ts roundTrip SOCKET SESSION COUNT` or `tmuxClient.ts attach SOCKET SESSION CLIENTS`, which says `ready` when
 * all have drawn something and reads all they are sent until its standard input ends; prints one line of JSON.
 */
import { type IPty, spawn } from "node-pty"
import { sendAndWait } from "./messages.ts"

const [command, socket, session, count] = process.argv.slice(2)

const attach = (): { readonly terminal: IPty; readonly onBytes: (listener: (bytes: Buffer) => void) => void } => {
  const { TMUX: _inside, ...env } = process.env
  const terminal = spawn("tmux", ["-S", socket!, "-u", "attach", "-t", session!], {
    encoding: null,
    cols: 80,
    rows: 24,
    cwd: "/",
    env: { ...env, TERM: "xterm-256color" }
  })
  // With `encoding: null` these are bytes, whatever the types say.
  return { terminal, onBytes: terminal.onData as unknown as (listener: (bytes: Buffer) => void) => void }
}

const roundTrip = async (): Promise<object> => {
  const { onBytes, terminal } = attach()
  // tmux acknowledges nothing.
  const samples = await sendAndWait(Number(count), onBytes, async (bytes) => terminal.write(Buffer.from(bytes)))
  terminal.kill("SIGKILL")
  return samples
}

const attachAll = async (): Promise<object> => {
  let bytes = 0
  const clients = Array.from({ length: Number(count) }, attach)
  await Promise.all(
    clients.map(
      ({ onBytes }) =>
        new Promise<void>((resolve) =>
          onBytes((data) => {
            bytes += data.length
            resolve()
          })
        )
    )
  )
  process.stdout.write("ready\n")
  await new Promise((resolve) => process.stdin.once("end", resolve).resume())
  for (const { terminal } of clients) terminal.kill("SIGKILL")
  return { bytes }
}

const result = command === "roundTrip" ? await roundTrip() : await attachAll()
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
