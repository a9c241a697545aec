/**
 * Compares the rows that stand for removed events in a backup with those in a store: which of them an import would write. Only
 * such as make them what the events tell of them, where they do.
 */
import type { KeptStates, SessionId } from "../../journal/Event.ts"
import { keptDigestOf, keptHash, keptRowParts } from "../../journal/KeptRows.ts"
import { decodeRow } from "../../journal/Record.ts"

export interface KeptFound {
  /** Names. */
  readonly rows: ReadonlyArray<string>
  /** Of their keys and values. */
  readonly bytes: number
  /** The rows of the store are not what is told of them, and those of the backup do not make them so. */
  readonly isWithheld: boolean
}

interface Rows {
  readonly to: number
  readonly told: KeptStates | undefined
  /** Hashes by name, of those that verify. */
  readonly store: Map<string, string>
  readonly backup: Map<string, string>
  readonly sizes: Map<string, number>
}

export class KeptCompare {
  readonly #sessions = new Map<string, Rows>()

  expect(session: SessionId, { to, told }: Pick<Rows, "to" | "told">): void {
    // What is told of an earlier removal says nothing of the rows at this one.
    const of = told?.to === to ? told : undefined
    this.#sessions.set(session, { to, told: of, store: new Map(), backup: new Map(), sizes: new Map() })
  }

  get isNeeded(): boolean {
    return this.#sessions.size > 0
  }

  store(key: Uint8Array, value: Uint8Array): void {
    this.#add(key, value, "store")
  }

  backup(key: Uint8Array, value: Uint8Array): void {
    this.#add(key, value, "backup")
  }

  of(session: SessionId): KeptFound | undefined {
    const rows = this.#sessions.get(session)
    if (rows === undefined) return undefined
    const { backup, sizes, store, told } = rows
    const isTold = (hashes: ReadonlyMap<string, string>) => told === undefined || keptDigestOf(hashes) === told.sha256
    const lacking = [...backup.keys()].filter((name) => !store.has(name))
    const found = (names: ReadonlyArray<string>): KeptFound => ({
      rows: names,
      bytes: names.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0),
      isWithheld: false
    })
    // As few as can be: those of the backup may be from before a redaction.
    if (isTold(new Map([...backup, ...store]))) return found(lacking)
    if (isTold(new Map([...store, ...backup]))) {
      return found([...backup.keys()].filter((name) => store.get(name) !== backup.get(name)))
    }
    return { rows: [], bytes: 0, isWithheld: !isTold(store) }
  }

  #add(key: Uint8Array, value: Uint8Array, place: "store" | "backup"): void {
    const { name = "", stream = "", to } = keptRowParts(key) ?? {}
    const rows = this.#sessions.get(stream)
    if (rows === undefined || rows.to !== to) return
    const payload = decodeRow(key, value)
    if (payload === undefined) return
    rows[place].set(name, keptHash(payload))
    if (place === "backup") rows.sizes.set(name, key.byteLength + value.byteLength)
  }
}
