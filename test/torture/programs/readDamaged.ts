/**
 * Reads damaged copies of a store as the engine does, in a process of its own: damage that ends the process is a finding
 * too. For each line on standard input, `FOLDER`, it opens the journal there and reads every session of EXPECTED (a file:
 * pairs of a session's id and the digests of its events, in order), prints one line of JSON and lets go of it.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { Effect, Layer, Stream } from "effect"
import { Journal, JournalLevel, type SessionId } from "../../../journal/index.ts"

export interface Served {
  /** Events that are not what was appended at that place. */
  readonly wrong: number
  /** Events that are not there. */
  readonly missing: number
  /** The store was refused, or damage was named, with its words; undefined: all was well. */
  readonly named: string | undefined
}

const expected = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as ReadonlyArray<
  readonly [SessionId, ReadonlyArray<string>]
>

const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16)

const look = Effect.gen(function* () {
  const journal = yield* Journal
  const { damages } = yield* journal.verify
  let named = damages[0] === undefined ? undefined : damages[0].reason
  let wrong = 0
  let missing = 0
  for (const [stream, digests] of expected) {
    let at = 0
    yield* journal.read(stream).pipe(
      Stream.runForEach((entry) =>
        Effect.sync(() => {
          if (digest(entry) !== digests[at++]) wrong++
        })
      ),
      Effect.catchTag("JournalDamaged", (damage) =>
        Effect.sync(() => {
          named ??= damage.reason
        })
      )
    )
    missing += Math.max(0, digests.length - at)
  }
  return { wrong, missing, named } satisfies Served
})

const refused = (reason: string): Effect.Effect<Served> => Effect.succeed({ wrong: 0, missing: 0, named: reason })

for await (const folder of createInterface({ input: process.stdin })) {
  const served: Served = await Effect.runPromise(
    look.pipe(
      Effect.provide(Layer.fresh(JournalLevel.layer({ location: folder }))),
      Effect.catchTag("StoreRefused", ({ reason }) => refused(`refused: ${reason}`)),
      Effect.catchTag("StorageUnavailable", ({ reason }) => refused(`unavailable: ${reason}`))
    )
  )
  process.stdout.write(`${JSON.stringify(served)}\n`)
}
