/**
 * What a person types, with the key that leaves a session taken out. Two kinds: an escape character as in ssh (`~.` at
 * the start of a line leaves, `~~` types one `~`), or a control character that leaves wherever it is typed (`^]`).
 * What is pasted never leaves. Pure: bytes in, bytes out.
 */

export type DetachKey =
  | { readonly _tag: "Escape"; readonly byte: number }
  | { readonly _tag: "Control"; readonly byte: number }
  | { readonly _tag: "None" }

export const DEFAULT_DETACH_KEY = "~"

/** `~` or another printable character, `^]` (a caret and a character), `none`; undefined when it is none of these. */
export const parseDetachKey = (text: string): DetachKey | undefined => {
  if (text === "none") return { _tag: "None" }
  if (/^[!-~]$/.test(text)) return { _tag: "Escape", byte: text.charCodeAt(0) }
  const control = /^\^([A-Za-z@[\\\]^_])$/.exec(text)
  return control === null ? undefined : { _tag: "Control", byte: control[1]!.toUpperCase().charCodeAt(0) & 0x1f }
}

/** How to leave, for people. */
export const describeDetachKey = (key: DetachKey): string =>
  key._tag === "Escape"
    ? `Enter ${String.fromCharCode(key.byte)}.`
    : key._tag === "Control"
      ? `Ctrl-${String.fromCharCode(key.byte | 0x40)}`
      : "none"

export interface Typed {
  /** What goes to the program. */
  readonly bytes: Uint8Array
  /** The key was typed; what came after it is dropped. */
  readonly detach: boolean
}

const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
const DOT = 0x2e
/** What a terminal puts around a paste, when the program asked for it. */
const PASTE_BEGINS = Buffer.from("\x1b[200~")
const PASTE_ENDS = Buffer.from("\x1b[201~")

/** A filter for one terminal. It holds back an escape character until the next one is known, and nothing else. */
export const makeDetachFilter = (key: DetachKey): ((input: Uint8Array) => Typed) => {
  const isPasted = makePasteWatch()
  if (key._tag === "None") return (bytes) => ({ bytes, detach: false })
  if (key._tag === "Control") {
    const encoded = encodedControl(key.byte)
    return (input) => {
      for (const [at, byte] of input.entries()) {
        if (!isPasted(byte) && (byte === key.byte || (byte === 0x1b && encoded(input, at)))) {
          return { bytes: input.subarray(0, at), detach: true }
        }
      }
      return { bytes: input, detach: false }
    }
  }
  let atLineStart = true
  let escaped = false
  return (input) => {
    const bytes: Array<number> = []
    for (const byte of input) {
      const pasted = isPasted(byte)
      if (escaped) {
        escaped = false
        if (byte === DOT) return { bytes: Uint8Array.from(bytes), detach: true }
        // Doubled, it is typed once; before anything else it was meant.
        if (byte !== key.byte) bytes.push(key.byte)
        bytes.push(byte)
        atLineStart = byte === CARRIAGE_RETURN || byte === LINE_FEED
      } else if (atLineStart && byte === key.byte && !pasted) {
        escaped = true
      } else {
        bytes.push(byte)
        atLineStart = byte === CARRIAGE_RETURN || byte === LINE_FEED
      }
    }
    return { bytes: Uint8Array.from(bytes), detach: false }
  }
}

/** Told every byte in order, whether it stands in a paste. */
const makePasteWatch = (): ((byte: number) => boolean) => {
  let pasted = false
  let matched = 0
  return (byte) => {
    const mark = pasted ? PASTE_ENDS : PASTE_BEGINS
    matched = byte === mark[matched] ? matched + 1 : byte === mark[0] ? 1 : 0
    if (matched === mark.length) {
      pasted = !pasted
      matched = 0
    }
    return pasted
  }
}

/** A control character as a terminal writes it where the program asked for keys as sequences (kitty, xterm). */
const encodedControl = (byte: number): ((input: Uint8Array, at: number) => boolean) => {
  const upper = byte | 0x40
  const code = upper >= 0x41 && upper <= 0x5a ? byte | 0x60 : upper
  const kitty = Buffer.from(`\x1b[${code};5u`)
  const xterm = Buffer.from(`\x1b[27;5;${code}~`)
  const startsWith = (input: Uint8Array, at: number, text: Buffer) => text.equals(input.subarray(at, at + text.length))
  return (input, at) => startsWith(input, at, kitty) || startsWith(input, at, xterm)
}
