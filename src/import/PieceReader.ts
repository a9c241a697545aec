/** Bytes of a file in the amounts that a format asks for. It holds no more than a piece of the file and what was asked. */
import type { RecordingFile } from "../files/RecordingFile.ts"

export class PieceReader {
  readonly #pieces: AsyncGenerator<Buffer, undefined>
  #rest: Buffer = Buffer.alloc(0)

  constructor(file: RecordingFile) {
    this.#pieces = file.pieces()
  }

  /** So many bytes, or those that are left where there are fewer. */
  async read(bytes: number): Promise<Buffer> {
    const parts: Array<Buffer> = []
    let missing = bytes
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#pieces.next()
        if (done) break
        this.#rest = value
      }
      const part = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(part.length)
      missing -= part.length
      parts.push(part)
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  async close(): Promise<void> {
    await this.#pieces.return(undefined)
  }
}
