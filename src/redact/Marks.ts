/**
 * Places in a stream of bytes that are to be masked, and with what. Matches of several views of the same bytes meet here: a
 * byte that two of them want is masked once. Gives edits in order; holds as much as was found, not as much as was read.
 */
import { maskOf } from "./CellMask.ts"

export interface Edit {
  readonly from: number
  readonly to: number
  /** As long as the range. */
  readonly bytes: Uint8Array
}

const ASTERISK = 0x2a
/** Of one run of asterisks: what is merged is copied. */
const RUN_BYTES_MAX = 4096

export class Marks {
  #edits: Array<Edit> = []

  get isEmpty(): boolean {
    return this.#edits.length === 0
  }

  /** A character that is shown: what takes its place is as wide. */
  character(from: number, to: number, code: number): void {
    this.#add({ from, to, bytes: maskOf(code, to - from) })
  }

  /** Bytes that are not shown: asterisks. */
  bytes(from: number, to: number): void {
    if (to > from) this.#add({ from, to, bytes: new Uint8Array(to - from).fill(ASTERISK) })
  }

  replace(edit: Edit): void {
    this.#add(edit)
  }

  #add(edit: Edit): void {
    const last = this.#edits[this.#edits.length - 1]
    // The usual case: the next character of a word.
    if (
      last !== undefined &&
      last.to === edit.from &&
      last.bytes.length < RUN_BYTES_MAX &&
      isPlain(last) &&
      isPlain(edit)
    ) {
      this.#edits[this.#edits.length - 1] = plain(last.from, edit.to)
    } else this.#edits.push(edit)
  }

  /** In order, none overlaps another: of two that do, the later one gives way. */
  edits(): ReadonlyArray<Edit> {
    const sorted = this.#edits.sort((one, other) => one.from - other.from || other.to - one.to)
    const kept: Array<Edit> = []
    for (const edit of sorted) {
      const last = kept[kept.length - 1]
      if (last === undefined || edit.from >= last.to) {
        if (
          last !== undefined &&
          last.to === edit.from &&
          isPlain(last) &&
          isPlain(edit) &&
          last.bytes.length < RUN_BYTES_MAX
        )
          kept[kept.length - 1] = plain(last.from, edit.to)
        else kept.push(edit)
      } else if (edit.to > last.to) {
        if (isPlain(last) && isPlain(edit)) kept[kept.length - 1] = plain(last.from, edit.to)
        else kept.push({ from: last.to, to: edit.to, bytes: edit.bytes.subarray(last.to - edit.from) })
      } else if (edit.from === last.from && edit.to === last.to && !isPlain(edit)) {
        // Of the same text of its own, with what was found since.
        kept[kept.length - 1] = edit
      } else if (isPlain(edit) && !isPlain(last) && last.bytes.every((byte) => byte < 0x80)) {
        // Within a replacement that is text of its own (base64): what is masked as it stands is masked.
        const bytes = Uint8Array.from(last.bytes)
        bytes.set(edit.bytes, edit.from - last.from)
        kept[kept.length - 1] = { ...last, bytes }
      }
    }
    this.#edits = kept
    return kept
  }
}

const isPlain = ({ bytes }: Edit): boolean => bytes[0] === ASTERISK && bytes.every((byte) => byte === ASTERISK)

const plain = (from: number, to: number): Edit => ({ from, to, bytes: new Uint8Array(to - from).fill(ASTERISK) })
