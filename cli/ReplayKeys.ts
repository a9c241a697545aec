/** What is typed at a replay, as the names of keys, and what each of them does. It holds no state and shows nothing. */

export type ReplayAction =
  | { readonly _tag: "Quit" | "Pause" | "Help" | "Status" | "Redraw" | "Suspend" | "Idle" | "Begin" | "End" }
  | { readonly _tag: "Event" | "Change" | "Marker" | "Command" | "Found" | "Speed"; readonly by: 1 | -1 }
  | { readonly _tag: "Seek"; readonly seconds: number }
  | { readonly _tag: "Percent"; readonly percent: number }
  | { readonly _tag: "Prompt"; readonly prompt: ":" | "/" }

export interface Key {
  /** A character as typed, or a name: `left`, `escape`, `enter`, `backspace`, `^C`. */
  readonly name: string
}

const NAMED: Readonly<Record<string, string>> = {
  "\x1b[A": "up",
  "\x1b[B": "down",
  "\x1b[C": "right",
  "\x1b[D": "left",
  "\x1b[H": "home",
  "\x1b[F": "end",
  "\x1b[1~": "home",
  "\x1b[4~": "end",
  "\x1b[5~": "pageup",
  "\x1b[6~": "pagedown",
  "\r": "enter",
  "\n": "enter",
  "\x7f": "backspace",
  "\b": "backspace",
  "\x1b": "escape"
}

/** CSI, SS3, a string that a terminal reports with, or one character. */
const TYPED = /\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[@-~]|\x1b[\]P_][^\x07\x1b]*(?:\x07|\x1b\\)|[\s\S]/gu

/** The keys in a piece of input. What is no key (a report of the terminal, a function key) is left out. */
export const keysOf = (input: Uint8Array): ReadonlyArray<Key> =>
  [...Buffer.from(input).toString("utf8").matchAll(TYPED)].flatMap(([typed]) => {
    const name = NAMED[typed] ?? NAMED[typed.replace(/^\x1bO/, "\x1b[")]
    if (name !== undefined) return [{ name }]
    if (typed.length > 1 && typed.startsWith("\x1b")) return []
    const code = typed.codePointAt(0)!
    return [{ name: code < 0x20 ? `^${String.fromCharCode(code + 0x40)}` : typed }]
  })

const ARROW_SECONDS = 5
const PAGE_SECONDS = 60

const ACTIONS: Readonly<Record<string, ReplayAction>> = {
  q: { _tag: "Quit" },
  "^C": { _tag: "Quit" },
  "^Z": { _tag: "Suspend" },
  "^L": { _tag: "Redraw" },
  " ": { _tag: "Pause" },
  "?": { _tag: "Help" },
  h: { _tag: "Help" },
  s: { _tag: "Status" },
  i: { _tag: "Idle" },
  g: { _tag: "Begin" },
  home: { _tag: "Begin" },
  G: { _tag: "End" },
  end: { _tag: "End" },
  j: { _tag: "Event", by: 1 },
  down: { _tag: "Event", by: 1 },
  k: { _tag: "Event", by: -1 },
  up: { _tag: "Event", by: -1 },
  ".": { _tag: "Change", by: 1 },
  ",": { _tag: "Change", by: -1 },
  "]": { _tag: "Marker", by: 1 },
  "[": { _tag: "Marker", by: -1 },
  "}": { _tag: "Command", by: 1 },
  "{": { _tag: "Command", by: -1 },
  n: { _tag: "Found", by: 1 },
  N: { _tag: "Found", by: -1 },
  "+": { _tag: "Speed", by: 1 },
  "=": { _tag: "Speed", by: 1 },
  "-": { _tag: "Speed", by: -1 },
  right: { _tag: "Seek", seconds: ARROW_SECONDS },
  left: { _tag: "Seek", seconds: -ARROW_SECONDS },
  pagedown: { _tag: "Seek", seconds: PAGE_SECONDS },
  pageup: { _tag: "Seek", seconds: -PAGE_SECONDS },
  ":": { _tag: "Prompt", prompt: ":" },
  t: { _tag: "Prompt", prompt: ":" },
  "/": { _tag: "Prompt", prompt: "/" }
}

export const actionOf = ({ name }: Key): ReplayAction | undefined => {
  if (/^\d$/.test(name)) return { _tag: "Percent", percent: Number(name) * 10 }
  return ACTIONS[name]
}

/** One line a row, for `?`. */
export const HELP: ReadonlyArray<string> = [
  "space     pause and go on",
  ". ,       next and previous change of the screen",
  "j k ↓ ↑   next and previous event",
  "→ ←       5 seconds on and back (page keys: a minute)",
  "+ -       faster and slower",
  "i         limit idle time, or show all of it",
  "] [       next and previous marker",
  "} {       next and previous command",
  "/ n N     search a text, again forward, backward",
  ": or t    go to 1:23, +10, -5, 50%, @14:30, 2026-01-31T14:30,",
  "          120 (an event), command:2, marker:NAME, text:WORDS",
  "0…9       go to 0%…90%",
  "g G       beginning and end",
  "s         hide and show the last line",
  "^L        draw again",
  "q         quit"
]
