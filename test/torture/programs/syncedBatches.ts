/**
 * Run as a process of its own: a journal whose log is replaced, before its n-th append, by a file that takes writes and
 * cannot be synced. In mode power every append must then be refused; in mode process none is. Prints one line of JSON.
 *
 *   syncedBatches.ts FOLDER DURABILITY TRIES
 */
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { type Durability, Journal, JournalLevel } from "../../../journal/index.ts"
import { newSessionId, outputEvent } from "../../contracts/JournalContract.ts"
import { descriptorsOf, replaceDescriptor } from "../BrokenDescriptors.ts"

const [folder = "", durability = "power", tries = "0"] = process.argv.slice(2)

const tally = { unsynced: 0, refused: 0, acknowledged: 0, lost: 0 }
for (let at = 0; at < Number(tries); at++) {
  const location = join(folder, `${durability}-${at}`)
  const layer = () => Layer.fresh(JournalLevel.layer({ location, durability: durability as Durability }))
  const stream = newSessionId()
  let acknowledged = 0
  await Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      for (; acknowledged < at; acknowledged++) yield* journal.append(stream, [outputEvent(`e${acknowledged}`)])
      for (const fd of descriptorsOf(join(location, "db"), ".log")) replaceDescriptor(fd, "pipe")
      tally.unsynced++
      yield* journal.append(stream, [outputEvent("unsynced")]).pipe(
        Effect.tap(() => Effect.sync(() => tally.acknowledged++)),
        Effect.catchTag("StorageUnavailable", () => Effect.sync(() => tally.refused++))
      )
    }).pipe(Effect.provide(layer()))
  )
  const kept = await Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      let read = 0
      // In mode process the log was thrown away behind a clean stop: the journal names the end that is missing.
      yield* journal.read(stream).pipe(
        Stream.runForEach(() => Effect.sync(() => read++)),
        Effect.catchTag("JournalDamaged", (damage) => (durability === "process" ? Effect.void : Effect.fail(damage)))
      )
      return read
    }).pipe(Effect.provide(layer()))
  )
  if (kept < acknowledged) tally.lost++
}
process.stdout.write(`${JSON.stringify(tally)}\n`)
