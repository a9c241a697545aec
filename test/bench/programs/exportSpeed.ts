/**
 * Writes a session of a store to a file in one format, as `reprise export` does without an engine, and says how long that
 * took and how much memory it had at most. One process for each, so that the memory is that of one export alone.
 */
import { readFileSync } from "node:fs"
import { Effect } from "effect"
import { layer } from "../../../cli/LocalStore.ts"
import type { SessionId } from "../../../journal/Event.ts"
import { exportFolder, exportFormat, exportSession, folderFormat } from "../../../src/export/Export.ts"
import { writeExport, writeExportFolder } from "../../../src/export/ExportFile.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"

const [store = "", session = "", name = "", out = ""] = process.argv.slice(2)
const id = session as SessionId
const format = exportFormat(name)
const folder = folderFormat(name)
const began = performance.now()
// Pages of the store's own files count as this process's while it has them mapped, and cost no memory of their own.
let ownKibibytes = 0
const look = () => {
  const own = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
  ownKibibytes = Math.max(ownKibibytes, Number(own))
}
const looking = setInterval(look, 20)
const write =
  format !== undefined ? writeExport(out, exportSession(id, format)) : writeExportFolder(out, exportFolder(id, folder!))
await Effect.runPromise(write.pipe(Effect.provide(layer(storePaths(store)))))
const millis = performance.now() - began
const { system, user } = process.cpuUsage()
const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
clearInterval(looking)
const cpuMillis = (user + system) / 1000
process.stdout.write(
  JSON.stringify({ millis, cpuMillis, peakBytes: Number(peak) * 1024, ownBytes: ownKibibytes * 1024 })
)
