/** What the session tests share: an engine over a store of its own, a reader that waits for what it wants to see. */

import { mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { type EngineLimits, History, Reprise, Sessions, type SessionView } from "../../src/index.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { filesBelow, ifThere } from "../fixtures/filesBelow.ts"
import { removeStore } from "../fixtures/removeStore.ts"

export interface TestStore {
  readonly paths: StorePaths
  readonly layer: (options?: {
    readonly inProcess?: boolean
    readonly sessionsPerKeeper?: number
    readonly limits?: Partial<EngineLimits>
  }) => ReturnType<typeof Reprise.layer>
  /** Whether any file of the store holds these bytes, as `grep -a` would find them. */
  readonly holds: (text: string) => boolean
}

/** A store in a folder of its own; its keepers are ended and its files removed with the scope. */
export const testStore = Effect.acquireRelease(
  Effect.sync((): TestStore => {
    const folder = mkdtempSync(join(tmpdir(), "reprise-"))
    const paths = storePaths(folder)
    return {
      paths,
      layer: (options = {}) => Layer.fresh(Reprise.layer({ store: folder, ...options })),
      // A running engine removes what was a command's that has ended.
      holds: (text) =>
        filesBelow(folder).some((file) => ifThere(() => readFileSync(file), Buffer.alloc(0)).includes(text))
    }
  }),
  ({ paths }) => Effect.promise(() => removeStore(paths.store))
)

export const idOf = (view: SessionView) => view.id as SessionId

export const textOf = (entries: Iterable<JournalEntry>): string =>
  Buffer.concat(
    [...entries].map(({ event }) => (event._tag === "OutputReceived" ? event.data : new Uint8Array(0)))
  ).toString()

/** Everything from the beginning until the output holds `text` (or the session ends). */
export const until = (session: SessionId, text: string | RegExp) =>
  Effect.gen(function* () {
    const history = yield* History
    const seen: Array<JournalEntry> = []
    yield* history.follow(session, 0).pipe(
      Stream.takeUntil((item) => {
        if (item._tag === "Page") seen.push(...item.entries)
        const output = textOf(seen)
        return typeof text === "string" ? output.includes(text) : text.test(output)
      }),
      Stream.runDrain
    )
    return seen
  })

/** Everything until the session is closed or lost. */
export const untilEnd = (session: SessionId) => until(session, /(?!)/)

export const type = (session: SessionId, text: string) =>
  Effect.flatMap(Sessions, (sessions) => sessions.write(session, Buffer.from(text)))

export const eventsOf = <Tag extends JournalEntry["event"]["_tag"]>(entries: ReadonlyArray<JournalEntry>, tag: Tag) =>
  entries
    .filter(({ event }) => event._tag === tag)
    .map(({ event }) => event as Extract<JournalEntry["event"], { _tag: Tag }>)
