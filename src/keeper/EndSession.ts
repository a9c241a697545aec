/**
 * Ends every process of a session: first as a terminal that goes away does (HUP), then asking (TERM), then by force
 * (KILL), and names those that even that did not end. Used by Terminals. It signals only processes that it has just
 * found to belong to the session, each by pid and start time, and never waits longer than it was given.
 */
import { lookForProcesses } from "./ProcessLook.ts"
import { commandOf, type SessionIdentity, signalProcess } from "./ProcessTable.ts"
import { CLOSE_GRACE_MILLIS_MAX, type SurvivingProcess } from "./PtyHost.ts"

/** Parts of the grace after which the next stronger signal is used; a program that saves its work on TERM gets most. */
const TERM_AFTER = 0.1
const KILL_AFTER = 0.6
/** Looking again: quickly at first, because most programs end within some milliseconds of the HUP. */
const LOOK_MILLIS_MIN = 4
const LOOK_MILLIS_MAX = 50
/** In each stage, however short, or used up by a machine that stood still: what was signalled needs a moment to end. */
const LOOKS_MIN = 4
/** A process in the middle of its exec has no environment to be known by: one empty look is no proof. */
const EMPTY_LOOKS = 2

/**
 * `leaderExited` says whether the kernel reported the leader's end: a session is over when that is so and nobody else
 * is left, hence whoever waits for this has seen the exit too.
 */
export const endSession = async (
  session: SessionIdentity,
  leaderExited: () => boolean,
  graceMillis = CLOSE_GRACE_MILLIS_MAX
): Promise<ReadonlyArray<SurvivingProcess>> => {
  const grace = Math.min(Math.max(graceMillis, 0), CLOSE_GRACE_MILLIS_MAX)
  const stages: ReadonlyArray<readonly [signal: NodeJS.Signals, millis: number]> = [
    ["SIGHUP", grace * TERM_AFTER],
    ["SIGTERM", grace * (KILL_AFTER - TERM_AFTER)],
    ["SIGKILL", grace * (1 - KILL_AFTER)]
  ]
  let emptyLooks = 0
  for (const [signal, millis] of stages) {
    const signalled = new Set<string>()
    // From its own begin: a machine that stood still in the stage before takes nothing away from this one.
    const until = performance.now() + millis
    for (
      let looks = 1, lookMillis = LOOK_MILLIS_MIN;
      ;
      looks++, lookMillis = Math.min(lookMillis * 2, LOOK_MILLIS_MAX)
    ) {
      const left = await lookForProcesses(session)
      emptyLooks = left.length === 0 ? emptyLooks + 1 : 0
      if (emptyLooks >= EMPTY_LOOKS && leaderExited()) return []
      for (const entry of left) {
        // Whoever was forked since the last look gets it too; nobody gets TERM twice, which some take for "at once".
        const identity = `${entry.pid}:${entry.startTime}`
        if (!signalled.has(identity)) signalProcess(entry, signal)
        signalled.add(identity)
        // What is stopped keeps a signal pending until it goes on.
        if (entry.state === "T") signalProcess(entry, "SIGCONT")
      }
      const rest = until - performance.now()
      if (rest <= 0 && looks >= LOOKS_MIN) break
      await new Promise((resolve) => setTimeout(resolve, rest <= 0 ? lookMillis : Math.min(lookMillis, rest)))
    }
  }
  const survivors = (await lookForProcesses(session)).map(({ pid }) => ({ pid, command: commandOf(pid) }))
  // Nobody to be seen and no exit reported: the leader's end is not known, which is not the same as its end.
  if (survivors.length > 0 || leaderExited()) return survivors
  return [{ pid: session.leader.pid, command: commandOf(session.leader.pid) }]
}
