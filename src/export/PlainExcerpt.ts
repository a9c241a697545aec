/**
 * The beginning and the end of a command's output as plain text, for a cell or a list: what a person would recognize it by.
 * It holds a bounded part of what it is fed and says how much it left out. The journal has all.
 */
import { feedPlainText, makePlainText, openLine } from "../../projections/PlainText.ts"
import { HeadTail } from "../exec/Truncate.ts"

/** Bytes of output that one excerpt is made of: a screen's worth, and far below the 32,767 characters of a spreadsheet's cell. */
export const EXCERPT_BYTES_MAX = 4096

export class PlainExcerpt {
  readonly #kept = new HeadTail(EXCERPT_BYTES_MAX)

  get bytes(): number {
    return this.#kept.totalBytes
  }

  get isCut(): boolean {
    return this.bytes > EXCERPT_BYTES_MAX
  }

  feed(data: Uint8Array): void {
    this.#kept.push(data)
  }

  /** Lines joined by \n, escape sequences applied and gone. */
  text(): string {
    const { bytes, truncation } = this.#kept.result()
    if (truncation === null) return plainText(bytes)
    const head = plainText(bytes.subarray(0, truncation.headBytes))
    const tail = plainText(bytes.subarray(truncation.headBytes))
    return `${head}\n[… ${truncation.omittedBytes} bytes left out …]\n${tail}`
  }
}

const plainText = (bytes: Uint8Array): string => {
  const text = makePlainText()
  const lines: Array<string> = []
  feedPlainText(text, bytes, (line) => lines.push(line))
  const open = openLine(text)
  if (open !== "") lines.push(open)
  return lines.join("\n")
}
