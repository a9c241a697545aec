/** How a command ended, in words, as exports for people show it. Pure. */
import type { SessionEvent } from "../../journal/Event.ts"
import { wholeMillis } from "./ExportTime.ts"

export const describeCommand = (event: Extract<SessionEvent, { readonly _tag: "CommandFinished" }>): string =>
  [
    event.status,
    ...(event.exitCode === null ? [] : [`exit code ${event.exitCode}`]),
    ...(event.signal === null ? [] : [event.signal]),
    `${wholeMillis(event.durationMicros)} ms`,
    ...(event.cwd === "" ? [] : [`then in ${event.cwd}`])
  ].join(", ")
