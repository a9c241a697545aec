/**
 * The state of a projection as a row of the journal: how it is named, and which version of the projection wrote it. The
 * runner and the screens keep their snapshots so, and retention what stands for removed events.
 *
 *   key    name, `|`, stream, `|`, sequence as u64 big-endian: in order, so the last one up to a point is one seek
 *   value  u32 big-endian version of the projection, then what its `encode` gave
 */
import type { SessionId } from "../journal/Event.ts"
import type { Row } from "../journal/Journal.ts"
import { KEPT_SPACE } from "../journal/KeptRows.ts"

/** Space of the snapshots. */
export const SNAPSHOT_SPACE = "snap"
/** Space of what stands for removed events (BaseState.ts): at the last of them, and the truth. */
export const BASE_SPACE = KEPT_SPACE

/** Key of the snapshot of a projection after a sequence. */
export const snapshotKey = (name: string, stream: SessionId, sequence: number): Uint8Array => {
  const prefix = Buffer.from(`${name}|${stream}|`, "latin1")
  const key = Buffer.alloc(prefix.length + 8)
  prefix.copy(key)
  key.writeBigUInt64BE(BigInt(sequence), prefix.length)
  return key
}

/** The name in a snapshot's key. */
export const snapshotName = (key: Uint8Array): string => Buffer.from(key).toString("latin1").split("|")[0]!

/** The sequence at the end of a snapshot's key. */
export const snapshotSequence = (key: Uint8Array): number =>
  Number(Buffer.from(key.buffer, key.byteOffset, key.byteLength).readBigUInt64BE(key.byteLength - 8))

export const snapshotValue = (version: number, state: Uint8Array): Uint8Array => {
  const value = Buffer.alloc(4 + state.byteLength)
  value.writeUInt32BE(version)
  value.set(state, 4)
  return value
}

export const snapshotRowOf = (
  name: string,
  version: number,
  stream: SessionId,
  sequence: number,
  state: Uint8Array
): Row => ({
  space: SNAPSHOT_SPACE,
  key: snapshotKey(name, stream, sequence),
  value: snapshotValue(version, state)
})

/** Version and state of a row; undefined when it is none. */
export const readSnapshot = (row: Row): { readonly version: number; readonly state: Uint8Array } | undefined => {
  const value = Buffer.from(row.value.buffer, row.value.byteOffset, row.value.byteLength)
  return value.length >= 4 ? { version: value.readUInt32BE(), state: value.subarray(4) } : undefined
}

/** The state in a snapshot's row, or undefined when it is of another version. */
export const snapshotState = (row: Row, version: number): Uint8Array | undefined => {
  const found = readSnapshot(row)
  return found?.version === version ? found.state : undefined
}
