/**
 * What a person types, with the key that leaves a session taken out. Two kinds: an escape character as in ssh (`~.` at
 * the start of a line leaves, `~~` types one `~`), or a control character that leaves wherever it is typed (`^]`).
 * Pure: bytes in, bytes out.
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

/** A filter for one terminal. It holds back an escape character until the next one is known, and nothing else. */
export const makeDetachFilter = (key: DetachKey): ((input: Uint8Array) => Typed) => {
  let atLineStart = true
  let escaped = false
  return (input) => {
    if (key._tag === "None") return { bytes: input, detach: false }
    if (key._tag === "Control") {
      const at = input.indexOf(key.byte)
      return at === -1 ? { bytes: input, detach: false } : { bytes: input.subarray(0, at), detach: true }
    }
    const bytes: Array<number> = []
    for (const byte of input) {
      if (escaped) {
        escaped = false
        if (byte === DOT) return { bytes: Uint8Array.from(bytes), detach: true }
        // Doubled, it is typed once; before anything else it was meant.
        if (byte !== key.byte) bytes.push(key.byte)
        bytes.push(byte)
        atLineStart = byte === CARRIAGE_RETURN || byte === LINE_FEED
      } else if (atLineStart && byte === key.byte) {
        escaped = true
      } else {
        bytes.push(byte)
        atLineStart = byte === CARRIAGE_RETURN || byte === LINE_FEED
      }
    }
    return { bytes: Uint8Array.from(bytes), detach: false }
  }
}
