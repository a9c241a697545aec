/** Times and durations in exports: ISO 8601 in UTC to the microsecond, and whole milliseconds. Pure. */

/** Of microseconds since 1970. What is beyond the years that ISO 8601 has is given as the number. */
export const isoTime = (timeMicros: number): string => {
  const seconds = Math.floor(timeMicros / 1_000_000)
  const date = new Date(seconds * 1000)
  if (Number.isNaN(date.getTime())) return String(timeMicros)
  const fraction = Math.round(timeMicros - seconds * 1_000_000)
  return `${date.toISOString().replace(/\.\d+Z$/, "")}.${String(fraction).padStart(6, "0")}Z`
}

export const wholeMillis = (micros: number): number => Math.round(micros / 1000)
