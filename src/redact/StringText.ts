/**
 * The text that is in the payload of a control string (OSC and the like), in each of the ways in which terminals and shells
 * write it: as it is, percent-encoded (OSC 7, cmdline_url), with `\xHH` and `\\` (OSC 633), as JSON in that, in base64
 * (SetUserVar, OSC 52). Each form knows the bytes that its characters were.
 */
import type { Edit } from "./Marks.ts"

/** A text and the bytes of each of its UTF-16 units: [from, to), counted in the payload. */
export interface StringForm {
  readonly text: string
  readonly from: ReadonlyArray<number>
  readonly to: ReadonlyArray<number>
}

/** What of a form is to be masked becomes edits of the payload. */
export interface StringView {
  readonly form: StringForm
  readonly edits: (spans: ReadonlyArray<{ readonly from: number; readonly to: number }>) => ReadonlyArray<Edit>
}

/** Four characters in it are six here: the shortest text that is looked for. */
const BASE64 = /[A-Za-z0-9+/]{6,}={0,2}/g

/** Every view that says something else than the one before it. */
export const stringViews = (payload: Uint8Array): ReadonlyArray<StringView> => {
  const raw = decoded(payload, (_, at) => ({ byte: payload[at]!, length: 1 }))
  const views: Array<StringView> = [plain(raw)]
  if (raw.text.includes("%")) views.push(plain(decoded(payload, percent)))
  if (raw.text.includes("\\")) {
    const unescaped = decoded(payload, backslash)
    views.push(plain(unescaped), plain(json(unescaped)), plain(json(raw)))
  }
  for (const match of raw.text.matchAll(BASE64)) {
    const from = raw.from[match.index]!
    const text = match[0]
    const bytes = Buffer.from(text, "base64")
    const inner = decoded(bytes, (_, at) => ({ byte: bytes[at]!, length: 1 }))
    // All that is found in it is masked in one: each edit has what those before it masked.
    const masked = Buffer.from(bytes)
    views.push({
      form: inner,
      edits: (spans) => {
        for (const span of spans) masked.fill(0x2a, inner.from[span.from], inner.to[span.to - 1])
        const encoded = masked.toString("base64").replace(/=+$/, "")
        return [{ from, to: from + encoded.length, bytes: Buffer.from(encoded, "latin1") }]
      }
    })
  }
  return views
}

const plain = (form: StringForm): StringView => ({
  form,
  edits: (spans) =>
    spans.map(({ from, to }) => {
      const first = form.from[from]!
      const last = form.to[to - 1]!
      return { from: first, to: last, bytes: new Uint8Array(last - first).fill(0x2a) }
    })
})

type Unit = (payload: Uint8Array, at: number) => { readonly byte: number; readonly length: number }

const percent: Unit = (payload, at) => {
  const byte = payload[at] === 0x25 ? hex(payload, at + 1) : -1
  return byte < 0 ? { byte: payload[at]!, length: 1 } : { byte, length: 3 }
}

const backslash: Unit = (payload, at) => {
  if (payload[at] !== 0x5c) return { byte: payload[at]!, length: 1 }
  const byte = payload[at + 1] === 0x78 ? hex(payload, at + 2) : -1
  if (byte >= 0) return { byte, length: 4 }
  return payload[at + 1] === 0x5c ? { byte: 0x5c, length: 2 } : { byte: 0x5c, length: 1 }
}

const hex = (payload: Uint8Array, at: number): number => {
  const text = String.fromCharCode(payload[at] ?? 0, payload[at + 1] ?? 0)
  return /^[0-9A-Fa-f]{2}$/.test(text) ? Number.parseInt(text, 16) : -1
}

/** Bytes become characters; each has the payload's bytes of all of its own. */
const decoded = (payload: Uint8Array, unit: Unit): StringForm => {
  const bytes: Array<number> = []
  const starts: Array<number> = []
  const ends: Array<number> = []
  for (let at = 0; at < payload.length; ) {
    const { byte, length } = unit(payload, at)
    bytes.push(byte)
    starts.push(at)
    at += length
    ends.push(at)
  }
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes))
  const from: Array<number> = []
  const to: Array<number> = []
  let at = 0
  for (const character of text) {
    // An invalid byte is one character, of one byte at least.
    const length = character === "\ufffd" ? invalidLength(bytes, at) : Buffer.byteLength(character)
    for (let index = 0; index < character.length; index++) {
      from.push(starts[at]!)
      to.push(ends[Math.min(ends.length, at + length) - 1]!)
    }
    at += length
  }
  return { text, from, to }
}

/** U+FFFD itself has three bytes; else as many as begin a character and do not end it. */
const invalidLength = (bytes: ReadonlyArray<number>, at: number): number => {
  if (bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd) return 3
  const lead = bytes[at] ?? 0
  const most = lead >= 0xf0 && lead <= 0xf4 ? 3 : lead >= 0xe0 && lead <= 0xef ? 2 : 1
  for (let length = most; length > 1; length--) {
    const part = Uint8Array.from(bytes.slice(at, at + length))
    if (part.length === length && new TextDecoder().decode(part) === "\ufffd") return length
  }
  return 1
}

/** The escapes of JSON strings in a form, undone. */
const json = (form: StringForm): StringForm => {
  const units: Array<string> = []
  const from: Array<number> = []
  const to: Array<number> = []
  const undo = /\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))/y
  for (let at = 0; at < form.text.length; ) {
    undo.lastIndex = at
    const match = form.text[at] === "\\" ? undo.exec(form.text) : null
    const length = match?.[0].length ?? 1
    units.push(
      match === null
        ? form.text[at]!
        : match[1] !== undefined
          ? String.fromCharCode(Number.parseInt(match[1], 16))
          : (ESCAPES[match[2]!] ?? match[2]!)
    )
    from.push(form.from[at]!)
    to.push(form.to[at + length - 1]!)
    at += length
  }
  return { text: units.join(""), from, to }
}

const ESCAPES: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }
