/** An ordered store in memory: for tests and for sessions that need no history. Nothing of it outlives the process. */
import type { KeyValue, Put, RangeOptions, Storage } from "./Storage.ts"

export class MemoryStorage implements Storage {
  /** Ascending by key. Appends go to the end of a stream, so a binary search and a splice are quick enough here. */
  readonly #rows: Array<KeyValue> = []

  async batch(operations: ReadonlyArray<Put>): Promise<void> {
    for (const { key, value } of operations) {
      const at = this.#position(key)
      const isThere = at < this.#rows.length && Buffer.compare(this.#rows[at]![0], key) === 0
      if (value === undefined) {
        if (isThere) this.#rows.splice(at, 1)
      } else this.#rows.splice(at, isThere ? 1 : 0, [Buffer.from(key), Buffer.from(value)])
    }
  }

  async range(options: RangeOptions): Promise<ReadonlyArray<KeyValue>> {
    const from = this.#position(options.from)
    const to = this.#position(options.to)
    const page: Array<KeyValue> = []
    let bytes = 0
    for (let index = 0; index < to - from && page.length < options.limit && bytes <= options.bytesMax; index++) {
      const row = this.#rows[options.reverse ? to - 1 - index : from + index]!
      bytes += row[0].byteLength + row[1].byteLength
      page.push(row)
    }
    return page
  }

  async reopen(): Promise<void> {}
  async close(): Promise<void> {}

  /** Index of the first row whose key is not below `key`. */
  #position(key: Uint8Array): number {
    let low = 0
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (Buffer.compare(this.#rows[middle]![0], key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
