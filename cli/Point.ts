/** Flags that name a place in a session's history, and how they become a point. */
import { Effect } from "effect"
import { Flag } from "effect/cli"
import type { HistoryShape } from "../src/session/History.ts"
import { type Place, pointOfPlace } from "../src/session/HistoryPlace.ts"
import type { SessionView } from "../src/session/SessionView.ts"
import { parsePlace } from "./Place.ts"
import { Usage } from "./Usage.ts"

/** The forms of a place, in a flag's description. */
const FORMS =
  "an event's number, a time (ISO 8601, unix seconds, @14:30, 1:23 or +1.5s from the session's start, 50%), " +
  "marker:LABEL, command:N, text:WORDS, begin or end"

export const pointFlag = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("PLACE"), Flag.withDescription(`${description}: ${FORMS}`), Flag.optional)

interface FlagName {
  readonly name: string
  readonly command: string
}

/** An offset counts from when the session was created. */
const toPlace = (text: string, { command, name }: FlagName): Effect.Effect<Place, Usage> => {
  const place = parsePlace(text)
  return place === undefined
    ? Effect.fail(new Usage({ reason: `--${name}: "${text}" is no place in a session: give ${FORMS}`, command }))
    : Effect.succeed(place)
}

export const toPoint = (text: string, history: Pick<HistoryShape, "events">, view: SessionView, flag: FlagName) =>
  Effect.flatMap(toPlace(text, flag), (place) => pointOfPlace(history, view, place))
