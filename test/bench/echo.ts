/**
 * Keystroke to echo: a character typed into a terminal until the program's answer is back, for raw node-pty and for a
 * client of the engine's Unix socket (written, journaled, typed, read, journaled, followed). In turn, in blocks, each in
 * a process of its own.
 */
import { figure, percentile, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

/** 1,000 keystrokes for each way. */
const BLOCKS = 4
const KEYS_PER_BLOCK = 250
const AIM_MILLIS = 1

export const echo = async (workspace: Workspace): Promise<Report> => {
  const store = new Store(workspace, workspace.newFolder("echo"))
  await store.start()
  const keys = String(KEYS_PER_BLOCK)
  const raw: Array<number> = []
  const reprise: Array<number> = []
  const add = async (samples: Array<number>, program: string, args: ReadonlyArray<string>) => {
    samples.push(...(await workspace.program<{ samples: Array<number> }>(program, args)).samples)
  }
  for (let block = 0; block < BLOCKS; block++) {
    await add(raw, "rawPty", ["echo", keys])
    await add(reprise, "engineClient", ["echo", store.paths.store, keys])
  }
  await store.stop()
  const row = (name: string, samples: ReadonlyArray<number>) => [
    name,
    ...[0.5, 0.9, 0.99, 1].map((share) => figure(percentile(samples, share)))
  ]
  const p50 = percentile(reprise, 0.5)
  return {
    tables: [
      {
        title: "Keystroke to echo, milliseconds",
        columns: ["way", "p50", "p90", "p99", "max"],
        rows: [row("raw node-pty", raw), row("reprise, through the socket", reprise)]
      }
    ],
    aims: [{ aim: `echo p50 is below ${AIM_MILLIS} ms`, measured: `${figure(p50)} ms`, holds: p50 < AIM_MILLIS }],
    notes: [`${BLOCKS} blocks of ${KEYS_PER_BLOCK} keystrokes for each way, in turn, to cat in a raw terminal`]
  }
}
