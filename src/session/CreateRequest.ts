/**
 * What a request to create a session must look like, and what it means when it is silent. Everything that can be known
 * to be wrong is refused here, before anything is journaled or forked.
 */
import { userInfo } from "node:os"
import { isAbsolute } from "node:path"
import {
  SESSION_ID_PATTERN,
  type SessionId,
  type SessionLimits,
  TERMINAL_CELLS_MAX,
  type TerminalSize
} from "../../journal/Event.ts"
import { checkSpawn } from "../keeper/Preflight.ts"
import { SpawnError, type SpawnRequest } from "../keeper/PtyHost.ts"
import { InvalidRequest, SpawnFailed } from "./SessionError.ts"
import type { CommandOptions, CreateSession } from "./Sessions.ts"

export const SIZE_DEFAULT: TerminalSize = { cols: 80, rows: 24 }
const TERM_DEFAULT = "xterm-256color"
const NAME_LENGTH_MAX = 128
/** What a program gets when the caller names no environment: enough to run, none of the engine's secrets. */
const ENV_DEFAULT_NAMES = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR"]

const invalid = (field: string, reason: string) => new InvalidRequest({ field, reason })

/** Throws InvalidRequest or SpawnFailed. */
export const checkCreate = (session: SessionId, request: CreateSession): SpawnRequest => {
  if (!SESSION_ID_PATTERN.test(session)) throw invalid("session", "an id is an upper-case ULID of 26 characters")
  const { group, limits, name, term = TERM_DEFAULT } = request
  if (name !== undefined) checkName(name)
  if (group !== undefined) checkText("group", group)
  if (limits !== undefined) checkLimits(limits)
  if (!/^[\x21-\x7e]{1,64}$/.test(term)) throw invalid("term", "must be a terminal's name, such as xterm-256color")
  const cwd = request.cwd ?? process.cwd()
  if (!isAbsolute(cwd)) throw invalid("cwd", `${JSON.stringify(cwd)} is not an absolute path`)
  const spawn: SpawnRequest = {
    session,
    argv: request.argv,
    cwd,
    env: requestedEnvironment(request),
    size: checkSize(request.size ?? SIZE_DEFAULT),
    term
  }
  try {
    checkSpawn(spawn)
  } catch (error) {
    throw spawnFailed(error)
  }
  return spawn
}

/** A host's refusal as the caller is told it. Anything else stays what it is. */
export const spawnFailed = (error: unknown): unknown =>
  error instanceof SpawnError ? new SpawnFailed({ failure: error.failure, reason: error.message }) : error

/** What a limit of a session may be. A retention of 0 keeps nothing; a timeout of 0 would end what is being started. */
const LIMITS: Readonly<Record<keyof SessionLimits, { readonly isWhole: boolean; readonly min: number } | "boolean">> = {
  inputChunkBytes: { isWhole: true, min: 1 },
  noClientMillis: { isWhole: false, min: 1 },
  idleMillis: { isWhole: false, min: 1 },
  retentionMillis: { isWhole: false, min: 0 },
  journalBytes: { isWhole: true, min: 1 },
  evenWhenBusy: "boolean",
  evenWhenAttached: "boolean"
}

const checkLimits = (limits: SessionLimits): void => {
  for (const [name, value] of Object.entries(limits) as ReadonlyArray<[keyof SessionLimits, unknown]>) {
    const field = `limits.${String(name).slice(0, 40)}`
    const rule = Object.hasOwn(LIMITS, name) ? LIMITS[name] : undefined
    if (rule === undefined) throw invalid(field, `is not known; there are ${Object.keys(LIMITS).join(", ")}`)
    if (rule === "boolean") {
      if (typeof value !== "boolean") throw invalid(field, "must be true or false")
      continue
    }
    const { isWhole, min } = rule
    const isNumber = typeof value === "number" && value >= min && value <= Number.MAX_SAFE_INTEGER
    if (!isNumber || (isWhole && !Number.isInteger(value))) {
      throw invalid(field, `${value} is not a ${isWhole ? "whole " : ""}number from ${min}`)
    }
  }
}

const checkText = (field: string, text: string): void => {
  if (text.length === 0 || text.length > NAME_LENGTH_MAX)
    throw invalid(field, `must have 1 to ${NAME_LENGTH_MAX} characters`)
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)) throw invalid(field, "must have printable characters only")
}

const checkName = (name: string): void => {
  checkText("name", name)
  if (name === "last" || SESSION_ID_PATTERN.test(name))
    throw invalid("name", `"${name}" would be taken for something else; choose another`)
}

/** Throws InvalidRequest for a write that is larger than the session takes. */
export const checkInput = (data: Uint8Array, { inputChunkBytes }: SessionLimits): void => {
  if (inputChunkBytes !== undefined && data.byteLength > inputChunkBytes)
    throw invalid("data", `${data.byteLength} bytes in one write; this session takes at most ${inputChunkBytes}`)
}

/** Larger than any terminal is clamped; nonsense is refused. */
export const checkSize = ({ cols, rows }: { readonly cols: number; readonly rows: number }): TerminalSize => {
  for (const cells of [cols, rows]) {
    if (!Number.isInteger(cells) || cells < 1)
      throw invalid("size", `${cols}x${rows}: columns and rows are whole numbers from 1 to ${TERMINAL_CELLS_MAX}`)
  }
  return { cols: Math.min(cols, TERMINAL_CELLS_MAX), rows: Math.min(rows, TERMINAL_CELLS_MAX) }
}

export const checkOptions = ({ actor, client, commandId }: CommandOptions): void => {
  checkLabel("actor", actor)
  checkLabel("commandId", commandId)
  checkLabel("client", client)
}

/** What names a client or one of its requests in the journal. */
export const checkLabel = (field: string, value: string | undefined): void => {
  if (value !== undefined && !/^[\x20-\x7e]{1,64}$/.test(value))
    throw invalid(field, "must be 1 to 64 printable ASCII characters")
}

/** `INT`, ` sigint `, `SIGINT`; numbers are refused, since they differ between systems. */
export const checkSignal = (signal: string, known: Readonly<Record<string, number>>): NodeJS.Signals => {
  const upper = signal.trim().toUpperCase()
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`
  if (!Object.hasOwn(known, name))
    throw invalid("signal", `"${signal.slice(0, 40)}" is not a signal; such as INT, TERM, HUP, KILL, WINCH, USR1`)
  return name as NodeJS.Signals
}

/** What a program is started with: the default where its caller says nothing, and beneath what he says if he asks for that. */
export const requestedEnvironment = ({
  env,
  inheritEnv
}: Pick<CreateSession, "env" | "inheritEnv">): Record<string, string> =>
  env === undefined || inheritEnv === true ? { ...defaultEnvironment(), ...env } : { ...env }

export const defaultEnvironment = (): Record<string, string> => {
  const environment: Record<string, string> = {}
  for (const name of ENV_DEFAULT_NAMES) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return environment
}

export const ownerName = (): string => {
  try {
    return userInfo().username
  } catch {
    // A user without an entry in the password file, as in many containers.
    return String(process.getuid?.() ?? "unknown")
  }
}
