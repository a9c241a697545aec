/**
 * Screens that a replay has drawn, to begin with again when it goes back: at intervals of what drawing them costs, within
 * a bound of their number and bytes. Where there would be more, every second one goes and the intervals are twice as
 * long. In memory only, and gone with the replay.
 */

/** Between two of them: bytes of output, and events, which cost too when they are small. About 30 ms of drawing. */
const SNAPSHOT_COST = 1024 * 1024
const EVENT_COST = 256
/** A session of 256 MiB and less is kept at the shortest interval, a gigabyte at four times that. */
const SNAPSHOTS_MAX = 256
/** Of a usual window one has some 10 KB; of a million cells that are all different, a megabyte. */
const SNAPSHOT_BYTES_MAX = 32 * 1024 * 1024

interface ReplaySnapshot<State> {
  /** Last event drawn. */
  readonly sequence: number
  /** Of drawing everything up to there; see `drawingCost`. */
  readonly cost: number
  readonly screen: Uint8Array
  readonly state: State
}

export const drawingCost = (outputBytes: number, events: number): number => outputBytes + events * EVENT_COST

export class ReplaySnapshots<State> {
  /** In order. */
  #kept: Array<ReplaySnapshot<State>> = []
  #every = SNAPSHOT_COST
  #bytes = 0
  /** Where the last one was asked for, whether there was one or not. */
  #askedAt = 0

  get count(): number {
    return this.#kept.length
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The last one at or before an event. */
  before(sequence: number): ReplaySnapshot<State> | undefined {
    return this.#kept.findLast((one) => one.sequence <= sequence)
  }

  /** One is worth its making here. */
  isDue(sequence: number, cost: number): boolean {
    const before = this.before(sequence)?.cost ?? 0
    if (cost - before < this.#every) return false
    const behind = this.#kept.find((one) => one.sequence > sequence)
    if (behind !== undefined && behind.cost - cost < this.#every / 2) return false
    // A screen of which none can be made is not asked for one again and again.
    if (Math.abs(cost - this.#askedAt) < this.#every / 2) return false
    this.#askedAt = cost
    return true
  }

  keep(snapshot: ReplaySnapshot<State>): void {
    const at = this.#kept.findLastIndex((one) => one.sequence < snapshot.sequence) + 1
    this.#kept.splice(at, 0, snapshot)
    this.#bytes += snapshot.screen.length
    while (this.#kept.length > 1 && (this.#kept.length > SNAPSHOTS_MAX || this.#bytes > SNAPSHOT_BYTES_MAX))
      this.#thin()
  }

  clear(): void {
    this.#kept = []
    this.#bytes = 0
    this.#askedAt = 0
  }

  #thin(): void {
    this.#every *= 2
    this.#kept = this.#kept.filter((_, index) => index % 2 === 1)
    this.#bytes = this.#kept.reduce((bytes, { screen }) => bytes + screen.length, 0)
  }
}
