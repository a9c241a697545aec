/**
 * Writes to a journal on a small disk that is filled and freed again and again, and says what was acknowledged. Used by
 * DiskFull.test.ts, in its own process and, as a program that kills itself at the end, in another.
 * Arguments of the program: the disk, the stream, a file on another disk for what was acknowledged.
 */
import { strict as assert } from "node:assert"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { ACTOR_PROGRAM, Journal, JournalLevel, type JournalShape } from "../../journal/index.ts"
import { fillDisk } from "../fixtures/smallDisk.ts"

const ROUNDS = 3
const REFUSALS = 3
/** After the disk was freed: acknowledged, they must be there for ever. */
const WRITES_AFTER = 50
/** Each event is as long, so that a small disk is soon full. */
const EVENT_BYTES = 4000

export const journalOn = (disk: string, durability: "process" | "power" = "process") =>
  Layer.fresh(JournalLevel.layer({ location: join(disk, "journal"), durability }))

const isWritable = (journal: JournalShape) =>
  Effect.callback<void>((resume) => {
    const check = () => {
      if (journal.suspended() !== undefined) return
      stop()
      resume(Effect.void)
    }
    const stop = journal.onSuspended(check)
    check()
  })

/** What was acknowledged, in order. */
export const fillAndFree = (disk: string, stream: SessionId) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const acknowledged: Array<string> = []
    const write = (text: string) =>
      journal
        .append(stream, [
          {
            event: {
              _tag: "OutputReceived",
              channel: "tty",
              exec: 0,
              offset: 0,
              data: Buffer.from(text.padEnd(EVENT_BYTES, "."))
            },
            actor: ACTOR_PROGRAM,
            timeMicros: 1_700_000_000_000_000
          }
        ])
        .pipe(Effect.tap(() => Effect.sync(() => acknowledged.push(text))))
    for (let round = 0; round < ROUNDS; round++) {
      const free = fillDisk(disk)
      let refusals = 0
      let isSaid = false
      for (let i = 0; refusals < REFUSALS && i < 20_000; i++) {
        yield* write(`r${round}-${i}`).pipe(
          Effect.catchTag("StorageUnavailable", (error) =>
            Effect.sync(() => {
              refusals++
              // It tries by itself whether there is room, and may be in the middle of that a moment later.
              isSaid ||= journal.suspended()?.diskFull === true
              assert(error.diskFull, error.message)
              assert(error.message.includes("free some space"), error.message)
            })
          )
        )
      }
      assert.equal(refusals, REFUSALS)
      assert(isSaid)
      free()
      yield* isWritable(journal)
      for (let i = 0; i < WRITES_AFTER; i++) yield* write(`after${round}-${i}`)
    }
    return acknowledged
  })

if (process.argv[1] === import.meta.filename) {
  const [disk = "", stream = "", told = ""] = process.argv.slice(2)
  await Effect.runPromise(
    fillAndFree(disk, stream as SessionId).pipe(
      Effect.tap((acknowledged) =>
        Effect.sync(() => {
          writeFileSync(told, JSON.stringify(acknowledged))
          process.kill(process.pid, "SIGKILL")
        })
      ),
      // The kill is on its way: nothing of the journal is closed meanwhile.
      Effect.andThen(Effect.never),
      Effect.provide(journalOn(disk))
    )
  )
}
