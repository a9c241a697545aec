/**
 * Keystroke to echo: a character typed into a terminal until the program's answer is back, for raw node-pty and for a
 * client of the engine's Unix socket (written, journaled, typed, read, journaled, followed), alone and beside a hostile
 * session whose screen somebody looks at. In turn, in blocks, each in a process of its own.
 */
import { figure, percentile, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

/** 1,000 keystrokes for each way. */
const BLOCKS = 4
const KEYS_PER_BLOCK = 250
const AIM_MILLIS = 1
/** For the slowest echo beside a hostile session: what a person does not notice yet. */
const HOSTILE_AIM_MILLIS = 50

export const echo = async (workspace: Workspace): Promise<Report> => {
  const store = new Store(workspace, workspace.newFolder("echo"))
  await store.start()
  const keys = String(KEYS_PER_BLOCK)
  const raw: Array<number> = []
  const reprise: Array<number> = []
  const besideHostile: Array<number> = []
  let looks = 0
  const add = async (samples: Array<number>, program: string, args: ReadonlyArray<string>) => {
    const block = await workspace.program<{ samples: Array<number>; looks?: number }>(program, args)
    samples.push(...block.samples)
    looks += block.looks ?? 0
  }
  for (let block = 0; block < BLOCKS; block++) {
    await add(raw, "rawPty", ["echo", keys])
    await add(reprise, "engineClient", ["echo", store.paths.store, keys])
    await add(besideHostile, "engineClient", ["echo", store.paths.store, keys, "hostile"])
  }
  await store.stop()
  const row = (name: string, samples: ReadonlyArray<number>) => [
    name,
    ...[0.5, 0.9, 0.99, 1].map((share) => figure(percentile(samples, share)))
  ]
  const p50 = percentile(reprise, 0.5)
  const slowest = percentile(besideHostile, 1)
  return {
    tables: [
      {
        title: "Keystroke to echo, milliseconds",
        columns: ["way", "p50", "p90", "p99", "max"],
        rows: [
          row("raw node-pty", raw),
          row("reprise, through the socket", reprise),
          row("reprise, beside a hostile session", besideHostile)
        ]
      }
    ],
    aims: [
      { aim: `echo p50 is below ${AIM_MILLIS} ms`, measured: `${figure(p50)} ms`, holds: p50 < AIM_MILLIS },
      {
        aim: `beside a hostile session every echo takes less than ${HOSTILE_AIM_MILLIS} ms`,
        measured: `${figure(slowest)} ms`,
        holds: slowest < HOSTILE_AIM_MILLIS
      }
    ],
    notes: [
      `${BLOCKS} blocks of ${KEYS_PER_BLOCK} keystrokes for each way, in turn, to cat in a raw terminal`,
      `the hostile session prints "a ESC [ 2147483647 b" 50 times a second; its screen was looked at ${looks} times`
    ]
  }
}
