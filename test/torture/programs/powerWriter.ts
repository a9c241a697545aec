/**
 * Run as a process of its own, whose disk loses power at any moment: appends without end, and prints the number of each event
 * that was acknowledged.
 *
 *   powerWriter.ts LOCATION DURABILITY STREAM
 */
import { writeSync } from "node:fs"
import { Effect } from "effect"
import { type Durability, Journal, JournalLevel, type SessionId } from "../../../journal/index.ts"
import { outputEvent } from "../../contracts/JournalContract.ts"
import { eventText } from "../PowerCut.ts"

const [location = "", durability = "power", stream = ""] = process.argv.slice(2)
await Effect.runPromise(
  Effect.gen(function* () {
    const journal = yield* Journal
    for (let number = 1; ; number++) {
      yield* journal.append(stream as SessionId, [outputEvent(eventText(number))])
      writeSync(1, `${number}\n`)
    }
  }).pipe(Effect.provide(JournalLevel.layer({ location, durability: durability as Durability })))
)
