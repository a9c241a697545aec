/**
 * The contract of a language driver: how a persistent shell or interpreter is started, how it is given a command, and what
 * it says on its control pipe. One file for each language beside this one; the programs that run inside the session
 * (`driver.bash`, `driver.zsh`, `driver.py`, `driver.mjs`) lie next to them. Pure: no process, no file, no journal.
 *
 * In a session's folder (private, beside the store's sockets) lie: `command` (FIFO; the host writes, the shell reads a line
 * for each command), `control` (FIFO; the shell writes frames, the host reads), `driver` (a copy of the driver's program),
 * and for each command N `N.src` (its text), `N.out` and `N.err` (FIFOs) and, with standard input, `N.in` (FIFO).
 *
 * A control frame is a row of NUL-terminated fields: the tag and the number of fields that follow it (`end:6`), then the
 * fields. Frames:
 *   ready:2  pid | "start" or "again" (the shell re-executed itself in place, state kept)
 *   state:1  dump                      before `end`; what `parseState` reads
 *   end:6    exec | exit code | how | cwd | "1" when there is a value | value
 * How: "completed", "exited", "interrupted", or "refused" (it was not run: its directory or a variable cannot be set).
 * After `end` the next line may be written at once. bash and zsh follow `exited`, and `interrupted` when Ctrl-C ended the
 * command, with a second `ready`; python and node never do. bash and zsh put the lines of a failed `restore` in the value.
 * A shell that runs no command really exits at the end of `command`, on HUP and on TERM.
 *
 * The user's EXIT trap runs, once, when a command ends the shell; DEBUG and RETURN traps last for one command. A command
 * that sets an EXIT trap and exits itself replaced the driver's: the shell is dead, with the right code and output.
 *
 * The shell opens `control` only while it writes, so no child inherits it and no output can forge a frame.
 */
import type { Language } from "../../journal/Event.ts"

/** What survives in a shell from one command to the next, as far as it can be read and brought back. */
export interface ShellState {
  readonly cwd: string
  /** Exported variables. */
  readonly env: ReadonlyMap<string, string>
  /** Name and source text. */
  readonly functions: ReadonlyMap<string, string>
  readonly aliases: ReadonlyMap<string, string>
  /** python, node: import statements (as source) in the order in which they were first seen. */
  readonly imports: ReadonlyArray<string>
}

export interface CommandLine {
  readonly exec: number
  /** Absolute paths. */
  readonly source: string
  readonly stdin: string
  readonly stdout: string
  readonly stderr: string
  /** `tty: true`: written to the terminal as OSC 633;D;MARK BEL when the command has ended. "" otherwise. */
  readonly mark: string
  /** For this command only. */
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string>>
}

export interface Driver {
  readonly language: Language
  /** File name of the program in this folder. */
  readonly program: string
  /** The argv of the shell. `shell` is the program chosen by the user, such as `/usr/bin/bash` or `python3`. */
  argv(shell: string, folder: string): ReadonlyArray<string>
  readonly defaultShell: string
  /** Added to the session's environment. */
  env(folder: string): Readonly<Record<string, string>>
  /** First line for the command pipe of a new shell process; "" when the driver loads itself. */
  greeting(folder: string): string
  /** The line that runs a command; ends with a newline and holds no other. */
  line(command: CommandLine): string
  /**
   * A program in the session's own language, run as exec 0 of a restarted shell (its output is discarded), that brings back
   * the state as far as it can be. The error text of what fails is its own frame's value: one line for each thing.
   */
  restore(state: ShellState): string
  /** What a `state` frame says. Never throws: what cannot be read is left out. */
  parseState(dump: string): ShellState
}
