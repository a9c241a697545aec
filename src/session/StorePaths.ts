/**
 * Where a store keeps its things. One place, so that engine, keeper and CLI agree. Computes paths; creates nothing.
 *
 *   STORE/            0700
 *     journal/        the journal (StoreGuard.ts)
 *     config.json     what its engine may do (EngineConfig.ts); written by people, absent in most stores
 *     evidence.key    0600, what signs the evidence (src/evidence/Keys.ts); made at the first seal
 *     engine.log      what the background engine has to say
 *   RUN/              0700: STORE/run, or /tmp/reprise-UID/DIGEST when that path is too long for a socket
 *     engine.sock     0600
 *     keepers/ID.sock 0600
 *     exec/ID/        0700: pipes and helper files of the shell of one exec session
 */
import { userInfo } from "node:os"
import { join, resolve } from "node:path"
import type { StoreKeySource } from "../../journal/StoreKey.ts"

/** sockaddr_un holds 108 bytes on Linux and 104 on macOS, with a final NUL; Node 20 cut longer ones without a word. */
export const SOCKET_PATH_BYTES_MAX = 103
/** `keepers/` and a ULID and `.sock` are the longest name below RUN. */
const LONGEST_NAME_BYTES = "/keepers/01ARZ3NDEKTSV4RRFFQ69G5FAV.sock".length

export interface StorePaths {
  readonly store: string
  readonly journal: string
  readonly config: string
  readonly evidenceKey: string
  readonly log: string
  readonly run: string
  readonly engineSocket: string
  readonly keepers: string
  readonly exec: string
  /** Where the key of an encrypted store is; it lies outside of the store. */
  readonly key: StoreKeySource | undefined
}

/** REPRISE_STORE_KEY_FILE, else REPRISE_STORE_KEY_COMMAND; empty ones count as none. */
export const defaultKey = (env: Readonly<Record<string, string | undefined>>): StoreKeySource | undefined => {
  if (env.REPRISE_STORE_KEY_FILE) return { file: resolve(env.REPRISE_STORE_KEY_FILE) }
  return env.REPRISE_STORE_KEY_COMMAND ? { command: env.REPRISE_STORE_KEY_COMMAND } : undefined
}

/** The default store: REPRISE_HOME, else XDG_STATE_HOME/reprise, else ~/.local/state/reprise. */
export const defaultStore = (env: Readonly<Record<string, string | undefined>>): string => {
  if (env.REPRISE_HOME) return resolve(env.REPRISE_HOME)
  if (env.XDG_STATE_HOME) return resolve(env.XDG_STATE_HOME, "reprise")
  return resolve(env.HOME || userInfo().homedir, ".local/state/reprise")
}

export const storePaths = (store: string, key?: StoreKeySource | undefined): StorePaths => {
  const absolute = resolve(store)
  const inside = join(absolute, "run")
  const fits = Buffer.byteLength(inside) + LONGEST_NAME_BYTES <= SOCKET_PATH_BYTES_MAX
  // The same store must give the same folder for every client, so nothing but its path and the user goes in, who may have no account.
  const run = fits ? inside : join("/tmp", `reprise-${process.getuid?.() ?? userInfo().uid}`, digest(absolute))
  return {
    store: absolute,
    journal: join(absolute, "journal"),
    config: join(absolute, "config.json"),
    evidenceKey: join(absolute, "evidence.key"),
    log: join(absolute, "engine.log"),
    run,
    engineSocket: join(run, "engine.sock"),
    keepers: join(run, "keepers"),
    exec: join(run, "exec"),
    key
  }
}

const digest = (text: string): string => {
  // Loaded only where it is needed: it costs every other command 10 ms of its start.
  const { createHash } = process.getBuiltinModule("node:crypto")
  return createHash("sha256").update(text).digest("hex").slice(0, 16)
}
