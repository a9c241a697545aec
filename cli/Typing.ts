/** Types bytes into a session, in order and no faster than its program takes them. */
import { Effect, Schedule, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Sessions } from "../src/session/Sessions.ts"
import { Caller } from "./Caller.ts"

/**
 * One write of input: small enough that echo starts at once, large enough that a byte costs little. A session that takes
 * less at once (SessionLimits.inputChunkBytes) refuses it as a whole, and gets it in halves.
 */
const INPUT_BYTES_MAX = 32 * 1024
/** A program that does not read fills its queue: how soon the rest is offered again. */
const INPUT_RETRY = Schedule.min([Schedule.exponential("20 millis", 2), Schedule.spaced("500 millis")])

/** Queues that are full and become free again; nothing of the write was done. */
const isFull = (error: { readonly _tag: string }): boolean =>
  error._tag === "InputRefused" || error._tag === "LimitExceeded"

/** `client` is the name under which the caller is attached. */
export const typeBytes = Effect.fnUntraced(function* (session: SessionId, bytes: Uint8Array, client?: string) {
  const sessions = yield* Sessions
  let most = INPUT_BYTES_MAX
  for (let at = 0; at < bytes.byteLength; ) {
    const piece = bytes.subarray(at, at + most)
    const isTaken = yield* sessions.write(session, piece, { client }).pipe(
      Effect.retry({ while: isFull, schedule: INPUT_RETRY }),
      Effect.as(true),
      Effect.catchIf(
        (error) => error._tag === "InvalidRequest" && error.field === "data" && piece.byteLength > 1,
        () => Effect.succeed(false)
      )
    )
    if (isTaken) at += piece.byteLength
    else most = Math.ceil(piece.byteLength / 2)
  }
})

/** Types standard input, and end-of-file behind it when asked to. */
export const typeInput = Effect.fnUntraced(function* (
  session: SessionId,
  options: { readonly closeAtEnd: boolean; readonly client?: string | undefined }
) {
  const sessions = yield* Sessions
  const caller = yield* Caller
  yield* caller.input.pipe(
    Stream.runForEach((chunk) => typeBytes(session, chunk, options.client)),
    // The program is gone, or goes without more input: that is not an error of the run.
    Effect.catchTag("SessionEnded", () => Effect.void)
  )
  if (options.closeAtEnd) {
    yield* sessions.closeInput(session, { client: options.client }).pipe(
      Effect.retry({ while: isFull, schedule: INPUT_RETRY }),
      Effect.catchTag("SessionEnded", () => Effect.void)
    )
  }
})
