/**
 * Named instructions at which the engine can be made to die, so that a test can put a crash exactly there. They stand in
 * the paths that must survive one: appending, recovery, snapshots, retention, redaction, a change of the store's key, the keeper's connection. A process dies at
 * one only if it was started with REPRISE_KILL_POINT; in every other a kill point is a call of an empty function.
 *
 *   REPRISE_KILL_POINT=journal.batch.after:3      dies (SIGKILL) when it comes there for the third time
 */

/** Where a process can be made to die, each before or after something that must be all or nothing. */
export const KILL_POINTS = [
  "journal.append.before",
  "journal.append.after",
  "journal.batch.before",
  "journal.batch.after",
  "journal.reopen.before",
  "journal.reopen.after",
  "engine.started.before",
  "engine.started.after",
  "recovery.keepers.after",
  "recovery.session.before",
  "recovery.resumed.before",
  "recovery.resumed.after",
  "recovery.typed.after",
  "recovery.attached.after",
  "session.created.after",
  "session.started.after",
  "session.closed.before",
  "session.closed.after",
  "session.lost.before",
  "session.lost.after",
  "snapshot.write.before",
  "snapshot.write.after",
  "summary.write.before",
  "summary.write.after",
  "keeper.spawn.before",
  "keeper.spawn.after",
  "keeper.ack.before",
  "keeper.ack.after",
  "keeper.write.before",
  "keeper.write.after",
  "retention.tombstone.before",
  "retention.tombstone.after",
  "retention.delete.before",
  "retention.delete.after",
  "retention.compact.before",
  "evidence.seal.before",
  "evidence.seal.after",
  "redaction.batch.before",
  "redaction.batch.after",
  "redaction.rows.before",
  "redaction.compact.before",
  "redaction.finish.before",
  "storekey.begin.before",
  "storekey.begin.after",
  "storekey.copies.before",
  "storekey.copies.after",
  "storekey.switch.before",
  "storekey.switch.after",
  "storekey.rows.before",
  "storekey.rows.after",
  "storekey.compact.before",
  "storekey.compact.after",
  "storekey.told.before",
  "storekey.told.after"
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
