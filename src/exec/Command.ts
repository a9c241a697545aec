/**
 * A command of an exec session from when it is asked for until its outcome is journaled: what was asked, how far its
 * streams are, and who waits for it. Memory only: ExecSession.ts makes it anew from journal and keeper. It does nothing
 * by itself.
 */
import type { SessionEvent } from "../../journal/Event.ts"
import type { CaptureStream } from "../capture/SessionCapture.ts"
import type { KeeperNote } from "../session/KeeperNote.ts"
import type { ControlFrame } from "./ControlFrames.ts"
import type { ExecRequest } from "./Exec.ts"
import { MASK, type StreamRedactor } from "./Secrets.ts"

/** Of each stream, for the answer: what one read of the journal costs more than. */
const KEPT_BYTES_MAX = 64 * 1024
export type CommandStarted = SessionEvent & { readonly _tag: "CommandStarted" }

/** One of a command's own streams. */
export interface CommandStream {
  /** Offset of the next byte that the keeper delivers. */
  next: number
  /** Offset of the next byte to journal: less than `next` while a secret may begin there. */
  journaled: number
  ended: boolean
  readonly redactor: StreamRedactor | undefined
  /** Behind it, of a session with rules. */
  capture: CaptureStream | undefined
  /** What was journaled of it, from its first byte on; undefined once that is too much to keep. */
  kept: KeptBytes | undefined
}

/** The first bytes of a stream as they were given to the journal. */
export interface KeptBytes {
  readonly pieces: Array<Uint8Array>
  length: number
}

/** What this engine saw of a finished command. The journal has the same, and is asked when a byte of it is missing here. */
export interface CommandMemory {
  readonly stdout: KeptBytes
  readonly stderr: KeptBytes
  readonly value: string | null
}

/** A command from when it is asked for until its outcome is journaled. */
export class Command {
  readonly request: ExecRequest
  readonly execId: string
  /** 0 until it was started. */
  exec = 0
  firstSequence = 0
  startedMillis = 0
  sinceTicks = 0
  mark = ""
  isInterrupted = false
  isTimedOut = false
  readonly streams: Map<number, CommandStream> = new Map()
  /** Bytes of its standard input stream that it was given, or will be. */
  inputBytes = 0
  isInputEnded = false
  /** The shell's word of its end, until it is journaled. */
  end: (ControlFrame & { readonly _tag: "end" }) | undefined
  isMarkSeen = false
  timer: NodeJS.Timeout | undefined
  /** Once it is finished, if little was printed: the answer needs no reading then. */
  memory: CommandMemory | undefined
  readonly finished: Promise<void>
  settle!: () => void
  refuse!: (error: unknown) => void
  isSettled = false

  constructor(execId: string, request: ExecRequest) {
    this.execId = execId
    this.request = request
    this.finished = new Promise((resolve, reject) => {
      this.settle = () => {
        this.isSettled = true
        resolve()
      }
      this.refuse = (error) => {
        this.isSettled = true
        reject(error)
      }
    })
    // Whoever asked may have gone.
    this.finished.catch(() => undefined)
  }
}

/** The bytes are the caller's again afterwards. */
export const keep = (stream: CommandStream, bytes: Uint8Array): void => {
  const { kept } = stream
  if (kept === undefined) return
  if (kept.length + bytes.byteLength > KEPT_BYTES_MAX) stream.kept = undefined
  else {
    kept.pieces.push(Uint8Array.from(bytes))
    kept.length += bytes.byteLength
  }
}

export const stdinKind = ({ stdin }: ExecRequest): CommandStarted["stdin"] => {
  switch (stdin?._tag) {
    case "Bytes":
      return "bytes"
    case "Stream":
      return "stream"
    case "Tty":
      return "tty"
    default:
      return "none"
  }
}

/** What was asked for, as journal and keeper have it. */
export const requestOf = (
  started: CommandStarted,
  input: Uint8Array,
  noted: KeeperNote["commands"][string] | undefined
): ExecRequest => ({
  code: noted?.given?.code ?? started.code,
  tty: started.tty,
  stdin: stdinOf(started.stdin, noted?.given?.input === undefined ? input : Buffer.from(noted.given.input, "base64")),
  cwd: noted?.given?.cwd ?? started.cwd,
  env: { ...(noted?.given?.env ?? started.env), ...noted?.maskedEnv },
  secretEnv: noted?.secretEnv,
  timeoutMillis: started.timeoutMillis ?? undefined
})

const stdinOf = (kind: CommandStarted["stdin"], data: Uint8Array): NonNullable<ExecRequest["stdin"]> => {
  switch (kind) {
    case "bytes":
      return { _tag: "Bytes", data }
    case "stream":
      return { _tag: "Stream" }
    case "tty":
      return { _tag: "Tty" }
    default:
      return { _tag: "None" }
  }
}

/** Values that were not stored, and that nobody knows any more: it cannot be given to the shell as it was asked for. */
export const lacksValues = ({ env, secretEnvNames }: CommandStarted, request: ExecRequest): boolean =>
  secretEnvNames.some((name) => request.secretEnv?.[name] === undefined) ||
  Object.entries(env).some(([name, value]) => value === MASK && request.env?.[name] === MASK)
