/**
 * What an exec session has its keeper remember for the next engine: the values that may not be stored. It is only ever in
 * the memory of engine and keeper (PipeHost's `setNote`), so a secret survives the engine and not the keeper, and never
 * lies on a disk. Pure: encodes within the keeper's bound, and reads what an engine of this version wrote.
 */

import type { ShellRestarted } from "../../journal/Event.ts"
import type { CaptureNote } from "../capture/CaptureRequest.ts"

type Values = Readonly<Record<string, string>>

/** What a command was given, as it was given. */
export interface GivenCommand {
  readonly code: string
  readonly cwd?: string | undefined
  readonly env?: Values | undefined
  /** Base64, of standard input that was given as bytes. */
  readonly input?: string | undefined
}

export interface KeeperNote {
  /** The whole environment with which the shell was started; undefined when it is too large to be noted. */
  readonly env: Values | undefined
  /** Variables of it that are secret whatever they hold. */
  readonly secretNames: ReadonlyArray<string>
  /** Variables that commands exported and that look like secrets. */
  readonly masked: Values
  /**
   * By number: commands that run, or of which late output may come. `maskedEnv` are variables that look like secrets and
   * may be printed; `mark` is that of Driver.ts; `given` is a command of which the journal has less, because of the
   * session's rules.
   */
  readonly commands: Readonly<
    Record<
      string,
      {
        readonly secretEnv: Values
        readonly maskedEnv?: Values | undefined
        readonly mark: string
        readonly given?: GivenCommand | undefined
      }
    >
  >
  /** A new shell was started and does not have the state of the old one yet. */
  readonly restarting: {
    readonly reason: (typeof ShellRestarted.Type)["reason"]
    readonly cwd: string
    readonly missing: ReadonlyArray<string>
  } | null
  /** What the session's rules look for. Of a terminal's session, all of its note. */
  readonly capture?: CaptureNote | undefined
}

/** What does not fit is left out, the largest part first; a shell without it is started with less, and says so. */
export const encodeNote = (note: KeeperNote, bytesMax: number): Uint8Array => {
  const parts: ReadonlyArray<KeeperNote> = [
    note,
    { ...note, env: undefined },
    { ...note, env: undefined, masked: {} },
    { ...note, env: undefined, masked: {}, commands: {} }
  ]
  for (const part of parts) {
    const bytes = Buffer.from(JSON.stringify(part))
    if (bytes.length <= bytesMax) return bytes
  }
  return new Uint8Array(0)
}

export const decodeNote = (bytes: Uint8Array | null): KeeperNote | undefined => {
  if (bytes === null || bytes.byteLength === 0) return undefined
  return JSON.parse(Buffer.from(bytes).toString()) as KeeperNote
}
