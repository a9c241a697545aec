/**
 * What an exec session's terminal prints, on its way to the journal: secrets are held back and replaced, the last bytes are
 * kept for the prompt, and the mark behind a command's output is looked for. It journals nothing.
 */
import type { Command } from "./Command.ts"
import type { StreamRedactor } from "./Secrets.ts"

/** Kept of the terminal for the prompt and the mark. */
const TAIL_BYTES = 8 * 1024
const NO_BYTES = new Uint8Array(0)

export class ShellTerminal {
  #tail: Buffer = Buffer.alloc(0)
  #redactor: StreamRedactor | undefined
  readonly #markSeen: () => void

  constructor(markSeen: () => void) {
    this.#markSeen = markSeen
  }

  /** Its last bytes since the running command began. */
  get tail(): Buffer {
    return this.#tail
  }

  get heldBytes(): number {
    return this.#redactor?.heldBytes ?? 0
  }

  /** What was held back, when nothing can follow. */
  rest(): Uint8Array {
    return this.#redactor?.flush() ?? NO_BYTES
  }

  /** A command begins: other secrets are looked for. */
  begin(redactor: StreamRedactor | undefined): void {
    this.#tail = Buffer.alloc(0)
    this.#redactor = redactor
  }

  forget(): void {
    this.#tail = Buffer.alloc(0)
    this.#redactor?.flush()
  }

  /** Answers what is to be journaled; the bytes are valid during the call. */
  push(bytes: Uint8Array, command: Command | undefined): Uint8Array {
    const kept = Buffer.concat([this.#tail, bytes])
    this.#tail = kept.length > TAIL_BYTES ? Buffer.from(kept.subarray(-TAIL_BYTES)) : kept
    if (command !== undefined && command.mark !== "" && !command.isMarkSeen && kept.includes(command.mark)) {
      command.isMarkSeen = true
      this.#markSeen()
    }
    return this.#redactor?.push(bytes) ?? bytes
  }
}
