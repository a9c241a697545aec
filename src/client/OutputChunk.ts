/** A piece of a terminal's output, as the loop over a `Terminal` gets it. */

/** Output that is not there and will not come. */
export interface OutputGap {
  /** Offsets in the output: the first missing byte, and the first one behind them; null when it is not known how many. */
  readonly from: number
  readonly to: number | null
  readonly reason: string
}

/** exited: the program ended. ended: the session was closed. failed: it never started. lost: nobody saw its end. */
export type EndReason = "exited" | "ended" | "failed" | "lost"

export interface OutputChunk {
  /** Bytes of the terminal; of a shell session also what its commands wrote to standard output. At most 256 KiB. */
  readonly stdout?: Uint8Array
  /** Only of the commands of a shell session: a terminal has one stream. */
  readonly stderr?: Uint8Array
  /** Only in the last chunk of all. null: a signal ended the program, or it is not known. */
  readonly exitCode?: number | null
  /** With `exitCode`: the signal that ended the program, such as SIGKILL; null when none did. */
  readonly signal?: string | null
  /** With `exitCode`. */
  readonly reason?: EndReason
  /** The cursor: `replayFromSequence` with it goes on behind this chunk. */
  readonly sequence: number
  /** It had happened before this terminal was attached (or attached again, after the connection broke). */
  readonly isReplay: boolean
  /** `stdout` is no output but draws the screen as it was then (`replayFromSequence: "screen"`). Only in the first chunk. */
  readonly isScreen?: true
  /** What should be between the chunk before and this one, and is not. A gap in no output has a chunk without bytes. */
  readonly gapBefore?: OutputGap
}
