/**
 * What state a session is in: status, outcome, process, size, times and counts. The engine folds it to take sessions
 * back after a restart and to refuse a command it has already applied; lists and views are made from it. It holds no
 * terminal bytes and never guesses: an exit code is what an event reported, else null.
 */
import type {
  JournalEntry,
  Language,
  SessionCreated,
  SessionId,
  SessionLimits,
  TerminalSize
} from "../journal/Event.ts"
import type { Projection } from "./Projection.ts"
import { assertShape, decodeSnapshot, encodeSnapshot } from "./SnapshotCodec.ts"

/**
 * Command ids remembered for idempotency. A client repeats a command because its answer was lost, which it finds out
 * within a few commands; 256 of at most 64 characters keep the state and its snapshot below 20 KiB.
 */
export const RECENT_COMMANDS_MAX = 256

/**
 * starting: created, no process yet. running. exited: the program ended (its terminal may still be open). lost: its
 * keeper is gone, how it ended is unknown. failed: it never started.
 */
export type SessionStatus = "starting" | "running" | "exited" | "lost" | "failed"

export interface SessionState {
  readonly id: SessionId
  status: SessionStatus
  exitCode: number | null
  signal: string | null
  /** A process of the session still holds its terminal. */
  terminalOpen: boolean
  kind: "terminal" | "exec"
  /** Of an exec session: what its commands are written in. */
  language: Language | null
  name: string | null
  /** Sessions of it are counted together; null: only in all. */
  group: string | null
  /** As the session was created with; {} has none. */
  limits: SessionLimits
  /** The limit that it is being ended for, or was. */
  limitReached: keyof SessionLimits | null
  argv: ReadonlyArray<string>
  envNames: ReadonlyArray<string>
  /** Of an exec session: those of them whose values must be in nothing that is kept. */
  secretEnvNames: ReadonlyArray<string>
  term: string
  owner: string
  size: TerminalSize
  /** Where the kernel last saw the program, as far as the journal has it; what a shell says of itself is WorkingDirectory's. */
  kernelCwd: string
  pid: number | null
  /** With the pid it names the process even after the pid is used again. */
  startTime: string | null
  /** Keeper that holds the terminal; "" for the in-process host, null before the first process. */
  keeper: string | null
  createdAt: number
  startedAt: number | null
  endedAt: number | null
  lastEventAt: number
  /** Next expected offset of the tty channel. */
  outputBytes: number
  inputBytes: number
  /** Bytes of output and input of every channel and command: what SessionLimits.journalBytes is about. */
  journaledBytes: number
  /** Sequence of the last input (written, hidden or closed): what the keeper must have applied. 0 if there was none. */
  lastInputSequence: number
  inputClosed: boolean
  /** Times an engine was away while the session went on. */
  interruptions: number
  /** No engine has taken the session back since the last interruption. */
  interrupted: boolean
  lostReason: string | null
  closed: boolean
  closeReason: "exited" | "ended" | "failed" | null
  survivors: ReadonlyArray<{ readonly pid: number; readonly command: string }>
  /** Nothing of the session may be removed, for this reason, since `at`; null: it may. */
  hold: { readonly reason: string; readonly actor: string; readonly at: number } | null
  /** Rules by which secrets are taken out before anything is journaled. */
  redact: ReadonlyArray<string>
  /** What they took out: by rule, how often, and bytes in all. */
  redacted: { rules: Record<string, number>; bytes: number }
  /** The last command ids with the sequence of the last event they caused, oldest first. */
  recentCommands: Map<string, number>
  /** Last event folded. */
  sequence: number
}

export const SessionState: Projection<SessionState> = {
  name: "session-state",
  version: 5,
  initial: (id) => ({
    id,
    status: "starting",
    exitCode: null,
    signal: null,
    terminalOpen: false,
    kind: "terminal",
    language: null,
    name: null,
    group: null,
    limits: {},
    limitReached: null,
    argv: [],
    envNames: [],
    secretEnvNames: [],
    term: "",
    owner: "",
    size: { cols: 80, rows: 24 },
    kernelCwd: "",
    pid: null,
    startTime: null,
    keeper: null,
    createdAt: 0,
    startedAt: null,
    endedAt: null,
    lastEventAt: 0,
    outputBytes: 0,
    inputBytes: 0,
    journaledBytes: 0,
    lastInputSequence: 0,
    inputClosed: false,
    interruptions: 0,
    interrupted: false,
    lostReason: null,
    closed: false,
    closeReason: null,
    survivors: [],
    hold: null,
    redact: [],
    redacted: { rules: {}, bytes: 0 },
    recentCommands: new Map(),
    sequence: 0
  }),
  fold: (state, entry) => {
    state.sequence = entry.sequence
    state.lastEventAt = entry.timeMicros
    if (entry.commandId !== undefined) remember(state.recentCommands, entry.commandId, entry.sequence)
    const event = entry.event
    // Nearly every event of a history is this one; it changes a number.
    if (event._tag === "OutputReceived") {
      state.journaledBytes += event.data.length
      if (event.channel === "tty") state.outputBytes = Math.max(state.outputBytes, event.offset + event.data.length)
      return state
    }
    return foldRare(state, entry)
  },
  encode: (state) => encodeSnapshot({ ...state, recentCommands: [...state.recentCommands] }),
  decode: (bytes) => {
    const { state } = decodeSnapshot<
      Omit<SessionState, "recentCommands"> & { recentCommands: Array<[string, number]> }
    >(bytes)
    assertShape(state, { ...SessionState.initial(state.id), recentCommands: [] })
    return { ...state, recentCommands: new Map(state.recentCommands) }
  },
  // The names of variables whose values are kept nowhere stay: by them it is known which those are.
  mask: (state, mask) => {
    const orNull = (text: string | null) => (text === null ? null : mask.text(text))
    return {
      ...state,
      name: orNull(state.name),
      group: orNull(state.group),
      argv: mask.words(state.argv),
      envNames: mask.words(state.envNames),
      kernelCwd: mask.text(state.kernelCwd),
      lostReason: orNull(state.lostReason),
      survivors: state.survivors.map((survivor) => ({ ...survivor, command: mask.text(survivor.command) })),
      hold: state.hold === null ? null : { ...state.hold, reason: mask.text(state.hold.reason) }
    }
  }
}

const foldRare = (state: SessionState, entry: JournalEntry): SessionState => {
  const event = entry.event
  switch (event._tag) {
    case "GapDetected":
      // The command that carries it came to nothing: sent again, it is a new one.
      if (event.what === "input" && entry.commandId !== undefined) state.recentCommands.delete(entry.commandId)
      return state
    case "InputWritten":
      state.inputBytes += event.data.length
      state.journaledBytes += event.data.length
      state.lastInputSequence = entry.sequence
      return state
    case "InputHidden":
      state.lastInputSequence = entry.sequence
      return state
    case "InputClosed":
      state.inputClosed = true
      state.lastInputSequence = entry.sequence
      return state
    case "CommandStarted":
      state.journaledBytes += event.code.length
      return state
    case "CommandInputWritten":
      state.journaledBytes += Math.floor((event.base64.length * 3) / 4)
      return state
    case "LimitReached":
      state.limitReached = event.limit as keyof SessionLimits
      return state
    case "SessionCreated":
      return created(state, event, entry.timeMicros)
    case "Resized":
      state.size = event.size
      return state
    case "CwdChanged":
      if (event.source === "proc") state.kernelCwd = event.cwd
      return state
    case "ProcessStarted":
      // The first process, or a new one in a session that was lost or had ended: what was known of the old one's end
      // is not the new one's.
      state.status = "running"
      state.pid = event.pid
      state.startTime = event.startTime
      state.keeper = event.keeper
      state.startedAt = entry.timeMicros
      state.terminalOpen = true
      state.inputClosed = false
      state.interrupted = false
      state.closed = false
      state.closeReason = null
      state.survivors = []
      state.limitReached = null
      return withoutOutcome(state)
    case "LeaderExited":
      // Told a second time, the first word stands.
      if (state.status === "exited") return state
      state.status = "exited"
      state.exitCode = event.exitCode
      state.signal = event.signal
      state.lostReason = null
      state.endedAt = entry.timeMicros
      return state
    case "TerminalClosed":
      state.terminalOpen = false
      return state
    case "SessionInterrupted":
      state.interruptions++
      state.interrupted = true
      return state
    case "SessionResumed":
      state.interrupted = false
      state.keeper = event.keeper
      if (state.status === "lost") {
        // Its keeper was found after all: the program never ended.
        state.status = "running"
        state.terminalOpen = true
        return withoutOutcome(state)
      }
      return state
    case "SessionLost":
      state.interrupted = false
      state.terminalOpen = false
      state.lostReason = event.reason
      // A program whose end was reported before its keeper went has not lost that end.
      if (state.status === "exited" || state.status === "failed") return state
      state.status = "lost"
      state.exitCode = null
      state.signal = null
      state.endedAt = entry.timeMicros
      return state
    case "SessionClosed":
      state.closed = true
      state.closeReason = event.reason
      state.survivors = event.survivors
      state.terminalOpen = false
      state.interrupted = false
      state.endedAt ??= entry.timeMicros
      if (event.reason === "failed") state.status = "failed"
      else if (state.status === "starting" || state.status === "running") {
        state.status = "exited"
        state.exitCode = event.exitCode
        state.signal = event.signal
      }
      return state
    case "HoldPlaced":
      state.hold = { reason: event.reason, actor: entry.actor, at: entry.timeMicros }
      return state
    case "HoldReleased":
      state.hold = null
      return state
    case "SecretsRedacted": {
      const rules = { ...state.redacted.rules }
      for (const { matches, rule } of event.rules) rules[rule] = (rules[rule] ?? 0) + matches
      state.redacted = { rules, bytes: state.redacted.bytes + event.bytes }
      return state
    }
    case "EventsRemoved":
      // Folded only where the state that was kept for them cannot be read.
      state.outputBytes = Math.max(state.outputBytes, event.outputBytes)
      return state
    default:
      return state
  }
}

const created = (state: SessionState, event: typeof SessionCreated.Type, timeMicros: number): SessionState => {
  state.status = "starting"
  state.kind = event.kind
  state.language = event.language ?? null
  state.name = event.name ?? null
  state.group = event.group ?? null
  state.limits = event.limits ?? {}
  state.argv = event.argv
  state.envNames = event.envNames
  state.secretEnvNames = event.secretEnvNames ?? []
  state.redact = event.redact ?? []
  state.term = event.term
  state.owner = event.owner
  state.size = event.size
  state.kernelCwd = event.cwd
  state.createdAt = timeMicros
  return state
}

const withoutOutcome = (state: SessionState): SessionState => {
  state.exitCode = null
  state.signal = null
  state.endedAt = null
  state.lostReason = null
  return state
}

/** Insertion order is age: a repeated id is moved to the young end, the oldest falls out. */
const remember = (commands: Map<string, number>, id: string, sequence: number): void => {
  commands.delete(id)
  commands.set(id, sequence)
  if (commands.size > RECENT_COMMANDS_MAX) {
    for (const oldest of commands.keys()) {
      commands.delete(oldest)
      break
    }
  }
}

/** The rules by which secrets are taken out of a session, and what they took out so far; null: it has none. */
export const redactedAtCapture = ({ redact, redacted }: Pick<SessionState, "redact" | "redacted">) =>
  redact.length === 0
    ? null
    : {
        rules: redact,
        found: Object.entries(redacted.rules).map(([rule, matches]) => ({ rule, matches })),
        bytes: redacted.bytes
      }
