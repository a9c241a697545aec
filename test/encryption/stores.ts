/** Encrypted stores for tests: a folder with a key file beside the store, opened as an engine and as a command would, and looked into. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { DatabaseReader } from "../../journal/DatabaseReader.ts"
import { isEntry } from "../../journal/EntryCheck.ts"
import { type Journal, JournalLevel } from "../../journal/index.ts"
import * as RetentionLocal from "../../src/erasure/RetentionLocal.ts"
import type { History, Redaction } from "../../src/index.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"

/** The same number, the same key. */
export const keyFile = (folder: string, number = 7): string => {
  const file = join(folder, `key-${number}`)
  writeFileSync(file, Buffer.alloc(32, number), { mode: 0o600 })
  return file
}

export const encryptedPaths = (folder: string, number = 7, name = "store"): StorePaths =>
  storePaths(join(folder, name), { file: keyFile(folder, number) })

export const inJournal = <A, E>(paths: StorePaths, effect: Effect.Effect<A, E, Journal>): Promise<A> =>
  Effect.runPromise(
    effect.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal, key: paths.key }))))
  )

/** With what a command removes by, whose opening finishes what others left to do. */
export const redacting = <A, E>(
  paths: StorePaths,
  effect: Effect.Effect<A, E, Journal | Redaction | History>
): Promise<A> =>
  Effect.runPromise(
    effect.pipe(
      Effect.provide(
        Layer.fresh(
          RetentionLocal.layer(paths).pipe(
            Layer.provideMerge(HistoryLive.layerWithScreens),
            Layer.provideMerge(JournalLevel.layer({ location: paths.journal, key: paths.key }))
          )
        )
      )
    )
  )

/** The files as they are, without an opening, which would change them. */
export const looking = async <A>(paths: StorePaths, look: (reader: DatabaseReader) => Promise<A>): Promise<A> => {
  const reader = await DatabaseReader.open(join(paths.journal, "db"), { isEntry })
  try {
    return await look(reader)
  } finally {
    reader.close()
  }
}
