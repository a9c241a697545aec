/** The journal on disk: the guard, LevelDB under the journal's core, and the record of where streams end at a clean stop. */
import { Clock, Effect, Layer } from "effect"
import { STORE_STREAM } from "./Event.ts"
import { type Durability, Journal } from "./Journal.ts"
import { describe, isDamage, isDiskFull, JournalCore } from "./JournalCore.ts"
import { StorageUnavailable, StoreRefused } from "./JournalError.ts"
import { JournalQuota, type QuotaOptions } from "./JournalQuota.ts"
import type { KeyChange } from "./KeyChange.ts"
import { killPoint } from "./KillPoint.ts"
import { LevelStorage } from "./LevelStorage.ts"
import { makeJournal } from "./makeJournal.ts"
import type { Storage } from "./Storage.ts"
import { allowRemovals, guardStore, replaceEnds, writeFormat } from "./StoreGuard.ts"
import { keyFor, loadStoreKey, type StoreKey, type StoreKeySource } from "./StoreKey.ts"
import { earlierDamages, guardTables, noteOpening, openingBytesMax } from "./TableGuard.ts"

export interface JournalLevelOptions {
  /** Folder of the journal; made when missing. */
  readonly location: string
  /** Default `process`. */
  readonly durability?: Durability | undefined
  /** false: a missing store is refused instead of made (readers). Default true. */
  readonly create?: boolean | undefined
  /** Default: none. */
  readonly quota?: QuotaOptions | undefined
  /** Where the store's key is. A store that is made now is encrypted with it; one that is not encrypted is refused. Default: none. */
  readonly key?: StoreKeySource | undefined
  /** Stands between the journal and LevelDB: where faults are put in. Default: nothing does. */
  readonly wrapStorage?: ((storage: Storage) => Storage) | undefined
}

export const layer = (options: JournalLevelOptions): Layer.Layer<Journal, StoreRefused | StorageUnavailable> =>
  Layer.effect(
    Journal,
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const durability = options.durability ?? "process"
      const { core } = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: () => open(options, durability, () => Number(clock.currentTimeNanosUnsafe() / 1000n)),
          catch: (cause) => refusal(options.location, cause)
        }),
        (opened) => Effect.promise(() => close(options.location, opened))
      )
      return makeJournal(core)
    })
  )

interface Opened {
  readonly core: JournalCore
  readonly endsDamage: string | undefined
  readonly settle: () => void
}

const open = async (options: JournalLevelOptions, durability: Durability, nowMicros: () => number): Promise<Opened> => {
  const { location } = options
  const guarded = guardStore(location, options.create ?? true)
  const { database } = guarded
  const key = guarded.isNew ? options.key && loadStoreKey(options.key) : keyFor(location, guarded.keyName, options.key)
  const earlier = earlierDamages(location)
  const found = guarded.isNew
    ? []
    : await guardTables(location, database, openingBytesMax(location), () => ours(location, database))
  const opening = guarded.isNew ? FIRST_OPENING : noteOpening(location)
  let storage: LevelStorage | undefined
  try {
    storage = await LevelStorage.open(database, durability, guarded.isNew)
    if (guarded.isNew) writeFormat(location, undefined, key?.name)
    const checkTables = () =>
      guardTables(location, database, Number.POSITIVE_INFINITY, async () => {}).catch((cause: unknown) => {
        if (!(cause instanceof StoreRefused)) throw cause
        throw new StorageUnavailable({ operation: "read", reason: cause.detail, diskFull: false })
      })
    const wrapped = options.wrapStorage === undefined ? storage : options.wrapStorage(storage)
    const readable = key === undefined ? undefined : await encrypted(wrapped, key, location)
    const under = readable?.storage ?? wrapped
    const limited = options.quota === undefined ? under : new JournalQuota(under, options.quota)
    const core = new JournalCore({
      storage: limited,
      durability,
      nowMicros,
      sealed: guarded.ends,
      checkTables,
      hasRemovals: guarded.hasRemovals || key !== undefined,
      isEncrypted: key !== undefined,
      allowRemovals: () => allowRemovals(location)
    })
    core.openingDamages.push(...found, ...earlier)
    const { endsDamage } = guarded
    if (endsDamage !== undefined && !earlier.some(({ reason }) => reason === endsDamage)) {
      core.openingDamages.push({ stream: STORE_STREAM, from: 0, to: null, reason: endsDamage })
    }
    await core.checkSeal()
    if (readable?.change !== undefined) await tellKeyChange(core, readable.change)
    return { core, endsDamage, settle: opening.settle }
  } catch (error) {
    opening.undo()
    // Nobody else has this handle: left open, it would keep the store locked for as long as the process lives.
    await storage?.close()
    throw error
  }
}

/** Loaded only where it is needed: what it takes of node:crypto costs every start. */
const encrypted = async (storage: Storage, key: StoreKey, location: string) => {
  const [{ EncryptedStorage }, { settleKeys }] = await Promise.all([
    import("./EncryptedStorage.ts"),
    import("./KeyChange.ts")
  ])
  // A disk that is full or damaged must not close the store to its readers: it opens as it is, and the next opening tries again.
  const change = await settleKeys(storage, key).catch(async () => {
    await storage.reopen()
    return undefined
  })
  return { storage: await EncryptedStorage.open(storage, key, location), change }
}

/** Where it cannot be told now, the next opening does. */
const tellKeyChange = async (core: JournalCore, { actor, from, timeMicros, to }: KeyChange): Promise<void> => {
  const { KEY_CHANGE_TOLD } = await import("./KeyChange.ts")
  const event = {
    _tag: "StoreAdministered",
    what: "change-store-key",
    session: null,
    detail: `${from} to ${to}`
  } as const
  killPoint("storekey.told.before")
  await core.append(STORE_STREAM, [{ event, actor, timeMicros }], { rows: [KEY_CHANGE_TOLD] }).catch(() => {})
  killPoint("storekey.told.after")
}

/** Until its first file is written, a folder with anything else in it would be no store. */
const FIRST_OPENING = { settle: () => {}, undo: () => {} }

/** Tables are only written while no engine has them. */
const ours = async (location: string, database: string): Promise<void> => {
  if (await LevelStorage.isLocked(database)) throw locked(location)
}

const close = async (location: string, { core, endsDamage, settle }: Opened): Promise<void> => {
  const isClean = await core.close()
  settle()
  // After a failed write the ends in memory are not what the disk holds; the last clean record stays.
  if (isClean) replaceEnds(location, core.ends(), endsDamage)
}

const locked = (location: string) =>
  new StoreRefused({ path: location, reason: "locked", detail: "is in use by another process" })

const refusal = (location: string, cause: unknown): StoreRefused | StorageUnavailable => {
  if (cause instanceof StoreRefused || cause instanceof StorageUnavailable) return cause
  const reason = describe(cause)
  const code =
    cause instanceof Error && cause.cause instanceof Error ? (cause.cause as NodeJS.ErrnoException).code : undefined
  if (code === "LEVEL_LOCKED" || /\block\b/i.test(reason)) {
    return locked(location)
  }
  if (code === "LEVEL_CORRUPTION" || isDamage(reason) || /missing files|CURRENT/i.test(reason)) {
    return new StoreRefused({
      path: location,
      reason: "corrupt",
      detail: `cannot be opened: ${reason}; run: reprise repair; nothing was touched`
    })
  }
  return new StorageUnavailable({ operation: "open", reason, diskFull: isDiskFull(reason) })
}
