/** What comes back from a program that repeats its input: waits for one text after the other. Used where round trips are timed. */

/** Said by the repeating program once the terminal is raw. */
export const READY = "ready"
/** What takes longer is lost. */
const BACK_MILLIS_MAX = 10_000

export class Returned {
  #received = ""
  #wake: () => void = () => {}

  /** `listen` is called once. */
  constructor(listen: (onBytes: (bytes: Uint8Array) => void) => void) {
    listen((bytes) => {
      this.#received += Buffer.from(bytes).toString("latin1")
      this.#wake()
    })
  }

  /** Until the text is among what came since the last one; ends the process when it does not come. */
  async comes(text: string): Promise<void> {
    const deadline = setTimeout(() => {
      process.stderr.write(`nothing came back for ${JSON.stringify(text)} within ${BACK_MILLIS_MAX} ms\n`)
      process.exit(1)
    }, BACK_MILLIS_MAX)
    while (!this.#received.includes(text)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    clearTimeout(deadline)
    this.#received = ""
  }
}
