/**
 * The exit codes of `reprise`: public, documented here and in `--help`, tested. `run` and `attach` otherwise end with
 * the program's own code, so reprise's own are values that programs rarely use (sysexits.h where it has a meaning).
 */

import type { ErrorCode } from "../src/session/SessionError.ts"
import { OutputClosed } from "./Caller.ts"

export const ExitCode = {
  ok: 0,
  /** `search`: nothing was found. As grep. */
  nothingFound: 1,
  /** The command line is wrong. */
  usage: 2,
  /** A value in a request is wrong (size, signal, folder, cursor). */
  invalid: 64,
  /** The journal is damaged where it was to be read. */
  damaged: 65,
  /** No such session, or the name is not unique; or what was asked for was removed. */
  notFound: 66,
  /** The session, or the command, has ended; it can only be read. */
  ended: 67,
  /** The engine or the journal cannot be reached at the moment. */
  unavailable: 69,
  /** A bug in reprise. */
  internal: 70,
  /** The folder is not a store that may be used. */
  storeRefused: 73,
  /** Too much at once; try again later. */
  exhausted: 75,
  /** Client and engine are of versions that do not understand each other. */
  mismatch: 76,
  /** Not allowed. */
  denied: 77,
  /** This Node is too old. */
  unsupported: 78,
  /** The session was lost: how its program ended is not known. */
  lost: 79,
  /** Detached; the session, or the command, goes on. */
  detached: 80,
  /** The command waits for input. */
  needsInput: 81,
  /** What is recorded is not what was sealed. */
  notAuthentic: 82,
  /** Something that was sealed is not there. */
  incomplete: 83,
  /** There is no evidence to check by. */
  unproven: 84,
  /** The command reached its time limit; as timeout(1). */
  timeout: 124,
  /** The program cannot be started. */
  notExecutable: 126,
  /** The program does not exist. */
  programMissing: 127,
  /** Added to the number of the signal that ended the program (or, for other commands, reprise itself). */
  signalBase: 128,
  /** The reader of the output went away: 128 + SIGPIPE. */
  outputClosed: 141
} as const

export const EXIT_CODES_HELP = [
  "Exit codes: the program's or command's own (128+N when signal N ended it), and",
  "  0 done   1 nothing found   2 wrong command line   64 wrong value   65 journal damaged   66 no such session   67 it has ended",
  "  69 engine unavailable   70 bug   73 store refused   75 try again later   76 engine of another version   77 not allowed",
  "  78 Node too old   79 session lost   80 it goes on   81 it waits for input   82 not what was sealed",
  "  83 sealed and not there   84 no evidence   124 time limit reached",
  "  126 program cannot be started   127 program not found   141 reader of the output went away"
].join("\n")

const byErrorCode: Record<ErrorCode, number> = {
  NotFound: ExitCode.notFound,
  FailedPrecondition: ExitCode.ended,
  ResourceExhausted: ExitCode.exhausted,
  InvalidArgument: ExitCode.invalid,
  PermissionDenied: ExitCode.denied,
  Unavailable: ExitCode.unavailable,
  DataLoss: ExitCode.damaged
}

/** The exit code for what a command failed with. */
export const exitCodeOf = (error: unknown): number => {
  if (typeof error !== "object" || error === null) return ExitCode.internal
  if (error instanceof OutputClosed) {
    return error.failure === undefined ? ExitCode.outputClosed : byErrorCode[error.failure.code]
  }
  const { _tag, code, failure, reason } = error as {
    _tag?: string
    code?: ErrorCode
    failure?: string
    reason?: string
  }
  switch (_tag) {
    case "Usage":
    case "ShowHelp":
      return ExitCode.usage
    case "SpawnFailed":
      if (failure === "program-missing") return ExitCode.programMissing
      if (failure === "cwd-missing" || failure === "invalid-argument") return ExitCode.invalid
      if (failure === "limit") return ExitCode.exhausted
      return ExitCode.notExecutable
    case "StoreRefused":
    case "SocketFolderRefused":
      return ExitCode.storeRefused
    case "EngineRefused":
      return reason === "unavailable" ? ExitCode.unavailable : ExitCode.storeRefused
    case "EngineMismatch":
      return ExitCode.mismatch
    case "StorageUnavailable":
      return ExitCode.unavailable
    case "JournalDamaged":
      return ExitCode.damaged
  }
  return code === undefined ? ExitCode.internal : byErrorCode[code]
}
