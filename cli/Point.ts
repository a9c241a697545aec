/** Flags that name a place in a session's history, and how they become a point. */
import { Effect } from "effect"
import { Flag } from "effect/cli"
import type { HistoryPoint, SessionView } from "../src/session/SessionView.ts"
import { parseMoment } from "./Moment.ts"
import { Usage } from "./Usage.ts"

export const pointFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("SEQ|TIME"),
    Flag.withDescription(
      `${description}: an event's number, or a time (ISO 8601, unix seconds, or +1.5s from the session's start)`
    ),
    Flag.optional
  )

/** An offset counts from when the session was created. */
export const toPoint = (
  text: string,
  view: SessionView,
  flag: { readonly name: string; readonly command: string }
): Effect.Effect<Exclude<HistoryPoint, { readonly _tag: "Head" }>, Usage> => {
  const moment = parseMoment(text)
  if (moment === undefined) {
    return Effect.fail(
      new Usage({
        reason: `--${flag.name}: "${text}" is neither an event's number nor a time (ISO 8601, unix seconds, +1.5s)`,
        command: flag.command
      })
    )
  }
  return Effect.succeed(
    moment._tag === "Offset" ? { _tag: "Time", timeMicros: view.createdAt + moment.micros } : moment
  )
}
