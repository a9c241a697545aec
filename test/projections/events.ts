/** Builders of journal entries and a seeded generator of terminal output, for the tests of the projections. */
import type { JournalEntry, SessionEvent, SessionId } from "../../journal/Event.ts"
import type { Projection } from "../../projections/Projection.ts"

export const STREAM = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
export const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"))

export const created = (changes: Partial<Extract<SessionEvent, { _tag: "SessionCreated" }>> = {}): SessionEvent => ({
  _tag: "SessionCreated",
  argv: ["/bin/bash", "-i"],
  cwd: "/home/me",
  envNames: ["HOME", "TERM"],
  size: { cols: 80, rows: 24 },
  term: "xterm-256color",
  owner: "me",
  kind: "terminal",
  ...changes
})
export const output = (data: Uint8Array | string, offset = 0): SessionEvent => ({
  _tag: "OutputReceived",
  channel: "tty",
  exec: 0,
  offset,
  data: typeof data === "string" ? bytes(data) : data
})
export const started = (pid = 100): SessionEvent => ({ _tag: "ProcessStarted", pid, startTime: "4711", keeper: "k1" })

type EventOf<Tag extends SessionEvent["_tag"]> = Extract<SessionEvent, { _tag: Tag }>

export const commandStarted = (
  exec: number,
  code: string,
  changes: Partial<EventOf<"CommandStarted">> = {}
): SessionEvent => ({
  _tag: "CommandStarted",
  exec,
  execId: `e${exec}`,
  code,
  stdin: "none",
  tty: false,
  env: {},
  secretEnvNames: [],
  timeoutMillis: null,
  ttyFrom: 0,
  ...changes
})
export const commandFinished = (exec: number, changes: Partial<EventOf<"CommandFinished">> = {}): SessionEvent => ({
  _tag: "CommandFinished",
  exec,
  status: "completed",
  exitCode: 0,
  signal: null,
  cwd: "/home/me",
  value: null,
  durationMicros: 1500,
  stdoutBytes: 0,
  stderrBytes: 0,
  ttyTo: 0,
  ...changes
})
export const stateChanged = (exec: number, changes: Partial<EventOf<"ShellStateChanged">>): SessionEvent => ({
  _tag: "ShellStateChanged",
  exec,
  env: {},
  masked: [],
  functions: {},
  aliases: {},
  imports: [],
  omitted: [],
  ...changes
})
export const shellRestarted = (
  reason: "died" | "lost" | "reset",
  restored: Partial<EventOf<"ShellRestarted">["restored"]> = {},
  missing: ReadonlyArray<string> = []
): SessionEvent => ({
  _tag: "ShellRestarted",
  reason,
  restored: { cwd: null, env: [], functions: [], aliases: [], imports: [], ...restored },
  missing
})

export const entriesOf = (
  events: ReadonlyArray<SessionEvent>,
  commandIds: ReadonlyArray<string | undefined> = []
): ReadonlyArray<JournalEntry> =>
  events.map((event, index) => ({
    sequence: index + 1,
    timeMicros: 1_000_000 * (index + 1),
    actor: "engine",
    event,
    ...(commandIds[index] !== undefined && { commandId: commandIds[index] })
  }))

export const foldAll = <State>(projection: Projection<State>, events: ReadonlyArray<SessionEvent>): State =>
  entriesOf(events).reduce((state, entry) => projection.fold(state, entry), projection.initial(STREAM))

/** Output events of the bytes cut at the given places. */
export const chunked = (data: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<SessionEvent> => {
  const events: Array<SessionEvent> = []
  let from = 0
  for (const to of [...cuts, data.length]) {
    if (to <= from) continue
    events.push(output(data.slice(from, to), from))
    from = to
  }
  return events
}

export const randomCuts = (random: () => number, length: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, () => Math.floor(random() * length)).sort((a, b) => a - b)

/** mulberry32: the seed in a failing test's message is all that is needed to run it again. */
export const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const PIECES: ReadonlyArray<string> = [
  "hello ",
  "world",
  "a",
  "é",
  "日本",
  "😀",
  "e\u0301",
  "\r\n",
  "\n",
  "\r",
  "\b",
  "\t",
  "\x07",
  "x".repeat(90),
  "\x1b[31m",
  "\x1b[0m",
  "\x1b[1;38;5;200;48;2;1;2;3m",
  "\x1b[4:3m\x1b[58;5;9m",
  "\x1b[7m",
  "\x1b[K",
  "\x1b[1K",
  "\x1b[2J",
  "\x1b[H",
  "\x1b[5;10H",
  "\x1b[3A",
  "\x1b[2B",
  "\x1b[4C",
  "\x1b[3D",
  "\x1b[12G",
  "\x1b[2L",
  "\x1b[2M",
  "\x1b[3P",
  "\x1b[3@",
  "\x1b[4X",
  "\x1b[2S",
  "\x1b[2T",
  "\x1b[3b",
  "\x1b[2;10r",
  "\x1b[r",
  "\x1b7",
  "\x1b8",
  "\x1b[s",
  "\x1b[u",
  "\x1bH",
  "\x1b[g",
  "\x1b[3g",
  "\x1b[2I",
  "\x1b[Z",
  "\x1b(0",
  "\x1b(B",
  "\x1b)0",
  "\x0e",
  "\x0f",
  "\x1b(A",
  "\x1b(4",
  "\x1b[4h",
  "\x1b[4l",
  "\x1b[20h",
  "\x1b[20l",
  "\x1b[?6h",
  "\x1b[?6l",
  "\x1b[?7l",
  "\x1b[?7h",
  "\x1b[?25l",
  "\x1b[?25h",
  "\x1b[?45h",
  "\x1b[?1h",
  "\x1b=",
  "\x1b>",
  "\x1b[?1000h",
  "\x1b[?1002h\x1b[?1006h",
  "\x1b[?1000l",
  "\x1b[?1004h",
  "\x1b[?2004h",
  "\x1b[?2026h",
  "\x1b[?1049h",
  "\x1b[?1049l",
  "\x1b[?47h",
  "\x1b[?47l",
  "\x1b[3 q",
  '\x1b[1"q',
  "\x1b[?12h",
  "\x1bM",
  "\x1bD",
  "\x1bE",
  "\x1bc",
  "\x1b[!p",
  "\x1b#8",
  "\x1b]0;title é\x07",
  "\x1b]2;other\x1b\\",
  "\x1b]8;;http://x\x07",
  "\x1b]52;c;eA==\x07",
  "\x1bP$qm\x1b\\",
  "\x1bPdata\x18",
  "\x1b_apc\x1b\\",
  "\x1b^pm\x9c",
  "\x1b[6n",
  "\x1b[c",
  "\x1b[?2004$p",
  "\u009b31m",
  "\u009d2;c1\u009c",
  "\u0085",
  "\x1b[1;2",
  "\x1b]7;file://",
  "\x1b",
  "\x18",
  "\x1b]7;file:///tmp/a%20b\x07",
  "\x1b]633;P;Cwd=/x\\x20y\x07",
  "\x1b]1337;CurrentDir=/z\x07",
  "\x1b[38:2::10:20:30m",
  "\x1b[99999999999b",
  "\x1b[;;5;m"
]
const BROKEN: ReadonlyArray<ReadonlyArray<number>> = [
  [0xff],
  [0xc3],
  [0xe2, 0x82],
  [0xf0, 0x9f, 0x98],
  [0xed, 0xa0, 0x80],
  [0x9b],
  [0xc0, 0x80],
  [0xf4, 0x90]
]

/** Output as hostile and as mixed as a terminal ever gets it. */
export const randomOutput = (random: () => number, pieces: number): Uint8Array => {
  const parts: Array<Uint8Array> = []
  for (let index = 0; index < pieces; index++) {
    const roll = random()
    if (roll < 0.05) parts.push(Uint8Array.from(BROKEN[Math.floor(random() * BROKEN.length)]!))
    else if (roll < 0.1) parts.push(Uint8Array.from({ length: 5 }, () => Math.floor(random() * 256)))
    else parts.push(bytes(PIECES[Math.floor(random() * PIECES.length)]!))
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** Inputs that defeat or bloat an unguarded emulator (xterm headless, measured): each is a few bytes to a few megabytes. */
export const HOSTILE: Readonly<Record<string, () => Uint8Array>> = {
  "REP 1e4": () => bytes("a\x1b[10000b"),
  "REP 1e6": () => bytes("a\x1b[1000000b"),
  "REP 1e7": () => bytes("a\x1b[10000000b"),
  "REP 2147483647": () => bytes("a\x1b[2147483647b"),
  "ICH DCH ECH max": () => bytes("\x1b[2147483647@\x1b[2147483647P\x1b[2147483647X"),
  "IL DL max": () => bytes("\x1b[2147483647L\x1b[2147483647M"),
  "SU max": () => bytes("\x1b[2147483647S"),
  "SD max": () => bytes("\x1b[2147483647T"),
  "CHT CBT max": () => bytes("\x1b[2147483647I\x1b[2147483647Z"),
  "cursor 2^31": () => bytes("\x1b[2147483648;2147483648H"),
  "DECIC max": () => bytes("\x1b[2147483647'}"),
  "unterminated OSC 8 MB": () => bytes(`\x1b]0;${"z".repeat(8e6)}`),
  "unterminated DCS 20 MB": () => bytes(`\x1bP${"z".repeat(2e7)}`),
  "zalgo 1e5": () => bytes(`a${"\u0301".repeat(1e5)}`),
  "random 2 MB": () => {
    const random = seeded(25)
    return Uint8Array.from({ length: 2e6 }, () => Math.floor(random() * 256))
  },
  "CSI 8;9999;9999t": () => bytes("\x1b[8;9999;9999t"),
  "alternate screen x1e4": () => bytes("\x1b[?1049h\x1b[?1049l".repeat(1e4)),
  "10k parameters": () => bytes(`\x1b[${"1;".repeat(1e4)}m`),
  "OSC 8 links x1e5": () =>
    bytes(Array.from({ length: 1e5 }, (_, i) => `\x1b]8;id=${i};http://x/${i}\x07l\x1b]8;;\x07`).join("")),
  "titles x1e5": () => bytes("\x1b]2;t\x07".repeat(1e5)),
  "title stack x1e5": () => bytes("\x1b[22t".repeat(1e5))
}

/** Processor time of this process since `began`, in milliseconds: a bound on work that holds on a busy machine too. */
export const cpuMillis = (began = 0): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000 - began
}
