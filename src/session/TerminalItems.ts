/**
 * A session as one terminal shows it: for formats of recordings that know no more than one. Of a shell for commands each
 * command is printed behind a `$`, its standard output and error follow as they came (a terminal's line ends for pipes'),
 * and markers tell where a command begins and how it ended. What a terminal's own program printed is not touched.
 */
import { incompleteTail } from "../../projections/utf8.ts"
import { escapeLines, escapeText } from "../SafeText.ts"
import type { RecordedItem, RecordedOutput } from "./RecordedItems.ts"

/** Characters of a command in the label of its marker: a line in a list of chapters. */
const LABEL_CHARACTERS_MAX = 80
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const NOTHING = new Uint8Array(0)

/** Without commands; all output is the terminal's. */
export type TerminalItem =
  | Exclude<RecordedItem, { readonly _tag: "CommandBegan" | "CommandEnded" | "Output" }>
  | (RecordedOutput & { readonly channel: "tty" })

export class TerminalItems {
  /** The beginning of a character that was cut, by stream: bytes of another stream must not come between. */
  #cut = new Map<string, Uint8Array>()
  #isLineOpen = false

  /** One that goes on from here by itself. */
  copy(): TerminalItems {
    const copy = new TerminalItems()
    copy.#cut = new Map(this.#cut)
    copy.#isLineOpen = this.#isLineOpen
    return copy
  }

  page(items: ReadonlyArray<RecordedItem>): ReadonlyArray<TerminalItem> {
    const shown: Array<TerminalItem> = []
    for (const item of items) this.#item(item, shown)
    return shown
  }

  #item(item: RecordedItem, shown: Array<TerminalItem>): void {
    switch (item._tag) {
      case "Output":
        this.#output(item, shown)
        break
      case "CommandBegan": {
        this.#endLine(item.timeMicros, shown)
        const label = escapeText(item.code)
        const cut =
          label.length > LABEL_CHARACTERS_MAX ? `${label.slice(0, LABEL_CHARACTERS_MAX).toWellFormed()}…` : label
        shown.push({ _tag: "Marker", timeMicros: item.timeMicros, label: `command ${item.exec}: ${cut}` })
        this.#text(item.timeMicros, `$ ${escapeLines(item.code).trimEnd().replaceAll("\n", "\r\n> ")}\r\n`, shown)
        break
      }
      case "CommandEnded": {
        this.#flush(item.timeMicros, shown)
        this.#endLine(item.timeMicros, shown)
        const { exec, exitCode, signal, status, timeMicros } = item
        const how = [
          status,
          ...(exitCode === null ? [] : [`exit code ${exitCode}`]),
          ...(signal === null ? [] : [signal])
        ]
        shown.push({ _tag: "Marker", timeMicros, label: `command ${exec} ${how.join(", ")}` })
        break
      }
      case "Exit":
        this.#flush(item.timeMicros, shown)
        shown.push(item)
        break
      default:
        shown.push(item)
    }
  }

  #output(item: RecordedOutput, shown: Array<TerminalItem>): void {
    const { channel, data, timeMicros } = item
    if (channel === "tty") {
      this.#isLineOpen = data.at(-1) !== LINE_FEED
      shown.push(item as RecordedOutput & { readonly channel: "tty" })
      return
    }
    const stream = `${channel} ${item.exec}`
    const begun = this.#cut.get(stream) ?? NOTHING
    const bytes = begun.length === 0 ? data : Buffer.concat([begun, data])
    const tail = incompleteTail(bytes)
    if (tail === 0) this.#cut.delete(stream)
    else this.#cut.set(stream, Uint8Array.from(bytes.subarray(bytes.length - tail)))
    this.#push(timeMicros, withReturns(bytes.subarray(0, bytes.length - tail)), shown)
  }

  #flush(timeMicros: number, shown: Array<TerminalItem>): void {
    for (const bytes of this.#cut.values()) this.#push(timeMicros, bytes, shown)
    this.#cut.clear()
  }

  #endLine(timeMicros: number, shown: Array<TerminalItem>): void {
    if (this.#isLineOpen) this.#text(timeMicros, "\r\n", shown)
  }

  #text(timeMicros: number, text: string, shown: Array<TerminalItem>): void {
    this.#push(timeMicros, Buffer.from(text), shown)
  }

  #push(timeMicros: number, data: Uint8Array, shown: Array<TerminalItem>): void {
    if (data.length === 0) return
    this.#isLineOpen = data.at(-1) !== LINE_FEED
    shown.push({ _tag: "Output", timeMicros, channel: "tty", exec: 0, data })
  }
}

/** As a terminal prints what comes without carriage returns (ONLCR). Counted with an index: all that commands print is. */
const withReturns = (bytes: Uint8Array): Uint8Array => {
  const { length } = bytes
  let feeds = 0
  for (let from = 0; from < length; from++) if (bytes[from] === LINE_FEED) feeds++
  if (feeds === 0) return bytes
  const returned = new Uint8Array(length + feeds)
  let at = 0
  for (let from = 0; from < length; from++) {
    const byte = bytes[from]!
    if (byte === LINE_FEED) returned[at++] = CARRIAGE_RETURN
    returned[at++] = byte
  }
  return returned
}
