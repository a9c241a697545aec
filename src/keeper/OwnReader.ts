/**
 * Our own reading end of an input pipe, of which no fork ever gets a copy. A fork is a copy of this process, descriptors
 * included, until some time after it has executed its program, and the kernel counts its reading ends: InputPipe could
 * not tell it from the program that it waits for. Used by InputPipe; GuardedPty forks through `withoutOwnReaders`.
 */
import { closeSync, constants, openSync } from "node:fs"

const readers = new Set<OwnReader>()

/** Everything happens in one turn: nobody writes meanwhile, and what was written stays, for the writing ends are open. */
export const withoutOwnReaders = <A>(fork: () => A): A => {
  for (const reader of readers) reader.suspend()
  try {
    return fork()
  } finally {
    for (const reader of readers) reader.resume()
  }
}

export class OwnReader {
  #fd: number
  readonly #again: string

  /** `path` is the FIFO's, `writer` a descriptor of it that is open as long as this one. */
  constructor(fd: number, path: string, writer: number) {
    this.#fd = fd
    // Whatever becomes of the path, this is the same FIFO.
    this.#again = process.platform === "linux" ? `/proc/self/fd/${writer}` : path
    readers.add(this)
  }

  /** For ever. */
  close(): void {
    readers.delete(this)
    this.suspend()
  }

  suspend(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }

  resume(): void {
    try {
      this.#fd = openSync(this.#again, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch {
      // The margin of HeadRoom excludes it. Were it to happen after all: the program that was forked must not be lost for it.
    }
  }
}
