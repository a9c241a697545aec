/**
 * A shell or interpreter as a program holds it: commands go in one after the other, each gives its own output and exit
 * code, while directory, variables and functions live on. This file is the promise; `LiveShell.ts` keeps it. Everything
 * here rejects with `RepriseError`.
 */

export interface ShellOptions {
  /** Default bash. */
  readonly language?: "bash" | "zsh" | "python" | "node"
  /** Absolute. Default: that of this process, or of the engine when it is reached by a URL. */
  readonly cwd?: string
  /** On top of PATH, HOME, USER, LOGNAME, SHELL, LANG and TMPDIR of the engine. */
  readonly env?: Readonly<Record<string, string>>
  /** On top of `env`; no value of it is stored. */
  readonly secretEnv?: Readonly<Record<string, string>>
  /** At most 128 printable characters. */
  readonly name?: string
}

export interface ShellCommandOptions {
  /** Standard input. Default: its end at once. */
  readonly stdin?: string | Uint8Array
  /** For this command only; absolute, or relative to the shell's. */
  readonly cwd?: string
  /** For this command only. */
  readonly env?: Readonly<Record<string, string>>
  /** Answers with what there is after this time; the command goes on, and `poll` follows it. Default: waits for the end. */
  readonly yieldMillis?: number
  /** Then the command, not the shell, is ended. Default: none. */
  readonly timeoutMillis?: number
  /** Of each stream: its head and tail. Default 64 MiB. */
  readonly maxOutputBytes?: number
  /** The same id with the same code is the same command, never run twice. Default: a new one. */
  readonly execId?: string
}

export interface ShellPollOptions {
  /** A `cursor` of an earlier answer: only what came after it. Default: from the command's beginning. */
  readonly after?: number
  /** Waits at most this long for the end. Default 0. */
  readonly yieldMillis?: number
  readonly maxOutputBytes?: number
}

export interface ShellResult {
  readonly execId: string
  /**
   * queued, running, needs_input: not over. completed. exited: it called exit. interrupted. timeout. died: with the shell.
   * lost: nobody saw its end.
   */
  readonly status:
    | "queued"
    | "running"
    | "needs_input"
    | "completed"
    | "exited"
    | "interrupted"
    | "timeout"
    | "died"
    | "lost"
  /** null while it runs, when a signal ended the shell, and when it is not known. */
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  /** What the shell's terminal showed meanwhile. */
  readonly tty: Uint8Array
  /** python, node: the last expression's value as text. */
  readonly value: string | null
  /** Directory of the shell: after the command, or before it while it runs. */
  readonly cwd: string
  /** Exclusive: `poll` with it answers with what came after. */
  readonly cursor: number
  readonly durationMillis: number
}

/** Ended by `end` or `await using`; without that it lives on. */
export interface Shell extends AsyncDisposable {
  readonly sessionId: string
  /**
   * Runs a command behind those given before. A command that fails is a result, not an error. PermissionDenied: a policy.
   * Unavailable: it is not known whether it ran; the same `execId` asks again and runs nothing twice.
   */
  exec(code: string, options?: ShellCommandOptions): Promise<ShellResult>
  /** Of a command that runs or has ended. NotFound: no such command. */
  poll(execId: string, options?: ShellPollOptions): Promise<ShellResult>
  /** Types into the terminal of a command that runs (`needs_input`). FailedPrecondition: it has ended. */
  send(execId: string, text: string): Promise<void>
  /** Ctrl-C for a command, or for whatever runs. FailedPrecondition or NotFound: nothing does. */
  interrupt(execId?: string): Promise<void>
  /** Ends the shell and everything in it. Twice is fine. */
  end(): Promise<void>
}
