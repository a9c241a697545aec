/**
 * What an engine knows of one shell besides the journal: its environment with the secrets in it, how it looked at the end
 * of the last command, and what the commands that run were given in secret. It tells what a command changed, what of the
 * shell can be brought back, and which values nothing journaled may hold. The values that are not stored leave it only in
 * the note for the keeper; it journals nothing and writes to no shell.
 */
import type { CommandsState } from "../../projections/Commands.ts"
import type { CaptureNote } from "../capture/CaptureRequest.ts"
import { SPAWN_NOTE_BYTES_MAX } from "../keeper/PipeHost.ts"
import { encodeNote, type KeeperNote } from "../session/KeeperNote.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import type { Driver, ShellState } from "./Driver.ts"
import type { RestoreReport } from "./Exec.ts"
import { maskEnv, redactValues, StreamRedactor } from "./Secrets.ts"
import { shellDiff } from "./ShellDiff.ts"

/** The environment of the shell: values are in memory only, this process's and the keeper's. */
export interface ShellEnvironment {
  /** Everything, secrets included. */
  readonly env: Readonly<Record<string, string>>
  readonly secretNames: ReadonlySet<string>
}

/** What one command was given and the journal does not have. */
export type CommandNote = KeeperNote["commands"][string]

export class ShellMemory {
  readonly #driver: Driver
  readonly #live: Pick<LiveSession, "capture" | "shown">
  environment: ShellEnvironment | undefined
  /** A new shell was started and does not have the state of the old one yet. */
  unfinishedRestart: KeeperNote["restarting"] = null
  /** The shell as its last state frame showed it: what the next one is compared with. */
  #shell: ShellState | undefined
  #dump: string | undefined
  /** The frame from which #shell was read. */
  #lastDump: string | undefined
  /** By number, as long as something of the command may come. */
  readonly #commands = new Map<number, CommandNote>()
  /** Exported by commands and not stored, as an engine before knew them. */
  #masked: KeeperNote["masked"] = {}

  constructor(live: Pick<LiveSession, "capture" | "shown">, driver: Driver, environment: ShellEnvironment | undefined) {
    this.#live = live
    this.#driver = driver
    this.environment = environment
  }

  // --- the note ------------------------------------------------------------------------------------------------------

  note(state: CommandsState, bytesMax: number): Uint8Array {
    return encodeNote(
      {
        env: this.environment?.env,
        secretNames: [...(this.environment?.secretNames ?? NO_NAMES)],
        masked: this.#maskedNow(state),
        commands: Object.fromEntries(this.#commands),
        restarting: this.unfinishedRestart,
        capture: this.#live.capture?.note
      },
      bytesMax
    )
  }

  /** What an engine before noted; all but the environment, which may have been too large. */
  readNote(note: KeeperNote | undefined): void {
    for (const [exec, command] of Object.entries(note?.commands ?? {})) this.#commands.set(Number(exec), command)
    this.#masked = note?.masked ?? {}
    this.unfinishedRestart = note?.restarting ?? null
  }

  // --- secrets -------------------------------------------------------------------------------------------------------

  /** Numbers of the commands that were given something. */
  get commands(): ReadonlyArray<number> {
    return [...this.#commands.keys()]
  }

  command(exec: number): CommandNote | undefined {
    return this.#commands.get(exec)
  }

  setCommand(exec: number, command: CommandNote): void {
    this.#commands.set(exec, command)
  }

  /** False when nothing was known of it. */
  forgetCommand(exec: number): boolean {
    return this.#commands.delete(exec)
  }

  /** Values that nothing which is journaled may hold. */
  secretsOf(exec: number): ReadonlyArray<string> {
    const { env, secretNames } = this.environment ?? NO_ENVIRONMENT
    return [
      ...[...secretNames].flatMap((name) => env[name] ?? []),
      ...Object.values(this.#commands.get(exec)?.secretEnv ?? {})
    ]
  }

  /** For what a command prints; undefined where no secret is known. */
  redactor(exec: number): StreamRedactor | undefined {
    const values = this.secretsOf(exec)
    return values.length === 0 ? undefined : new StreamRedactor(values, { keepsLength: true })
  }

  /** Exported variables whose values are not stored. */
  #maskedNow(state: CommandsState): KeeperNote["masked"] {
    const env = this.#shell?.env
    return Object.fromEntries(
      [...state.masked].flatMap((name) => {
        const value = env?.get(name) ?? this.#masked[name]
        return value === undefined ? [] : [[name, value] as const]
      })
    )
  }

  // --- the shell's state ---------------------------------------------------------------------------------------------

  /** The state frame that comes before a command's end; undefined: it is not to be compared. */
  frame(dump: string | undefined): void {
    this.#dump = dump
  }

  /** What the last state frame changed, and the shell as it is now. */
  change(exec: number, state: CommandsState) {
    if (this.#dump === undefined) return { changed: undefined, shell: undefined }
    // Most commands change nothing: the same text says the same, and need not be read.
    if (this.#shell !== undefined && this.#dump === this.#lastDump) return { changed: undefined, shell: this.#shell }
    const shell = this.#driver.parseState(this.#dump)
    const before = this.#shell ?? this.#known(state)
    const names = this.environment?.secretNames ?? NO_NAMES
    const values = this.secretsOf(exec)
    const holdsSecret = (text: string) =>
      (values.length > 0 && redactValues(text, values) !== text) || this.#live.shown(text) !== text
    // Of what was masked before an engine died nobody knows the value any more: it is not taken for a new one.
    const wasMasked = (name: string) => state.masked.has(name) && !before.env.has(name)
    const changed = shellDiff(exec, before, shell, {
      mask: (name, value) => {
        const isSecret = names.has(name) || wasMasked(name) || holdsSecret(value)
        const { env, masked } = maskEnv({ [name]: value }, isSecret ? [name] : [])
        return { value: env[name] ?? value, masked: masked.includes(name) }
      },
      holdsSecret
    })
    return { changed, shell }
  }

  /** The change is journaled: the shell as `change` read it, undefined when there was no frame. */
  changed(shell: ShellState | undefined): void {
    if (shell !== undefined) this.#shell = shell
    this.#lastDump = this.#dump
    this.#dump = undefined
  }

  /** The shell is what journal and environment say of it. */
  assume(state: CommandsState): void {
    this.#shell = this.#known(state)
  }

  /** It was brought back with these values: those that are not stored too. */
  broughtBack(env: ReadonlyMap<string, string>, state: CommandsState): void {
    this.#masked = Object.fromEntries([...env].filter(([name]) => state.masked.has(name)))
    this.assume(state)
  }

  /** Another shell is started: what commands of the old one were given is of no use. */
  begin(): void {
    this.#dump = undefined
    this.#commands.clear()
  }

  /** All that can be read again from journal and keeper; what only this memory has is kept. */
  forget(state: CommandsState): void {
    this.#masked = this.#maskedNow(state)
    this.#dump = undefined
    this.#lastDump = undefined
    this.#shell = undefined
  }

  /** The state for a shell in the place of the old one. What is not known any more is added to `missing`, in words. */
  wanted(reason: RestoreReport["reason"], state: CommandsState, missing: Array<string>): ShellState {
    if (reason === "reset") return emptyState(state.creationCwd)
    const env = new Map<string, string>()
    const live = this.#shell?.env
    for (const [name, value] of state.env) {
      if (!state.masked.has(name)) env.set(name, value)
      else if (live?.has(name)) env.set(name, live.get(name)!)
      else missing.push(`variable ${name}: its value is not stored`)
    }
    missing.push(...state.omitted)
    return { cwd: state.shellCwd, env, functions: state.functions, aliases: state.aliases, imports: state.imports }
  }

  #known(state: CommandsState): ShellState {
    const env = new Map(Object.entries(this.environment?.env ?? {}))
    for (const [name, value] of state.env) {
      const known = state.masked.has(name) ? this.#masked[name] : value
      if (known !== undefined) env.set(name, known)
    }
    return { cwd: state.shellCwd, env, functions: state.functions, aliases: state.aliases, imports: state.imports }
  }
}

/** The note of a session whose shell is about to be started. */
export const firstNote = ({ env, secretNames }: ShellEnvironment, capture?: CaptureNote | undefined): Uint8Array =>
  encodeNote(
    { env, secretNames: [...secretNames], masked: {}, commands: {}, restarting: null, capture },
    SPAWN_NOTE_BYTES_MAX
  )

const NO_NAMES: ReadonlySet<string> = new Set()
const NO_ENVIRONMENT: ShellEnvironment = { env: {}, secretNames: NO_NAMES }

const emptyState = (cwd: string): ShellState => ({
  cwd,
  env: new Map(),
  functions: new Map(),
  aliases: new Map(),
  imports: []
})
