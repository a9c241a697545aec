/**
 * What a recording begins with where the beginning of the session was removed: the screen as it was there, and its size.
 * A session that has all its events begins with the size it was made with, on an empty screen.
 */
import { Effect } from "effect"
import type { RecordingOpening } from "../session/RecordedItems.ts"
import type { ExportSource } from "./ExportFormat.ts"

export const openingOf = ({ screenAt, view }: ExportSource): Effect.Effect<RecordingOpening | undefined> => {
  const to = view.removed?.to
  if (to === undefined || screenAt === undefined || view.kind === "exec") return Effect.succeed(undefined)
  return Effect.map(screenAt(to), (screen) =>
    screen === undefined ? undefined : { size: screen.size, data: screen.data }
  )
}
