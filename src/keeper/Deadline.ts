/**
 * A timer for what a peer must have done by then. Used where peers connect. A process that was held up for all of the
 * time has not read yet what the peer sent long ago, and Node runs timers before it reads: a plain timer would end it.
 */

/** Each is a turn of the event loop, in which sockets are read too. */
const TURNS = 4

/** Calls `onExpired` once, when `millis` have passed in several turns of the event loop. Gives what cancels it. */
export const deadline = (millis: number, onExpired: () => void): (() => void) => {
  let turns = 0
  const timer = setInterval(() => {
    turns++
    if (turns < TURNS) return
    clearInterval(timer)
    onExpired()
  }, millis / TURNS)
  return () => clearInterval(timer)
}
