/**
 * The key of an encrypted store: where it comes from, and what is derived from it. It wraps the keys of the sessions
 * (DataKeys.ts) and encrypts nothing else. It is read, never written and never kept on disk by us; `format.json` holds its
 * name, so that another key is refused before anything is read with it.
 *
 *   wrapping key  HMAC-SHA256(key, "reprise store key: wrap")
 *   name          the first 8 bytes, in hex, of HMAC-SHA256(key, "reprise store key: name")
 */
import type { KeyObject } from "node:crypto"
import { closeSync, readSync, writeFileSync } from "node:fs"
import { StoreRefused } from "./JournalError.ts"
import { openFile } from "./SmallFile.ts"

/** Plain data: it is passed between threads and processes. A command is run by `/bin/sh -c`. */
export type StoreKeySource = { readonly file: string } | { readonly command: string }

export interface StoreKey {
  /** 16 hex digits. Tells nothing of the key. */
  readonly name: string
  readonly wrapping: KeyObject
}

const STORE_KEY_BYTES = 32
/** A key in base64 or hex and white space around it; a file that holds more is no key. */
const SOURCE_BYTES_MAX = 1024
/** A key service on another continent answers in one second; what asks a person for something is no command for this. */
const COMMAND_TIMEOUT_MILLIS = 20_000

// Loaded only where a store is encrypted: it costs every other command 10 ms of its start.
const crypto = () => process.getBuiltinModule("node:crypto")

export const makeStoreKey = (key: Uint8Array): StoreKey => {
  const derive = (what: string) => crypto().createHmac("sha256", key).update(`reprise store key: ${what}`).digest()
  return {
    name: derive("name").subarray(0, 8).toString("hex"),
    wrapping: crypto().createSecretKey(derive("wrap"))
  }
}

/** Asked once in a process: a command may cost a second, or be answered only once. */
const loaded = new Map<string, StoreKey>()

/** Throws StoreRefused (`key`), which says of which source and why; never what it holds. */
export const loadStoreKey = (source: StoreKeySource, timeoutMillis = COMMAND_TIMEOUT_MILLIS): StoreKey => {
  const id = JSON.stringify(source)
  const known = loaded.get(id)
  if (known !== undefined) return known
  const bytes = "file" in source ? readKeyFile(source.file) : runKeyCommand(source.command, timeoutMillis)
  const key = parseStoreKey(bytes)
  bytes.fill(0)
  if (key === undefined) {
    throw refuse(nameOf(source), `gives no key: it must be ${STORE_KEY_BYTES} bytes, as they are, in hex or in base64`)
  }
  const made = makeStoreKey(key)
  key.fill(0)
  loaded.set(id, made)
  return made
}

/** 32 bytes as they are, or in hex or base64 with white space around them; undefined: it is none. */
const parseStoreKey = (bytes: Buffer): Buffer | undefined => {
  if (bytes.byteLength === STORE_KEY_BYTES) return Buffer.from(bytes)
  const text = bytes.toString("latin1").trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex")
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return Buffer.from(text, "base64")
  return undefined
}

/** Makes a key in a file that does not exist yet, for its user alone; answers its name. Throws StoreRefused. */
export const createKeyFile = (path: string): string => {
  const key = crypto().randomBytes(STORE_KEY_BYTES)
  const { name } = makeStoreKey(key)
  try {
    writeFileSync(path, `${key.toString("hex")}\n`, { mode: 0o600, flag: "wx", flush: true })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "EEXIST")
      throw refuse(path, "exists already; a key that something is encrypted with is never replaced")
    throw refuse(path, `the key file cannot be made: ${message}`)
  }
  return name
}

/** For messages. */
export const nameOf = (source: StoreKeySource): string =>
  "file" in source ? source.file : "the command of REPRISE_STORE_KEY_COMMAND"

const refuse = (path: string, detail: string) => new StoreRefused({ path, reason: "key", detail })

const readKeyFile = (path: string): Buffer => {
  const file = openFile(path, (what, code) =>
    refuse(path, code === undefined ? `${what}; name the file that holds the store's key` : `the key file ${what}`)
  )
  if (file === undefined)
    throw refuse(path, "the key file does not exist; `reprise keys --new-store-key FILE` makes one")
  const { fd, stat } = file
  try {
    // As ssh does it. What belongs to root may be given to a group (a secret that a service manager mounts).
    const uid = process.getuid?.()
    if (stat.uid !== uid && stat.uid !== 0)
      throw refuse(path, `belongs to user ${stat.uid}; use a key file of your own`)
    if (stat.uid === uid && (stat.mode & 0o077) !== 0) {
      throw refuse(path, `is open to other users (mode ${(stat.mode & 0o777).toString(8)}); run: chmod 600 ${path}`)
    }
    if (stat.uid === 0 && (stat.mode & 0o007) !== 0) throw refuse(path, "is open to everybody; run: chmod o= on it")
    const bytes = Buffer.alloc(SOURCE_BYTES_MAX)
    const read = readSync(fd, bytes, 0, SOURCE_BYTES_MAX, 0)
    return bytes.subarray(0, read)
  } finally {
    closeSync(fd)
  }
}

const runKeyCommand = (command: string, timeoutMillis: number): Buffer => {
  const { spawnSync } = process.getBuiltinModule("node:child_process")
  const { error, signal, status, stdout } = spawnSync("/bin/sh", ["-c", command], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: timeoutMillis,
    killSignal: "SIGKILL",
    maxBuffer: SOURCE_BYTES_MAX
  })
  const failed = (why: string) => refuse("the command of REPRISE_STORE_KEY_COMMAND", why)
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === "ETIMEDOUT") throw failed(`gave no key within ${timeoutMillis / 1000} s`)
  if (code === "ENOBUFS") throw failed("gives more than a key")
  if (error !== undefined) throw failed(`cannot be run: ${error.message}`)
  if (status !== 0) throw failed(`failed (${signal ?? `exit code ${status}`})`)
  return stdout
}

/** What a store that is opened says of its encryption (`format.json`), and what was given for it. */
export const keyFor = (
  location: string,
  keyName: string | undefined,
  source: StoreKeySource | undefined
): StoreKey | undefined => {
  if (keyName === undefined) {
    if (source === undefined) return undefined
    const detail =
      "is not encrypted, and a key was given for it: leave the key out, or make an encrypted store of it: " +
      "reprise --store NEW --key-file FILE import THIS"
    throw refuse(location, detail)
  }
  if (source === undefined) {
    const detail =
      `is encrypted with the key ${keyName}, and no key was given: set REPRISE_STORE_KEY_FILE, ` +
      "REPRISE_STORE_KEY_COMMAND or --key-file; nothing was touched"
    throw refuse(location, detail)
  }
  const key = loadStoreKey(source)
  if (key.name === keyName) return key
  const detail = `is encrypted with the key ${keyName}, and ${nameOf(source)} holds the key ${key.name}; nothing was touched`
  throw refuse(location, detail)
}
