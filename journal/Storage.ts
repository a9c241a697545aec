/**
 * The ordered byte store under a journal: the one place where LevelDB can be replaced (by memory, by a fault injector).
 * Promises and plain values; no events, no checksums. A journal calls `batch` from one place only, one at a time.
 */

export interface Put {
  readonly key: Uint8Array
  /** undefined deletes the key. */
  readonly value: Uint8Array | undefined
}

export type KeyValue = readonly [key: Uint8Array, value: Uint8Array]

export interface RangeOptions {
  /** Inclusive. */
  readonly from: Uint8Array
  /** Exclusive. */
  readonly to: Uint8Array
  readonly reverse?: boolean
  readonly limit: number
  /** Stops after the entry with which this many bytes are exceeded; at least one entry is given if there is one. */
  readonly bytesMax: number
}

export interface BatchOptions {
  /** It is the beginning of making room: a bound on the size of the storage does not hold it back. */
  readonly makesRoom?: boolean | undefined
}

export interface Storage {
  /** All or nothing, durable (in the sense of the mode the storage was made with) when it resolves. */
  batch(operations: ReadonlyArray<Put>, options?: BatchOptions): Promise<void>
  /** A consistent page of what is there. The bytes belong to the caller. */
  range(options: RangeOptions): Promise<ReadonlyArray<KeyValue>>
  /** Gives back what deleted keys from `from` to `to` (exclusive) still take. Absent where deleting does that. */
  compact?(from: Uint8Array, to: Uint8Array): Promise<void>
  /**
   * After a failed write nothing the handle says can be trusted: it is closed and opened again, and what is then there
   * is the truth. Rejects while that is not possible.
   */
  reopen(): Promise<void>
  close(): Promise<void>
}
