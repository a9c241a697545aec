/**
 * Collects what is drawn on a screen, in order, as the drawing thread takes it: runs of output as one piece of bytes each,
 * and the sizes between them. It draws nothing.
 */
import type { TerminalSize } from "../journal/Event.ts"
import type { ScreenStep } from "./ScreenWorker.ts"

export class ScreenSteps {
  #steps: Array<ScreenStep> = []
  #run: Array<Uint8Array> = []
  #bytes = 0

  /** Of output. */
  get bytes(): number {
    return this.#bytes
  }

  output(data: Uint8Array): void {
    this.#run.push(data)
    this.#bytes += data.length
  }

  resize(size: TerminalSize): void {
    this.#flush()
    this.#steps.push(size)
  }

  end(): ReadonlyArray<ScreenStep> {
    this.#flush()
    return this.#steps
  }

  #flush(): void {
    if (this.#run.length === 0) return
    let length = 0
    for (const data of this.#run) length += data.length
    // Memory of its own: it is handed to the thread, and the entries' bytes are the journal's.
    const joined = new Uint8Array(length)
    let at = 0
    for (const data of this.#run) {
      joined.set(data, at)
      at += data.length
    }
    this.#steps.push(joined)
    this.#run = []
  }
}
