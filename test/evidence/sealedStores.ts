/** Stores with sealed sessions, made in this process, and what an attacker with the store in his hands does to them. */
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { openEntries } from "../../journal/EntryReader.ts"
import type { NewEvent, SessionId } from "../../journal/Event.ts"
import * as Rows from "../../journal/EvidenceRows.ts"
import { Journal, JournalLevel, type JournalShape } from "../../journal/index.ts"
import { eventKey, rowKey, streamBytes } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { decodeRow, encodeRecord, encodeRow } from "../../journal/Record.ts"
import type { KeyValue } from "../../journal/Storage.ts"
import { ensureKey } from "../../src/evidence/Keys.ts"
import { makeSealer, type Sealer } from "../../src/evidence/Sealer.ts"
import { type VerifyOptions, type VerifyReport, verifyStore } from "../../src/evidence/Verify.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"

export const withFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-evidence-"))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The store opened as an engine would, and closed again. */
export const sealing = <A, E>(
  paths: StorePaths,
  use: (journal: JournalShape, sealer: Sealer) => Effect.Effect<A, E>
): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      const sealer = yield* makeSealer({ journal, signer: (nowMillis) => ensureKey(paths, nowMillis).signer })
      return yield* use(journal, sealer)
    }).pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal }))))
  )

/** As private as the original. */
export const copyOf = (paths: StorePaths, folder: string, name: string): StorePaths => {
  const copy = join(folder, name)
  const before = process.umask(0o077)
  cpSync(paths.store, copy, { recursive: true })
  process.umask(before)
  return storePaths(copy)
}

/** The store's bytes in the hands of somebody who knows its format: checksums are made right again. */
export class Attacker {
  readonly #storage: LevelStorage
  private constructor(storage: LevelStorage) {
    this.#storage = storage
  }

  static async at(paths: StorePaths, attack: (attacker: Attacker) => Promise<void>): Promise<void> {
    const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
    try {
      await attack(new Attacker(storage))
    } finally {
      await storage.close()
    }
  }

  async value(stream: SessionId, sequence: number): Promise<Buffer> {
    const key = eventKey(streamBytes(stream), sequence)
    const [found] = await this.#storage.range({
      from: key,
      to: Buffer.concat([key, Buffer.of(0)]),
      limit: 1,
      bytesMax: 1e9
    })
    return Buffer.from(found![1])
  }

  /** Puts the bytes of a stored value there, with the checksum that its place asks for. */
  async put(stream: SessionId, sequence: number, value: Buffer): Promise<void> {
    const key = eventKey(streamBytes(stream), sequence)
    // A row's checksum is made as a record's is: over the key and what follows it.
    await this.#storage.batch([{ key, value: encodeRow(key, value.subarray(4)) }])
  }

  async append(stream: SessionId, sequence: number, event: NewEvent): Promise<void> {
    const key = eventKey(streamBytes(stream), sequence)
    await this.#storage.batch([{ key, value: encodeRecord(key, event) }])
  }

  async remove(stream: SessionId, from: number, to: number): Promise<void> {
    const bytes = streamBytes(stream)
    await this.#storage.batch(
      Array.from({ length: to - from + 1 }, (_, at) => ({ key: eventKey(bytes, from + at), value: undefined }))
    )
  }

  async rows(space: string): Promise<ReadonlyArray<KeyValue>> {
    const from = rowKey(space, new Uint8Array(0))
    const found = await this.#storage.range({ from, to: rowKey(`${space}!`, NOTHING), limit: 10_000, bytesMax: 1e9 })
    return found
      .filter(([key]) => key[1 + space.length] === 0)
      .map(([key, value]) => [Buffer.from(key), decodeRow(key, value)!])
  }

  /** `undefined` deletes it. `key` is the full one, as `rows` gave it. */
  async putRow(key: Uint8Array, value: Uint8Array | undefined): Promise<void> {
    await this.#storage.batch([{ key, value: value === undefined ? undefined : encodeRow(key, value) }])
  }
}

const NOTHING = new Uint8Array(0)

export const verified = (paths: StorePaths, options: Partial<VerifyOptions> = {}): Promise<VerifyReport> =>
  verifyStore(paths, { anchors: [], ...options })

/** `verdict reason from-to` of each finding; of other sessions than `session` with their id. */
export const named = ({ findings }: VerifyReport, session?: SessionId): ReadonlyArray<string> =>
  findings.map(({ from, reason, session: of, to, verdict }) =>
    [
      verdict,
      reason,
      ...(from === null ? [] : [from === to ? `${from}` : `${from}-${to}`]),
      ...(of === null || of === session ? [] : [of])
    ].join(" ")
  )

/** The store's signed checkpoint as it is stored. */
const readAnchor = async (paths: StorePaths): Promise<string> => {
  const reader = await openEntries(paths.journal, paths.key)
  try {
    const key = rowKey(Rows.STORE_SPACE, Rows.STORE_CHECKPOINT_KEY)
    for await (const [entry] of reader.pages({ from: key, to: Buffer.concat([key, Buffer.of(0)]) })) {
      if (entry !== undefined) return Buffer.from(decodeRow(entry[0], entry[1])!).toString("utf8")
    }
    throw new Error("nothing was sealed yet")
  } finally {
    reader.close()
  }
}

export const anchorOf = async (paths: StorePaths, name = "anchor") => ({ name, text: await readAnchor(paths) })
