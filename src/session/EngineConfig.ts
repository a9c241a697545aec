/**
 * What a store's own `config.json` says, for whoever runs its engine: the limits, what is kept, and what is redacted. A file of the store and not a variable of
 * the environment, because an engine is started again by any client that finds none, with that client's environment. It
 * reads and checks; it never writes the file.
 *
 *     { "limits": { "sessions": 2000, "storeBytes": 10000000000 }, "retention": { "store": { "maxSessions": 5000 } } }
 */
import { StoreRefused } from "../../journal/JournalError.ts"
import type { QuotaOptions } from "../../journal/JournalQuota.ts"
import { readSmallFile } from "../../journal/SmallFile.ts"
import type { CaptureRequest } from "../capture/CaptureRequest.ts"
import { ENGINE_LIMITS, type EngineLimits } from "./EngineLimits.ts"
import { checkPolicy, type RetentionPolicy } from "./RetentionPolicy.ts"
import type { StorePaths } from "./StorePaths.ts"

/** Below it a store has no room for LevelDB's own log (8 MiB) and one table. */
export const STORE_BYTES_MIN = 16 * 1024 * 1024
/** People write it: a megabyte of rules is more than anybody has. */
const CONFIG_BYTES_MAX = 1024 * 1024
/** Sessions and clients: more than any machine holds, small enough to count. */
const COUNT_MAX = 1_000_000
/** A terminal that follows its window later than this looks broken. */
const DEBOUNCE_MILLIS_MAX = 10_000

interface Range {
  readonly min: number
  readonly max: number
  readonly isWhole: boolean
}
const count: Range = { min: 1, max: COUNT_MAX, isWhole: true }
const RANGES: Readonly<Record<keyof EngineLimits, Range>> = {
  sessions: count,
  sessionsPerGroup: count,
  inputQueueMessages: count,
  clientsPerSession: count,
  resizeDebounceMillis: { min: 0, max: DEBOUNCE_MILLIS_MAX, isWhole: false },
  storeBytes: { min: STORE_BYTES_MIN, max: Number.MAX_SAFE_INTEGER, isWhole: true }
}

/** The engine's own, changed by `config.json`, changed by `given`. Throws StoreRefused (`config`), which names what to correct. */
export const readEngineLimits = (paths: StorePaths, given: Partial<EngineLimits> = {}): EngineLimits => {
  const kept = readConfig(paths.config)
  for (const name of Object.keys(kept)) {
    if (name !== "limits" && name !== "retention" && name !== "redact") {
      throw refused(paths.config, `"${name.slice(0, 40)}" is not known; it has "limits", "retention" and "redact" only`)
    }
  }
  retentionIn(paths, kept)
  captureIn(paths, kept)
  const { limits = {} } = kept
  if (!isObject(limits)) throw refused(paths.config, `"limits" is not an object`)
  return {
    ...ENGINE_LIMITS,
    ...checked(paths.config, "limits.", limits),
    ...checked(paths.store, "limits.", given)
  }
}

/** What the store keeps, as the file says it now. Throws StoreRefused (`config`). */
export const readRetention = (paths: StorePaths): RetentionPolicy => retentionIn(paths, readConfig(paths.config))

const retentionIn = (paths: StorePaths, { retention = {} }: Readonly<Record<string, unknown>>): RetentionPolicy => {
  const policy = checkPolicy(retention)
  if (typeof policy === "string") throw refused(paths.config, `retention${policy}`)
  return policy
}

/** What is redacted at capture in every session that is created, as the file says it now; undefined: nothing. Throws as above. */
export const readCapture = (paths: StorePaths): CaptureRequest | undefined => captureIn(paths, readConfig(paths.config))

const captureIn = (paths: StorePaths, { redact }: Readonly<Record<string, unknown>>): CaptureRequest | undefined => {
  if (redact === undefined) return undefined
  if (!isObject(redact)) throw refused(paths.config, `"redact" is not an object, such as {"rules": ["all"]}`)
  for (const [name, value] of Object.entries(redact)) {
    if (name === "texts")
      throw refused(paths.config, "redact.texts would put secrets into this file; give them when a session is created")
    if (name !== "rules" && name !== "patterns")
      throw refused(paths.config, `redact.${name.slice(0, 40)} is not known; there are rules and patterns`)
    if (!Array.isArray(value) || value.some((one) => typeof one !== "string"))
      throw refused(paths.config, `redact.${name} is not a list of texts`)
  }
  return redact
}

/** The quota of a store's journal, from the limits as they were read; undefined without one. `given`: as for readEngineLimits. */
export const storeQuota = (
  paths: StorePaths,
  limits: EngineLimits,
  given: Partial<EngineLimits> = {}
): QuotaOptions | undefined => {
  if (limits.storeBytes === null) return undefined
  const bytesMax = given.storeBytes !== undefined ? () => limits.storeBytes : () => storeBytesNow(paths, limits)
  return { folder: paths.store, bytesMax }
}

/** `config.json` is read anew: the quota may be raised while the store is full. */
const storeBytesNow = (paths: StorePaths, { storeBytes }: EngineLimits): EngineLimits["storeBytes"] => {
  try {
    return readEngineLimits(paths).storeBytes
  } catch {
    // Whoever is writing the file just now is read at the next look.
    return storeBytes
  }
}

/** The file as it is; undefined: there is none. Throws StoreRefused (`config`). */
export const readConfigText = ({ config }: Pick<StorePaths, "config">): string | undefined =>
  readSmallFile(config, CONFIG_BYTES_MAX, (what, code) =>
    refused(config, code === undefined ? `${what}; move it away` : what)
  )

const readConfig = (path: string): Readonly<Record<string, unknown>> => {
  const text = readConfigText({ config: path })
  if (text === undefined) return {}
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw refused(path, `is not JSON: ${(error as Error).message}`)
  }
  if (!isObject(parsed)) throw refused(path, `is not an object, such as {"limits": {}}`)
  return parsed
}

const checked = (path: string, prefix: string, limits: object): Partial<EngineLimits> => {
  const known: Partial<Record<keyof EngineLimits, number | null>> = {}
  for (const [name, value] of Object.entries(limits) as ReadonlyArray<[keyof EngineLimits, unknown]>) {
    if (!Object.hasOwn(RANGES, name)) {
      throw refused(
        path,
        `${prefix}${String(name).slice(0, 40)} is not known; there are ${Object.keys(RANGES).join(", ")}`
      )
    }
    // As if it were not there.
    if (value === undefined) continue
    const { isWhole, max, min } = RANGES[name]
    const isRight =
      typeof value === "number" && value >= min && value <= max && (isWhole ? Number.isInteger(value) : true)
    if (!isRight && !(name === "storeBytes" && value === null)) {
      const number = `${isWhole ? "a whole number" : "a number"} from ${min} to ${max}`
      throw refused(
        path,
        `${prefix}${name} is ${JSON.stringify(value)} and must be ${number}${name === "storeBytes" ? ", or null for none" : ""}; ` +
          `correct it, or leave it out for the default of ${ENGINE_LIMITS[name]}`
      )
    }
    known[name] = value as number | null
  }
  return known as Partial<EngineLimits>
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const refused = (path: string, detail: string) => new StoreRefused({ path, reason: "config", detail })
