/**
 * What an exec session knows of its commands and of its shell at any point of its history: the last commands with their
 * outcomes, how far each of their streams is journaled, and what the shell holds (directory, exported variables,
 * functions, aliases, imports). The exec engine folds it to go on after a restart and to answer history and state. It
 * holds no output and never guesses: a command whose end no event reports and whose shell is gone is `lost`.
 */
import type { CommandStatus, JournalEntry, Language, SessionId, ShellRestarted } from "../journal/Event.ts"
import type { Projection } from "./Projection.ts"
import { assertShape, decodeSnapshot, encodeSnapshot } from "./SnapshotCodec.ts"

/** Commands kept: as many as shells usually keep as history. Older ones are in the journal. */
export const COMMANDS_KEPT_MAX = 1000
/** Bytes (UTF-8) of one command's code: longer than nearly everything that is typed. The event has all of it. */
export const CODE_BYTES_KEPT_MAX = 16 * 1024
/** Bytes of the code of all kept commands. Beyond it the oldest keep only their beginning, so that a snapshot stays small. */
export const CODE_BYTES_KEPT_TOTAL_MAX = 1024 * 1024
/** Bytes of code that an old command keeps in any case: enough to recognize it in a list. */
const CODE_BYTES_SHORT = 256
/**
 * Characters of all names and values of the shell's state: several times what large completion packages define. What does
 * not fit is left out and named in `omitted`.
 */
export const SHELL_STATE_CHARACTERS_MAX = 4 * 1024 * 1024
/** What was left out, in words: enough to see the reason; the events have all. */
const OMITTED_KEPT_MAX = 100

/** The fields of `CommandRecord` (src/exec/Exec.ts), and what a reader of the journal needs beside them. */
export interface CommandEntry {
  /** Its number in the session, from 1. */
  readonly exec: number
  readonly execId: string
  code: string
  /** Only the beginning of the code is here; the event `firstSequence` has all of it. */
  codeCut: boolean
  status: "running" | CommandStatus
  exitCode: number | null
  signal: string | null
  readonly cwdBefore: string
  /** null while it runs, and when nobody saw its end. */
  cwdAfter: string | null
  /** Microseconds since 1970. */
  readonly startedAt: number
  durationMillis: number | null
  /** Next expected offset of its streams. Output may follow its end. */
  stdoutBytes: number
  stderrBytes: number
  readonly ttyFrom: number
  ttyTo: number | null
  readonly firstSequence: number
  lastSequence: number
  /** Sequence of its CommandFinished; null when there is none. */
  finishedSequence: number | null
}

export interface ShellRestart {
  readonly sequence: number
  readonly timeMicros: number
  readonly reason: (typeof ShellRestarted.Type)["reason"]
  readonly restored: (typeof ShellRestarted.Type)["restored"]
  readonly missing: ReadonlyArray<string>
}

export interface CommandsState {
  language: Language | null
  /** Where the session was created, and where a reset begins again. */
  creationCwd: string
  shellCwd: string
  initialEnvNames: ReadonlyArray<string>
  /** Regular expressions: a command or typed text that one of them finds is refused. */
  deny: ReadonlyArray<string>
  /** Exported variables as far as commands changed them. A masked value is "***". */
  env: Map<string, string>
  masked: Set<string>
  /** Variables of the initial environment that a command removed. */
  unset: Set<string>
  /** Name and source text. */
  functions: Map<string, string>
  aliases: Map<string, string>
  /** Statements in the order in which they were first seen. */
  imports: Array<string>
  /** What of the shell's state is not here, in words, oldest first. */
  omitted: Array<string>
  /** By number, oldest first. */
  commands: Map<number, CommandEntry>
  nextExec: number
  /** History begins with this number: a reset forgets what was before it. */
  historyFrom: number
  /** The command that was started and has not finished. */
  running: number | null
  /** The command whose end was assumed when the keeper was lost: it runs on should that be found again. */
  assumedLost: number | null
  /** Next expected offset of the tty channel. */
  ttyBytes: number
  lastRestart: ShellRestart | null
  /** Characters of names and values of the shell's state; at most SHELL_STATE_CHARACTERS_MAX. */
  shellCharacters: number
  /** Bytes of all kept code, and the number up to which it was shortened for that. */
  codeBytes: number
  shortenedTo: number
}

export const Commands: Projection<CommandsState> = {
  name: "commands",
  version: 1,
  initial: (_: SessionId) => ({
    language: null,
    creationCwd: "",
    shellCwd: "",
    initialEnvNames: [],
    deny: [],
    env: new Map(),
    masked: new Set(),
    unset: new Set(),
    functions: new Map(),
    aliases: new Map(),
    imports: [],
    omitted: [],
    commands: new Map(),
    nextExec: 1,
    historyFrom: 1,
    running: null,
    assumedLost: null,
    ttyBytes: 0,
    lastRestart: null,
    shellCharacters: 0,
    codeBytes: 0,
    shortenedTo: 0
  }),
  fold: (state, entry) => {
    const event = entry.event
    // Nearly every event of a history is this one; it changes two numbers and makes nothing.
    if (event._tag === "OutputReceived") {
      const end = event.offset + event.data.length
      if (event.channel === "tty") {
        if (end > state.ttyBytes) state.ttyBytes = end
        return state
      }
      // A number that is not here is a command too old to be kept, or a restore (0).
      const command = state.commands.get(event.exec)
      if (command === undefined) return state
      command.lastSequence = entry.sequence
      if (event.channel === "stdout") {
        if (end > command.stdoutBytes) command.stdoutBytes = end
      } else if (end > command.stderrBytes) command.stderrBytes = end
      return state
    }
    return foldRare(state, entry)
  },
  encode: (state) =>
    encodeSnapshot({
      ...state,
      env: [...state.env],
      masked: [...state.masked],
      unset: [...state.unset],
      functions: [...state.functions],
      aliases: [...state.aliases],
      commands: [...state.commands.values()]
    }),
  decode: (bytes) => {
    const { state } = decodeSnapshot<StoredState>(bytes)
    const lists = { env: [], masked: [], unset: [], functions: [], aliases: [], commands: [] }
    assertShape(state, { ...Commands.initial("" as SessionId), ...lists })
    for (const command of state.commands) assertShape(command, COMMAND_SHAPE)
    return {
      ...state,
      env: new Map(state.env),
      masked: new Set(state.masked),
      unset: new Set(state.unset),
      functions: new Map(state.functions),
      aliases: new Map(state.aliases),
      commands: new Map(state.commands.map((command) => [command.exec, command]))
    }
  },
  mask: (state, mask) => {
    const orNull = (text: string | null) => (text === null ? null : mask.text(text))
    const { env, lastRestart } = state
    const renamed = new Map<string, string>()
    for (const [name, value] of env) renamed.set(name, mask.pair(name, value)[0])
    const names = (set: ReadonlySet<string>) => new Set([...set].map((name) => renamed.get(name) ?? mask.text(name)))
    const pairs = (map: ReadonlyMap<string, string>) => new Map([...map].map(([name, value]) => mask.pair(name, value)))
    const masked: CommandsState = {
      ...state,
      creationCwd: mask.text(state.creationCwd),
      shellCwd: mask.text(state.shellCwd),
      initialEnvNames: mask.words(state.initialEnvNames),
      deny: state.deny.map((rule) => maskedPattern(rule, mask.text(rule))),
      env: pairs(env),
      masked: names(state.masked),
      unset: names(state.unset),
      functions: pairs(state.functions),
      aliases: pairs(state.aliases),
      imports: mask.words(state.imports),
      omitted: mask.words(state.omitted),
      commands: new Map(
        [...state.commands].map(([number, command]) => [
          number,
          {
            ...command,
            code: mask.text(command.code),
            cwdBefore: mask.text(command.cwdBefore),
            cwdAfter: orNull(command.cwdAfter)
          }
        ])
      ),
      lastRestart:
        lastRestart === null
          ? null
          : {
              ...lastRestart,
              restored: {
                ...lastRestart.restored,
                cwd: orNull(lastRestart.restored.cwd),
                env: mask.words(lastRestart.restored.env),
                functions: mask.words(lastRestart.restored.functions),
                aliases: mask.words(lastRestart.restored.aliases),
                imports: mask.words(lastRestart.restored.imports)
              },
              missing: mask.words(lastRestart.missing)
            }
    }
    // Names that are the same now are one.
    return { ...masked, shellCharacters: charactersOf(masked) }
  }
}

/** The last command of that id that is kept, also one before a reset: an id stays used. */
export const findCommand = (state: CommandsState, execId: string): CommandEntry | undefined => {
  // Nearly always it is the newest that is asked for.
  const newest = state.commands.get(state.nextExec - 1)
  if (newest?.execId === execId) return newest
  let found: CommandEntry | undefined
  for (const command of state.commands.values()) if (command.execId === execId) found = command
  return found
}

/** The last `limit` commands since the last reset, oldest first; the running one is among them. */
export const historyOf = (state: CommandsState, limit = COMMANDS_KEPT_MAX): ReadonlyArray<CommandEntry> => {
  const history: Array<CommandEntry> = []
  for (const command of state.commands.values()) if (command.exec >= state.historyFrom) history.push(command)
  return history.slice(Math.max(0, history.length - Math.max(0, limit)))
}

type Pairs = Array<[string, string]>
type Listed = "env" | "masked" | "unset" | "functions" | "aliases" | "commands"
type StoredState = Omit<CommandsState, Listed> & {
  readonly env: Pairs
  readonly masked: Array<string>
  readonly unset: Array<string>
  readonly functions: Pairs
  readonly aliases: Pairs
  readonly commands: Array<CommandEntry>
}

const COMMAND_SHAPE: CommandEntry = {
  exec: 0,
  execId: "",
  code: "",
  codeCut: false,
  status: "running",
  exitCode: null,
  signal: null,
  cwdBefore: "",
  cwdAfter: null,
  startedAt: 0,
  durationMillis: null,
  stdoutBytes: 0,
  stderrBytes: 0,
  ttyFrom: 0,
  ttyTo: null,
  firstSequence: 0,
  lastSequence: 0,
  finishedSequence: null
}

type EventOf<Tag extends JournalEntry["event"]["_tag"]> = Extract<JournalEntry["event"], { readonly _tag: Tag }>

const foldRare = (state: CommandsState, entry: JournalEntry): CommandsState => {
  const event = entry.event
  switch (event._tag) {
    case "SessionCreated":
      state.language = event.language ?? null
      state.creationCwd = event.cwd
      state.shellCwd = event.cwd
      state.initialEnvNames = event.envNames
      state.deny = event.deny ?? []
      return state
    case "EventsRemoved":
      // Folded only where the state that was kept for them cannot be read.
      state.ttyBytes = Math.max(state.ttyBytes, event.outputBytes)
      return state
    case "CommandStarted":
      return commandStarted(state, event, entry)
    case "CommandInputWritten":
      return touch(state, event.exec, entry.sequence)
    case "CommandFinished":
      return commandFinished(state, event, entry.sequence)
    case "ShellStateChanged":
      return shellChanged(touch(state, event.exec, entry.sequence), event)
    case "ShellRestarted":
      return restarted(state, event, entry)
    case "CwdChanged":
      // "proc" is the kernel's view of a process, which may be a child's.
      if (event.source === "exec") state.shellCwd = event.cwd
      return state
    case "SessionLost":
      state.assumedLost = state.running
      return loseRunning(state)
    case "SessionResumed":
      return resumed(state)
    case "ProcessStarted":
    case "SessionClosed":
      // A new shell, or none any more: what ran in the old one cannot be heard of again.
      state.assumedLost = null
      return loseRunning(state)
    default:
      return state
  }
}

const commandStarted = (
  state: CommandsState,
  event: EventOf<"CommandStarted">,
  { sequence, timeMicros }: JournalEntry
): CommandsState => {
  // One runs at a time: an unfinished one before it was not seen to end.
  loseRunning(state)
  state.assumedLost = null
  const replaced = state.commands.get(event.exec)
  if (replaced !== undefined) forget(state, replaced)
  const code = keptCode(event.code, CODE_BYTES_KEPT_MAX)
  state.commands.set(event.exec, {
    exec: event.exec,
    execId: event.execId,
    code,
    codeCut: code.length < event.code.length,
    status: "running",
    exitCode: null,
    signal: null,
    cwdBefore: state.shellCwd,
    cwdAfter: null,
    startedAt: timeMicros,
    durationMillis: null,
    stdoutBytes: 0,
    stderrBytes: 0,
    ttyFrom: event.ttyFrom,
    ttyTo: null,
    firstSequence: sequence,
    lastSequence: sequence,
    finishedSequence: null
  })
  state.codeBytes += Buffer.byteLength(code)
  state.running = event.exec
  state.nextExec = Math.max(state.nextExec, event.exec + 1)
  if (state.commands.size > COMMANDS_KEPT_MAX) {
    for (const oldest of state.commands.values()) {
      forget(state, oldest)
      break
    }
  }
  if (state.codeBytes > CODE_BYTES_KEPT_TOTAL_MAX) shortenOldest(state)
  return state
}

const commandFinished = (state: CommandsState, event: EventOf<"CommandFinished">, sequence: number): CommandsState => {
  // The directory is the running shell's only if the command ran in it: one that was lost with an older shell says nothing.
  if (state.running === event.exec) {
    state.running = null
    if (event.cwd !== "") state.shellCwd = event.cwd
  }
  if (state.assumedLost === event.exec) state.assumedLost = null
  const command = state.commands.get(event.exec)
  if (command === undefined) return state
  command.status = event.status
  command.exitCode = event.exitCode
  command.signal = event.signal
  command.cwdAfter = event.cwd === "" ? null : event.cwd
  command.durationMillis = event.durationMicros / 1000
  command.ttyTo = event.ttyTo
  command.lastSequence = sequence
  command.finishedSequence = sequence
  return state
}

/** A running command whose shell is gone: its end is unknown. A CommandFinished that follows knows better. */
const loseRunning = (state: CommandsState): CommandsState => {
  if (state.running === null) return state
  const command = state.commands.get(state.running)
  state.running = null
  if (command !== undefined) {
    command.status = "lost"
    command.ttyTo = state.ttyBytes
  }
  return state
}

/** The keeper was found after all: the command never stopped running. */
const resumed = (state: CommandsState): CommandsState => {
  const command = state.assumedLost === null ? undefined : state.commands.get(state.assumedLost)
  state.assumedLost = null
  if (command === undefined) return state
  command.status = "running"
  command.ttyTo = null
  state.running = command.exec
  return state
}

const shellChanged = (state: CommandsState, event: EventOf<"ShellStateChanged">): CommandsState => {
  if (event.cwd !== undefined) state.shellCwd = event.cwd
  for (const [name, value] of Object.entries(event.env)) {
    put(state, state.env, "variable", name, value)
    state.masked.delete(name)
    if (value === null && state.initialEnvNames.includes(name)) state.unset.add(name)
    else state.unset.delete(name)
  }
  for (const name of event.masked) if (state.env.has(name)) state.masked.add(name)
  for (const [name, value] of Object.entries(event.functions)) put(state, state.functions, "function", name, value)
  for (const [name, value] of Object.entries(event.aliases)) put(state, state.aliases, "alias", name, value)
  for (const statement of event.imports) {
    if (state.imports.includes(statement)) continue
    if (state.shellCharacters + statement.length > SHELL_STATE_CHARACTERS_MAX) {
      omit(state, `import ${statement.slice(0, 100)}: ${TOO_MUCH}`)
      continue
    }
    state.imports.push(statement)
    state.shellCharacters += statement.length
  }
  for (const words of event.omitted) omit(state, words)
  return state
}

const TOO_MUCH = "the shell holds more than is kept"

/** Sets or (null) removes. A value that does not fit removes the older one too, which is not the shell's any more. */
const put = (
  state: CommandsState,
  map: Map<string, string>,
  what: string,
  name: string,
  value: string | null
): void => {
  const before = map.get(name)
  if (before !== undefined) state.shellCharacters -= name.length + before.length
  if (value !== null && state.shellCharacters + name.length + value.length <= SHELL_STATE_CHARACTERS_MAX) {
    map.set(name, value)
    state.shellCharacters += name.length + value.length
    return
  }
  map.delete(name)
  if (value !== null) omit(state, `${what} ${name.slice(0, 100)}: ${TOO_MUCH}`)
}

const omit = (state: CommandsState, words: string): void => {
  const known = state.omitted.indexOf(words)
  if (known >= 0) state.omitted.splice(known, 1)
  state.omitted.push(words)
  if (state.omitted.length > OMITTED_KEPT_MAX) state.omitted.shift()
}

const restarted = (state: CommandsState, event: EventOf<"ShellRestarted">, entry: JournalEntry): CommandsState => {
  loseRunning(state)
  state.assumedLost = null
  const { restored } = event
  state.shellCwd = restored.cwd ?? state.creationCwd
  // After a reset nothing is left but the creation's own, whatever the names say.
  const isReset = event.reason === "reset"
  if (isReset) state.historyFrom = state.nextExec
  const env = new Set(isReset ? [] : restored.env)
  const imports = new Set(isReset ? [] : restored.imports)
  retain(state.env, env)
  retain(state.masked, env)
  retain(state.unset, env)
  retain(state.functions, new Set(isReset ? [] : restored.functions))
  retain(state.aliases, new Set(isReset ? [] : restored.aliases))
  // Named by the statement, or by its module.
  state.imports = state.imports.filter(
    (statement) =>
      imports.has(statement) ||
      importNames([statement])
        .slice(0, 1)
        .some((name) => imports.has(name))
  )
  state.omitted = []
  state.shellCharacters = charactersOf(state)
  state.lastRestart = {
    sequence: entry.sequence,
    timeMicros: entry.timeMicros,
    reason: event.reason,
    restored,
    missing: event.missing
  }
  return state
}

const charactersOf = ({ aliases, env, functions, imports }: CommandsState): number => {
  let characters = imports.reduce((sum, statement) => sum + statement.length, 0)
  for (const map of [env, functions, aliases]) for (const [name, value] of map) characters += name.length + value.length
  return characters
}

/** A rule still refuses what it refused: what was masked in it stands for any character. */
const maskedPattern = (rule: string, masked: string): string => {
  if (masked === rule) return rule
  const wide = Array.from(rule, (character, at) => (Array.from(masked)[at] === character ? character : ".")).join("")
  try {
    new RegExp(wide, "u")
    return wide
  } catch {
    // A bracket is gone: then nothing as long as it is let through.
    return ".".repeat(Array.from(rule).length)
  }
}

const retain = (kept: Map<string, string> | Set<string>, names: ReadonlySet<string>): void => {
  for (const name of kept.keys()) if (!names.has(name)) kept.delete(name)
}

const touch = (state: CommandsState, exec: number, sequence: number): CommandsState => {
  const command = state.commands.get(exec)
  if (command !== undefined) command.lastSequence = sequence
  return state
}

const forget = (state: CommandsState, command: CommandEntry): void => {
  state.codeBytes -= Buffer.byteLength(command.code)
  state.commands.delete(command.exec)
}

/** `shortenedTo` is remembered, so that each command is looked at once. */
const shortenOldest = (state: CommandsState): void => {
  for (const command of state.commands.values()) {
    if (state.codeBytes <= CODE_BYTES_KEPT_TOTAL_MAX) return
    if (command.exec <= state.shortenedTo) continue
    const code = keptCode(command.code, CODE_BYTES_SHORT)
    state.codeBytes -= Buffer.byteLength(command.code) - Buffer.byteLength(code)
    command.codeCut ||= code.length < command.code.length
    command.code = code
    state.shortenedTo = command.exec
  }
}

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** The first `bytesMax` bytes, cut at a character's border. */
const keptCode = (code: string, bytesMax: number): string => {
  // At most three bytes a code unit: most code is short enough without counting.
  if (code.length * 3 <= bytesMax || Buffer.byteLength(code) <= bytesMax) return code
  // Decoded again rather than sliced: a slice would keep the whole text in memory.
  const kept = new Uint8Array(bytesMax)
  return textDecoder.decode(kept.subarray(0, textEncoder.encodeInto(code, kept).written))
}

/**
 * The modules and names that import statements bring, each once, in order: `import numpy as np` gives numpy and np,
 * `from pathlib import Path` pathlib and Path, `import fs from "node:fs"` and `const fs = require("node:fs")` node:fs
 * and fs. What is not an import statement gives nothing.
 */
export const importNames = (imports: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = new Set<string>()
  for (const source of imports) {
    for (const statement of statementsOf(source)) {
      for (const name of pythonFrom(statement) ?? scriptImport(statement) ?? pythonImport(statement) ?? []) {
        if (name !== "") names.add(name)
      }
    }
  }
  return [...names]
}

/** Statements on one line each: comments, line continuations and the line breaks within brackets are gone. */
const statementsOf = (source: string): ReadonlyArray<string> =>
  source
    .replace(/\\\r?\n/g, " ")
    .replace(/(^|\s)(#|\/\/).*$/gm, "")
    .replace(/[({][^(){}]*[)}]/g, (group) => group.replace(/\s+/g, " "))
    .split(/[;\n]/)
    .map((statement) => statement.trim())

const pythonFrom = (statement: string): ReadonlyArray<string> | undefined => {
  const match = /^from\s+(\.*)\s*([\p{L}\p{N}_.]*)\s+import\s+(.+)$/u.exec(statement)
  if (match === null) return undefined
  return [match[2]!, ...listed(match[3]!.replace(/[()]/g, "")).filter((name) => name !== "*")]
}

const pythonImport = (statement: string): ReadonlyArray<string> | undefined => {
  const match = /^import\s+([\p{L}\p{N}_.,\s]+)$/u.exec(statement)
  if (match === null) return undefined
  // `import os.path` binds os.
  return match[1]!.split(",").flatMap((one) => {
    const [module = "", name] = one.trim().split(/\s+as\s+/)
    return name === undefined ? [module, module.split(".")[0]!] : [module, name]
  })
}

const scriptImport = (statement: string): ReadonlyArray<string> | undefined => {
  const declared = /^import\s*(?:type\s+)?([^'"]*?)(?:\s*from)?\s*(['"])([^'"]+)\2/.exec(statement)
  if (declared !== null && !declared[1]!.startsWith("(")) return [declared[3]!, ...bound(declared[1]!, " as ")]
  const called = /^(?:(?:(?:const|let|var)\s+)?([^=]*?)\s*=\s*)?(?:await\s+)?(?:require|import)\s*\(\s*(['"])([^'"]+)\2/
  const match = called.exec(statement)
  return match === null ? undefined : [match[3]!, ...bound(match[1] ?? "", ":")]
}

/** The names in `x`, `* as x`, `{ a, b as c }` and their mixtures; `{ a: b }` where `divider` is a colon. */
const bound = (clause: string, divider: string): ReadonlyArray<string> =>
  listed(clause.replace(/[{}]/g, ",").replaceAll(divider, " as ")).filter((name) => /^[\p{L}\p{N}_$]+$/u.test(name))

/** `a, b as c` gives a, b and c. */
const listed = (names: string): ReadonlyArray<string> =>
  names.split(",").flatMap((one) =>
    one
      .trim()
      .split(/\s+as\s+/)
      .map((name) => name.trim())
  )
