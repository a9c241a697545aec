/**
 * The thread that reads sessions as text: it looks for a pattern, and makes the segments of the index. SearchThread.ts
 * starts it, gives it pages of events and ends it when it does not answer. It owns no journal and no file. It runs from
 * its source and as `search-worker.js` beside the bundled programs.
 */
// First: loading the rest gives way too.
import "../../projections/BackgroundThread.ts"
import { parentPort } from "node:worker_threads"
import { Matcher, type WorkerQuery } from "./Matcher.ts"
import type { PackedPage } from "./SearchPage.ts"
import { type LinePlace, SearchText } from "./SearchText.ts"
import { type Block, type MadeSegment, SegmentBuilder, type SegmentHead } from "./Segments.ts"

export type SearchRequest =
  /** What is looked for from now on; null: nothing. */
  | { readonly _tag: "Query"; readonly query: WorkerQuery | null }
  /** Goes through a session from a place on: its next segment is `segment`. */
  | { readonly _tag: "Begin"; readonly segment: number; readonly after: number; readonly state: string | undefined }
  | { readonly _tag: "Feed"; readonly page: PackedPage }
  /** The end of what there is; `cut`: the segment ends with it. */
  | { readonly _tag: "End"; readonly cut: boolean }
  /** Looks through a block. `flush`: and at what has not ended at its end. */
  | { readonly _tag: "Scan"; readonly state: string | undefined; readonly page: PackedPage; readonly flush: boolean }

export interface FoundLine extends LinePlace {
  readonly line: string
  readonly ranges: ReadonlyArray<readonly [number, number]>
  readonly cwd: string
}

export interface FedBlock extends Block {
  readonly isFound: boolean
}

export type SearchAnswer =
  | { readonly _tag: "Ready" }
  /** Blocks and segments that ended in the page. */
  | { readonly _tag: "Fed"; readonly blocks: ReadonlyArray<FedBlock>; readonly segments: ReadonlyArray<MadeSegment> }
  | {
      readonly _tag: "Ended"
      readonly blocks: ReadonlyArray<FedBlock>
      readonly segments: ReadonlyArray<MadeSegment>
      /** Lines that have not ended, in order. */
      readonly open: ReadonlyArray<FoundLine>
    }
  | { readonly _tag: "Scanned"; readonly lines: ReadonlyArray<FoundLine> }
  | { readonly _tag: "Failed"; readonly reason: string }

/** What is gone through. */
interface Pass {
  readonly text: SearchText
  readonly builder: SegmentBuilder
  /** In the block that is being filled. */
  isFound: boolean
  open: Array<FoundLine> | undefined
}

let matcher: Matcher | undefined
let pass: Pass | undefined

const found = (line: string, place: LinePlace, cwd: string): FoundLine => ({
  ...place,
  line,
  ranges: matcher?.ranges(line) ?? [],
  cwd
})

const begin = (segment: number, after: number, state: string | undefined): Pass => {
  const builder = new SegmentBuilder(segment, after)
  const text = new SearchText((line, place) => {
    if (made.open !== undefined) {
      if (matcher?.matches(line, place, text.cwd)) made.open.push(found(line, place, text.cwd))
      return
    }
    builder.line(line)
    if (!made.isFound && matcher?.matches(line, place, text.cwd)) made.isFound = true
  }, state)
  const made: Pass = { text, builder, isFound: false, open: undefined }
  return made
}

const take = (pass: Pass, block: Block): FedBlock => {
  const { isFound } = pass
  pass.isFound = false
  return { ...block, isFound }
}

const endOf = ({ text }: Pass): Pick<SegmentHead, "state" | "hasOpen"> => ({
  state: text.state(),
  hasOpen: text.hasOpen
})

const feed = (pass: Pass, page: PackedPage): SearchAnswer => {
  const blocks: Array<FedBlock> = []
  const segments: Array<MadeSegment> = []
  pass.text.feed(page, {
    before: ({ timeMicros }) => pass.builder.before(timeMicros, () => pass.text.state()),
    behind: ({ data, sequence }) => {
      const block = pass.builder.behind(sequence, data.length)
      if (block === undefined) return
      blocks.push(take(pass, block))
      if (pass.builder.isFull) segments.push(pass.builder.endSegment(endOf(pass))!)
    }
  })
  return { _tag: "Fed", blocks, segments }
}

const end = (pass: Pass, cut: boolean): SearchAnswer => {
  const block = pass.builder.endBlock()
  const segment = cut ? pass.builder.endSegment(endOf(pass)) : undefined
  const open: Array<FoundLine> = []
  pass.open = open
  pass.text.flush()
  return {
    _tag: "Ended",
    blocks: block === undefined ? [] : [take(pass, block)],
    segments: segment === undefined ? [] : [segment],
    open
  }
}

const scan = ({ flush, page, state }: SearchRequest & { readonly _tag: "Scan" }): SearchAnswer => {
  const lines: Array<FoundLine> = []
  const text = new SearchText((line, place) => {
    if (matcher?.matches(line, place, text.cwd)) lines.push(found(line, place, text.cwd))
  }, state)
  text.feed(page)
  if (flush) text.flush()
  return { _tag: "Scanned", lines }
}

const answer = (request: SearchRequest): SearchAnswer => {
  try {
    switch (request._tag) {
      case "Query":
        matcher = request.query === null ? undefined : new Matcher(request.query)
        return { _tag: "Ready" }
      case "Begin":
        pass = begin(request.segment, request.after, request.state)
        return { _tag: "Ready" }
      case "Feed":
        return feed(pass!, request.page)
      case "End": {
        const ended = end(pass!, request.cut)
        pass = undefined
        return ended
      }
      case "Scan":
        return scan(request)
    }
  } catch (error) {
    return { _tag: "Failed", reason: error instanceof Error ? error.message : String(error) }
  }
}

if (parentPort !== null) {
  const port = parentPort
  port.on("message", (request: SearchRequest) => {
    const answered = answer(request)
    const segments = "segments" in answered ? answered.segments : []
    port.postMessage(
      answered,
      segments.map(({ bits }) => bits.buffer)
    )
  })
  port.postMessage({ _tag: "Ready" } satisfies SearchAnswer)
}
