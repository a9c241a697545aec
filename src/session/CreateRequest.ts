/**
 * What a request to create a session must look like, and what it means when it is silent. Everything that can be known
 * to be wrong is refused here, before anything is journaled or forked.
 */
import { userInfo } from "node:os"
import { isAbsolute } from "node:path"
import { SESSION_ID_PATTERN, type SessionId, TERMINAL_CELLS_MAX, type TerminalSize } from "../../journal/Event.ts"
import { checkSpawn } from "../keeper/Preflight.ts"
import { SpawnError, type SpawnRequest } from "../keeper/PtyHost.ts"
import { InvalidRequest, SpawnFailed } from "./SessionError.ts"
import type { CommandOptions, CreateSession } from "./Sessions.ts"

export const SIZE_DEFAULT: TerminalSize = { cols: 80, rows: 24 }
export const TERM_DEFAULT = "xterm-256color"
const NAME_LENGTH_MAX = 128
/** What a program gets when the caller names no environment: enough to run, none of the engine's secrets. */
const ENV_DEFAULT_NAMES = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR"]

const invalid = (field: string, reason: string) => new InvalidRequest({ field, reason })

/** Throws InvalidRequest or SpawnFailed. */
export const checkCreate = (session: SessionId, request: CreateSession): SpawnRequest => {
  if (!SESSION_ID_PATTERN.test(session)) throw invalid("session", "an id is an upper-case ULID of 26 characters")
  const { name, term = TERM_DEFAULT } = request
  if (name !== undefined) checkName(name)
  if (!/^[\x21-\x7e]{1,64}$/.test(term)) throw invalid("term", "must be a terminal's name, such as xterm-256color")
  const cwd = request.cwd ?? process.cwd()
  if (!isAbsolute(cwd)) throw invalid("cwd", `${JSON.stringify(cwd)} is not an absolute path`)
  const spawn: SpawnRequest = {
    session,
    argv: request.argv,
    cwd,
    env:
      request.inheritEnv === true ? { ...defaultEnvironment(), ...request.env } : (request.env ?? defaultEnvironment()),
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

const checkName = (name: string): void => {
  if (name.length === 0 || name.length > NAME_LENGTH_MAX)
    throw invalid("name", `must have 1 to ${NAME_LENGTH_MAX} characters`)
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)) throw invalid("name", "must have printable characters only")
  if (name === "last" || SESSION_ID_PATTERN.test(name))
    throw invalid("name", `"${name}" would be taken for something else; choose another`)
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

/** `INT`, `sigint`, `SIGINT`; numbers are refused, since they differ between systems. */
export const checkSignal = (signal: string, known: Readonly<Record<string, number>>): NodeJS.Signals => {
  const upper = signal.toUpperCase()
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`
  if (!Object.hasOwn(known, name))
    throw invalid("signal", `"${signal.slice(0, 40)}" is not a signal; such as INT, TERM, HUP, KILL, WINCH, USR1`)
  return name as NodeJS.Signals
}

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
