/**
 * The output of one attached session, chunk by chunk, behind a cursor. It keeps the attachment open while nobody reads
 * (one page is held, no more), can let go of it, and attaches again behind the last chunk that was taken. It never takes
 * a chunk out of order and never gives one twice.
 */
import type { Stream } from "effect"
import type { AttachError, AttachItem } from "../session/Attach.ts"
import type { OutputChunk, OutputGap } from "./OutputChunk.ts"
import { PageReader } from "./PageReader.ts"
import { RepriseError } from "./RepriseError.ts"
import type { SessionExit } from "./SessionInfo.ts"

export interface OutputReaderOptions {
  /** Attaches behind a sequence; undefined: with a screen. */
  readonly open: (after: number | undefined) => Stream.Stream<AttachItem, AttachError>
  readonly after: number | undefined
  readonly onEnd: (exit: SessionExit) => void
}

export class OutputReader {
  readonly #options: OutputReaderOptions
  #pages: PageReader<AttachItem> | undefined
  #chunks: Array<OutputChunk> = []
  #taken = 0
  #isReplay = true
  /** Up to here it was a replay. */
  #replayed = 0
  /** Comes with the next chunk. */
  #gap: { readonly gap: OutputGap; readonly sequence: number } | undefined
  #after: number | undefined
  /** The session's last event when the attachment was made, or made again after its connection broke. */
  #attachedAt = 0
  /** Calls of `next` that have no answer yet; they are answered in their order. */
  #pending = 0
  #turn: Promise<unknown> = Promise.resolve()
  #isOver = false

  constructor(options: OutputReaderOptions) {
    this.#options = options
    this.#after = options.after
  }

  /** Sequence of the last chunk that was taken. */
  get sequence(): number {
    return this.#after ?? 0
  }

  /** Resolves when attached, or rejects with the reason why not. */
  async attach(): Promise<void> {
    await this.#fill()
  }

  /** The next chunk; undefined behind the last one and once it is closed. */
  next(): Promise<OutputChunk | undefined> {
    this.#pending += 1
    const answer = this.#turn
      .then(() => this.#next())
      .finally(() => {
        this.#pending -= 1
      })
    this.#turn = answer.catch(() => undefined)
    return answer
  }

  /** Lets go of the attachment unless somebody waits for a chunk. The next call of `next` makes it again. */
  async letGo(): Promise<void> {
    if (this.#pending === 0) await this.#drop()
  }

  /**
   * Attaches again behind the last chunk that was taken, unless that was done since the session was taken back, which is
   * the event `resumed`: an attachment that nobody takes from does not notice that its engine died. What was not taken
   * comes again. Who waits for a chunk notices by itself.
   */
  renew(resumed: number): void {
    if (this.#pending > 0) return
    const renewing = this.#turn.then(async () => {
      if (this.#isOver || this.#pages === undefined || this.#attachedAt >= resumed) return
      // First closed: it may be coming back by itself at this moment, and would take the place of the new one.
      await this.#drop()
      if (!this.#isOver) await this.#fill()
    })
    // What is wrong is told to whoever takes the next chunk.
    this.#turn = renewing.catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#isOver = true
    await this.#drop()
  }

  async #next(): Promise<OutputChunk | undefined> {
    while (this.#taken === this.#chunks.length) {
      if (this.#isOver) return undefined
      await this.#fill()
    }
    const chunk = this.#chunks[this.#taken++]!
    this.#after = chunk.sequence
    if (chunk.exitCode !== undefined) this.#isOver = true
    return chunk
  }

  /** Takes the next page. The stream is made when there is none, and given up when it fails. */
  async #fill(): Promise<void> {
    if (this.#pages === undefined) {
      this.#isReplay = true
      this.#gap = undefined
      this.#pages = new PageReader(this.#options.open(this.#after), (items) => {
        for (const item of items) if (item._tag === "Attached") this.#attachedAt = item.head
      })
    }
    const pages = this.#pages
    this.#chunks = []
    this.#taken = 0
    const items = await pages.take().catch((error) => {
      if (this.#pages === pages) this.#pages = undefined
      throw error
    })
    // Let go meanwhile.
    if (this.#pages !== pages) return
    if (items !== undefined) {
      for (const item of items) this.#add(item)
    } else {
      this.#pages = undefined
      throw new RepriseError(
        "SessionUnavailable",
        "Unavailable",
        "the engine ended the output without an end; try again"
      )
    }
  }

  #add(item: AttachItem): void {
    switch (item._tag) {
      case "Attached":
        this.#isReplay = true
        break
      case "ReplayComplete":
        this.#isReplay = false
        this.#replayed = item.sequence
        break
      case "Screen":
        if (item.data.byteLength > 0) this.#push(item.sequence, { stdout: bytesOf(item.data), isScreen: true })
        break
      case "Output":
        this.#push(
          item.sequence,
          item.channel === "stderr" ? { stderr: bytesOf(item.data) } : { stdout: bytesOf(item.data) }
        )
        break
      case "Missing":
        // Two with nothing between them: the first one needs a chunk of its own.
        if (this.#gap !== undefined) this.#push(this.#gap.sequence, {})
        this.#gap = { gap: { from: item.from, to: item.to, reason: item.why }, sequence: item.sequence }
        break
      case "Ended": {
        const { exitCode, reason, signal } = item
        // Always the last item, also where it had come long before.
        this.#isReplay ||= item.sequence <= this.#replayed
        this.#push(item.sequence, { exitCode, signal, reason })
        this.#options.onEnd({ exitCode, signal, reason })
        break
      }
    }
  }

  #push(sequence: number, what: Omit<OutputChunk, "sequence" | "isReplay" | "gapBefore">): void {
    const gapBefore = this.#gap?.gap
    this.#gap = undefined
    this.#chunks.push({ ...what, sequence, isReplay: this.#isReplay, ...(gapBefore !== undefined && { gapBefore }) })
  }

  async #drop(): Promise<void> {
    const pages = this.#pages
    this.#pages = undefined
    this.#chunks = []
    this.#taken = 0
    await pages?.close()
  }
}

/** Never a Buffer, whose `toString` and `slice` differ: in one process the journal's own pieces would be. */
const bytesOf = (data: Uint8Array): Uint8Array =>
  Buffer.isBuffer(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data
