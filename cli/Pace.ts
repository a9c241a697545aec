/** How fast a replay goes: the time between two events of a session as the time that is waited for. It waits for nothing itself. */
export interface Pace {
  /** Times as fast as it was; "max": without waiting. */
  readonly speed: number | "max"
  /** No pause is longer than this, before the speed is applied. */
  readonly idleLimitMicros: number
}

/** What is waited before an event, in milliseconds, of which those below `leastMillis` are owed to the next one. */
export const makePace = ({ idleLimitMicros, speed }: Pace, leastMillis: number): ((timeMicros: number) => number) => {
  let last: number | undefined
  let owedMillis = 0
  return (timeMicros) => {
    if (speed === "max") return 0
    // The times are labels: when the clock was set back, the next event follows at once.
    const passed = last === undefined ? 0 : Math.max(0, timeMicros - last)
    last = timeMicros
    owedMillis += Math.min(passed, idleLimitMicros) / 1_000 / speed
    if (owedMillis < leastMillis) return 0
    const wait = owedMillis
    owedMillis = 0
    return wait
  }
}
