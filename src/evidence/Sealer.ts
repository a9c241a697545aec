/**
 * Seals what a store's sessions have recorded: reads the events behind the last seal, hashes them into the session's tree, and
 * says so in a signed statement of the store's log, all in one batch of rows. It works behind whatever appends, in slices of
 * milliseconds and for a fraction of the time; where more comes than that, it falls behind until less comes. It never
 * changes an event, and never seals over what was sealed before.
 *
 * A session is sealed when it has ended, when nothing came for a while, when enough came, and when the first of it has waited
 * long enough; when nothing is sealed for an hour, a statement says that.
 */
import { randomFillSync } from "node:crypto"
import { setImmediate, setTimeout } from "node:timers/promises"
import { Clock, Deferred, Effect, Semaphore, Stream } from "effect"
import { committedPayload, RecordedReplacements } from "../../journal/CommittedPayload.ts"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import { absentLeafHash, SALT_BYTES, storedLeafHash } from "../../journal/EvidenceLeaf.ts"
import * as Rows from "../../journal/EvidenceRows.ts"
import type { JournalShape, Row } from "../../journal/Journal.ts"
import { type EventRefused, StorageUnavailable, StoreRefused } from "../../journal/JournalError.ts"
import * as Keys from "../../journal/Keys.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import { HASH_BYTES } from "../../journal/Merkle.ts"
import { decodeRecord } from "../../journal/Record.ts"
import {
  checkpointText,
  isSignedBy,
  parseCheckpoint,
  parseNote,
  type Signer,
  signNote,
  type Verifier,
  verifierKey
} from "../../journal/SignedNote.ts"
import type { StatementReason } from "../../journal/Statement.ts"
import { lastTiles, TileTree } from "../../journal/TileTree.ts"
import { keyChain, readRotations, rotationsIn } from "./Rotation.ts"
import { predecessorOf, StoreLog } from "./StoreLog.ts"

const { LEAF_ENTRY_BYTES, SEAL_SPACE, STORE_SPACE, TILE_ENTRIES, TILE_SPACE } = Rows

/** Between two looks at what has changed, while something has. */
const LOOK_MILLIS = 1000
/** After so long without an event of a session it is sealed: longer than the pauses of somebody who types. */
const QUIET_MILLIS = 5000
/** The oldest event that is not sealed waits at most so long, whatever goes on, as long as the sealer keeps up. */
const AGE_MILLIS = 60_000
/** So many events of a session are sealed although more come. */
const EVENTS_DUE = 1024
/** Of one seal: 16 tiles, 200 KB of rows in one batch. */
const SEAL_EVENTS_MAX = 4096
/** Without a statement for so long, one says that nothing happened. */
const IDLE_MILLIS = 3_600_000
/** Of the event loop, at a time; a keystroke waits no longer for it. */
const SLICE_MILLIS = 2
/** Rests so many times as long as it worked: at most a fifth of a processor. */
const REST_FACTOR = 4
/** Hashes between two looks at the time. */
const SLICE_EVENTS = 32
/** What cannot be read or written now is tried again after so long. */
const RETRY_MILLIS = 60_000
/** An engine that stops seals what is due, for so long: what is left, the next one takes up. */
const STOP_MILLIS_MAX = 1000
/** Sessions of an old store looked at between two rests, and the rest. */
const TAKE_UP_SESSIONS = 16
const TAKE_UP_REST_MILLIS = 50
/** Tiles whose salts are thrown away in one batch: 384 KiB. */
const SALT_TILES_MAX = 32

export interface SealerOptions {
  readonly journal: JournalShape
  /**
   * Makes the key if there is none; `recorded` is the verifier key that the rows are under. Throws when it cannot be used;
   * nothing is sealed then.
   */
  readonly signer: (nowMillis: number, recorded: string | undefined) => Signer
  /** Makes the key that is to follow, and keeps it for `signer`, which gives it from when it is the recorded one. */
  readonly nextSigner?: ((name: string, nowMillis: number) => Signer) | undefined
  /** Whether more is to come of it; absent where no engine runs. */
  readonly isLive?: ((session: SessionId) => boolean) | undefined
}

export interface Sealer {
  /** Takes up what is not sealed, then seals what comes. Ends when it is interrupted. */
  readonly run: Effect.Effect<void>
  /** Everything of the session that is there now is sealed when it returns, unless that is not possible; then it says why. */
  seal(session: SessionId): Effect.Effect<string | undefined, StorageUnavailable>
  /** Everything of every session, as `seal`; gives those that are not sealed wholly, and why. */
  readonly sealAll: Effect.Effect<
    ReadonlyArray<{ readonly session: SessionId; readonly reason: string }>,
    StorageUnavailable
  >
  /** Goes on under a new key; a `string`: why not. */
  readonly rotate: Effect.Effect<
    { readonly from: string; readonly to: string; readonly statement: number } | string,
    StorageUnavailable
  >
  /** Throws away the salts of what was removed from the session. */
  forgetRemoved(session: SessionId): Effect.Effect<void, StorageUnavailable>
  /** The last seals of an engine that stops. */
  readonly finish: Effect.Effect<void>
}

interface Pending {
  /** Of the first event that is not sealed. */
  readonly sinceMillis: number
  readonly first: number
  changedMillis: number
  head: number
  /** After a failure. */
  notBefore: number
}

export const makeSealer = Effect.fnUntraced(function* ({ isLive, journal, nextSigner, signer }: SealerOptions) {
  const turn = yield* Semaphore.make(1)
  const pending = new Map<SessionId, Pending>()
  const stoppedAgain = new Set<SessionId>()
  let log: StoreLog | undefined
  /** The present key and those before it: seals of sessions that are quiet for long are signed by one of them. */
  let verifiers: ReadonlyArray<Verifier> = []
  /** Why nothing can be sealed; told once. */
  let broken: string | undefined
  let isStopping = false
  let awake = yield* Deferred.make<void>()
  let takeChanges: () => ReturnType<ReturnType<JournalShape["sealing"]["watchChanges"]>> = () => []

  const put = (rows: ReadonlyArray<Row>) =>
    journal.putRows(rows).pipe(
      Effect.catchTag("EventRefused", (error: EventRefused) => Effect.die(error)),
      Effect.onError(() =>
        Effect.sync(() => {
          // Whether it was written is not known: the rows will say.
          log = undefined
        })
      )
    )

  /** The log, opened or begun; undefined: nothing can be sealed. */
  const openLog = Effect.gen(function* () {
    if (log !== undefined || broken !== undefined) return log
    const nowMillis = yield* Clock.currentTimeMillis
    const known = yield* journal.row(STORE_SPACE, Rows.STORE_KEY_KEY)
    const recorded = known && Buffer.from(known.value).toString("utf8")
    const key = yield* attempt(() => signer(nowMillis, recorded)).pipe(
      Effect.catchTag("StoreRefused", ({ message }) => giveUp(message))
    )
    if (key === undefined) return undefined
    verifiers = [key]
    if (recorded !== undefined && recorded !== verifierKey(key)) return yield* beginAnew(key)
    verifiers = keyChain(key, yield* rotations).map((term) => term.key)
    const opened = yield* StoreLog.open(journal, key)
    if (typeof opened === "string") return yield* giveUp(`the store's log cannot go on: ${opened}; run: reprise verify`)
    log = opened ?? StoreLog.empty(key)
    return log
  })

  /** Of something that only the disk keeps from being done it is known that it can be tried again. */
  const attempt = <A>(make: () => A): Effect.Effect<A, StoreRefused | StorageUnavailable> =>
    Effect.try({
      try: make,
      catch: (cause) => {
        if (cause instanceof StoreRefused) return cause
        const reason = cause instanceof Error ? cause.message : String(cause)
        return new StorageUnavailable({ operation: "append", reason, diskFull: /ENOSPC|EDQUOT/.test(reason) })
      }
    })

  const rotations = Effect.gen(function* () {
    const rows = yield* Stream.runCollect(journal.rows(STORE_SPACE))
    const statementAt = (index: number) => Effect.runPromise(rowValue(Rows.LOG_SPACE, Rows.logKey(index)))
    return rotationsIn(
      yield* Effect.tryPromise({
        try: () => readRotations(rows, statementAt),
        // Nothing else fails in it.
        catch: (cause) => cause as StorageUnavailable
      })
    )
  })

  const giveUp = (reason: string) =>
    Effect.gen(function* () {
      broken = reason
      yield* Effect.logWarning(`evidence: nothing is sealed: ${reason}`)
      return undefined
    })

  /** The rows are of another key: of the store that this one is a copy of, or of one whose key was lost. */
  const beginAnew = Effect.fnUntraced(function* (key: Signer) {
    const row = yield* journal.row(STORE_SPACE, Rows.STORE_CHECKPOINT_KEY)
    const predecessor = row === undefined ? undefined : predecessorOf(Buffer.from(row.value).toString("utf8"))
    for (const space of Rows.EVIDENCE_SPACES) {
      // The row that says whose they are goes with the last of them.
      yield* journal.deleteRows(space, new Uint8Array(0), Buffer.alloc(Keys.ROW_KEY_BYTES_MAX, 0xff))
    }
    const begun = StoreLog.empty(key)
    const timeMillis = yield* Clock.currentTimeMillis
    log = begun
    yield* put(begun.add({ sealed: undefined, timeMillis, reason: "key", predecessor }))
    return log as StoreLog | undefined
  })

  const rowValue = (space: string, key: Uint8Array) => Effect.map(journal.row(space, key), (row) => row?.value)

  /** Lets others go on, and rests for most of the time. */
  const rest = (workedMillis: number) =>
    Effect.promise(() => (isStopping ? setImmediate() : setTimeout(workedMillis * REST_FACTOR)))

  const loadTree = Effect.fnUntraced(function* (stream: SessionId, key: Signer) {
    const row = yield* journal.row(SEAL_SPACE, Rows.sealKey(stream))
    const bytes = Keys.streamBytes(stream)
    if (row === undefined) {
      // Without a seal there is no tile; where there is one, the seal was lost, and nothing may take its place.
      const tile = yield* rowValue(TILE_SPACE, Rows.tileKey(bytes, 0, 0))
      if (tile !== undefined) return "its seal is missing"
      return { seal: { checkpoint: "", saltless: 0 } as Rows.SealRow, tree: new TileTree(true) }
    }
    const seal = Rows.decodeSeal(row.value)
    const note = seal === undefined ? undefined : parseNote(seal.checkpoint)
    const isOurs = note !== undefined && verifiers.some((verifier) => isSignedBy(note, verifier))
    const checkpoint = isOurs ? parseCheckpoint(note.text) : undefined
    if (seal === undefined || checkpoint?.origin !== originOf(key, stream)) return "its seal is not of the store's key"
    const tiles = new Map<string, Uint8Array>()
    for (const { entries, level, tile } of lastTiles(checkpoint.size)) {
      if (entries === 0) continue
      tiles.set(`${level} ${tile}`, (yield* rowValue(TILE_SPACE, Rows.tileKey(bytes, level, tile))) ?? NOTHING)
    }
    const tree = TileTree.load(checkpoint.size, true, (level, tile) => tiles.get(`${level} ${tile}`))
    if (tree === undefined || Buffer.compare(tree.root(), checkpoint.root) !== 0) return "hashes of it are missing"
    return { seal, tree }
  })

  /** What is wrong with the last event that was sealed; undefined when nothing is. */
  const checkLast = Effect.fnUntraced(function* (stream: SessionId, size: number, head: number, removedTo: number) {
    if (head < size) return `it ends with event ${head}, and ${size} were sealed`
    if (size === 0 || removedTo >= size) return undefined
    // First the tile, then the event, then what follows it: redacted in between, the event is found with what tells of it.
    const tile = yield* rowValue(
      TILE_SPACE,
      Rows.tileKey(Keys.streamBytes(stream), 0, Math.floor((size - 1) / TILE_ENTRIES))
    )
    const at = ((size - 1) % TILE_ENTRIES) * LEAF_ENTRY_BYTES
    const entry = tile?.subarray(at, at + LEAF_ENTRY_BYTES)
    const [record] = (yield* journal.sealing.records(stream, size - 1, size)).records
    if (record === undefined || entry?.byteLength !== LEAF_ENTRY_BYTES) return undefined
    const [key, value] = record
    const sealed = { leaf: entry.subarray(0, HASH_BYTES), salt: entry.subarray(HASH_BYTES), key, value }
    if (committedPayload(sealed) !== "wrong") return undefined
    const replaced = yield* replacementsOf(stream, size)
    return committedPayload({ ...sealed, replaced }) === "wrong" ? notSealed(size) : undefined
  })

  /** What the events behind this one, the last that was sealed, say of its payload. */
  const replacementsOf = Effect.fnUntraced(function* (stream: SessionId, sequence: number) {
    const replacements = new RecordedReplacements()
    for (let after = sequence; ; ) {
      const { damage, records } = yield* journal.sealing.records(stream, after, END)
      const begun = performance.now()
      for (const [key, value] of records) {
        after = Keys.sequenceOf(key)
        if (value[5] !== rareKinds.PayloadsRedacted) continue
        const { event } = decodeRecord(after, value)
        if (event._tag !== "PayloadsRedacted") continue
        replacements.take(event.events.filter((one) => one.sequence === sequence))
      }
      // What is damaged or missing says nothing; what follows it does.
      const to = damage?.to ?? after
      if (records.length === 0 && to === after) return replacements.get(sequence)
      after = to
      yield* rest(performance.now() - begun)
    }
  })

  const sealOnce = Effect.fnUntraced(function* (stream: SessionId, reason: StatementReason) {
    const opened = yield* openLog
    if (opened === undefined) return broken
    const key = opened.signer
    const loaded = yield* loadTree(stream, key)
    if (typeof loaded === "string") return loaded
    const { seal, tree } = loaded
    const known = seal.stopped
    // An earlier version stopped also where the last event had been redacted: that is looked at once more.
    if (known !== undefined && (known !== notSealed(tree.size) || stoppedAgain.has(stream))) return known
    const head = yield* journal.head(stream)
    const removedTo = (yield* journal.removal.of(stream))?.sequence ?? 0
    const wrong = yield* checkLast(stream, tree.size, head, removedTo)
    const write = Effect.fnUntraced(function* (why: StatementReason, stopped?: string) {
      const current = yield* openLog
      if (current === undefined) return false
      const timeMillis = yield* Clock.currentTimeMillis
      const { size } = tree
      const root = tree.root()
      const bytes = Keys.streamBytes(stream)
      const checkpoint = signNote(checkpointText({ origin: originOf(key, stream), size, root }), key)
      const rows: ReadonlyArray<Row> = [
        ...tree.takeTiles().map(({ level, tile, value }) => ({
          space: TILE_SPACE,
          key: Rows.tileKey(bytes, level, tile),
          value
        })),
        {
          space: SEAL_SPACE,
          key: Rows.sealKey(stream),
          value: Rows.encodeSeal({
            checkpoint,
            saltless: seal.saltless,
            ...(stopped !== undefined && { stopped })
          })
        },
        ...current.add({ sealed: { session: stream, size, root }, timeMillis, reason: why })
      ]
      killPoint("evidence.seal.before")
      yield* put(rows)
      killPoint("evidence.seal.after")
      return true
    })
    if (wrong !== undefined && known !== undefined) {
      stoppedAgain.add(stream)
      return known
    }
    if (wrong !== undefined) {
      yield* Effect.logWarning(`evidence: session ${stream}: ${wrong}; run: reprise verify`)
      yield* write("stopped", wrong)
      return wrong
    }
    const first = tree.size
    while (tree.size < head) {
      const until = Math.min(head, tree.size + SEAL_EVENTS_MAX)
      while (tree.size < until) {
        const before = tree.size
        yield* hashPage(tree, stream, until, removedTo)
        if (tree.size === before) return "what follows cannot be read"
      }
      if (!(yield* write(tree.size < head ? "events" : reason))) return broken
    }
    // What was redacted while it was being sealed keeps no salt.
    if (tree.size > first) yield* forgetRedacted(stream, first, head)
    if (removedTo > seal.saltless) yield* forgetSalts(stream, seal, removedTo, tree.size)
    return undefined
  })

  /** With what reading took of this thread, not of the wall: on a busy machine most of that is waiting. */
  const recordsOf = Effect.fnUntraced(function* (stream: SessionId, after: number, until: number) {
    const before = process.threadCpuUsage()
    const page = yield* journal.sealing.records(stream, after, until)
    const { system, user } = process.threadCpuUsage(before)
    return { ...page, readMillis: (system + user) / 1000 }
  })

  /** Appends the leaves of a page of events, or of events that are not there. */
  const hashPage = Effect.fnUntraced(function* (tree: TileTree, stream: SessionId, until: number, removedTo: number) {
    const bytes = Keys.streamBytes(stream)
    const absent = Effect.fnUntraced(function* (to: number) {
      let begun = performance.now()
      while (tree.size < to) {
        tree.append(absentLeafHash(Keys.eventKey(bytes, tree.size + 1)))
        if (tree.size % SLICE_EVENTS === 0 && performance.now() - begun >= SLICE_MILLIS) {
          yield* rest(performance.now() - begun)
          begun = performance.now()
        }
      }
    })
    yield* absent(Math.min(removedTo, until))
    if (tree.size >= until) return
    const { damage, readMillis, records } = yield* recordsOf(stream, tree.size, until)
    const salts = randomFillSync(Buffer.allocUnsafeSlow(records.length * SALT_BYTES))
    let begun = performance.now()
    for (const [index, [key, value]] of records.entries()) {
      const salt = salts.subarray(index * SALT_BYTES, (index + 1) * SALT_BYTES)
      const leaf = storedLeafHash(key, value, salt)
      if (leaf === undefined) tree.append(absentLeafHash(key))
      else tree.append(leaf, salt)
      if (index % SLICE_EVENTS === 0 && performance.now() - begun >= SLICE_MILLIS) {
        yield* rest(performance.now() - begun)
        begun = performance.now()
      }
    }
    if (records.length > 0) yield* rest(performance.now() - begun + readMillis)
    // Removed meanwhile, it is gone for good; damaged, nobody knows what it was.
    if (damage !== undefined && damage.to !== null) yield* absent(Math.min(damage.to, until))
  })

  const forgetRedacted = Effect.fnUntraced(function* (stream: SessionId, first: number, head: number) {
    const redacted = yield* journal.read(stream, { after: first, until: head }).pipe(
      Stream.filter(({ event }) => event._tag === "PayloadsRedacted"),
      Stream.runCollect,
      Effect.catchTag("JournalDamaged", () => Effect.succeed([]))
    )
    const sequences = redacted
      .flatMap(({ event }) => (event._tag === "PayloadsRedacted" ? event.events : []))
      .map(({ sequence }) => sequence)
      .filter((sequence) => sequence <= first)
    if (sequences.length === 0) return
    const context = yield* Effect.context<never>()
    const run = Effect.runPromiseWith(context)
    const { rows } = yield* Effect.promise(() =>
      Rows.unsalt(stream, sequences, (space, key) => run(rowValue(space, key)))
    )
    if (rows.length > 0) yield* put(rows)
  })

  /** Of removed events: so that nobody can guess from the hash what they were. */
  const forgetSalts = Effect.fnUntraced(function* (stream: SessionId, seal: Rows.SealRow, to: number, size: number) {
    const bytes = Keys.streamBytes(stream)
    const end = Math.min(to, size)
    for (let tile = Math.floor(seal.saltless / TILE_ENTRIES); tile * TILE_ENTRIES < end; tile += SALT_TILES_MAX) {
      const range = {
        from: Rows.tileKey(bytes, 0, tile),
        to: Rows.tileKey(bytes, 0, Math.min(tile + SALT_TILES_MAX - 1, Math.floor((end - 1) / TILE_ENTRIES)))
      }
      const rows = (yield* Stream.runCollect(journal.rows(TILE_SPACE, range))).flatMap((row) => {
        const number = Rows.tileOf(row.key)?.tile ?? 0
        const value = Rows.withoutSalts(row.value, end - number * TILE_ENTRIES)
        return value === undefined ? [] : [{ ...row, value }]
      })
      if (rows.length > 0) yield* put(rows)
    }
    const row = yield* journal.row(SEAL_SPACE, Rows.sealKey(stream))
    const now = row === undefined ? undefined : Rows.decodeSeal(row.value)
    if (now === undefined) return
    yield* put([{ space: SEAL_SPACE, key: Rows.sealKey(stream), value: Rows.encodeSeal({ ...now, saltless: end }) }])
  })

  const seal = (stream: SessionId, reason: StatementReason) => turn.withPermit(sealOnce(stream, reason))

  const sealAll = Effect.gen(function* () {
    const unsealed: Array<{ readonly session: SessionId; readonly reason: string }> = []
    // The store's own stream last: what the others make it say is in it.
    for (const session of [...(yield* Stream.runCollect(journal.streams())), STORE_STREAM]) {
      const head = yield* journal.head(session)
      if (head <= (yield* sealedOf(session)).size) continue
      const reason = yield* seal(session, "asked")
      if (reason !== undefined) unsealed.push({ session, reason })
    }
    return unsealed
  })

  const rotate = turn
    .withPermit(
      Effect.gen(function* () {
        const opened = yield* openLog
        if (opened === undefined || nextSigner === undefined) return broken ?? "it has no place for another key"
        const timeMillis = yield* Clock.currentTimeMillis
        if (opened.size === 0) yield* put(opened.add({ sealed: undefined, timeMillis, reason: "key" }))
        const from = opened.signer
        const next = yield* attempt(() => nextSigner(from.name, timeMillis))
        const statement = opened.size
        const rows = opened.rotate(next, timeMillis)
        yield* put(rows)
        log = undefined
        yield* openLog
        return { from: verifierKey(from), to: verifierKey(next), statement }
      })
    )
    .pipe(Effect.catchTag("StoreRefused", ({ message }) => Effect.succeed(message)))

  const note = Effect.gen(function* () {
    const nowMillis = yield* Clock.currentTimeMillis
    for (const { head, stream } of takeChanges()) {
      const known = pending.get(stream)
      if (known === undefined) {
        pending.set(stream, { sinceMillis: nowMillis, first: head, changedMillis: nowMillis, head, notBefore: 0 })
      } else if (known.head !== head) {
        known.head = head
        known.changedMillis = nowMillis
      }
    }
    return nowMillis
  })

  const reasonOf = (stream: SessionId, one: Pending, nowMillis: number): StatementReason | undefined => {
    if (nowMillis < one.notBefore) return undefined
    if (stream !== STORE_STREAM && isLive?.(stream) === false) return "closed"
    if (nowMillis - one.changedMillis >= QUIET_MILLIS) return "quiet"
    if (one.head - one.first >= EVENTS_DUE) return "events"
    return nowMillis - one.sinceMillis >= AGE_MILLIS ? "age" : undefined
  }

  const sealPending = Effect.fnUntraced(function* (stream: SessionId, reason: StatementReason) {
    const before = pending.get(stream)
    pending.delete(stream)
    yield* seal(stream, reason).pipe(
      Effect.catchTag("StorageUnavailable", () =>
        Effect.gen(function* () {
          const nowMillis = yield* Clock.currentTimeMillis
          if (before !== undefined) pending.set(stream, { ...before, notBefore: nowMillis + RETRY_MILLIS })
        })
      )
    )
  })

  /** What the seal says, whoever signed it. */
  const sealedOf = (stream: SessionId) =>
    Effect.map(journal.row(SEAL_SPACE, Rows.sealKey(stream)), (row) => {
      const seal = row === undefined ? undefined : Rows.decodeSeal(row.value)
      const size = seal === undefined ? 0 : (parseCheckpoint(parseNote(seal.checkpoint)?.text ?? "")?.size ?? 0)
      return { size, saltless: seal?.saltless ?? 0 }
    })

  /** What an engine before this one left, or one that knew no seals. */
  const takeUp = Effect.gen(function* () {
    const nowMillis = yield* Clock.currentTimeMillis
    const look = Effect.fnUntraced(function* (stream: SessionId) {
      const head = yield* journal.head(stream)
      const { saltless, size } = yield* sealedOf(stream)
      const removedTo = (yield* journal.removal.of(stream))?.sequence ?? 0
      if (head === 0 || (head === size && Math.min(removedTo, size) <= saltless)) return
      if (!pending.has(stream)) {
        pending.set(stream, { sinceMillis: 0, first: size, changedMillis: 0, head, notBefore: nowMillis })
      }
    })
    yield* look(STORE_STREAM)
    let looked = 0
    yield* Stream.runForEach(journal.streams(), (stream) =>
      Effect.gen(function* () {
        yield* look(stream)
        if (++looked % TAKE_UP_SESSIONS === 0) yield* Effect.sleep(TAKE_UP_REST_MILLIS)
      })
    )
    yield* Deferred.succeed(awake, undefined)
  }).pipe(Effect.catchCause((cause) => Effect.logWarning("evidence: not all of the store was looked at", cause)))

  const idle = Effect.fnUntraced(function* (nowMillis: number) {
    const opened = yield* openLog
    if (opened === undefined || nowMillis - opened.lastMillis < IDLE_MILLIS) return
    yield* put(opened.add({ sealed: undefined, timeMillis: nowMillis, reason: "idle" }))
  })

  const once = Effect.gen(function* () {
    if (pending.size === 0) {
      yield* Effect.race(Deferred.await(awake), Effect.sleep(IDLE_MILLIS))
      awake = yield* Deferred.make<void>()
    }
    yield* Effect.sleep(LOOK_MILLIS)
    const nowMillis = yield* note
    for (const [stream, one] of [...pending]) {
      const reason = reasonOf(stream, one, nowMillis)
      if (reason !== undefined) yield* sealPending(stream, reason)
    }
    yield* turn.withPermit(idle(nowMillis)).pipe(Effect.catchTag("StorageUnavailable", () => Effect.void))
  })

  const sealer: Sealer = {
    run: Effect.gen(function* () {
      takeChanges = journal.sealing.watchChanges(() => Deferred.doneUnsafe(awake, Effect.void))
      yield* Effect.forkChild(takeUp)
      yield* Effect.forever(
        once.pipe(
          Effect.catchCause((cause) => Effect.andThen(Effect.logWarning("evidence", cause), Effect.sleep(RETRY_MILLIS)))
        )
      )
    }),
    seal: (session) => seal(session, "asked"),
    sealAll,
    rotate,
    forgetRemoved: (session) => Effect.asVoid(seal(session, "removed")),
    finish: Effect.gen(function* () {
      isStopping = true
      const begun = yield* note
      for (const stream of [...pending.keys()]) {
        if ((yield* Clock.currentTimeMillis) - begun >= STOP_MILLIS_MAX) return
        yield* sealPending(stream, "stop")
      }
    }).pipe(Effect.catchCause((cause) => Effect.logWarning("evidence", cause)))
  }
  return sealer
})

const NOTHING = new Uint8Array(0)

/** Higher than any event. */
const END = Number.MAX_SAFE_INTEGER - 1

const notSealed = (size: number): string => `event ${size} is not the one that was sealed`

const originOf = (key: Signer, stream: SessionId): string => `${key.name}/${stream}`
