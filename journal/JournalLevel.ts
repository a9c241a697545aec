/** The journal on disk: the guard, LevelDB under the journal's core, and the record of where streams end at a clean stop. */
import { Clock, Effect, Layer } from "effect"
import { STORE_STREAM } from "./Event.ts"
import { type Durability, Journal } from "./Journal.ts"
import { describe, isDamage, JournalCore } from "./JournalCore.ts"
import { StorageUnavailable, StoreRefused } from "./JournalError.ts"
import { LevelStorage } from "./LevelStorage.ts"
import { makeJournal } from "./makeJournal.ts"
import { guardStore, writeEnds, writeFormat } from "./StoreGuard.ts"

export interface JournalLevelOptions {
  /** Folder of the journal; made when missing. */
  readonly location: string
  /** Default `process`. */
  readonly durability?: Durability | undefined
  /** false: a missing store is refused instead of made (readers). Default true. */
  readonly create?: boolean | undefined
}

export const layer = (options: JournalLevelOptions): Layer.Layer<Journal, StoreRefused | StorageUnavailable> =>
  Layer.effect(
    Journal,
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const durability = options.durability ?? "process"
      const core = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: () => open(options, durability, () => Number(clock.currentTimeNanosUnsafe() / 1000n)),
          catch: (cause) => refusal(options.location, cause)
        }),
        (core) => Effect.promise(() => close(options.location, core))
      )
      return makeJournal(core)
    })
  )

const open = async (options: JournalLevelOptions, durability: Durability, nowMicros: () => number) => {
  const { location } = options
  const guarded = guardStore(location, options.create ?? true)
  const storage = await LevelStorage.open(guarded.database, durability, guarded.isNew)
  try {
    if (guarded.isNew) writeFormat(location)
    const core = new JournalCore({ storage, durability, nowMicros, sealed: guarded.ends })
    if (guarded.endsDamage !== undefined) {
      core.openingDamages.push({ stream: STORE_STREAM, from: 0, to: null, reason: guarded.endsDamage })
    }
    await core.checkSeal()
    return core
  } catch (error) {
    // Nobody else has this handle: left open, it would keep the store locked for as long as the process lives.
    await storage.close()
    throw error
  }
}

const close = async (location: string, core: JournalCore): Promise<void> => {
  const isClean = await core.close()
  // After a failed write the ends in memory are not what the disk holds; the last clean record stays.
  if (isClean) writeEnds(location, core.ends())
}

const refusal = (location: string, cause: unknown): StoreRefused | StorageUnavailable => {
  if (cause instanceof StoreRefused || cause instanceof StorageUnavailable) return cause
  const reason = describe(cause)
  const code =
    cause instanceof Error && cause.cause instanceof Error ? (cause.cause as NodeJS.ErrnoException).code : undefined
  if (code === "LEVEL_LOCKED" || /\block\b/i.test(reason)) {
    return new StoreRefused({ path: location, reason: "locked", detail: "is in use by another process" })
  }
  if (code === "LEVEL_CORRUPTION" || isDamage(reason) || /missing files|CURRENT/i.test(reason)) {
    return new StoreRefused({
      path: location,
      reason: "corrupt",
      detail: `cannot be opened: ${reason}; nothing was touched`
    })
  }
  return new StorageUnavailable({ operation: "open", reason, diskFull: /ENOSPC|No space left/i.test(reason) })
}
