/**
 * Code that was compiled once is kept for the next start of the same program (a third of what a start costs). It lies in the user's
 * cache folder, for the user alone, outside every store: it is neither data nor shared. It must parse on an older Node.
 */
import { mkdirSync } from "node:fs"
import * as nodeModule from "node:module"
import { userInfo } from "node:os"
import { join } from "node:path"

/** After the start: by then what a start runs is compiled, and what the first requests run. */
const WRITE_DELAY_MILLIS = 3000

/** For a process that stays and may be killed: what was compiled is also written while it runs. */
export const writeCompiledCodeSoon = (): void => {
  setTimeout(() => nodeModule.flushCompileCache?.(), WRITE_DELAY_MILLIS).unref()
}

/** For what is loaded from here on. Written when the process ends. */
export const keepCompiledCode = (): void => {
  try {
    const caches = process.env.XDG_CACHE_HOME || join(process.env.HOME || userInfo().homedir, ".cache")
    const cache = join(caches, "reprise", "compiled")
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    nodeModule.enableCompileCache?.(cache)
  } catch {
    // No home, or one that cannot be written to: every start is slower, nothing else.
  }
}
