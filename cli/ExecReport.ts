/** A command's result, and a session's list of commands, as JSON, as an exit code and as words. Pure. */
import type { CommandRecord, ExecResult, RestoreReport, Truncation } from "../src/exec/Exec.ts"
import { escapeText } from "./Escape.ts"
import { ExitCode } from "./ExitCode.ts"
import { formatTime } from "./Moment.ts"
import { exitCodeOfEnd, signalNumber } from "./Outcome.ts"

export const isLive = (status: ExecResult["status"]): boolean =>
  status === "queued" || status === "running" || status === "needs_input"

/** The command's own code; what there is instead of one when it has none (yet). */
export const exitCodeOfResult = (result: Pick<ExecResult, "status" | "exitCode" | "signal">): number => {
  switch (result.status) {
    case "queued":
    case "running":
      return ExitCode.detached
    case "needs_input":
      return ExitCode.needsInput
    // Also when the shell reported a code: it is that of a command which was ended.
    case "timeout":
      return ExitCode.timeout
    case "interrupted":
      return result.exitCode ?? ExitCode.signalBase + signalNumber("SIGINT")
    default:
      return exitCodeOfEnd(result)
  }
}

const lossy = new TextDecoder("utf-8", { ignoreBOM: true })
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })

/** `name` as text; `name_base64` beside it when the bytes are not UTF-8. */
const streamFields = (name: string, bytes: Uint8Array): Record<string, string> => {
  try {
    return { [name]: strict.decode(bytes) }
  } catch {
    return { [name]: lossy.decode(bytes), [`${name}_base64`]: Buffer.from(bytes).toString("base64") }
  }
}

const truncationFields = (truncation: Truncation) => ({
  total_bytes: truncation.totalBytes,
  head_bytes: truncation.headBytes,
  tail_bytes: truncation.tailBytes,
  omitted_bytes: truncation.omittedBytes,
  omitted_from: truncation.omittedFrom,
  omitted_to: truncation.omittedTo
})

export const toReport = (result: ExecResult): Record<string, unknown> => {
  const cut = Object.entries(result.truncated).flatMap(([name, truncation]) =>
    truncation === null ? [] : [[name, truncationFields(truncation)] as const]
  )
  return {
    ...streamFields("stdout", result.stdout),
    ...streamFields("stderr", result.stderr),
    exit_code: result.exitCode,
    execution_time_ms: Math.round(result.durationMillis),
    status: result.status,
    exec_id: result.execId,
    session_id: result.session,
    cwd: result.cwd,
    cursor: result.cursor,
    ...(result.signal !== null && { signal: result.signal }),
    ...(result.value !== null && { value: result.value }),
    ...(result.tty.byteLength > 0 && streamFields("tty", result.tty)),
    ...(result.needsInput !== null && { needs_input: result.needsInput }),
    ...(cut.length > 0 && { truncated: Object.fromEntries(cut) })
  }
}

export const toCommandReport = (record: CommandRecord): Record<string, unknown> => ({
  exec: record.exec,
  exec_id: record.execId,
  timestamp: formatTime(record.startedAt),
  command: record.code,
  status: record.status,
  exit_code: record.exitCode,
  ...(record.signal !== null && { signal: record.signal }),
  execution_time_ms: record.durationMillis === null ? null : Math.round(record.durationMillis),
  work_dir: record.cwdBefore,
  work_dir_after: record.cwdAfter,
  stdout_bytes: record.stdoutBytes,
  stderr_bytes: record.stderrBytes,
  first_sequence: record.firstSequence,
  last_sequence: record.lastSequence
})

export const toRestoreReport = (session: string, report: RestoreReport | null): Record<string, unknown> => ({
  session_id: session,
  reason: report?.reason ?? null,
  restored: report?.restored ?? null,
  missing: report?.missing ?? []
})

/** What exit code and output do not say; "" when they say all. */
export const describeOutcome = (result: ExecResult): string => {
  const { execId, session, signal } = result
  switch (result.status) {
    case "queued":
      return `command ${execId} waits for its turn; \`reprise poll ${session} ${execId}\` comes back to it`
    case "running":
      return `command ${execId} goes on; \`reprise poll ${session} ${execId}\` comes back to it`
    case "needs_input":
      return describeNeed(result)
    case "timeout":
      return `command ${execId} reached its time limit and was ended; the shell goes on`
    case "died":
      return `the shell of session ${session} died${signal === null ? "" : ` of ${signal}`} with command ${execId}`
    case "lost":
      return `how command ${execId} ended is not known: its session was lost; \`reprise restore ${session}\` brings the shell back`
    default:
      return ""
  }
}

export const describeNeed = ({ execId, needsInput, session }: ExecResult): string => {
  const prompt = needsInput?.prompt.trim() ? ` at "${escapeText(needsInput.prompt.trim())}"` : ""
  const what = needsInput?.kind === "secret" ? "a secret" : needsInput?.kind === "raw" ? "a key" : "input"
  return `command ${execId} waits for ${what}${prompt}; \`reprise send ${session} TEXT --enter\` answers it`
}

export const describeCommandStatus = (record: Pick<CommandRecord, "status" | "exitCode" | "signal">): string =>
  record.signal !== null
    ? `${record.status} ${record.signal}`
    : record.exitCode !== null
      ? `${record.status} ${record.exitCode}`
      : record.status
