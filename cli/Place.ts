/**
 * Places in a session's history as people write them: the forms of Moment.ts, and times from the session's start
 * (`1:23`), parts of it (`50%`), a time of day (`@14:30`), `marker:LABEL`, `command:N`, `text:WORDS` (or `/WORDS`),
 * `begin` and `end`. Every command that takes a place reads it here.
 */
import type { Place } from "../src/session/HistoryPlace.ts"
import { parseMoment } from "./Moment.ts"

const MICROS_PER_SECOND = 1_000_000

/** `isRelative`: `+10` and `-5` count from where one is, else from the session's start. undefined: it is no place. */
export const parsePlace = (text: string, { isRelative = false } = {}): Place | undefined => {
  const trimmed = text.trim()
  const named = /^(marker|command|text):(.*)$/s.exec(trimmed)
  if (named !== null) return namedPlace(named[1]!, named[2]!)
  if (trimmed.startsWith("/") && trimmed.length > 1) return { _tag: "Text", text: trimmed.slice(1) }
  if (trimmed === "begin" || trimmed === "start") return { _tag: "Begin" }
  if (trimmed === "end") return { _tag: "End" }
  const percent = /^(\d{1,3}(?:\.\d+)?)%$/.exec(trimmed)
  if (percent !== null) {
    const value = Number(percent[1])
    return value <= 100 ? { _tag: "Percent", percent: value } : undefined
  }
  const clock = /^@(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(trimmed)
  if (clock !== null) {
    const [hours, minutes, seconds] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)]
    const isTime = hours < 24 && minutes < 60 && seconds < 60
    return isTime ? { _tag: "Clock", seconds: (hours * 60 + minutes) * 60 + seconds } : undefined
  }
  const relative = isRelative ? /^([+-])(.+)$/.exec(trimmed) : null
  if (relative !== null) {
    const micros = microsOf(relative[2]!)
    return micros === undefined ? undefined : { _tag: "Relative", micros: relative[1] === "-" ? -micros : micros }
  }
  const micros = trimmed.includes(":") ? microsOf(trimmed) : undefined
  if (micros !== undefined) return { _tag: "Offset", micros }
  return parseMoment(trimmed)
}

const namedPlace = (name: string, value: string): Place | undefined => {
  if (value === "") return undefined
  if (name === "marker") return { _tag: "Marker", label: value }
  if (name === "text") return { _tag: "Text", text: value }
  return /^\d{1,8}$/.test(value) ? { _tag: "Command", number: Number(value) } : undefined
}

/** `1:23`, `1:02:03.5`, and what `parseMoment` reads behind a plus. */
const microsOf = (text: string): number | undefined => {
  const clock = /^(?:(\d{1,5}):)?(\d{1,5}):(\d{2}(?:\.\d{1,6})?)$/.exec(text)
  if (clock !== null) {
    const seconds = Number(clock[3])
    const minutes = Number(clock[2])
    if (seconds >= 60 || (clock[1] !== undefined && minutes >= 60)) return undefined
    return Math.round(((Number(clock[1] ?? 0) * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND)
  }
  const moment = parseMoment(`+${text}`)
  return moment?._tag === "Offset" ? moment.micros : undefined
}

/** A time from the session's start: `1:23`, `1:02:03`. */
export const formatPosition = (micros: number): string => {
  const seconds = Math.max(0, Math.floor(micros / MICROS_PER_SECOND))
  const two = (value: number) => String(value).padStart(2, "0")
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes}:${two(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`
}
