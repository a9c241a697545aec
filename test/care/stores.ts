/** Stores without an engine, for tests of what looks after whole stores: made in this process, with events in tables and in the log. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { Journal, JournalLevel, type NewEvent, type SessionId } from "../../journal/index.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

export interface MadeStore {
  readonly paths: StorePaths
  /** What each stream's outputs are, in order, behind its creation. */
  readonly texts: ReadonlyMap<SessionId, ReadonlyArray<string>>
}

export const withFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-care-"))
  try {
    await use(folder)
  } finally {
    // A process that a test has ended may be writing its last file.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
  }
}

export const withJournal = <A, E>(paths: StorePaths, effect: Effect.Effect<A, E, Journal>): Promise<A> =>
  Effect.runPromise(effect.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal })))))

export const created = (name = "a session"): NewEvent => ({
  actor: "test",
  timeMicros: 1_800_000_000_000_000,
  event: {
    _tag: "SessionCreated",
    argv: ["sh"],
    cwd: "/",
    envNames: [],
    size: { cols: 80, rows: 24 },
    term: "xterm-256color",
    owner: "test",
    name,
    kind: "terminal"
  }
})

export const closed: NewEvent = {
  actor: "test",
  timeMicros: 1_800_000_000_000_001,
  event: { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }
}

/** Two openings: the first one's events lie in a table then, the second one's in the log. */
export const makeStore = async (store: string, sessions = 3, outputs = 40): Promise<MadeStore> => {
  mkdirSync(store, { recursive: true, mode: 0o700 })
  const before = process.umask(0o077)
  const paths = storePaths(store)
  const random = seededRandom(sessions)
  const texts = new Map(Array.from({ length: sessions }, () => [newSessionId(), [] as Array<string>]))
  try {
    for (let opening = 0; opening < 2; opening++) {
      await withJournal(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          for (const [stream, written] of texts) {
            if (opening === 0) yield* journal.append(stream, [created()])
            const more = Array.from({ length: outputs / 2 }, () =>
              random.bytes(100 + random.below(200)).toString("hex")
            )
            yield* journal.append(
              stream,
              more.map((text) => outputEvent(text))
            )
            written.push(...more)
          }
        })
      )
    }
  } finally {
    process.umask(before)
  }
  return { paths, texts }
}

/** A copy that is as private as the original. */
export const copyStore = (paths: StorePaths, folder: string): StorePaths => {
  cpSync(paths.store, folder, { recursive: true })
  for (const name of ["", "journal", "journal/db"]) chmodSync(join(folder, name), 0o700)
  return storePaths(folder)
}

/** What a reader is served of a stream, and how its reading ended. */
export const served = (stream: SessionId) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const outputs: Array<string> = []
    const damage = yield* Stream.runForEach(journal.read(stream), ({ event }) =>
      Effect.sync(() => {
        if (event._tag === "OutputReceived") outputs.push(Buffer.from(event.data).toString())
      })
    ).pipe(
      Effect.as(undefined),
      Effect.catchTag("JournalDamaged", (error) => Effect.succeed(error))
    )
    return { outputs, damage }
  })

/** Every file with its bytes, LevelDB's own diary left out. */
export const contentOf = (folder: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/^LOG/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path, readFileSync(path, "latin1")])
  )

export const filesOf = (paths: StorePaths, ending: string | RegExp): ReadonlyArray<string> =>
  readdirSync(join(paths.journal, "db"))
    .filter((name) => (typeof ending === "string" ? name.endsWith(ending) : ending.test(name)))
    .map((name) => join(paths.journal, "db", name))
