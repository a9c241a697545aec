/**
 * What `send` and `key` type: escapes in a text, and keys by name. The one place of the command line that knows either, so
 * that its tables can be replaced by the engine's. Pure.
 */

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\",
  n: "\n",
  r: "\r",
  t: "\t",
  b: "\b",
  f: "\f",
  v: "\v"
}

/** `\n \r \t \b \f \v \\ \xHH \uHHHH`; anything else after a backslash is left as it is. */
export const parseEscapes = (text: string): string =>
  text.replace(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([\\nrtbfv]))/g, (_, byte, point, letter) =>
    letter === undefined ? String.fromCharCode(Number.parseInt(byte ?? point, 16)) : ESCAPES[letter]!
  )

const KEYS: ReadonlyMap<string, string> = new Map([
  ["enter", "\r"],
  ["tab", "\t"],
  ["escape", "\x1b"],
  ["space", " "],
  ["backspace", "\x7f"],
  ["up", "\x1b[A"],
  ["down", "\x1b[B"],
  ["right", "\x1b[C"],
  ["left", "\x1b[D"],
  ["home", "\x1b[H"],
  ["end", "\x1b[F"],
  ["insert", "\x1b[2~"],
  ["delete", "\x1b[3~"],
  ["pageup", "\x1b[5~"],
  ["pagedown", "\x1b[6~"]
])

export const KEY_NAMES =
  "Enter, Tab, Escape, Space, Backspace, Up, Down, Left, Right, Home, End, Insert, Delete, PageUp, PageDown, C-a to C-z"

/** What a terminal sends for a key, or the character itself; undefined for a name that is none. Case does not matter. */
export const keyText = (name: string): string | undefined => {
  const control = /^(?:c-|ctrl\+|\^)([a-z@[\\\]^_])$/i.exec(name)
  if (control !== null) return String.fromCharCode(control[1]!.toUpperCase().charCodeAt(0) & 0x1f)
  if ([...name].length === 1) return name
  return KEYS.get(
    name
      .toLowerCase()
      .replace(/^arrow_?/, "")
      .replaceAll("_", "")
  )
}
