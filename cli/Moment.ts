/**
 * Places in a session's history as people write them, and times as people read them. SEQ is a number of up to eight
 * digits; TIME is ISO 8601, unix seconds (nine digits and more, or with a fraction), or an offset from the session's
 * start such as +1.5s, +2m, +250ms.
 */
import { parseDuration } from "./LimitFlags.ts"

export type Moment =
  | { readonly _tag: "Sequence"; readonly sequence: number }
  | { readonly _tag: "Time"; readonly timeMicros: number }
  | { readonly _tag: "Offset"; readonly micros: number }

const MICROS_PER_SECOND = 1_000_000
const UNITS: Readonly<Record<string, number>> = {
  ms: 1_000,
  s: MICROS_PER_SECOND,
  m: 60 * MICROS_PER_SECOND,
  h: 3_600 * MICROS_PER_SECOND
}
/** Unix seconds have had nine digits since 1973; no session has a hundred million events. */
const SEQUENCE_DIGITS_MAX = 8

/** undefined when it is neither a sequence nor a time. */
export const parseMoment = (text: string): Moment | undefined => {
  const offset = /^\+(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  if (offset !== null) {
    return { _tag: "Offset", micros: Math.round(Number(offset[1]) * UNITS[offset[2] ?? "s"]!) }
  }
  if (/^\d+$/.test(text) && text.length <= SEQUENCE_DIGITS_MAX) return { _tag: "Sequence", sequence: Number(text) }
  if (/^\d+(\.\d+)?$/.test(text)) return { _tag: "Time", timeMicros: Math.round(Number(text) * MICROS_PER_SECOND) }
  const iso = /^(\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?)(?:([.,]\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?$/.exec(text)
  if (iso === null) return undefined
  const base = iso[1]!.replace(" ", "T")
  if (!isDay(base.slice(0, 10))) return undefined
  // A date alone is midnight here, as people mean it, not in Greenwich.
  const millis = Date.parse(`${base.includes("T") ? base : `${base}T00:00`}${iso[3] ?? ""}`)
  if (Number.isNaN(millis)) return undefined
  const fraction = iso[2] === undefined ? 0 : Math.floor(Number(`0.${iso[2].slice(1)}`) * MICROS_PER_SECOND)
  return { _tag: "Time", timeMicros: millis * 1_000 + fraction }
}

/** Date.parse takes the 30th of February for the 2nd of March. */
const isDay = (day: string): boolean => {
  const date = new Date(`${day}T00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === day
}

/** A time, or how long ago it was (`90s`, `30m`, `12h`, `7d`), in microseconds; undefined when it is neither. */
export const parseSince = (text: string, nowMillis: number): number | undefined => {
  const ago = parseDuration(text)
  if (ago !== undefined) return Math.round((nowMillis - ago) * 1_000)
  const moment = parseMoment(text)
  return moment?._tag === "Time" ? moment.timeMicros : undefined
}

/** ISO 8601 in UTC with microseconds. */
export const formatTime = (timeMicros: number): string => {
  const seconds = Math.floor(timeMicros / MICROS_PER_SECOND)
  const fraction = Math.round(timeMicros - seconds * MICROS_PER_SECOND)
  return `${new Date(seconds * 1_000).toISOString().slice(0, 19)}.${String(fraction).padStart(6, "0")}Z`
}

/** Local time to the second, for tables. */
export const formatLocalTime = (timeMicros: number): string => {
  const date = new Date(timeMicros / 1_000)
  const two = (value: number) => String(value).padStart(2, "0")
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  )
}

export const formatDuration = (micros: number): string => {
  const seconds = micros / MICROS_PER_SECOND
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m${String(Math.floor(seconds % 60)).padStart(2, "0")}s`
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, "0")}m`
}
