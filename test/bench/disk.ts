/** Bytes on disk for each byte of a session's output, while the engine runs and after a clean stop. */
import { rmSync } from "node:fs"
import { writeIncompressible, writeLogLines } from "./logLines.ts"
import { figure, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import { LOG_BYTES } from "./throughput.ts"
import type { Workspace } from "./Workspace.ts"

const RANDOM_BYTES = 20_000_000
const BYTES_PER_MB = 1e6

export const disk = async (workspace: Workspace): Promise<Report> => {
  const row = async (name: string, write: typeof writeLogLines, bytes: number) => {
    const sample = write(workspace.path("disk.sample"), bytes)
    const store = new Store(workspace, workspace.newFolder("disk"))
    await store.start()
    const { intact, outputBytes } = await workspace.program<{ outputBytes: number; intact: boolean }>("engineClient", [
      "flood",
      store.paths.store,
      sample.terminalSha256,
      "cat",
      sample.file
    ])
    if (!intact) throw new Error(`${name}: the journal gives other bytes than the program printed`)
    const running = store.journalBytes()
    await store.stop()
    const stopped = store.journalBytes()
    rmSync(store.paths.store, { recursive: true, force: true })
    rmSync(sample.file)
    const megabytes = [outputBytes, running, stopped].map((bytes) => figure(bytes / BYTES_PER_MB))
    return [name, ...megabytes, figure(running / outputBytes), figure(stopped / outputBytes)]
  }
  return {
    tables: [
      {
        title: "Bytes in the journal's folder",
        columns: ["output", "MB printed", "MB, running", "MB, stopped", "a byte, running", "a byte, stopped"],
        rows: [
          await row("coloured log lines", writeLogLines, LOG_BYTES),
          await row("random bytes", writeIncompressible, RANDOM_BYTES)
        ]
      }
    ],
    aims: [],
    notes: ["LevelDB's write-ahead log, up to 8 MiB, is counted; it stays after a clean stop"]
  }
}
