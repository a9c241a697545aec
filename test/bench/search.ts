/**
 * Rare words in a session of `bytes`, and in 1,000 short sessions, beside `grep -a` over a typescript of the same bytes: through
 * a running engine, with the journal open in the process that asks, and as the command. Making the index is timed too.
 */
import { rmSync } from "node:fs"
import { figure, median, percentile, type Report } from "./Report.ts"
import { commandLine, Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

const SHORT_SESSIONS = 1000
const GREPS = 5
const COMMANDS = 5
const AIM_MILLIS = 200
const BYTES_PER_MB = 1e6

interface Built {
  readonly id: string
  readonly bytes: number
  readonly needles: ReadonlyArray<string>
  readonly short: ReadonlyArray<string>
}

interface Asked {
  readonly firstMillis: number
  readonly firstCpuMillis: number
  readonly millis: ReadonlyArray<number>
  readonly found: ReadonlyArray<number>
  readonly indexBytes?: number
}

export const search = async (workspace: Workspace, bytes: number): Promise<Report> => {
  const store = new Store(workspace, workspace.newFolder("search"))
  const typescript = workspace.path("typescript")
  const { store: folder } = store.paths
  const built = await workspace.program<Built>("searchStore", [
    folder,
    String(bytes),
    String(SHORT_SESSIONS),
    typescript
  ])
  const withoutIndex = store.journalBytes()
  const ask = (through: "engine" | "journal", session: string, words: ReadonlyArray<string>) =>
    workspace.program<Asked>("searchClient", [folder, through, session, ...words])
  const short = built.short.slice(0, 20)
  const indexing = await ask("journal", built.id, built.needles)
  const indexingShort = await ask("journal", "-", short)
  await store.start()
  const engine = await ask("engine", built.id, built.needles)
  const engineAll = await ask("engine", "-", [...built.needles, ...short])
  await store.stop()
  const withIndex = store.journalBytes()

  const timed = async (command: string, args: ReadonlyArray<string>) => {
    const { code, millis } = await workspace.run(command, args, {
      env: { ...workspace.environment, REPRISE_HOME: folder }
    })
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`)
    return millis
  }
  const greps: Array<number> = []
  const commands: Array<number> = []
  for (const word of built.needles.slice(0, Math.max(GREPS, COMMANDS))) {
    if (greps.length < GREPS) greps.push(await timed("grep", ["-a", word, typescript]))
    if (commands.length < COMMANDS) {
      commands.push(await timed(process.execPath, [commandLine, "search", word, "--session", built.id]))
    }
  }
  rmSync(typescript)

  const wrong = [engine, engineAll, indexing, indexingShort].some(({ found }) => found.some((count) => count !== 1))
  if (wrong) throw new Error("search: a word was not found once")
  const row = (name: string, samples: ReadonlyArray<number>) => [
    name,
    figure(median(samples)),
    figure(percentile(samples, 0.95)),
    figure(Math.max(...samples))
  ]
  const size = `${figure(built.bytes / BYTES_PER_MB)} MB`
  const p95 = percentile(engine.millis, 0.95)
  return {
    tables: [
      {
        title: `A rare word, milliseconds: one session of ${size}, ${SHORT_SESSIONS} of 8 KiB`,
        columns: ["way", "p50", "p95", "max"],
        rows: [
          row("long session, through the engine", engine.millis),
          row("the first one after its start", [engine.firstMillis]),
          row("long session, journal open", indexing.millis),
          row("all sessions, through the engine", engineAll.millis),
          row("all sessions, journal open", indexingShort.millis),
          row("long session, `reprise search`, no engine", commands),
          row("`grep -a` over a typescript", greps)
        ]
      },
      {
        title: "The index",
        columns: ["session", "first search, s", "MB/s", "CPU, s", "rows, MB"],
        rows: [
          [
            size,
            figure(indexing.firstMillis / 1000),
            figure(built.bytes / BYTES_PER_MB / (indexing.firstMillis / 1000)),
            figure(indexing.firstCpuMillis / 1000),
            figure((indexing.indexBytes ?? 0) / BYTES_PER_MB)
          ],
          [
            `${SHORT_SESSIONS} of 8 KiB`,
            figure(indexingShort.firstMillis / 1000),
            "-",
            figure(indexingShort.firstCpuMillis / 1000),
            figure(((indexingShort.indexBytes ?? 0) - (indexing.indexBytes ?? 0)) / BYTES_PER_MB)
          ]
        ]
      }
    ],
    aims: [
      {
        aim: `a rare word in ${size}, through a running engine: p95 within ${AIM_MILLIS} ms`,
        measured: `${figure(p95)} ms`,
        holds: p95 < AIM_MILLIS
      }
    ],
    notes: [
      `files of the journal: ${figure(withoutIndex / BYTES_PER_MB)} MB before, ${figure(withIndex / BYTES_PER_MB)} MB with the index`,
      "a first search reads everything and makes the index; typescript in the page cache, journal too"
    ]
  }
}
