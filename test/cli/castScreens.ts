/** What a recording of a session draws: its asciicast export, played to its end on a screen. */
import type { SessionEvent } from "../../journal/Event.ts"
import { Screen } from "../../projections/Screen.ts"
import { bytesOf, sourceOf } from "../export/sources.ts"

/** The rows that the export of these events shows at its end. */
export const castScreen = async (events: ReadonlyArray<SessionEvent>): Promise<ReadonlyArray<string>> => {
  const lines = (await bytesOf("asciicast", sourceOf(events))).toString().trimEnd().split("\n")
  const [head, ...rest] = lines.map((line) => JSON.parse(line))
  const screen = new Screen({ cols: head.width, rows: head.height })
  for (const [, code, text] of rest as ReadonlyArray<readonly [number, string, string]>) {
    if (code === "o") screen.feed(Buffer.from(text))
    if (code !== "r") continue
    const [cols, rows] = text.split("x").map(Number)
    screen.resize({ cols: cols!, rows: rows! })
  }
  const { lines: rows } = screen.view()
  screen.dispose()
  return rows
}
