/** What a host answers to bytes that were to be typed into a terminal or written into a pipe. */
export interface WriteResult {
  /** `applied`: in the terminal or in its bounded queue; `repeated`: that sequence was applied before. */
  readonly outcome: "applied" | "repeated" | "full" | "closed"
  /** A line longer than the kernel keeps went to a terminal in line mode: it will be cut to this many bytes. */
  readonly truncatedTo?: number | undefined
}
