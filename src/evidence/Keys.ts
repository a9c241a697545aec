/**
 * The key that signs the evidence of a store: made when it is first needed, kept in the store's folder for its user alone.
 * Its name is the origin of the store's log and says which store it is. Sealing and `reprise keys` use it; it signs nothing.
 */
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { ulid } from "ulid"
import { StoreRefused } from "../../journal/JournalError.ts"
import { syncFolder } from "../../journal/JournalWriter.ts"
import { generateSigner, parseSignerKey, type Signer, signerKey, verifierKey } from "../../journal/SignedNote.ts"
import { checkPrivateFolder } from "../../journal/StoreGuard.ts"
import type { StorePaths } from "../session/StorePaths.ts"

export interface StoreKey {
  /** Its name is the origin: `reprise.local/<ULID>`. */
  readonly signer: Signer
  readonly madeMillis: number
}

const ORIGIN_PREFIX = "reprise.local/"
/** A key file has some 200. */
const KEY_FILE_BYTES_MAX = 4096

const refuse = (path: string, reason: StoreRefused["reason"], detail: string) =>
  new StoreRefused({ path, reason, detail })

/** undefined: there is none yet. Throws StoreRefused for a file that others can read, own or made, and for one that is no key. */
export const readKey = ({ evidenceKey }: StorePaths): StoreKey | undefined => readKeyFile(evidenceKey)

const readKeyFile = (path: string): StoreKey | undefined => {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    if (code === "ELOOP") throw refuse(path, "symlink", "is a symbolic link; put the key itself there")
    throw refuse(path, "permissions", `cannot be read: ${message}`)
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size > KEY_FILE_BYTES_MAX) throw refuse(path, "foreign", "is no key")
    if (stat.uid !== process.getuid?.()) {
      throw refuse(path, "permissions", `belongs to user ${stat.uid}; use a store of your own`)
    }
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8)
      throw refuse(path, "permissions", `is open to other users (mode ${mode}); run: chmod 600 ${path}`)
    }
    const key = parseKey(readFileSync(fd, "utf8"))
    if (key === undefined) throw refuse(path, "corrupt", "is no key; put back the one there was, or move it away")
    return key
  } finally {
    closeSync(fd)
  }
}

/** What the machine lacks for a moment. */
const PASSING: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EIO", "EAGAIN", "ENOMEM"])

/** Where the key that is to follow lies until the store's log names it. */
const nextPath = (paths: StorePaths): string => `${paths.evidenceKey}.next`

/** Makes the key that is to follow, of the same name. It signs nothing until the store's log names it. */
export const makeNextKey = (paths: StorePaths, name: string, nowMillis: number): Signer => {
  const signer = generateSigner(name)
  rmSync(nextPath(paths), { force: true })
  writeFileSync(nextPath(paths), keyFileText(signer, nowMillis), { mode: 0o600, flag: "wx", flush: true })
  return signer
}

/** The log names the key that was to follow: from here on there is no other. */
const takeNextKey = (paths: StorePaths, recorded: string | undefined): void => {
  const next = recorded === undefined ? undefined : readKeyFile(nextPath(paths))
  if (next === undefined || verifierKey(next.signer) !== recorded) return
  renameSync(nextPath(paths), paths.evidenceKey)
  syncFolder(paths.store)
}

const keyFileText = (signer: Signer, nowMillis: number): string =>
  `${JSON.stringify({ key: signerKey(signer), made: new Date(nowMillis).toISOString() })}\n`

/**
 * The key, made now if there is none. `recorded`: the verifier key that the store's log is under, which tells whether a
 * rotation that was cut off has happened. The store's folder must exist. What may pass by itself is thrown as the system says it.
 */
export const ensureKey = (
  paths: StorePaths,
  nowMillis: number,
  recorded?: string,
  make: "a new one if it is gone" | "only the recorded one" = "a new one if it is gone"
): StoreKey => {
  takeNextKey(paths, recorded)
  const known = readKey(paths)
  if (known !== undefined) return known
  checkPrivateFolder(paths.store)
  if (recorded !== undefined && make === "only the recorded one") {
    throw refuse(paths.evidenceKey, "missing", "is not there; put back the key that the evidence is under")
  }
  const signer = generateSigner(`${ORIGIN_PREFIX}${ulid(nowMillis)}`)
  const temporary = `${paths.evidenceKey}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, keyFileText(signer, nowMillis), { mode: 0o600, flush: true })
    // Another process may make one at this moment: the first one counts, and is never replaced.
    linkSync(temporary, paths.evidenceKey)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== undefined && PASSING.has(code)) throw error
    if (code !== "EEXIST") throw refuse(paths.evidenceKey, "permissions", `cannot be made: ${message}`)
  } finally {
    rmSync(temporary, { force: true })
  }
  return readKey(paths)!
}

/** What others may know of it. Throws StoreRefused, also where there is no store. */
export const storeKey = (
  paths: StorePaths,
  nowMillis: number
): { readonly verifier: string; readonly origin: string; readonly madeMillis: number } => {
  checkPrivateFolder(paths.store)
  const { madeMillis, signer } = ensureKey(paths, nowMillis)
  return { verifier: verifierKey(signer), origin: signer.name, madeMillis }
}

const parseKey = (text: string): StoreKey | undefined => {
  try {
    const { key, made } = JSON.parse(text)
    const signer = parseSignerKey(String(key))
    const madeMillis = Date.parse(made)
    return signer === undefined || Number.isNaN(madeMillis) ? undefined : { signer, madeMillis }
  } catch {
    return undefined
  }
}
