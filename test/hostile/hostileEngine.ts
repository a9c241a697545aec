/**
 * What the tests of hostile output share: the built engine in a process of its own, sessions that print given bytes
 * exactly, an echo beside them, and what the engine uses. Everything is asked over the engine's socket.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Schedule, Stream } from "effect"
import type { JournalEntry, SessionEvent, SessionId } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { processStatus, residentMibOf } from "../fixtures/processFigures.ts"

/** A program that prints these bytes as they are and then reads, without an echo, until its input ends. */
export const printing = (folder: string, name: string, data: Uint8Array): ReadonlyArray<string> => {
  const file = join(folder, `${name}.bytes`)
  writeFileSync(file, data)
  return ["sh", "-c", 'stty raw -echo; cat "$1"; exec cat', "sh", file]
}

/** Until its terminal's output behind `after` has so many bytes, or it has ended; the events until then. */
export const untilOutput = Effect.fnUntraced(function* (session: SessionId, bytes: number, after = 0) {
  const history = yield* History
  const seen: Array<JournalEntry> = []
  let length = 0
  yield* history.follow(session, after).pipe(
    Stream.takeUntil((item) => {
      if (item._tag !== "Page") return false
      seen.push(...item.entries)
      for (const { event } of item.entries) if (event._tag === "OutputReceived") length += event.data.byteLength
      return length >= bytes
    }),
    Stream.runDrain
  )
  return seen
})

export const outputBytes = (entries: ReadonlyArray<JournalEntry>): Buffer =>
  Buffer.concat(entries.flatMap(({ event }) => (event._tag === "OutputReceived" ? [event.data] : [])))

export const tagsOf = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<SessionEvent["_tag"]> =>
  entries.map(({ event }) => event._tag)

export const create = (argv: ReadonlyArray<string>, name?: string) =>
  Effect.map(
    Sessions.use((sessions) => sessions.create({ argv, ...(name !== undefined && { name }) })),
    (view) => view.id
  )

export const typeInto = (session: SessionId, text: string) =>
  Sessions.use((sessions) => sessions.write(session, Buffer.from(text)))

/** The screen as it is now, when all of it is drawn or it is said that it cannot be. */
export const screenOf = (session: SessionId) =>
  History.use((history) => history.stateAt(session, { _tag: "Head" })).pipe(
    Effect.map(({ screen }) => screen),
    Effect.repeat({ until: ({ status }) => status !== "behind", schedule: Schedule.spaced("10 millis") })
  )

/** The most memory it had since `forgetPeak`, and what it has now, in MiB. */
export const memoryOf = (pid: number): { readonly peak: number; readonly now: number } => {
  return { peak: processStatus(pid, "VmHWM") / 1024, now: residentMibOf(pid) }
}
export const forgetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, "5")

/** Until it has no more than this, in MiB: an idle engine gives back what a flood took. A test that waits in vain runs into its time limit. */
export const settlesBelow = (pid: number, mib: number) =>
  Effect.sync(() => memoryOf(pid).now).pipe(
    Effect.repeat({ until: (now) => now < mib, schedule: Schedule.spaced("100 millis") }),
    Effect.asVoid
  )

/** Times from a key to its echo, in milliseconds, sorted; `session` runs `cat` on a raw terminal without echo. */
export const echoes = Effect.fnUntraced(function* (session: SessionId, count: number) {
  const history = yield* History
  const times: Array<number> = []
  for (let index = 0; index < count; index++) {
    const { sequence } = yield* history.get(session)
    const began = performance.now()
    yield* typeInto(session, "x")
    yield* history.follow(session, sequence).pipe(
      Stream.takeUntil(
        (item) => item._tag === "Page" && item.entries.some(({ event }) => event._tag === "OutputReceived")
      ),
      Stream.runDrain
    )
    times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)
})

export const median = (sorted: ReadonlyArray<number>): number => sorted[Math.floor(sorted.length / 2)]!
