/**
 * The engine of a store inside this process, for programs: one layer that gives `Sessions`, `Attach`, `Exec`,
 * `Lifecycle`, `Retention`, `Redaction`, `Search`, `History` and `Journal`. The background engine of the CLI is the same layer with a socket in front. It
 * opens the store itself, so a store whose engine runs elsewhere is refused (`StoreRefused`, reason `locked`).
 */
import { Effect, Layer } from "effect"
import type { Durability, Journal } from "../journal/Journal.ts"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import * as JournalLevel from "../journal/JournalLevel.ts"
import * as JournalMemory from "../journal/JournalMemory.ts"
import type { StoreKeySource } from "../journal/StoreKey.ts"
import type { Redaction } from "./erasure/Redaction.ts"
import type { Retention } from "./erasure/Retention.ts"
import type { Exec } from "./exec/Exec.ts"
import * as SessionEngine from "./SessionEngine.ts"
import type { Search } from "./search/Search.ts"
import type { Attach } from "./session/Attach.ts"
import { readEngineLimits, storeQuota } from "./session/EngineConfig.ts"
import type { EngineLimits } from "./session/EngineLimits.ts"
import type { History } from "./session/History.ts"
import * as HistoryLive from "./session/HistoryLive.ts"
import type { Lifecycle } from "./session/Lifecycle.ts"
import type { Sessions } from "./session/Sessions.ts"
import { prepareStoreFolder } from "./session/StoreFolder.ts"
import { defaultKey, defaultStore, storePaths } from "./session/StorePaths.ts"

export interface RepriseOptions {
  /** The store's folder; made when missing. Default: REPRISE_HOME, XDG_STATE_HOME/reprise or ~/.local/state/reprise. */
  readonly store?: string | undefined
  /** `process` (default): acknowledged events survive the death of this process. `power`: every batch is fsynced. */
  readonly durability?: Durability | undefined
  /** true: sessions live in this process and end with it. Default false: in keepers, which outlive it. */
  readonly inProcess?: boolean | undefined
  /** Default 256, in keepers that are filled up to 64 first; 1 gives each session a keeper of its own. */
  readonly sessionsPerKeeper?: number | undefined
  /** Encrypts the store, if it is made now; opens it, if it is encrypted. Default: REPRISE_STORE_KEY_FILE or REPRISE_STORE_KEY_COMMAND. */
  readonly key?: StoreKeySource | undefined
  /** Field by field instead of what the store's `config.json` and ENGINE_LIMITS say. A value that cannot be is refused (`StoreRefused`, reason `config`). */
  readonly limits?: Partial<EngineLimits> | undefined
}

/** Sessions whose events are on disk. */
export const layer = (
  options: RepriseOptions = {}
): Layer.Layer<
  Sessions | Exec | Attach | Lifecycle | Retention | Redaction | Search | History | Journal,
  StoreRefused | StorageUnavailable
> => {
  const paths = storePaths(options.store ?? defaultStore(process.env), options.key ?? defaultKey(process.env))
  const { durability, inProcess, sessionsPerKeeper } = options
  const refused = (cause: unknown) => cause as StoreRefused
  return Layer.unwrap(
    Effect.gen(function* () {
      const limits = yield* Effect.try({ try: () => readEngineLimits(paths, options.limits), catch: refused })
      yield* Effect.try({ try: () => prepareStoreFolder(paths), catch: refused })
      return SessionEngine.layer({ paths, inProcess, sessionsPerKeeper, limits }).pipe(
        Layer.provideMerge(HistoryLive.layer),
        Layer.provideMerge(
          JournalLevel.layer({
            location: paths.journal,
            durability,
            quota: storeQuota(paths, limits, options.limits),
            key: paths.key
          })
        )
      )
    })
  )
}

/** Sessions and events in memory, for tests: nothing is left of them. */
export const layerMemory: Layer.Layer<
  Sessions | Exec | Attach | Lifecycle | Retention | Search | History | Journal,
  StorageUnavailable
> = SessionEngine.layer({
  paths: storePaths("/nowhere"),
  inProcess: true
}).pipe(
  // Only a store's keepers are refused, and there are none.
  Layer.catchTag("StoreRefused", (refused) => Layer.effectContext(Effect.die(refused))),
  Layer.provideMerge(HistoryLive.layer),
  Layer.provideMerge(JournalMemory.layer)
)
