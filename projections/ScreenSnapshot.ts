/**
 * The bytes of a screen's snapshot (Screen.ts makes and restores it), read and written without the emulator, which takes long
 * to load: for who changes what a kept screen holds (ScreenMask.ts).
 */
import { deflateRawSync, inflateRawSync } from "node:zlib"
import type { TerminalSize } from "../journal/Event.ts"
import { screenCells } from "./ScreenBounds.ts"
import type { ScreenGuardState } from "./ScreenGuard.ts"
import { decodeSnapshot, encodeSnapshot } from "./SnapshotCodec.ts"
import type { XtermHeader, XtermState } from "./XtermState.ts"

/** Bytes of a snapshot, unpacked: 1,000 x 1,256 cells of 12 bytes on both buffers, with room for its header. */
export const SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024

export interface ScreenSnapshot {
  readonly size: TerminalSize
  readonly guard: ScreenGuardState
  readonly xterm: XtermState
}

interface SnapshotHeader {
  readonly size: TerminalSize
  readonly guard: ScreenGuardState
  readonly xterm: XtermHeader
}

export const encodeScreen = ({ guard, size, xterm }: ScreenSnapshot): Uint8Array => {
  const { cells, header } = xterm
  const state: SnapshotHeader = { size, guard, xterm: header }
  return encodeSnapshot(state, [new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength)])
}

/** As it is stored. */
export const packSnapshot = (bytes: Uint8Array): Uint8Array => deflateRawSync(bytes, { level: 1 })

/** Throws on anything that is no snapshot of this version. */
export const decodeScreen = (packed: Uint8Array): ScreenSnapshot => {
  const bytes = inflateRawSync(packed, { maxOutputLength: SNAPSHOT_BYTES_MAX })
  const { state, parts } = decodeSnapshot<SnapshotHeader>(bytes, 1)
  const cells = parts[0]!
  const { cols, rows } = state.size
  if (!(cols >= 1 && rows >= 1) || screenCells(state.size) * 24 > SNAPSHOT_BYTES_MAX) {
    throw new Error("snapshot: bad size")
  }
  return {
    size: state.size,
    guard: state.guard,
    xterm: { header: state.xterm, cells: new Uint32Array(cells.buffer, cells.byteOffset, cells.byteLength / 4) }
  }
}
