/**
 * The ends of streams that a journal knows, so that an append needs no read. Those of streams that are written to are kept
 * until their writer is done with them; of others a bounded number, because a store has more streams than fit into
 * memory, and an end that is forgotten is read again. `JournalCore` owns one; it reads and writes nothing itself.
 */
import type { SessionId } from "./Event.ts"

/** About 300 bytes each; more than are looked at in one listing page. */
export const IDLE_HEADS_MAX = 1000

/** What is asked of a head here. */
export interface KnownHead {
  readonly stream: SessionId
  readonly assigned: number
  readonly committed: number
}

export interface StreamHeadsOptions<Head> {
  /** A follower compares its place with this very head. */
  readonly isFollowed: (stream: SessionId) => boolean
  readonly forgotten: (head: Head) => void
}

export class StreamHeads<Head extends KnownHead> {
  readonly #options: StreamHeadsOptions<Head>
  readonly #heads = new Map<SessionId, Head>()
  /** Those that may be forgotten, the one that was read first is the first. */
  readonly #idle = new Set<SessionId>()

  constructor(options: StreamHeadsOptions<Head>) {
    this.#options = options
  }

  get(stream: SessionId): Head | undefined {
    return this.#heads.get(stream)
  }

  /** One that was read. */
  add(head: Head): void {
    this.#heads.set(head.stream, head)
    this.#rest(head.stream)
  }

  /** One that is written to from now on. The answer is the one to use: there is one for each stream at a time. */
  keep(head: Head): Head {
    this.#idle.delete(head.stream)
    const known = this.#heads.get(head.stream)
    if (known !== undefined) return known
    this.#heads.set(head.stream, head)
    return head
  }

  /** Its writer is done with it. */
  release(stream: SessionId): void {
    if (this.#heads.has(stream)) this.#rest(stream)
  }

  clear(): void {
    this.#heads.clear()
    this.#idle.clear()
  }

  values(): Iterable<Head> {
    return this.#heads.values()
  }

  #rest(stream: SessionId): void {
    this.#idle.add(stream)
    let surplus = this.#idle.size - IDLE_HEADS_MAX
    for (const oldest of this.#idle) {
      if (surplus-- <= 0) return
      const head = this.#heads.get(oldest)!
      this.#idle.delete(oldest)
      if (head.assigned !== head.committed || this.#options.isFollowed(oldest)) {
        // In use: its turn comes again.
        this.#idle.add(oldest)
        continue
      }
      this.#heads.delete(oldest)
      this.#options.forgotten(head)
    }
  }
}
