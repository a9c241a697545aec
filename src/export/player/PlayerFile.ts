/**
 * What the page holds of the session: its index and its parts, unpacked when they are wanted. A few parts are kept, so
 * that a page of any size takes little more memory than its file.
 */
import { decodeSnapshot } from "../../../projections/SnapshotCodec.ts"
import { type PartHeader, type PlayerIndex, type PlayerRecord, readRecords } from "../PlayerFormat.ts"

export interface PlayerPart {
  readonly header: PartHeader
  /** Records before its first. */
  readonly first: number
  readonly records: ReadonlyArray<PlayerRecord>
  /** The screen before its first record; undefined where it is blank (the first part) or was too large to keep. */
  readonly keyframe: Uint8Array | undefined
}

/** Parts that are kept unpacked: the one that is shown, its neighbours, and one for the search. */
const PARTS_KEPT = 4

export class PlayerFile {
  readonly index: PlayerIndex
  readonly #packed: ReadonlyArray<HTMLTemplateElement>
  readonly #kept = new Map<number, Promise<PlayerPart>>()

  private constructor(index: PlayerIndex, packed: ReadonlyArray<HTMLTemplateElement>) {
    this.index = index
    this.#packed = packed
  }

  static async open(page: Document): Promise<PlayerFile> {
    const index = page.getElementById("index") as HTMLTemplateElement
    const parts = Array.from(page.querySelectorAll<HTMLTemplateElement>("template.part"))
    const text = new TextDecoder().decode(await unpacked(index))
    return new PlayerFile(JSON.parse(text) as PlayerIndex, parts)
  }

  part(number: number): Promise<PlayerPart> {
    let part = this.#kept.get(number)
    if (part === undefined) {
      part = this.#read(number)
    } else this.#kept.delete(number)
    this.#kept.set(number, part)
    if (this.#kept.size > PARTS_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    return part
  }

  /** The part in which a record is; the last one for the end. */
  partOfRecord(record: number): number {
    return lastAtMost(this.index.parts, record, ([, first]) => first)
  }

  partOfTime(time: number): number {
    return lastAtMost(this.index.parts, time, ([start]) => start)
  }

  async #read(number: number): Promise<PlayerPart> {
    const { parts, state } = decodeSnapshot<PartHeader>(await unpacked(this.#packed[number]!), 2)
    const keyframe = parts[1]!.length === 0 ? undefined : await inflated(parts[1]!)
    return { header: state, first: this.index.parts[number]![1], records: readRecords(state, parts[0]!), keyframe }
  }
}

/** The last element whose value is at most this; 0 where there is none. Values never fall. */
export const lastAtMost = <A>(list: ReadonlyArray<A>, value: number, of: (element: A) => number): number => {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (of(list[middle]!) <= value) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

const unpacked = (element: HTMLTemplateElement): Promise<Uint8Array> => {
  const text = atob(element.content.textContent)
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at)
  return inflated(bytes)
}

const inflated = async (bytes: Uint8Array): Promise<Uint8Array> => {
  const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate-raw"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}
