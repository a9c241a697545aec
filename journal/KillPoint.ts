/**
 * Named instructions at which the engine can be made to die, so that a test can put a crash exactly there. They stand in
 * the paths that must survive one: appending, recovery, snapshots, retention, the keeper's connection. A process dies at
 * one only if it was started with REPRISE_KILL_POINT; in every other a kill point is a call of an empty function.
 *
 *   REPRISE_KILL_POINT=journal.batch.after:3      dies (SIGKILL) when it comes there for the third time
 */

/** Where a process can be made to die, each before or after something that must be all or nothing. */
export const KILL_POINTS = [
  "journal.batch.before",
  "journal.batch.after",
  "retention.tombstone.before",
  "retention.tombstone.after",
  "retention.delete.before",
  "retention.delete.after",
  "retention.compact.before"
] as const
export type KillPointName = (typeof KILL_POINTS)[number]

const armed = process.env.REPRISE_KILL_POINT

const dieAt = (wanted: string): ((name: KillPointName) => void) => {
  const [wantedName, times = "1"] = wanted.split(":")
  let left = Number(times)
  return (name) => {
    if (name === wantedName && --left === 0) process.kill(process.pid, "SIGKILL")
  }
}

export const killPoint: (name: KillPointName) => void = armed === undefined ? () => {} : dieAt(armed)
