/**
 * A terminal session as a program holds it: it is attached to it, types, and reads its output in a loop. The session lives
 * in the engine, not here: a broken connection is made again and the loop goes on behind the last byte. This file is the
 * promise; `LiveTerminal.ts` keeps it. Everything here rejects with `RepriseError`.
 */
import type { OutputChunk } from "./OutputChunk.ts"
import type { SessionExit, TerminalSize } from "./SessionInfo.ts"

/** What a session may use and how long it may live unattended. Milliseconds and bytes. */
export interface TerminalLimits {
  /** Of one write; a larger one is refused (InvalidArgument). Default 16,384. */
  readonly inputChunkBytes?: number
  /** Ended after this time without a client. Default 5 minutes; see `orphans`. */
  readonly noClientMillis?: number
  /** Ended after this time without a client and without input or output. Default 1 hour. */
  readonly idleMillis?: number
  /** After its end it is among `live()` this long. Default 5 minutes. Its history stays in any case. */
  readonly retentionMillis?: number
  /** Output and input that are kept; what goes beyond ends the session. Default: no limit. */
  readonly journalBytes?: number
  /** The timeouts may end it also while a command runs in it. */
  readonly evenWhenBusy?: boolean
  /** The idle timeout may end it also while a client is attached. */
  readonly evenWhenAttached?: boolean
}

interface AttachingOptions {
  /** Name of this client among those attached: 1 to 64 printable ASCII characters. Default: one is made. The same name again takes the place of the earlier. */
  readonly clientId?: string
  /** May look and not touch: its writes, resizes and signals are refused (PermissionDenied). */
  readonly readOnly?: boolean
  /** No other client may write, resize or signal while this one is attached. Refused (PermissionDenied) when another has it. */
  readonly exclusive?: boolean
}

export interface TerminalOptions extends AttachingOptions {
  /** Program and arguments; the program is looked up in PATH. Default `["/bin/sh"]`. */
  readonly command?: ReadonlyArray<string>
  /** On top of PATH, HOME, USER, LOGNAME, SHELL, LANG and TMPDIR of the engine, and of TERM. Values are not kept. */
  readonly env?: Readonly<Record<string, string>>
  /** Absolute. Default: that of this process, or of the engine when it is reached by a URL. */
  readonly workingDir?: string
  /** The same. */
  readonly cwd?: string
  /** Default 80x24; 1 to 1000 each. */
  readonly size?: TerminalSize
  /** At most 128 printable characters; finds it again: `reconnectTerminal(name)`. */
  readonly name?: string
  /** Sessions of one group are counted together: 10 may live at a time. Default: only all together count, 1,000. */
  readonly group?: string
  readonly limits?: TerminalLimits
  /**
   * What is replaced before anything of the session is kept, for everybody who sees it: names of rules (`"all"` has all of
   * them), texts, regular expressions (a group `secret` says which part). Texts and patterns are on no disk.
   */
  readonly redact?: {
    readonly rules?: ReadonlyArray<string>
    readonly texts?: ReadonlyArray<string>
    readonly patterns?: ReadonlyArray<string>
  }
  /** `end` (default): without a client it is ended after `limits.noClientMillis`. `keep`: it lives until its program ends. */
  readonly orphans?: "keep" | "end"
}

export interface ReconnectOptions extends AttachingOptions {
  /**
   * Exclusive: `n` gives what came after n, so `lastSequence` of an earlier terminal goes on without a byte twice.
   * Default 0: everything from the beginning. `"screen"`: a chunk that draws the screen as it is now, then what happens.
   */
  readonly replayFromSequence?: number | "screen"
  /** The session is resized to it first. With `readOnly` only the screen is drawn for it. */
  readonly size?: TerminalSize
}

export interface InputReceipt {
  /** Sequence of the input in the journal; 0 for none. */
  readonly sequence: number
  /** The terminal was reading a secret: the bytes were typed and not kept. */
  readonly hidden: boolean
  /** A line longer than the kernel keeps (4095 bytes in line mode) is cut to this many bytes there; else null. */
  readonly truncatedTo: number | null
}

export interface CloseReport {
  /** Processes of the session that lived on after HUP, TERM and KILL. */
  readonly survivors: ReadonlyArray<{ readonly pid: number; readonly command: string }>
}

/**
 * In a loop it yields output in order, each byte once, and at last one chunk with `exitCode`, after the last byte. Leaving
 * the loop loses nothing: the next one goes on behind the last chunk. A reader that is slow, or does not read, holds up
 * nobody and costs no memory. There is one place in the output for one terminal: two loops at once share its chunks;
 * `reconnectTerminal` gives a reader of its own. The loop throws when the engine cannot be reached for good (Unavailable)
 * and when the history is damaged (DataLoss); after Unavailable another loop tries again from there.
 *
 * `await using`: a session made by `terminal()` is closed, unless its orphans are kept; one of `reconnectTerminal` is left.
 */
export interface Terminal extends AsyncIterable<OutputChunk>, AsyncDisposable {
  [Symbol.asyncIterator](): AsyncIterableIterator<OutputChunk>
  readonly sessionId: string
  /** Name of this client among those attached. */
  readonly clientId: string
  /** Of the last chunk that a loop was given: what `replayFromSequence` takes. Before any: where the replay begins. */
  readonly lastSequence: number
  /** undefined until the session has ended; then as in `exited`. */
  readonly exitCode: number | null | undefined
  /** undefined until the session has ended; then as `signal` in `exited`. */
  readonly exitSignal: string | null | undefined
  /** Attached. So it is when `terminal()` and `reconnectTerminal()` resolve. */
  readonly ready: Promise<void>
  /**
   * The session is over, whether or not its output is read. A process that the program left behind on the terminal keeps
   * it open. Rejects when this terminal is left first (FailedPrecondition) or the engine cannot be reached (Unavailable);
   * asked for again it then tries again.
   */
  readonly exited: Promise<SessionExit>
  /**
   * Types, after everything written before; resolves when it is journaled and given to the terminal. "" is a no-op. A
   * write is typed as a whole or refused. 100 may be unanswered: one more, and one that finds 8 MiB unread by the program,
   * is refused (ResourceExhausted). After the end: FailedPrecondition. Unavailable: it is not known whether it was typed.
   */
  writeStdin(data: string | Uint8Array): Promise<InputReceipt>
  /** Types end-of-file, after everything written before. A second time is a no-op. */
  writeStdinEOF(): Promise<void>
  /** Whole numbers from 1 on (InvalidArgument); above 1000 is 1000. The size that the terminal has then. Does not wait for writes. */
  resize(cols: number, rows: number): Promise<TerminalSize>
  /** A name with or without SIG (InvalidArgument). Default target: the terminal's foreground process group, as Ctrl-C. Does not wait for writes. */
  signal(signal: string, target?: "foreground" | "leader" | "session"): Promise<void>
  /**
   * Ends the session and every process of it, within five seconds; who outlives that is named. What it printed can still
   * be read, here too. Twice is fine.
   */
  close(): Promise<CloseReport>
  /** Leaves the session as it is, for `reconnectTerminal`. Loops end without an exit chunk. Twice is fine. */
  detach(): Promise<void>
}
