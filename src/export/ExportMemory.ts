/**
 * Keeps a process that streams an export small, however long the session is. What passes through it is memory of buffers and
 * of LevelDB, which V8 hardly counts: left alone it collects after a hundred megabytes of them. And LevelDB maps the tables
 * that it reads, and keeps them. `reprise export` uses it; an engine, which has other things to do, does not.
 */
import { readFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { libc } from "../keeper/Libc.ts"

/** Of output that was read, between two collections of what died young: some milliseconds each. */
const COLLECT_BYTES = 16 * 1024 * 1024
/** Each so many of them is one of everything, for what LevelDB's own objects hold: some 30 ms. */
const WHOLE_COLLECTIONS = 4

type Collect = (options: { readonly type: "minor" | "major"; readonly execution: "sync" }) => void

/** To be told of the bytes that were read, while an export goes on. */
export const makeCollector = (): ((bytes: number) => void) => {
  let collect: Collect | undefined
  let collections = 0
  let bytes = 0
  return (read) => {
    bytes += read
    if (bytes < COLLECT_BYTES) return
    bytes = 0
    collect ??= collector()
    const isWhole = ++collections % WHOLE_COLLECTIONS === 0
    collect({ type: isWhole ? "major" : "minor", execution: "sync" })
    if (isWhole) giveBackTables()
  }
}

const collector = (): Collect => {
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc") as Collect
}

const TABLE_MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r--s .*\/db\/\d+\.ldb$/gm

/** Tables are read from beginning to end: what was read is not wanted again. */
const giveBackTables = (): void => {
  let mappings: string
  try {
    mappings = readFileSync("/proc/self/maps", "latin1")
  } catch {
    return
  }
  for (const [, from = "", to = ""] of mappings.matchAll(TABLE_MAPPING)) {
    const address = Number.parseInt(from, 16)
    libc().pageOut(address, Number.parseInt(to, 16) - address)
  }
  libc().trimHeap()
}
