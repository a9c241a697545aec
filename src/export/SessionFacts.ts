/** What is known of a session, as names and values for the head of an export. Pure. */
import { packageVersion } from "../EntryPoints.ts"
import { commandOf } from "../SafeText.ts"
import type { SessionView } from "../session/SessionView.ts"
import { isoTime } from "./ExportTime.ts"

export const titleOf = (view: SessionView): string => (view.name === null ? commandOf(view) : view.name)

export const factsOf = (view: SessionView): ReadonlyArray<readonly [string, string]> => [
  ["session", view.id],
  ...(view.name === null ? [] : [["name", view.name] as const]),
  ["command", commandOf(view)],
  ["status", describeEnd(view)],
  ["folder", view.cwd],
  ...(view.title === "" ? [] : [["title", view.title] as const]),
  ["terminal", `${view.size.cols}x${view.size.rows}, ${view.term}`],
  ["owner", view.owner],
  ["created", isoTime(view.createdAt)],
  ...(view.endedAt === null ? [] : [["ended", isoTime(view.endedAt)] as const]),
  ["output", `${view.outputBytes} bytes`],
  ["events", String(view.sequence)],
  ["exported by", `reprise ${packageVersion}`]
]

const describeEnd = ({ exitCode, signal, status }: Pick<SessionView, "exitCode" | "signal" | "status">): string =>
  signal !== null ? `${status}, ${signal}` : exitCode !== null ? `${status}, exit code ${exitCode}` : status
