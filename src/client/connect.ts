/** The ways to a `Client`: the engine of a store in the background, or one in this process. */
import * as EngineClient from "../remote/EngineClient.ts"
import { defaultKey, defaultStore, storePaths } from "../session/StorePaths.ts"
import type { Client } from "./Client.ts"
import { promiseClient } from "./promiseClient.ts"
import { invalid } from "./RepriseError.ts"

const ACTOR_DEFAULT = "client"

export interface ConnectOptions {
  /** The store's folder. Default: REPRISE_HOME, XDG_STATE_HOME/reprise or ~/.local/state/reprise. */
  readonly store?: string
  /** Start the store's engine when none runs (default), or be refused (Unavailable). It goes on after this process. */
  readonly start?: boolean
  /** Instead of a store of this machine: `ws://127.0.0.1:PORT` or `wss://HOST:PORT`, as `reprise serve` tells it. */
  readonly url?: string
  /** With `url`. */
  readonly token?: string
  /** With `url`: certificates (PEM) to trust besides the system's. */
  readonly ca?: string
  /** Who the journal says it was: 1 to 64 printable ASCII characters. Default `client`. */
  readonly actor?: string
}

/**
 * Connects to the engine of a store, or to the one behind a URL. Unavailable: it cannot be reached or started.
 * FailedPrecondition: it refuses the store, or is of another version. PermissionDenied: the token is wrong.
 */
export const connect = async (options: ConnectOptions = {}): Promise<Client> => {
  if (typeof options !== "object" || options === null) {
    throw invalid("options", 'are an object, such as { store: "sessions" }')
  }
  const { actor = ACTOR_DEFAULT, ca, start = true, store, token, url } = options
  if (store !== undefined && typeof store !== "string") throw invalid("store", "must be a string: a folder")
  if (url === undefined) {
    if (token !== undefined || ca !== undefined) throw invalid("url", "is needed with token and ca")
    const paths = storePaths(store ?? defaultStore(process.env), defaultKey(process.env))
    return promiseClient(EngineClient.layer({ paths, start, actor }), () => process.cwd())
  }
  if (store !== undefined) throw invalid("store", "has no meaning with url: the engine there has its own")
  if (token === undefined) throw invalid("token", "is needed with url; `reprise serve` tells it")
  return promiseClient(EngineClient.layer({ url, token, ca, actor }))
}

export interface OpenOptions {
  /** As for `connect`. */
  readonly store?: string
  /** Nothing is kept: sessions and their history end with the client. */
  readonly memory?: boolean
  /** `process` (default): what was acknowledged survives this process. `power`: every batch is fsynced. */
  readonly durability?: "process" | "power"
  /** true: sessions end with this process. Default: they outlive it in keepers, and the next engine goes on with them. */
  readonly inProcess?: boolean
}

/** Opens a store with the engine in this process. FailedPrecondition: another engine has it; `connect` to that one. */
export const open = async ({ memory = false, ...options }: OpenOptions = {}): Promise<Client> => {
  // Loaded on use: who only connects needs no journal and no native code.
  const Reprise = await import("../Reprise.ts")
  return promiseClient(memory ? Reprise.layerMemory : Reprise.layer(options), () => process.cwd())
}
