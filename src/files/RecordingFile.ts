/**
 * A file that is imported: read in pieces, with its size and digest, by formats that then need no file system. It is only
 * read; a link, a folder or a device is refused.
 */
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { RecordingRefused } from "./FileError.ts"

/** Of one piece. */
const PIECE_BYTES = 256 * 1024
/** A line or a record is held as a whole: the largest that any format needs, with base64 of the largest record. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024

export class RecordingFile {
  readonly path: string
  readonly bytes: number
  readonly #file: FileHandle

  private constructor(path: string, bytes: number, file: FileHandle) {
    this.path = path
    this.bytes = bytes
    this.#file = file
  }

  /** Throws RecordingRefused. Whoever opens it closes it. */
  static async open(path: string): Promise<RecordingFile> {
    const full = resolve(path)
    const refuse = (reason: string) => new RecordingRefused({ file: full, line: 0, reason })
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    const file = await open(full, flags).catch((error: NodeJS.ErrnoException) => {
      throw refuse(
        error.code === "ELOOP"
          ? "is a symbolic link; name the file itself"
          : error.code === "ENOENT"
            ? "there is no such file"
            : `cannot be read (${error.message})`
      )
    })
    const stat = await file.stat()
    if (!stat.isFile()) {
      await file.close()
      throw refuse("is no ordinary file")
    }
    return new RecordingFile(full, stat.size, file)
  }

  get name(): string {
    return basename(this.path)
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** Another file of the same folder (a recording may be two), by its name alone. Whoever asks closes it. */
  beside(name: string): Promise<RecordingFile> {
    return RecordingFile.open(join(dirname(this.path), basename(name)))
  }

  /** At most so many bytes from its beginning. */
  async first(bytes: number): Promise<Uint8Array> {
    const buffer = Buffer.alloc(bytes)
    const { bytesRead } = await this.#file.read(buffer, 0, bytes, 0)
    return buffer.subarray(0, bytesRead)
  }

  /** All of it, as it was long when it was opened; each piece is the reader's to keep. */
  async *pieces(): AsyncGenerator<Buffer, undefined> {
    for (let at = 0; at < this.bytes; ) {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, this.bytes - at))
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.byteLength, at)
      if (bytesRead === 0) throw this.refuse(0, "became shorter while it was read")
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  }

  /** Its lines without their line feeds, numbered from 1; the last may lack one. */
  async *lines(): AsyncGenerator<{ readonly number: number; readonly line: Buffer }, undefined> {
    let number = 0
    let rest: Array<Buffer> = []
    let restBytes = 0
    for await (const piece of this.pieces()) {
      let from = 0
      for (let to = piece.indexOf(10); to >= 0; to = piece.indexOf(10, from)) {
        const end = piece.subarray(from, to)
        yield { number: ++number, line: rest.length === 0 ? end : Buffer.concat([...rest, end]) }
        rest = []
        restBytes = 0
        from = to + 1
      }
      if (from === piece.byteLength) continue
      rest.push(piece.subarray(from))
      restBytes += piece.byteLength - from
      if (restBytes > LINE_BYTES_MAX) throw this.refuse(number + 1, `is longer than ${LINE_BYTES_MAX} bytes`)
    }
    if (rest.length > 0) yield { number: ++number, line: Buffer.concat(rest) }
  }

  /** Hex. */
  async sha256(): Promise<string> {
    const hash = createHash("sha256")
    for await (const piece of this.pieces()) hash.update(piece)
    return hash.digest("hex")
  }

  refuse(line: number, reason: string): RecordingRefused {
    return new RecordingRefused({ file: this.path, line, reason })
  }
}
