/**
 * Changes of a terminal's size that come faster than a program can draw become one, the last. A LiveSession asks it for each
 * change; the first is applied at once, and so is any that comes alone. It knows no terminal and no journal.
 */
import type { TerminalSize } from "../../journal/Event.ts"

/** Applies a size; false when it was the size already, so that nothing was done. */
export type ApplySize<Options> = (size: TerminalSize, options: Options) => Promise<boolean>

interface Waiting<Options> {
  size: TerminalSize
  options: Options
  /** One for all whose sizes it takes the place of. */
  readonly answer: PromiseWithResolvers<TerminalSize>
}

export class ResizeDebounce<Options> {
  readonly #millis: number
  readonly #apply: ApplySize<Options>
  #waiting: Waiting<Options> | undefined
  #isApplying = false
  /** Runs while what comes has to wait. */
  #window: NodeJS.Timeout | undefined

  constructor(millis: number, apply: ApplySize<Options>) {
    this.#millis = millis
    this.#apply = apply
  }

  /** The last size asked for, while it is not applied yet. */
  get asked(): TerminalSize | undefined {
    return this.#waiting?.size
  }

  /** Answers with the size when this one or a later one was applied; rejects as its application does. */
  ask(size: TerminalSize, options: Options): Promise<TerminalSize> {
    if (!this.#isApplying && this.#window === undefined) return this.#run(size, options)
    if (this.#waiting === undefined) {
      this.#waiting = { size, options, answer: Promise.withResolvers() }
    } else {
      this.#waiting.size = size
      this.#waiting.options = options
    }
    return this.#waiting.answer.promise
  }

  /** What waits is applied now: its session is about to be paused or has ended. */
  settle(): void {
    this.#closeWindow()
    this.#next()
  }

  async #run(size: TerminalSize, options: Options): Promise<TerminalSize> {
    this.#isApplying = true
    let isChanged = false
    if (this.#millis > 0) {
      this.#window = setTimeout(() => this.settle(), this.#millis)
      this.#window.unref()
    }
    try {
      isChanged = await this.#apply(size, options)
      return size
    } finally {
      this.#isApplying = false
      // Nothing was applied, so nothing has to wait for it.
      if (!isChanged) this.#closeWindow()
      this.#next()
    }
  }

  #closeWindow(): void {
    clearTimeout(this.#window)
    this.#window = undefined
  }

  #next(): void {
    const waiting = this.#waiting
    if (waiting === undefined || this.#isApplying || this.#window !== undefined) return
    this.#waiting = undefined
    this.#run(waiting.size, waiting.options).then(waiting.answer.resolve, waiting.answer.reject)
  }
}
