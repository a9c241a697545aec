/**
 * The one place that makes untrusted text (titles, names, arguments, output, error messages) safe to show: no control
 * character, no text that reads in another direction than it is written, no invalid UTF-8. What the command line prints
 * but for `replay` and `attach`, the engine's log and every export that shows text pass here. Text is for reading, not
 * for getting the original back; JSON gives it back exactly.
 */
import { characterLength } from "../projections/utf8.ts"

/**
 * C0, DEL and C1 controls; line and paragraph separators; marks, embeddings, overrides and isolates of bidirectional
 * text; the byte order mark; invisible tags; surrogates that are not a pair.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Surrogate}/gu

const NAMED: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\u0007": "\\a",
  "\b": "\\b",
  "\u001b": "\\e"
}

const escapeCharacter = (character: string): string => {
  const named = NAMED[character]
  if (named !== undefined) return named
  const point = character.codePointAt(0)!
  return point <= 0xff ? `\\x${point.toString(16).padStart(2, "0")}` : `\\u{${point.toString(16)}}`
}

/** One line of text that a terminal shows as it is. */
export const escapeText = (text: string): string => text.replace(UNSAFE, escapeCharacter)

/** Bytes that are mostly text. What is not UTF-8 is shown as `\xNN`, byte by byte. */
export const escapeBytes = (bytes: Uint8Array): string => {
  let text = ""
  let from = 0
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at)
    if (length > 0) {
      at += length
      continue
    }
    text += escapeText(utf8.decode(bytes.subarray(from, at)))
    text += `\\x${bytes[at]!.toString(16).padStart(2, "0")}`
    at += 1
    from = at
  }
  return text + escapeText(utf8.decode(bytes.subarray(from)))
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** Text of several lines: line feeds and tabs stay. A carriage return before a line feed goes. */
export const escapeLines = (text: string): string =>
  text
    .replace(/\r\n/g, "\n")
    .replace(UNSAFE, (character) => (/[\n\t]/.test(character) ? character : escapeCharacter(character)))

/** JSON escapes C0 only; what else is not safe to show is written as `\uXXXX`, so that reading it gives the same value. */
export const escapeJson = (json: string): string =>
  json.replace(UNSAFE, (character) => {
    // Between the tokens of JSON that is spread over lines, and nowhere else.
    if (character < " ") return character
    let escaped = ""
    for (let at = 0; at < character.length; at++) {
      escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`
    }
    return escaped
  })

/** A value as JSON on one line, safe to show. */
export const toJsonText = (value: unknown): string => `${escapeJson(JSON.stringify(value))}\n`

/** A command line as a person would type it, escaped. */
export const escapeArguments = (argv: ReadonlyArray<string>): string =>
  argv
    .map((word) => {
      const safe = escapeText(word)
      return /^[\w@%+=:,./\\-]+$/.test(safe) ? safe : `'${safe.replaceAll("'", `'\\''`)}'`
    })
    .join(" ")

/** What a person asked for: of a shell for commands its program, without the driver's own arguments. */
export const commandOf = ({ argv, kind }: { readonly argv: ReadonlyArray<string>; readonly kind: string }): string =>
  escapeArguments(kind === "exec" ? argv.slice(0, 1) : argv)
