/** Takes texts out of a row that stands for removed events (BaseState.ts): out of the state in it, not out of its bytes. */
import type { Row } from "../journal/Journal.ts"
import { ALL_BASES } from "./BaseState.ts"
import type { Projection } from "./Projection.ts"
import { decodeRow } from "./ProjectionRunner.ts"
import { SCREEN_VERSION } from "./ScreenBounds.ts"
import { SCREEN_SNAPSHOT_NAME } from "./ScreenDrawing.ts"
import { maskScreen } from "./ScreenMask.ts"
import { snapshotName, snapshotState, snapshotValue } from "./SnapshotRow.ts"
import type { TextMask } from "./TextMask.ts"

export type MaskedRow =
  | { readonly _tag: "Masked"; readonly row: Row }
  /** It holds nothing of it. */
  | { readonly _tag: "Clean" }
  /** Nobody can read it: nothing of it is changed, and what it holds is not known. */
  | { readonly _tag: "Unreadable"; readonly name: string }

export const maskKept = (row: Row, mask: TextMask): MaskedRow => {
  const name = snapshotName(row.key)
  const before = mask.places
  try {
    const value = name === SCREEN_SNAPSHOT_NAME ? screenWithout(row, mask) : stateWithout(name, row, mask)
    if (value === undefined) return { _tag: "Unreadable", name }
    return mask.places === before ? { _tag: "Clean" } : { _tag: "Masked", row: { ...row, value } }
  } catch {
    return { _tag: "Unreadable", name }
  }
}

const screenWithout = (row: Row, mask: TextMask): Uint8Array | undefined => {
  const state = snapshotState(row, SCREEN_VERSION)
  return state && snapshotValue(SCREEN_VERSION, maskScreen(state, mask))
}

/** In the form of this version, whatever version wrote it: as its readers take it. */
const stateWithout = (name: string, row: Row, mask: TextMask): Uint8Array | undefined => {
  const projection: Projection<unknown> | undefined = Object.values(ALL_BASES).find((one) => one.name === name)
  const state = projection && decodeRow(projection, row)
  if (projection?.mask === undefined || state === undefined) return undefined
  return snapshotValue(projection.version, projection.encode(projection.mask(state, mask)))
}
