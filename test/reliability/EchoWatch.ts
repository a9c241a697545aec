/**
 * An interactive session beside whatever a test does to the machine: it types a word at a steady pace and takes the time until
 * each is shown. Used by the tests of floods and fork bombs.
 */
import { Effect, Fiber, type Scope, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Attach, Sessions } from "../../src/index.ts"

/** Between one word's echo and the next word: a quick typist. */
const PAUSE_MILLIS = 20

export interface EchoTimes {
  readonly count: number
  readonly p99Millis: number
  readonly slowestMillis: number
}

export interface EchoWatch {
  readonly session: SessionId
  /** Types for as long as the effect runs; gives its result and how long the echoes took. */
  readonly during: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<readonly [A, EchoTimes], E, R>
}

export const makeEchoWatch: Effect.Effect<EchoWatch, unknown, Sessions | Attach | Scope.Scope> = Effect.gen(
  function* () {
    const sessions = yield* Sessions
    const attach = yield* Attach
    const { id } = yield* sessions.create({ argv: ["sh", "-c", "stty raw -echo; echo ready; exec cat"], cwd: "/" })
    let shown = ""
    let wake = () => {}
    yield* attach.attach(id, { after: 0 }).pipe(
      Stream.runForEach((item) =>
        Effect.sync(() => {
          if (item._tag === "Output") shown += Buffer.from(item.data).toString()
          wake()
        })
      ),
      Effect.forkScoped
    )
    const shows = (text: string) =>
      Effect.callback<void>((resume) => {
        wake = () => {
          if (shown.includes(text)) resume(Effect.void)
        }
        wake()
      })
    yield* shows("ready")
    return {
      session: id as SessionId,
      during: (work) =>
        Effect.gen(function* () {
          const millis: Array<number> = []
          let isOver = false
          const typing = yield* Effect.gen(function* () {
            const began = performance.now()
            const word = `<${began}>`
            yield* sessions.write(id, Buffer.from(word))
            yield* shows(word)
            millis.push(performance.now() - began)
            if (!isOver) yield* Effect.sleep(PAUSE_MILLIS)
          }).pipe(Effect.repeat({ while: () => !isOver }), Effect.orDie, Effect.forkChild)
          // Typing does not end before: when it does, it failed, and there is nothing to measure any more.
          const result = yield* Effect.raceFirst(work, Effect.andThen(Fiber.join(typing), Effect.never))
          // The word that is under way counts too: it may be the slowest, and the only one.
          isOver = true
          yield* Fiber.join(typing)
          millis.sort((one, other) => one - other)
          return [
            result,
            {
              count: millis.length,
              p99Millis: millis[Math.floor(millis.length * 0.99)]!,
              slowestMillis: millis.at(-1)!
            }
          ] as const
        })
    }
  }
)
