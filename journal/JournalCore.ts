/**
 * The journal itself, over any `Storage`: sequences, group commit, verified pages, live followers, and what happens when
 * the storage fails. Plain callbacks and promises, so that a chunk of output costs no Effect; `makeJournal` puts the
 * Effect face on it. Both journals (memory, LevelDB) are this class, and one contract suite runs against both.
 */
import type { JournalEntry, NewEvent, OutputChannel, SessionId } from "./Event.ts"
import { STORE_STREAM } from "./Event.ts"
import {
  type Appended,
  type AppendOptions,
  type ChangedStream,
  type Damage,
  type Durability,
  type FollowItem,
  PAGE_BYTES_MAX,
  PAGE_EVENTS_MAX,
  type RecordPage,
  type Row,
  type StreamPlace,
  type VerifyReport
} from "./Journal.ts"
import { EventRefused, JournalDamaged, SequenceConflict, StorageUnavailable } from "./JournalError.ts"
import { QuotaReached } from "./JournalQuota.ts"
import { KEPT_SPACE, keptRowDamage } from "./KeptRows.ts"
import * as Keys from "./Keys.ts"
import { killPoint } from "./KillPoint.ts"
import * as Record from "./Record.ts"
import { RedactionCore } from "./RedactionCore.ts"
import { RemovalCore, removalOf } from "./RemovalCore.ts"
import type { KeyValue, Put, RangeOptions, Storage } from "./Storage.ts"
import { StreamHeads } from "./StreamHeads.ts"

/** One LevelDB batch. Larger ones only make the first waiter wait for the last. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024
/** What a live follower may hold in memory; a slower one reads from disk until it has caught up. */
const FOLLOWER_BYTES_MAX = 512 * 1024
/**
 * Memory of records of a flood that is used again: 2 MiB, what two floods have on their way. V8 counts the memory of
 * buffers, so a flood that allocated a record for each event would be collected all the time.
 */
const RECORDS_KEPT_MAX = 32
/** A shorter record gets memory of its own size: many quiet sessions must not hold 64 KiB each for an echo. */
const RECORD_REUSED_BYTES_MIN = 8 * 1024
/** Waits between attempts to open the storage again after a failed write: quick at first, then once in 2 s. */
const REOPEN_DELAYS_MILLIS = [5, 50, 100, 250, 500, 1000, 2000]
/** Streams whose ends a clean stop records. Reading them back must not slow the next opening (about 15 µs each). */
export const SEALED_STREAMS_MAX = 1000

/** Events searched behind a place that cannot be read: LevelDB's blocks hold 4 KiB, so the next one is not far. */
const UNREADABLE_EVENTS_MAX = 256

/** Ends that are read at a time at an opening: enough that LevelDB's four threads never wait for this one. */
const SEAL_READS = 64

/** Stands for a head that damage hides: above every sequence, and the key behind it is still the stream's. */
const HEAD_UNKNOWN = Number.MAX_SAFE_INTEGER - 1

/** LevelDB found the damage itself: it gives nothing of the page that was asked for. */
class UnreadableRange extends Error {
  override readonly name = "UnreadableRange"
}

interface StreamHead {
  readonly stream: SessionId
  /** Kept as long as the head: memory of its own, because a small Buffer keeps a whole pool of 64 KiB. */
  readonly bytes: Uint8Array
  /** Last sequence given out. */
  assigned: number
  /** Last sequence that is durable, or was: events behind it may be lost, and their numbers are never given out again. */
  committed: number
  /** The last event there was when the head was read. */
  readonly found: number
  /** Why nothing may be appended: it is not known which numbers were given out. */
  readonly closed: string | undefined
  /** What stands for the beginning of the stream, if that was removed: at the sequence of the last event removed. */
  removed: JournalEntry | undefined
}

interface Waiting {
  readonly puts: ReadonlyArray<Put>
  readonly bytes: number
  /** Whose head moves, and by how many events; none for rows. */
  readonly stream: StreamHead | undefined
  readonly events: number
  /** What followers get once it is durable; empty when nobody followed at the time. */
  readonly entries: ReadonlyArray<JournalEntry>
  readonly makesRoom?: boolean | undefined
  readonly done: (error: StorageUnavailable | undefined) => void
}

type PageResult = { readonly entries: ReadonlyArray<JournalEntry>; readonly damage: JournalDamaged | undefined }

/** Full keys: from is inclusive, to exclusive. */
export interface RowBounds {
  readonly from: Uint8Array
  readonly to: Uint8Array
}

/** The rows of a space with from <= key <= to. */
export const rowBounds = (space: string, from: Uint8Array | undefined, to: Uint8Array | undefined): RowBounds => ({
  from: Keys.rowKey(space, from ?? new Uint8Array(0)),
  to: to === undefined ? Keys.spaceEnd(space) : after(Keys.rowKey(space, to))
})

export class Follower {
  readonly stream: SessionId
  cursor: number
  queue: Array<JournalEntry> = []
  queuedBytes = 0
  /** Reads from disk; nothing is queued for it. */
  paging = true
  synced = false
  closed = false
  wake: (() => void) | undefined
  constructor(stream: SessionId, after: number) {
    this.stream = stream
    this.cursor = after
  }
}

export interface Suspension {
  readonly reason: string
  readonly diskFull: boolean
  /** The store may have no more bytes than these, and has them: it can be read as ever. */
  readonly quotaBytes?: number | undefined
  readonly sinceMicros: number
}

export interface JournalCoreOptions {
  readonly storage: Storage
  readonly durability: Durability
  readonly nowMicros: () => number
  /** Ends known from the last clean stop: a stream that is shorter now has lost its end. */
  readonly sealed?: ReadonlyMap<SessionId, number> | undefined
  /** Looks at what lies under the storage, where there is such a thing, makes it safe to read and names what was wrong. */
  readonly checkTables?: (() => Promise<ReadonlyArray<Damage>>) | undefined
  /** false: nothing was ever removed, and a stream's beginning need not be looked at for it. Default true. */
  readonly hasRemovals?: boolean | undefined
  /** The storage encrypts (EncryptedStorage.ts). Default false. */
  readonly isEncrypted?: boolean | undefined
  /** Called before each removal, so that the store says of itself that it has some. */
  readonly allowRemovals?: (() => void) | undefined
}

export class JournalCore {
  readonly durability: Durability
  readonly isEncrypted: boolean
  readonly openingDamages: Array<Damage> = []
  readonly removal: RemovalCore
  readonly redaction: RedactionCore
  suspension: Suspension | undefined
  readonly #storage: Storage
  readonly #nowMicros: () => number
  readonly #sealed: Map<SessionId, number>
  readonly #checkTables: () => Promise<ReadonlyArray<Damage>>
  /** What the opening found to be gone, of each stream. */
  readonly #lost = new Map<SessionId, Array<Damage>>()
  readonly #heads = new StreamHeads<StreamHead>({
    isFollowed: (stream) => this.#followers.has(stream),
    forgotten: (head) => this.#seal(head)
  })
  readonly #loading = new Map<SessionId, Promise<StreamHead>>()
  readonly #followers = new Map<SessionId, Set<Follower>>()
  readonly #suspensionListeners = new Set<() => void>()
  readonly #reads = new Set<Promise<unknown>>()
  #waiting: Array<Waiting> = []
  readonly #records: Array<Buffer> = []
  #flushing: Promise<void> | undefined
  #reopening: Promise<void> | undefined
  #closed = false
  #hasRemovals: boolean
  #stopWaiting: (() => void) | undefined
  /** Streams with new events, for whoever seals; undefined while nobody does. */
  #changed: Set<StreamHead> | undefined
  #wakeChanges: () => void = () => undefined

  constructor(options: JournalCoreOptions) {
    this.#storage = options.storage
    this.durability = options.durability
    this.isEncrypted = options.isEncrypted ?? false
    this.#nowMicros = options.nowMicros
    this.#sealed = new Map(options.sealed)
    this.#checkTables = options.checkTables ?? (async () => [])
    this.#hasRemovals = options.hasRemovals ?? true
    this.removal = new RemovalCore({
      range: (stream, range) => this.#range(range).catch((error) => Promise.reject(toDamaged(stream, error))),
      write: (puts, told) => (told === undefined ? this.#makeRoom(puts) : this.#makeRoomAndTell(puts, told)),
      head: (stream) => this.head(stream),
      removed: (stream) => this.removed(stream),
      setRemoved: async (stream, entry) => {
        const head = await this.#headOrUnavailable(stream)
        if ((head.removed?.sequence ?? 0) < entry.sequence) head.removed = entry
      },
      allow: () => {
        if (!this.#hasRemovals) options.allowRemovals?.()
        this.#hasRemovals = true
      },
      compact: async (from, to) => {
        // Asked for space that is wanted, not for something that must be: the next removal comes by here again.
        await this.#storage.compact?.(from, to).catch(() => undefined)
      },
      rowPut
    })
    this.redaction = new RedactionCore({
      range: (stream, range) => this.#range(range).catch((error) => Promise.reject(toDamaged(stream, error))),
      append: (stream, event, given) => this.append(stream, [event], given),
      write: (puts) => this.#makeRoom(puts),
      removed: (stream) => this.removed(stream),
      compact: async (from, to) => {
        try {
          await this.#storage.compact?.(from, to)
        } catch (cause) {
          const reason = describe(cause)
          throw new StorageUnavailable({ operation: "append", reason, diskFull: isDiskFull(reason) })
        }
      },
      readsEnded: async () => {
        await Promise.allSettled([...this.#reads])
      },
      forgetEntries: (stream) => {
        for (const follower of this.#followers.get(stream) ?? []) {
          sendToDisk(follower)
          follower.wake?.()
        }
      },
      row: async (space, key) => (await this.row(space, key))?.value
    })
  }

  /** Compares the streams with the ends that the last clean stop recorded. */
  async checkSeal(): Promise<void> {
    for (const damage of this.openingDamages) {
      if (damage.stream === STORE_STREAM) continue
      const known = this.#lost.get(damage.stream)
      if (known === undefined) this.#lost.set(damage.stream, [damage])
      else known.push(damage)
    }
    const sealed = [...this.#sealed]
    for (let at = 0; at < sealed.length; at += SEAL_READS) {
      const checks = sealed.slice(at, at + SEAL_READS).map(([stream, end]) => this.#checkEnd(stream, end))
      for (const damage of await Promise.all(checks)) if (damage !== undefined) this.openingDamages.push(damage)
    }
  }

  async #checkEnd(stream: SessionId, sealed: number): Promise<Damage | undefined> {
    try {
      const { found } = await this.#head(stream)
      return found < sealed ? { stream, from: found + 1, to: sealed, reason: "the end is missing" } : undefined
    } catch (error) {
      if (!(error instanceof UnreadableRange)) throw error
      // One stream whose end cannot be read does not close the store to the others.
      return { stream, from: 1, to: null, reason: `the end cannot be read: ${error.message}` }
    }
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  async append(stream: SessionId, events: ReadonlyArray<NewEvent>, options: AppendOptions = {}): Promise<Appended> {
    if (events.length === 0) throw new EventRefused({ reason: "an append needs at least one event" })
    const head = this.#heads.keep(this.#heads.get(stream) ?? (await this.#headOrUnavailable(stream)))
    if (head.closed !== undefined) throw closedStream(head.closed)
    if (options.expected !== undefined && options.expected !== head.assigned) {
      throw new SequenceConflict({ stream, expected: options.expected, actual: head.assigned })
    }
    const puts: Array<Put> = []
    const entries: Array<JournalEntry> = []
    let bytes = 0
    const first = head.assigned + 1
    for (const event of events) {
      const sequence = first + entries.length
      const key = Keys.eventKey(head.bytes, sequence)
      const value = Record.encodeRecord(key, event)
      puts.push({ key, value })
      entries.push({ ...event, sequence })
      bytes += value.byteLength
    }
    const rows = typeof options.rows === "function" ? options.rows(first) : options.rows
    for (const row of rows ?? []) {
      const put = rowPut(row)
      puts.push(put)
      bytes += put.value.byteLength
    }
    for (const { key, value } of options.replaced ?? []) {
      puts.push({ key, value })
      bytes += value.byteLength
    }
    const last = first + entries.length - 1
    killPoint("journal.append.before")
    await new Promise<void>((resolve, reject) => {
      // Sequences are given out only when the events are sure to wait in this order: nothing is awaited in between.
      const done = settle(resolve, reject)
      if (this.#enqueue({ puts, bytes, stream: head, events: entries.length, entries, done })) head.assigned = last
    })
    killPoint("journal.append.after")
    return { first, last }
  }

  appendOutput(
    stream: SessionId,
    channel: OutputChannel,
    exec: number,
    offset: number,
    chunks: ReadonlyArray<Uint8Array>,
    timeMicros: number,
    done: (error: StorageUnavailable | undefined) => void
  ): number {
    const head = this.#heads.get(stream)
    if (head === undefined) {
      // Heads are forgotten when the storage fails; whoever writes output has appended to this stream since, or must first.
      done(this.#unavailable("append"))
      return 0
    }
    if (head.closed !== undefined) {
      done(closedStream(head.closed))
      return 0
    }
    const sequence = head.assigned + 1
    const key = Keys.eventKey(head.bytes, sequence)
    const followed = this.#followers.get(stream)
    // What a follower gets lies in the record's memory; else that memory is used again once the storage has it.
    const memory = followed === undefined && isLong(chunks) ? this.#takeRecord() : undefined
    const value = Record.encodeOutput(key, channel, exec, offset, chunks, timeMicros, memory)
    const entries = followed === undefined ? NO_ENTRIES : [Record.decodeRecord(sequence, value)]
    const isWaiting = this.#enqueue({
      puts: [{ key, value }],
      bytes: value.byteLength,
      stream: head,
      events: 1,
      entries,
      done:
        memory === undefined
          ? done
          : (error) => {
              if (this.#records.length < RECORDS_KEPT_MAX) this.#records.push(memory)
              done(error)
            }
    })
    if (isWaiting) head.assigned = sequence
    return isWaiting ? sequence : 0
  }

  forget(stream: SessionId): void {
    this.#heads.release(stream)
  }

  #takeRecord(): Buffer {
    return this.#records.pop() ?? Buffer.allocUnsafeSlow(Record.RECORD_BYTES_MAX)
  }

  async putRows(rows: ReadonlyArray<Row>, madeOf?: StreamPlace): Promise<void> {
    const puts = rows.map(rowPut)
    if (madeOf !== undefined) {
      const read = this.#heads.get(madeOf.stream) ?? (await this.#headOrUnavailable(madeOf.stream))
      const head = this.#heads.get(madeOf.stream) ?? read
      // Nothing is awaited from here to the queue: an append that comes later is written later, and so are its rows.
      if (head.assigned !== madeOf.head) return
    }
    return this.#write(puts)
  }

  async deleteRows(space: string, from: Uint8Array, to: Uint8Array): Promise<void> {
    for (;;) {
      const found = await this.#range({
        from: Keys.rowKey(space, from),
        to: after(Keys.rowKey(space, to)),
        limit: PAGE_EVENTS_MAX
      })
      if (found.length === 0) return
      await this.#write(found.map(([key]) => ({ key, value: undefined })))
    }
  }

  #write(puts: ReadonlyArray<Put>, makesRoom = false): Promise<void> {
    const bytes = puts.reduce((sum, put) => sum + put.key.byteLength + (put.value?.byteLength ?? 0), 0)
    return new Promise((resolve, reject) => {
      const done = settle(resolve, reject)
      this.#enqueue({ puts, bytes, stream: undefined, events: 0, entries: NO_ENTRIES, makesRoom, done })
    })
  }

  #isAtQuota(): boolean {
    return this.suspension?.quotaBytes !== undefined
  }

  /** As `#write`; while the store has as many bytes as it may have, past everything that waits for room. */
  async #makeRoom(puts: ReadonlyArray<Put>): Promise<void> {
    if (this.suspension === undefined) {
      try {
        return await this.#write(puts, true)
      } catch (error) {
        // Written together with something that was refused.
        if (!this.#isAtQuota()) throw error
      }
    }
    if (!this.#isAtQuota() || this.#closed) throw this.#unavailable("append")
    try {
      await this.#storage.batch(puts, MAKES_ROOM)
    } catch (cause) {
      const reason = describe(cause)
      throw new StorageUnavailable({ operation: "append", reason, diskFull: isDiskFull(reason) })
    }
  }

  /** As `#makeRoom`, with events of the store's own stream in the same batch. */
  async #makeRoomAndTell(puts: ReadonlyArray<Put>, events: ReadonlyArray<NewEvent>): Promise<void> {
    const head = this.#heads.keep(this.#heads.get(STORE_STREAM) ?? (await this.#headOrUnavailable(STORE_STREAM)))
    if (head.closed !== undefined) return this.#makeRoom(puts)
    const entries = events.map((event, index) => ({ ...event, sequence: head.assigned + 1 + index }))
    const last = head.assigned + entries.length
    const all = [...puts]
    for (const entry of entries) {
      const key = Keys.eventKey(head.bytes, entry.sequence)
      all.push({ key, value: Record.encodeRecord(key, entry) })
    }
    if (this.suspension === undefined) {
      const bytes = all.reduce((sum, put) => sum + put.key.byteLength + (put.value?.byteLength ?? 0), 0)
      try {
        return await new Promise<void>((resolve, reject) => {
          const done = settle(resolve, reject)
          const count = entries.length
          const isWaiting = this.#enqueue({
            puts: all,
            bytes,
            stream: head,
            events: count,
            entries,
            makesRoom: true,
            done
          })
          if (isWaiting) head.assigned = last
        })
      } catch (error) {
        if (!this.#isAtQuota()) throw error
        // Heads were forgotten with it.
        return this.#makeRoomAndTell(puts, events)
      }
    }
    // At the quota nobody else appends: the numbers are nobody else's.
    await this.#makeRoom(all)
    head.assigned = last
    head.committed = last
    this.#noteChange(head)
  }

  /** False when the storage is down: `done` got the error already. */
  #enqueue(waiting: Waiting): boolean {
    if (this.suspension !== undefined || this.#closed) {
      waiting.done(this.#unavailable("append"))
      return false
    }
    this.#waiting.push(waiting)
    this.#flushing ??= this.#flush()
    return true
  }

  /** Group commit: everything that waits goes into one batch, and while it is written the next one gathers. */
  async #flush(): Promise<void> {
    // Lets the rest of this turn of the event loop join the first batch.
    await null
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup()
      const puts = group.length === 1 ? group[0]!.puts : group.flatMap((waiting) => waiting.puts)
      try {
        killPoint("journal.batch.before")
        const makesRoom = group.every((waiting) => waiting.makesRoom === true)
        await this.#storage.batch(puts, makesRoom ? MAKES_ROOM : undefined)
        killPoint("journal.batch.after")
      } catch (cause) {
        this.#flushing = undefined
        this.#suspend(cause, [...group, ...this.#waiting.splice(0)])
        return
      }
      for (const waiting of group) {
        if (waiting.stream !== undefined) this.#committed(waiting.stream, waiting)
        waiting.done(undefined)
      }
    }
    this.#flushing = undefined
  }

  #takeGroup(): Array<Waiting> {
    let bytes = 0
    let count = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && bytes + waiting.bytes > BATCH_BYTES_MAX) break
      bytes += waiting.bytes
      count++
    }
    return this.#waiting.splice(0, count)
  }

  #committed(head: StreamHead, waiting: Waiting): void {
    head.committed += waiting.events
    this.#noteChange(head)
    if (this.#followers.size === 0) return
    const followers = this.#followers.get(head.stream)
    if (followers === undefined) return
    for (const follower of followers) {
      if (!follower.paging) {
        // An entry that was not decoded (nobody followed when it was appended) can only be had from disk.
        follower.queuedBytes += waiting.bytes
        if (waiting.entries.length === 0 || follower.queuedBytes > FOLLOWER_BYTES_MAX) sendToDisk(follower)
        else follower.queue.push(...waiting.entries)
      }
      follower.wake?.()
    }
  }

  // --- for whoever seals ---------------------------------------------------------------------------------------------

  /** Streams that are appended to are remembered from now on. `wake` is called when there is one and was none before. */
  watchChanges(wake: () => void): () => ReadonlyArray<ChangedStream> {
    this.#changed = new Set()
    this.#wakeChanges = wake
    return () => {
      const changed = [...(this.#changed ?? [])].map(({ committed, stream }) => ({ stream, head: committed }))
      this.#changed?.clear()
      return changed
    }
  }

  #noteChange(head: StreamHead): void {
    const changed = this.#changed
    if (changed === undefined || changed.has(head)) return
    changed.add(head)
    if (changed.size === 1) this.#wakeChanges()
  }

  /** Events as they are stored, behind `after` and what was removed: what verifies, and the damage that follows it. */
  async records(stream: SessionId, after: number, until: number): Promise<RecordPage> {
    const removed = await this.removed(stream)
    const first = Math.max(after, removed?.sequence ?? 0)
    return first < until ? this.#verified(stream, first, until) : { records: [], damage: undefined }
  }

  // --- failure and return --------------------------------------------------------------------------------------------

  #unavailable(operation: "append" | "read" | "open"): StorageUnavailable {
    const suspension = this.suspension
    return new StorageUnavailable({
      operation,
      reason: suspension?.reason ?? (this.#closed ? "the journal is closed" : "the stream's head is not known"),
      diskFull: suspension?.diskFull ?? false
    })
  }

  /**
   * The first failed write poisons the handle: LevelDB would go on acknowledging writes that are not there after a
   * reopen. So everything that waits is refused, the storage is closed and opened again, and heads are read anew.
   */
  #suspend(cause: unknown, refused: ReadonlyArray<Waiting>): void {
    const reason = describe(cause)
    const quotaBytes = cause instanceof QuotaReached ? cause.bytesMax : undefined
    this.suspension = { reason, diskFull: isDiskFull(reason), quotaBytes, sinceMicros: this.#nowMicros() }
    this.#heads.clear()
    for (const followers of this.#followers.values()) for (const follower of followers) sendToDisk(follower)
    const error = this.#unavailable("append")
    for (const waiting of refused) waiting.done(error)
    this.#tellSuspension()
    this.#reopening = this.#reopen()
  }

  async #reopen(): Promise<void> {
    for (let attempt = 0; !this.#closed; attempt++) {
      const delay = REOPEN_DELAYS_MILLIS[Math.min(attempt, REOPEN_DELAYS_MILLIS.length - 1)]!
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delay)
        this.#stopWaiting = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      if (this.#closed) return
      try {
        killPoint("journal.reopen.before")
        await this.#storage.reopen()
        killPoint("journal.reopen.after")
        // Proves that it can be written before anybody is told so.
        await this.#storage.batch([rowPut({ space: "probe", key: new Uint8Array(0), value: PROBE })])
        break
      } catch {
        // Still no room: the next attempt closes and opens it again.
      }
    }
    if (this.#closed) return
    this.suspension = undefined
    this.#reopening = undefined
    this.#tellSuspension()
    for (const followers of this.#followers.values()) for (const follower of followers) follower.wake?.()
  }

  #tellSuspension(): void {
    for (const listener of [...this.#suspensionListeners]) listener()
  }

  onSuspension(listener: () => void): () => void {
    this.#suspensionListeners.add(listener)
    return () => this.#suspensionListeners.delete(listener)
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  /** A store that has reached its quota is read as ever. */
  get #isReadable(): boolean {
    return this.suspension === undefined || this.suspension.quotaBytes !== undefined
  }

  async #range(options: Omit<RangeOptions, "bytesMax">): Promise<ReadonlyArray<KeyValue>> {
    if (!this.#isReadable || this.#closed) throw this.#unavailable("read")
    const reading = this.#storage.range({ ...options, bytesMax: PAGE_BYTES_MAX })
    this.#reads.add(reading)
    try {
      return await reading
    } catch (cause) {
      const reason = describe(cause)
      if (isDamage(reason)) throw new UnreadableRange(reason)
      throw new StorageUnavailable({ operation: "read", reason, diskFull: isDiskFull(reason) })
    } finally {
      this.#reads.delete(reading)
    }
  }

  /** Where there is no part of an answer that could be served. */
  async #rangeOrUnavailable(options: Omit<RangeOptions, "bytesMax">) {
    try {
      return await this.#range(options)
    } catch (error) {
      throw toUnavailable(error)
    }
  }

  #head(stream: SessionId): Promise<StreamHead> {
    const known = this.#heads.get(stream)
    if (known !== undefined) return Promise.resolve(known)
    const loading = this.#loading.get(stream)
    if (loading !== undefined) return loading
    const load = this.#loadHead(stream).finally(() => this.#loading.delete(stream))
    this.#loading.set(stream, load)
    return load
  }

  async #loadHead(stream: SessionId): Promise<StreamHead> {
    const bytes = Keys.streamBytes(stream)
    if (bytes[0] === Keys.ROW_PREFIX)
      throw new EventRefused({ reason: `stream ${stream} lies in the key range of rows` })
    const [last] = await this.#range({
      from: Keys.eventKey(bytes, 0),
      to: Keys.streamEnd(bytes),
      reverse: true,
      limit: 1
    })
    const removed = this.#hasRemovals && last !== undefined ? await this.#readRemoved(bytes) : undefined
    // Where everything was removed, the stream goes on behind it.
    const found = Math.max(last === undefined ? 0 : Keys.sequenceOf(last[0]), removed?.sequence ?? 0)
    const { closed, end } = this.#lostEnd(stream, found)
    const head = { stream, bytes: Uint8Array.from(bytes), assigned: end, committed: end, found, closed, removed }
    this.#heads.add(head)
    return head
  }

  /**
   * Where the stream ended before its end was lost: what is appended goes on behind that, so that no number ever stands for
   * two events. Closed when that is not known.
   */
  #lostEnd(stream: SessionId, found: number): { readonly end: number; readonly closed: string | undefined } {
    let end = Math.max(found, this.#sealed.get(stream) ?? 0)
    let closed: string | undefined
    for (const { from, reason, to } of this.#lost.get(stream) ?? []) {
      if (to !== null) end = Math.max(end, to)
      // Later events lie elsewhere: with one of them there, the end is.
      else if (found < from)
        closed = `stream ${stream} has lost its end, from event ${from} on, and takes no more: ${reason}`
    }
    return { end, closed }
  }

  async #readRemoved(stream: Uint8Array): Promise<JournalEntry | undefined> {
    const bounds = { from: Keys.eventKey(stream, 1), to: Keys.eventKey(stream, 2), limit: 1 }
    const [first] = await this.#range(bounds).catch(noRows)
    return removalOf(first)
  }

  /** The EventsRemoved that the stream begins with. */
  async removed(stream: SessionId): Promise<JournalEntry | undefined> {
    if (!this.#hasRemovals) return undefined
    const head = this.#heads.get(stream) ?? (await this.#head(stream).catch(unreadableHead))
    return head === undefined ? this.#readRemoved(Keys.streamBytes(stream)) : head.removed
  }

  /** The same, where it stands for events behind `after`. */
  async #removedBehind(stream: SessionId, after: number): Promise<JournalEntry | undefined> {
    const removed = await this.removed(stream)
    return removed !== undefined && after < removed.sequence ? removed : undefined
  }

  async #headOrUnavailable(stream: SessionId): Promise<StreamHead> {
    try {
      return await this.#head(stream)
    } catch (error) {
      throw toUnavailable(error)
    }
  }

  async head(stream: SessionId): Promise<number> {
    return (await this.#headOrUnavailable(stream)).committed
  }

  /** The head as a reader needs it: where it cannot be read, reading goes on until it meets the damage. */
  async readableHead(stream: SessionId): Promise<number> {
    try {
      return (await this.#head(stream)).committed
    } catch (error) {
      if (error instanceof UnreadableRange) return HEAD_UNKNOWN
      throw error
    }
  }

  /**
   * The next page after `after`, not beyond `until`: what verifies, and the damage that follows it, if any. An empty page
   * without damage means that there is nothing.
   */
  async page(stream: SessionId, after: number, until: number): Promise<PageResult> {
    if (after >= until) return { entries: NO_ENTRIES, damage: undefined }
    if (this.#hasRemovals) {
      const removed = await this.#removedBehind(stream, after)
      if (removed !== undefined) return { entries: [removed], damage: undefined }
    }
    const page = await this.#pageOfEvents(stream, after, until)
    // It may have been removed while it was read.
    const removed =
      this.#hasRemovals && page.damage !== undefined ? await this.#removedBehind(stream, after) : undefined
    return removed === undefined ? page : { entries: [removed], damage: undefined }
  }

  async #pageOfEvents(stream: SessionId, after: number, until: number): Promise<PageResult> {
    const { damage, records } = await this.#verified(stream, after, until)
    // Removed a moment ago: what is behind it in this page is no part of the stream any more.
    const removed = after === 0 ? removalOf(records[0]) : undefined
    if (removed !== undefined) return { entries: [removed], damage: undefined }
    return { entries: records.map(([, value], index) => Record.decodeRecord(after + 1 + index, value)), damage }
  }

  /** The events behind `after` as they are stored, up to the first that is not what it should be. `after` is below `until`. */
  async #verified(stream: SessionId, after: number, until: number): Promise<RecordPage> {
    const bytes = Keys.streamBytes(stream)
    const records: Array<KeyValue> = []
    let expected = after + 1
    const to = Keys.eventKey(bytes, until + 1)
    let found: ReadonlyArray<KeyValue>
    try {
      found = await this.#range({ from: Keys.eventKey(bytes, expected), to, limit: PAGE_EVENTS_MAX })
    } catch (error) {
      if (!(error instanceof UnreadableRange)) throw error
      found = await this.#readableBefore(bytes, expected, to)
      if (found.length === 0) return { records, damage: unreadable(stream, expected, error.message) }
    }
    for (const record of found) {
      const [key, value] = record
      const sequence = Keys.sequenceOf(key)
      const damage =
        sequence !== expected ? missing(stream, expected, sequence - 1) : damaged(stream, sequence, key, value)
      if (damage !== undefined) return { records, damage }
      records.push(record)
      expected++
    }
    return { records, damage: found.length === 0 ? missing(stream, expected, known(until)) : undefined }
  }

  /** What can be read before a place that LevelDB itself refuses: it gives a page or nothing, so it is asked for one at a time. */
  async #readableBefore(stream: Buffer, first: number, to: Uint8Array): Promise<ReadonlyArray<KeyValue>> {
    const readable: Array<KeyValue> = []
    for (let sequence = first; readable.length < PAGE_EVENTS_MAX; sequence++) {
      try {
        const [one] = await this.#range({ from: Keys.eventKey(stream, sequence), to, limit: 1 })
        if (one === undefined) break
        readable.push(one)
      } catch (error) {
        if (error instanceof UnreadableRange) break
        throw error
      }
    }
    return readable
  }

  /** Newest first, before `before` (exclusive). */
  async pageBackwards(stream: SessionId, before: number): Promise<PageResult> {
    let removed = this.#hasRemovals ? await this.removed(stream) : undefined
    if (removed === undefined || before > removed.sequence + 1) {
      const page = await this.#eventsBackwards(stream, before, removed?.sequence ?? 0)
      if (!this.#hasRemovals || page.damage === undefined) return page
      // Removed while it was read.
      const found = await this.removed(stream)
      if (found === undefined || found.sequence === removed?.sequence) return page
      if (before > found.sequence + 1) return this.pageBackwards(stream, before)
      removed = found
    }
    // Nothing stands before what stands for the beginning.
    return { entries: before === removed.sequence ? NO_ENTRIES : [removed], damage: undefined }
  }

  async #eventsBackwards(stream: SessionId, before: number, floor: number): Promise<PageResult> {
    const bytes = Keys.streamBytes(stream)
    const entries: Array<JournalEntry> = []
    let expected = before - 1
    let found: ReadonlyArray<KeyValue>
    try {
      found = await this.#range({
        from: Keys.eventKey(bytes, floor + 1),
        to: Keys.eventKey(bytes, before),
        reverse: true,
        limit: PAGE_EVENTS_MAX
      })
    } catch (error) {
      if (!(error instanceof UnreadableRange)) throw error
      return { entries, damage: unreadable(stream, expected === HEAD_UNKNOWN ? 1 : expected, error.message) }
    }
    for (const [key, value] of found) {
      const sequence = Keys.sequenceOf(key)
      const damage =
        sequence !== expected ? missing(stream, sequence + 1, known(expected)) : damaged(stream, sequence, key, value)
      if (damage !== undefined) return { entries, damage }
      entries.push((sequence === 1 ? removalOf([key, value]) : undefined) ?? Record.decodeRecord(sequence, value))
      expected--
    }
    const isMissing = found.length === 0 && expected > floor
    return { entries, damage: isMissing ? missing(stream, floor + 1, known(expected)) : undefined }
  }

  follower(stream: SessionId, after: number): Follower {
    const follower = new Follower(stream, after)
    const followers = this.#followers.get(stream)
    if (followers === undefined) this.#followers.set(stream, new Set([follower]))
    else followers.add(follower)
    return follower
  }

  release(follower: Follower): void {
    follower.closed = true
    const followers = this.#followers.get(follower.stream)
    followers?.delete(follower)
    if (followers?.size === 0) this.#followers.delete(follower.stream)
    follower.wake?.()
  }

  /** The follower's next item; undefined once it is released. */
  async next(follower: Follower): Promise<FollowItem | undefined> {
    while (!follower.closed) {
      if (!follower.paging && follower.queue.length > 0) {
        const entries = follower.queue
        follower.queue = []
        follower.queuedBytes = 0
        follower.cursor = entries[entries.length - 1]!.sequence
        return { _tag: "Page", entries }
      }
      if (follower.paging && this.#isReadable) {
        const page = await this.#nextFromDisk(follower)
        if (page !== undefined) return page
        if (follower.paging) continue
      }
      if (!follower.paging && !follower.synced) {
        follower.synced = true
        return { _tag: "Synced", sequence: follower.cursor }
      }
      if (follower.queue.length === 0) {
        await new Promise<void>((resolve) => {
          follower.wake = resolve
        })
        follower.wake = undefined
      }
    }
    return undefined
  }

  /** A page, or undefined after which the follower either lives from memory (it has caught up) or must try again. */
  async #nextFromDisk(follower: Follower): Promise<FollowItem | undefined> {
    let head: StreamHead | undefined
    let page: PageResult
    try {
      head = await this.#head(follower.stream).catch(unreadableHead)
      // The storage failed while this was awaited: a head that was forgotten hears of no commit, and of none that turns out to
      // have been written after all. A follower that compared its place with it would go live and miss them.
      if (head !== undefined && this.#heads.get(follower.stream) !== head) return undefined
      if (head !== undefined && follower.cursor >= head.committed) {
        // Nothing was awaited since the comparison, so what is committed from here on is queued: no gap, no duplicate.
        follower.paging = false
        return undefined
      }
      page = await this.page(follower.stream, follower.cursor, head?.committed ?? HEAD_UNKNOWN)
    } catch (error) {
      // The storage went away under the read; it says so through `suspension` and wakes its followers when it is back.
      if (!this.#isReadable) return undefined
      throw error
    }
    if (page.entries.length > 0) {
      follower.cursor = page.entries[page.entries.length - 1]!.sequence
      return { _tag: "Page", entries: page.entries }
    }
    if (page.damage !== undefined) throw page.damage
    return undefined
  }

  /** The first stream after `previous`, or undefined. */
  async nextStream(previous: SessionId): Promise<SessionId | undefined> {
    let from: Uint8Array = Keys.streamEnd(Keys.streamBytes(previous))
    for (;;) {
      const [found] = await this.#rangeOrUnavailable({ from, to: FIRST_ROW, limit: 1 })
      if (found === undefined) return undefined
      if (Keys.isEventKey(found[0])) return Keys.streamOf(found[0])
      // A key of another length is no event of ours (damage in a key); `verify` names it.
      from = after(found[0])
    }
  }

  async row(space: string, key: Uint8Array): Promise<Row | undefined> {
    const full = Keys.rowKey(space, key)
    // A range and not a get: LevelDB's get can abort the process on a damaged table.
    const [found] = await this.#range({ from: full, to: after(full), limit: 1 }).catch(noRows)
    const value = found && Record.decodeRow(full, found[1])
    return value && { space, key, value }
  }

  /** One page of rows, and where the next one is. */
  async rowsPage(
    space: string,
    bounds: RowBounds,
    reverse: boolean,
    limit: number
  ): Promise<{ readonly rows: ReadonlyArray<Row>; readonly next: RowBounds | undefined }> {
    const found = await this.#range({ ...bounds, reverse, limit: Math.min(limit, PAGE_EVENTS_MAX) }).catch(noRows)
    const rows: Array<Row> = []
    for (const [key, stored] of found) {
      const value = Record.decodeRow(key, stored)
      if (value !== undefined) rows.push({ space, key: Keys.rowKeyOf(space, key), value })
    }
    const last = found[found.length - 1]?.[0]
    if (last === undefined) return { rows, next: undefined }
    return { rows, next: reverse ? { from: bounds.from, to: last } : { from: after(last), to: bounds.to } }
  }

  async verify(): Promise<VerifyReport> {
    // First: what LevelDB reads afterwards must not end the process.
    const damages: Array<Damage> = [...this.openingDamages, ...(await this.#checkTables())]
    let streams = 0
    let events = 0
    let from: Uint8Array = new Uint8Array(0)
    let current: Buffer | undefined
    let expected = 1
    /** Of the current stream: what is there up to it was removed, and may not be deleted yet. */
    let removed = 0
    for (;;) {
      let found: ReadonlyArray<KeyValue>
      try {
        found = await this.#range({ from, to: FIRST_ROW, limit: PAGE_EVENTS_MAX })
      } catch (error) {
        if (!(error instanceof UnreadableRange)) throw error
        // Some of the page may be readable; what follows it is searched for by the number of the event.
        const stream = current ?? Buffer.alloc(Keys.STREAM_ID_BYTES)
        found = await this.#readableBefore(stream, expected, FIRST_ROW)
        if (found.length === 0) {
          damages.push(toDamage(unreadable(Keys.streamOf(stream), expected, error.message)))
          const next = await this.#readableAfter(stream, expected)
          if (next === undefined) break
          from = next
          continue
        }
      }
      if (found.length === 0) break
      for (const [key, value] of found) {
        from = after(key)
        if (!Keys.isEventKey(key)) {
          damages.push({
            stream: STORE_STREAM,
            from: 0,
            to: null,
            reason: `key ${Buffer.from(key).toString("hex")} is no event key`
          })
          continue
        }
        const stream = Buffer.from(key.subarray(0, Keys.STREAM_ID_BYTES))
        if (current === undefined || !current.equals(stream)) {
          current = stream
          expected = 1
          removed = removalOf([key, value])?.sequence ?? 0
          streams++
        }
        const id = Keys.streamOf(stream)
        const sequence = Keys.sequenceOf(key)
        if (sequence > 1 && sequence <= removed) continue
        if (sequence !== expected) damages.push(toDamage(missing(id, expected, sequence - 1)))
        const wrong = damaged(id, sequence, key, value)
        if (wrong !== undefined) damages.push(toDamage(wrong))
        events++
        expected = Math.max(sequence, removed) + 1
      }
    }
    damages.push(...(await this.#checkKept()))
    return { streams, events, damages }
  }

  /** What stands for removed events, and nothing can make again. */
  async #checkKept(): Promise<ReadonlyArray<Damage>> {
    const damages: Array<Damage> = []
    let { from, to } = rowBounds(KEPT_SPACE, undefined, undefined)
    for (;;) {
      let found: ReadonlyArray<KeyValue>
      try {
        found = await this.#range({ from, to, limit: PAGE_EVENTS_MAX })
      } catch (error) {
        if (!(error instanceof UnreadableRange)) throw error
        return [
          ...damages,
          { stream: STORE_STREAM, from: 0, to: null, reason: `kept of removed events: ${error.message}` }
        ]
      }
      if (found.length === 0) return damages
      for (const [key, value] of found) {
        from = after(key)
        const damage = keptRowDamage(key, value)
        if (damage === undefined) continue
        // What stood for fewer events than were removed since is of no use.
        const removed = (await this.removed(damage.stream).catch(() => undefined))?.sequence ?? 0
        if ((damage.to ?? 0) >= removed) damages.push(damage)
      }
    }
  }

  /** The first key behind an unreadable place: within its stream, else the next stream. */
  async #readableAfter(stream: Buffer, sequence: number): Promise<Uint8Array | undefined> {
    const tries = Array.from({ length: UNREADABLE_EVENTS_MAX }, (_, skipped) =>
      Keys.eventKey(stream, sequence + 1 + skipped)
    )
    for (const from of [...tries, Keys.streamEnd(stream)]) {
      try {
        const [one] = await this.#range({ from, to: FIRST_ROW, limit: 1 })
        return one?.[0]
      } catch (error) {
        if (!(error instanceof UnreadableRange)) throw error
      }
    }
    return undefined
  }

  /** Ends of the streams used in this run and before, newest last: what the next opening must find. */
  ends(): ReadonlyMap<SessionId, number> {
    for (const head of this.#heads.values()) this.#seal(head)
    return this.#sealed
  }

  #seal(head: StreamHead): void {
    this.#sealed.delete(head.stream)
    if (head.committed > 0) this.#sealed.set(head.stream, head.committed)
    if (this.#sealed.size <= SEALED_STREAMS_MAX) return
    for (const stream of this.#sealed.keys()) {
      if (this.#sealed.size <= SEALED_STREAMS_MAX) break
      this.#sealed.delete(stream)
    }
  }

  /** Everything appended before is written; then the storage is closed. True when nothing was refused on the way. */
  async close(): Promise<boolean> {
    while (this.#flushing !== undefined) await this.#flushing
    const isClean = this.suspension === undefined
    this.#closed = true
    this.#stopWaiting?.()
    await this.#reopening
    for (const followers of [...this.#followers.values()]) for (const follower of [...followers]) this.release(follower)
    await this.#storage.close()
    return isClean
  }
}

const settle =
  (resolve: () => void, reject: (error: StorageUnavailable) => void) => (error: StorageUnavailable | undefined) =>
    error === undefined ? resolve() : reject(error)

const isLong = (chunks: ReadonlyArray<Uint8Array>): boolean => {
  let bytes = 0
  for (const chunk of chunks) bytes += chunk.byteLength
  return bytes >= RECORD_REUSED_BYTES_MIN
}

const NO_ENTRIES: ReadonlyArray<JournalEntry> = []
const MAKES_ROOM = { makesRoom: true }
const FIRST_ROW = Buffer.of(Keys.ROW_PREFIX)
const PROBE = Buffer.from("the storage can be written")

const sendToDisk = (follower: Follower): void => {
  follower.paging = true
  follower.queue = []
  follower.queuedBytes = 0
}

const rowPut = (row: Row): { readonly key: Buffer; readonly value: Buffer } => {
  if (row.space.length > Keys.SPACE_LENGTH_MAX || !/^[a-z0-9-]+$/.test(row.space)) {
    throw new EventRefused({ reason: `row space "${row.space}" must be 1 to ${Keys.SPACE_LENGTH_MAX} of a-z, 0-9, -` })
  }
  if (row.key.byteLength > Keys.ROW_KEY_BYTES_MAX)
    throw new EventRefused({ reason: `row key of ${row.key.byteLength} bytes` })
  if (row.value.byteLength > Record.RARE_RECORD_BYTES_MAX)
    throw new EventRefused({ reason: `row of ${row.value.byteLength} bytes` })
  const key = Keys.rowKey(row.space, row.key)
  return { key, value: Record.encodeRow(key, row.value) }
}

/** The smallest key above `key`. */
const after = (key: Uint8Array): Buffer => {
  const next = Buffer.alloc(key.byteLength + 1)
  next.set(key, 0)
  return next
}

const closedStream = (reason: string) => new StorageUnavailable({ operation: "append", reason, diskFull: false })

const missing = (stream: SessionId, from: number, to: number | null) =>
  new JournalDamaged({ stream, from, to, reason: "missing" })

const unreadable = (stream: SessionId, from: number, reason: string) =>
  new JournalDamaged({ stream, from, to: null, reason })

/** Damage, for the questions whose answer has no place for it: nothing can be said until the store is repaired. */
const toUnavailable = (error: unknown): unknown =>
  error instanceof UnreadableRange
    ? new StorageUnavailable({ operation: "read", reason: `the store is damaged: ${error.message}`, diskFull: false })
    : error

const unreadableHead = (error: unknown): undefined => {
  if (!(error instanceof UnreadableRange)) throw error
}

const toDamaged = (stream: SessionId, error: unknown): unknown =>
  error instanceof UnreadableRange ? unreadable(stream, 1, error.message) : error

/** The end of a range as its reader is told of it. */
const known = (sequence: number): number | null => (sequence === HEAD_UNKNOWN ? null : sequence)

/** Rows that cannot be read are rows that are not there: they are derived. */
const noRows = (error: unknown): ReadonlyArray<KeyValue> => {
  if (error instanceof UnreadableRange) return []
  throw error
}

const damaged = (
  stream: SessionId,
  sequence: number,
  key: Uint8Array,
  value: Uint8Array
): JournalDamaged | undefined => {
  const reason = Record.damageOf(key, value)
  return reason === undefined ? undefined : new JournalDamaged({ stream, from: sequence, to: sequence, reason })
}

const toDamage = (error: JournalDamaged): Damage => ({
  stream: error.stream as SessionId,
  from: error.from,
  to: error.to,
  reason: error.reason
})

/** The messages of an error and of its causes, on one line: LevelDB's own word is in the cause. */
export const describe = (cause: unknown): string => {
  const parts: Array<string> = []
  for (let error = cause; error instanceof Error && parts.length < 4; error = error.cause) parts.push(error.message)
  return parts.length === 0 ? String(cause) : parts.join(": ")
}

/**
 * LevelDB's words for bytes that cannot be right. "Invalid argument" is one: a table's footer or index that points behind
 * the end of the file is answered with it, as an I/O error; no disk and no kernel says it of a read.
 */
export const isDamage = (reason: string): boolean =>
  /corrupt|bad block|checksum|truncated|\.(ldb|sst): Invalid argument/i.test(reason)

export const isDiskFull = (reason: string): boolean => /ENOSPC|EDQUOT|No space left|quota exceeded/i.test(reason)
