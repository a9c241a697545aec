/**
 * What of a program's output does not reach the caller's terminal. Shown again, output must not act again: a question
 * would be answered into a program that did not ask, or into the caller's own shell; a notification, a print-out or the
 * clipboard would be somebody's a second time. Live, a program may ask its terminal, but it fills the clipboard only
 * where the person allowed that, and reads it never. What is drawn stays as it is, byte for byte.
 *
 * Used by `attach`, `run`, `replay`, `exec` and `poll` on a terminal; in a pipe their output is exact. Sequences are read
 * as terminals read them: cut anywhere, in their 7-bit and UTF-8 forms, with control characters in between.
 */

/** Of a sequence that is not known to its end: kept until the rest comes. What is longer is no question that anybody asks. */
const HELD_BYTES_MAX = 4096

const ENQ = 0x05
const BEL = 0x07
const CAN = 0x18
const SUB = 0x1a
const ESC = 0x1b
const C2 = 0xc2
const NOTHING = new Uint8Array(0)

export interface ReplayFilter {
  /**
   * The bytes to show: `data` itself where nothing is to be taken out. Live output (`isReplayed` false) keeps its
   * questions. A sequence that begins in one and ends in the other is judged where it ends.
   */
  readonly feed: (data: Uint8Array, isReplayed?: boolean) => Uint8Array
  /** What is held back, at the end. */
  readonly end: () => Uint8Array
}

export interface ReplayFilterOptions {
  /** Live output may fill the clipboard (OSC 52). */
  readonly clipboard?: boolean | undefined
}

export const makeReplayFilter = ({ clipboard = false }: ReplayFilterOptions = {}): ReplayFilter => {
  let held: Uint8Array = NOTHING
  /** In a string that is left out. */
  let dropping: StringKind | undefined

  const feed = (data: Uint8Array, isReplayed = true): Uint8Array => {
    let bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    if (held.length > 0) bytes = Buffer.concat([held, bytes])
    held = NOTHING
    const parts: Array<Uint8Array> = []
    let from = 0
    let at = 0
    const next = makeSearch(bytes, isReplayed ? [ESC, C2, ENQ] : [ESC, C2])
    while (at < bytes.length) {
      if (dropping !== undefined) {
        const end = endOfString(bytes, at, dropping)
        if (end === undefined) {
          held = unfinishedEnd(bytes)
          from = bytes.length
          break
        }
        dropping = undefined
        from = at = end
        continue
      }
      at = next(at)
      if (at === bytes.length) break
      if (!isReplayed && !mayBeCommand(bytes, at)) {
        at++
        continue
      }
      const sequence = readSequence(bytes, at)
      const verdict = sequence === undefined ? "unknown" : judge(sequence, { isReplayed, clipboard })
      if (verdict === "keep") {
        at += Math.max(1, sequence!.length)
        continue
      }
      if (verdict === "unknown" && bytes.length - at < HELD_BYTES_MAX) {
        parts.push(bytes.subarray(from, at))
        held = bytes.slice(at)
        from = bytes.length
        break
      }
      parts.push(bytes.subarray(from, at))
      from = at = at + Math.max(1, sequence?.length ?? 1)
      if (sequence?.kind === "osc" || sequence?.kind === "dcs") dropping = sequence.kind
    }
    if (parts.length === 0 && from === 0) return bytes
    parts.push(bytes.subarray(from))
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  return {
    feed,
    end: () => {
      const rest = dropping === undefined ? held : NOTHING
      held = NOTHING
      dropping = undefined
      return rest
    }
  }
}

type StringKind = "osc" | "dcs"

interface Sequence {
  /** dcs: every string that only ST ends. */
  readonly kind: "single" | "csi" | StringKind
  /** single: the final character. csi: all between introducer and final, and that. Strings: what is known of the content. */
  readonly text: string
  /** The content of a string is known to its end. */
  readonly isWhole: boolean
  /** Bytes of it that may be passed over: all of it, or of a string its introducer. */
  readonly length: number
}

type Verdict = "keep" | "drop" | "unknown"

/** The next place of one of these bytes, or the end. Each search is native, and used until it is passed. */
const makeSearch = (bytes: Buffer, wanted: ReadonlyArray<number>): ((at: number) => number) => {
  const found = wanted.map(() => -1)
  return (at) => {
    let first = bytes.length
    for (let index = 0; index < wanted.length; index++) {
      if (found[index]! < at) {
        const next = bytes.indexOf(wanted[index]!, at)
        found[index] = next === -1 ? bytes.length : next
      }
      first = Math.min(first, found[index]!)
    }
    return first
  }
}

/** Control characters act, or mean nothing, inside a sequence, and it goes on behind them; but not behind these. */
const isIgnored = (byte: number): boolean =>
  (byte < 0x20 && byte !== ESC && byte !== CAN && byte !== SUB) || byte === 0x7f

/** Live only commands (OSC) matter: nearly every sequence is another one, and is not looked at further. */
const mayBeCommand = (bytes: Uint8Array, at: number): boolean => {
  const next = bytes[at + 1]
  if (next === undefined) return true
  return bytes[at] === C2 ? next === 0x9d : next === 0x5d || isIgnored(next)
}

/** undefined: it is cut off before it can be said what it is. */
const readSequence = (bytes: Buffer, at: number): Sequence | undefined => {
  const plain = (length: number): Sequence => ({ kind: "single", text: "", isWhole: true, length })
  if (bytes[at] === ENQ) return { kind: "single", text: "\x05", isWhole: true, length: 1 }
  let place = at + 1
  let introducer: number
  if (bytes[at] === C2) {
    if (place === bytes.length) return undefined
    // As a C1 control in UTF-8: the same as ESC and the letter 0x40 below.
    const code = bytes[place]!
    if (code < 0x80 || code > 0x9f) return plain(1)
    introducer = code - 0x40
  } else {
    while (place < bytes.length && isIgnored(bytes[place]!)) place++
    if (place === bytes.length) return undefined
    introducer = bytes[place]!
  }
  const begin = place + 1
  switch (introducer) {
    case 0x5a: // Z: identify
      return { kind: "single", text: "Z", isWhole: true, length: begin - at }
    case 0x5b:
      return readControl(bytes, at, begin)
    case 0x5d:
      return readString(bytes, at, begin, "osc")
    case 0x50:
    case 0x5f:
      return readString(bytes, at, begin, "dcs", introducer === 0x5f ? "_" : "P")
    default:
      // Not past what begins another one.
      return plain(introducer === ESC || introducer >= 0x80 ? place - at : begin - at)
  }
}

const readControl = (bytes: Buffer, at: number, begin: number): Sequence | undefined => {
  let text = ""
  for (let place = begin; place < bytes.length; place++) {
    const byte = bytes[place]!
    if (isIgnored(byte)) continue
    if (byte < 0x20 || byte > 0x7e) return { kind: "single", text: "", isWhole: true, length: place - at }
    text += String.fromCharCode(byte)
    if (byte >= 0x40) return { kind: "csi", text, isWhole: true, length: place + 1 - at }
  }
  return undefined
}

/** Text of a string's beginning that is looked at: number and name of an OSC, keys of an image, and short contents. */
const STRING_TEXT_MAX = HELD_BYTES_MAX

const readString = (bytes: Buffer, at: number, begin: number, kind: StringKind, prefix = ""): Sequence => {
  const end = endOfString(bytes, begin, kind)
  const content = bytes.subarray(begin, Math.min(end ?? bytes.length, begin + STRING_TEXT_MAX))
  let text = prefix
  for (const byte of content)
    if (!isIgnored(byte) && byte !== ESC && byte !== CAN && byte !== SUB) text += String.fromCharCode(byte)
  // ST without its ESC.
  if (end !== undefined && bytes[end - 1] === 0x5c && bytes[end - 2] === ESC) text = text.slice(0, -1)
  else if (end !== undefined && bytes[end - 1] === 0x9c && bytes[end - 2] === C2) text = text.slice(0, -2)
  return { kind, text, isWhole: end !== undefined, length: begin - at }
}

/** Behind what ends it; in front of another sequence that does. undefined: it does not end here. */
const endOfString = (bytes: Uint8Array, from: number, kind: StringKind): number | undefined => {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === CAN || byte === SUB || (byte === BEL && kind === "osc")) return at + 1
    if (byte === ESC) {
      if (at + 1 === bytes.length) return undefined
      return bytes[at + 1] === 0x5c ? at + 2 : at
    }
    if (byte === C2) {
      if (at + 1 === bytes.length) return undefined
      const code = bytes[at + 1]!
      if (code >= 0x80 && code <= 0x9f) return code === 0x9c ? at + 2 : at
    }
  }
  return undefined
}

/** What a terminator may begin with. */
const unfinishedEnd = (bytes: Uint8Array): Uint8Array => {
  const last = bytes[bytes.length - 1]
  return last === ESC || last === C2 ? Uint8Array.of(last) : NOTHING
}

const judge = (
  { isWhole, kind, text }: Sequence,
  { clipboard, isReplayed }: { readonly isReplayed: boolean; readonly clipboard: boolean }
): Verdict => {
  switch (kind) {
    case "single":
      return isReplayed && text !== "" ? "drop" : "keep"
    case "csi":
      return isReplayed && CONTROL_QUESTION.test(text) ? "drop" : "keep"
    case "dcs":
      return isReplayed ? judgeDevice(text, isWhole) : "keep"
    case "osc":
      return judgeCommand(text, isWhole, clipboard && !isReplayed, isReplayed)
  }
}

/**
 * Device attributes; device status and cursor position; terminal version; keyboard and key modes; modes; window reports;
 * parameters; presentation, colours, graphics and checksums; the locator. `i` prints.
 */
const CONTROL_QUESTION =
  /^(?:[?>=]?[\d;:]*c|\??[\d;:]*n|>[\d;:]*q|\?[\d;:]*[uSm]|[?>]?[\d;:]*\$[puw]|[\d;:]*[&*'#"][uvyR|]|0*(?:1[1-689]|2[01])(?:;[\d;:]*)?t|[\d;:]*x|\??[\d;:]*i)$/

/** XTGETTCAP, DECRQSS, kitty's remote control; an image of kitty's protocol that asks, or whose answer is not turned off. */
const judgeDevice = (text: string, isWhole: boolean): Verdict => {
  if (text.startsWith("_")) {
    if (!isWhole && text.length < 2) return "unknown"
    if (!text.startsWith("_G")) return "keep"
    const keys = text.slice(2).split(";", 1)[0]!
    if (!isWhole && keys.length === text.length - 2) return "unknown"
    return /(?:^|,)q=2(?:,|$)/.test(keys) && !/(?:^|,)a=q(?:,|$)/.test(keys) ? "keep" : "drop"
  }
  const head = /^P([0-?]*[ -/]*)([@-~])/.exec(text)
  if (head === null) return isWhole || text.length > 64 ? "keep" : "unknown"
  const intermediate = head[1]!.slice(-1)
  return head[2] === "@" || (head[2] === "q" && (intermediate === "$" || intermediate === "+")) ? "drop" : "keep"
}

/** Numbers with which a terminal is asked: colours, fonts, pointers, properties; a question mark makes it a question. */
const ASKING: ReadonlySet<number> = new Set([3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 50])
/** Notifications (the growl form of 9 is told apart below), and what xterm tells of itself. */
const ACTING: ReadonlySet<number> = new Set([60, 61, 99, 777])
const ITERM_CLIPBOARD = /^(?:Copy|CopyToClipboard|EndCopy)(?:[=;]|$)/
const ITERM_ASKING = /^(?:Report|Request)/

const judgeCommand = (text: string, isWhole: boolean, isClipboardOpen: boolean, isReplayed: boolean): Verdict => {
  const number = /^(\d{1,9})(?:;|$)/.exec(text)
  if (number === null) return !isWhole && /^\d{0,9}$/.test(text) ? "unknown" : "keep"
  if (!isWhole && number[0].length === text.length && !number[0].endsWith(";")) return "unknown"
  const content = text.slice(number[0].length)
  const id = Number(number[1])
  if (id === 52 || id === 5522) {
    if (!isClipboardOpen || id === 5522) return "drop"
    // Read, it would be typed into the program. A question is short.
    const data = /^[^;]*;(.*)$/s.exec(content)?.[1]
    if (data === undefined || data === "") return isWhole ? "keep" : "unknown"
    return data.startsWith("?") ? "drop" : "keep"
  }
  if (id === 1337) {
    const name = /^[A-Za-z]*/.exec(content)![0]
    if (!isWhole && name.length === content.length && name.length < 32) return "unknown"
    if (ITERM_CLIPBOARD.test(content)) return isClipboardOpen ? "keep" : "drop"
    return isReplayed && ITERM_ASKING.test(name) ? "drop" : "keep"
  }
  if (!isReplayed) return "keep"
  if (ACTING.has(id)) return "drop"
  // 9;4 is progress, 9;9 the folder, 9;N in general ConEmu's; anything else is a message.
  if (id === 9) return content === "" && !isWhole ? "unknown" : /^\d{1,2}(?:;|$)/.test(content) ? "keep" : "drop"
  if (!ASKING.has(id)) return "keep"
  if (content.includes("?")) return "drop"
  return isWhole ? "keep" : "unknown"
}
