/**
 * What takes the place of a session of an encrypted store when its key is destroyed: an EventsRemoved for all of it, the markers
 * over its key, and a state with nothing of what was typed, printed or named in it. RedactionEngine.ts has it written, in
 * one batch; from then on nobody reads what the key encrypted, and what follows only takes it off the disk.
 */
import { Effect } from "effect"
import { type Destruction, destroyedRows, KEY_SPACES } from "../../journal/DataKeys.ts"
import type { SessionId } from "../../journal/Event.ts"
import { Journal, type Removal, type Row, type RowRange } from "../../journal/Journal.ts"
import { streamBytes } from "../../journal/Keys.ts"
import { pendingRow } from "../../journal/RedactionCore.ts"
import { BASE_NAMES } from "../../projections/BaseState.ts"
import { derivedRows, namesIn } from "../../projections/DerivedRows.ts"
import type { Projection } from "../../projections/Projection.ts"
import { SUMMARY_PROJECTIONS, stateAt } from "../../projections/ProjectionRunner.ts"
import { QUARANTINE_SPACE } from "../../projections/ScreenHistory.ts"
import { KEY_DESTROYED_POLICY } from "../../projections/SessionIndex.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { BASE_SPACE, snapshotKey, snapshotRowOf } from "../../projections/SnapshotRow.ts"
import { Title } from "../../projections/Title.ts"
import { WorkingDirectory } from "../../projections/WorkingDirectory.ts"
import { EXEC_SPACE } from "../exec/ExecRow.ts"

export const keyDestruction = Effect.fnUntraced(function* (session: SessionId, destruction: Destruction) {
  const journal = yield* Journal
  const to = yield* journal.head(session)
  // Of a damaged session, what it was up to the damage.
  const { states } = yield* stateAt(SUMMARY_PROJECTIONS, session)
  const kept = [SessionState, WorkingDirectory, Title]
  const { actor, reason, timeMicros } = destruction
  const removal: Removal = {
    to,
    reason: "asked",
    policy: KEY_DESTROYED_POLICY,
    actor,
    timeMicros,
    kept: kept.map(({ name }) => name),
    rows: [
      baseRow(SessionState, session, to, bareState(states.state, to)),
      baseRow(WorkingDirectory, session, to, WorkingDirectory.initial(session)),
      baseRow(Title, session, to, Title.initial(session)),
      ...destroyedRows(session, destruction),
      pendingRow(session)
    ],
    told: [{ _tag: "KeyDestroyed", session, to, reason }],
    takesDamaged: true
  }
  return { removal, stale: yield* staleRows(session, to) }
})

/** Rows that hold something of the session, and go with its key. `to`: its last event, once all are removed. */
export const staleRows = Effect.fnUntraced(function* (session: SessionId, to?: number) {
  const journal = yield* Journal
  const last = to ?? (yield* journal.removal.of(session))?.sequence ?? 0
  // What stood for an earlier removal. With their key gone nobody can list them any more, so the names are given too.
  const names = new Set([...BASE_NAMES, ...(yield* namesIn(BASE_SPACE))])
  const kept = [...names].map((name) => ({
    space: BASE_SPACE,
    from: snapshotKey(name, session, 0),
    to: snapshotKey(name, session, Math.max(0, last - 1))
  }))
  return [...(yield* derivedRows(session)), ...ownRows(session), ...kept]
})

/** When, how long, how much and how it ended; nothing that anybody wrote. */
const bareState = (state: SessionState, sequence: number): SessionState => ({
  ...SessionState.initial(state.id),
  status: state.status,
  exitCode: state.exitCode,
  signal: state.signal,
  kind: state.kind,
  size: state.size,
  createdAt: state.createdAt,
  startedAt: state.startedAt,
  endedAt: state.endedAt,
  lastEventAt: state.lastEventAt,
  outputBytes: state.outputBytes,
  inputBytes: state.inputBytes,
  journaledBytes: state.journaledBytes,
  lastInputSequence: state.lastInputSequence,
  inputClosed: state.inputClosed,
  interruptions: state.interruptions,
  closed: state.closed,
  closeReason: state.closeReason,
  sequence
})

const baseRow = <S>(projection: Projection<S>, session: SessionId, sequence: number, state: S): Row => ({
  ...snapshotRowOf(projection.name, projection.version, session, sequence, projection.encode(state)),
  space: BASE_SPACE
})

/** Rows of the session that no other removal takes. */
const ownRows = (session: SessionId): ReadonlyArray<RowRange> => {
  const id = Buffer.from(session, "latin1")
  return [
    { space: QUARANTINE_SPACE, from: id, to: id },
    { space: EXEC_SPACE, from: Buffer.from(`${session}|`, "latin1"), to: Buffer.from(`${session}}`, "latin1") }
  ]
}

/** The rows that keep the key, or say that it was destroyed: what was there before is to go from the files. */
export const keyRanges = (session: SessionId): ReadonlyArray<RowRange> => {
  const key = streamBytes(session)
  return KEY_SPACES.map((space) => ({ space, from: key, to: key }))
}
