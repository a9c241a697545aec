/**
 * The states that stand for the removed beginning of a stream: what every projection that goes on from the start of a
 * history knew at the last event removed. Retention writes them in one batch with the EventsRemoved; the projections
 * begin at them as at snapshots. Unlike a snapshot such a row is the truth: nothing can make it again. So it is never
 * ignored for its version (`Projection.upcast`), and where it cannot be read, whoever asks is told.
 */
import type { SessionId } from "../journal/Event.ts"
import type { Row } from "../journal/Journal.ts"
import { Buffers } from "./Buffers.ts"
import { Commands } from "./Commands.ts"
import { SessionState } from "./SessionState.ts"
import { snapshotKey, snapshotValue } from "./SnapshotRow.ts"
import { Title } from "./Title.ts"
import { WorkingDirectory } from "./WorkingDirectory.ts"

/** Space of the rows. Key and value are those of a snapshot (SnapshotRow.ts) at the last event removed. */
export const BASE_SPACE = "base"

/** Kept of a session of which nothing is left but the row in a list. */
export const SUMMARY_BASES = { state: SessionState, directory: WorkingDirectory, title: Title } as const
/** Kept of a session that goes on, with its screen. */
export const ALL_BASES = { ...SUMMARY_BASES, buffers: Buffers, commands: Commands } as const

export const baseRow = (
  name: string,
  version: number,
  stream: SessionId,
  sequence: number,
  state: Uint8Array
): Row => ({ space: BASE_SPACE, key: snapshotKey(name, stream, sequence), value: snapshotValue(version, state) })
