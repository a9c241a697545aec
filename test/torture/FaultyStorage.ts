/**
 * A storage whose calls fail as a plan says, in the ways in which LevelDB's fail: nothing of a batch is there, or all of it
 * is although the call failed (a ghost), and once a write has failed the handle goes on to accept writes that will not be
 * there after it was opened again. A journal that believed such a handle would lose what it acknowledged.
 */
import type { KeyValue, Put, RangeOptions, Storage } from "../../journal/Storage.ts"
import { FAULT_TEXTS, type FaultCode, type FaultPort } from "./FaultPlan.ts"

/** Longest wait of a slow call. */
const SLOW_MILLIS_MAX = 400

const WRITE_KINDS = ["EIO", "ENOSPC", "EMFILE", "short", "ghost", "slow"]
const READ_KINDS = ["EIO", "EMFILE", "slow"]
const OPEN_KINDS = ["EIO", "ENOSPC", "EMFILE"]

const storageError = (kind: string): Error => {
  const code: FaultCode = kind === "short" ? "EFBIG" : kind === "ghost" ? "EIO" : (kind as FaultCode)
  return Object.assign(new Error(`IO error: 000042.log: ${FAULT_TEXTS[code]}`), { code: "LEVEL_IO_ERROR" })
}

export class FaultyStorage implements Storage {
  readonly #storage: Storage
  readonly #port: FaultPort
  /** A write of this handle has failed: it lies from here on. */
  #isPoisoned = false
  /** Batches that a poisoned handle said it had. What was acknowledged for one of them is lost. */
  lies = 0

  constructor(storage: Storage, port: FaultPort) {
    this.#storage = storage
    this.#port = port
  }

  async batch(operations: ReadonlyArray<Put>): Promise<void> {
    const fault = this.#port.next("batch", WRITE_KINDS)
    if (this.#isPoisoned) {
      this.lies++
      return
    }
    if (fault?.kind === "slow") await this.#slow(fault.degree)
    else if (fault !== undefined) {
      this.#isPoisoned = true
      if (fault.kind === "ghost") await this.#storage.batch(operations)
      throw storageError(fault.kind)
    }
    await this.#storage.batch(operations)
  }

  async range(options: RangeOptions): Promise<ReadonlyArray<KeyValue>> {
    const fault = this.#port.next("range", READ_KINDS)
    if (fault?.kind === "slow") await this.#slow(fault.degree)
    else if (fault !== undefined) throw storageError(fault.kind)
    return this.#storage.range(options)
  }

  async reopen(): Promise<void> {
    const fault = this.#port.next("reopen", OPEN_KINDS)
    if (fault !== undefined) throw storageError(fault.kind)
    await this.#storage.reopen()
    this.#isPoisoned = false
  }

  close(): Promise<void> {
    return this.#storage.close()
  }

  #slow(degree: number): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, 1 + Math.floor((degree * SLOW_MILLIS_MAX) / 1000))
    })
  }
}
