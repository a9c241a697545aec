/** How a session ended, as an exit code and as words. */
import { constants } from "node:os"
import { Data } from "effect"
import { ExitCode } from "./ExitCode.ts"

/** Ends the command with this code and, when there is one, a line on standard error. Not a failure of reprise. */
export class Ending extends Data.TaggedError("Ending")<{
  readonly exitCode: number
  readonly note: string
  /** The line is told in brackets, as terminal multiplexers do, and not as an error. */
  readonly isBracketed?: boolean | undefined
}> {
  override get message() {
    return this.note
  }
}

export const signalNumber = (signal: string): number => {
  const numbers: Readonly<Record<string, number>> = constants.signals
  return numbers[signal.startsWith("SIG") ? signal : `SIG${signal}`] ?? 0
}

export interface End {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** The program's code as a shell would report it; the code for `lost` when nobody knows. Never 0 by guess. */
export const exitCodeOfEnd = (end: End): number =>
  end.exitCode !== null
    ? end.exitCode & 0xff
    : end.signal !== null && signalNumber(end.signal) > 0
      ? ExitCode.signalBase + signalNumber(end.signal)
      : ExitCode.lost

export const describeStatus = (view: End & { readonly status: string }): string => {
  if (view.status !== "exited") return view.status
  if (view.signal !== null) return `exited ${view.signal}`
  return view.exitCode === null ? "exited ?" : `exited ${view.exitCode}`
}

/** How a program ended, in words. */
export const describeEnd = ({ exitCode, signal }: End): string =>
  exitCode !== null ? `exited ${exitCode}` : signal !== null ? `ended by ${signal}` : "ended, nobody knows how"
