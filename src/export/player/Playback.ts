/**
 * Where the player is, and how it gets elsewhere: a part begins with its screen, so going anywhere draws at most that
 * part. Time in it runs as the recording's did, times the speed. One move is under way at a time; of the goals that
 * are set meanwhile the last counts. It knows the emulator and the file, and no page.
 */
import type { PlayerMark } from "../PlayerFormat.ts"
import type { Emulator } from "./Emulator.ts"
import { lastAtMost, type PlayerFile, type PlayerPart } from "./PlayerFile.ts"

/** Microseconds in which nothing happens after which the rest of a pause is left out, if that is wanted. */
const IDLE_MICROS = 1_000_000
/** Microseconds between two frames beyond which the time in between was not watched (a tab in the background). */
const FRAME_MICROS_MAX = 250_000

type Goal = { readonly time: number } | { readonly record: number }

export class Playback {
  readonly file: PlayerFile
  readonly emulator: Emulator
  speed = 1
  isIdleLeftOut = true
  /** Records that are drawn. */
  record = 0
  /** Microseconds since the first event. */
  time = 0
  /** Events that are drawn. */
  sequence = 0
  #part: PlayerPart | undefined
  #goal: Goal | undefined
  #moving: Promise<void> | undefined
  #isPlaying = false
  #frame = 0
  #lastFrame = 0
  readonly #changed: () => void
  readonly #failed: (error: unknown) => void

  constructor(file: PlayerFile, emulator: Emulator, changed: () => void, failed: (error: unknown) => void) {
    this.file = file
    this.emulator = emulator
    this.#changed = changed
    this.#failed = failed
  }

  get isPlaying(): boolean {
    return this.#isPlaying
  }

  get endTime(): number {
    return this.file.index.endTime
  }

  /** Everything up to this time is drawn when it resolves, or something that was asked for later. */
  seekTime(time: number): Promise<void> {
    return this.#go({ time: Math.min(Math.max(0, time), this.endTime) })
  }

  /** This many records are drawn, and the time is that of the last of them. */
  seekRecord(record: number): Promise<void> {
    return this.#go({ record: Math.min(Math.max(0, record), this.file.index.records) })
  }

  /** Before the mark's first output, at its own time. */
  async seekMark(mark: PlayerMark): Promise<void> {
    await this.seekRecord(mark.record)
    this.time = Math.max(this.time, mark.time)
    this.#changed()
  }

  play(): void {
    if (this.#isPlaying) return
    if (this.time >= this.endTime && this.record >= this.file.index.records) void this.seekRecord(0)
    this.#isPlaying = true
    this.#lastFrame = performance.now()
    this.#frame = requestAnimationFrame(this.#onFrame)
    this.#changed()
  }

  pause(): void {
    if (!this.#isPlaying) return
    this.#isPlaying = false
    cancelAnimationFrame(this.#frame)
    this.#changed()
  }

  readonly #onFrame = (now: number): void => {
    if (!this.#isPlaying) return
    const passed = Math.min(Math.max(0, now - this.#lastFrame) * 1000, FRAME_MICROS_MAX) * this.speed
    this.#lastFrame = now
    // A move that takes longer than a frame is waited for: time stands still meanwhile.
    if (this.#moving === undefined) {
      let time = this.time + passed
      const next = this.#nextTime()
      if (this.isIdleLeftOut && next - this.time > IDLE_MICROS && time < next)
        time = Math.max(time, next - IDLE_MICROS / 2)
      if (time >= this.endTime && this.record >= this.file.index.records) {
        this.time = this.endTime
        this.pause()
        return
      }
      void this.seekTime(time)
    }
    this.#frame = requestAnimationFrame(this.#onFrame)
  }

  /** When something happens next. */
  #nextTime(): number {
    const part = this.#part
    const inPart = part?.records[this.record - part.first]
    if (inPart !== undefined) return inPart.time
    const { parts } = this.file.index
    const next = parts[this.file.partOfRecord(this.record)]
    const after = next !== undefined && next[1] >= this.record ? next : undefined
    return after?.[0] ?? this.endTime
  }

  #go(goal: Goal): Promise<void> {
    this.#goal = goal
    this.#moving ??= this.#move().finally(() => {
      this.#moving = undefined
    })
    return this.#moving
  }

  async #move(): Promise<void> {
    try {
      while (this.#goal !== undefined) {
        const goal = this.#goal
        this.#goal = undefined
        const { record, time } = await this.#reach(goal)
        this.record = record
        this.time = time
        this.#changed()
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  async #reach(goal: Goal): Promise<{ readonly record: number; readonly time: number }> {
    const { index } = this.file
    if (index.parts.length === 0) return { record: 0, time: "time" in goal ? goal.time : 0 }
    let number = "time" in goal ? this.file.partOfTime(goal.time) : this.file.partOfRecord(goal.record)
    let part = await this.file.part(number)
    const record = "record" in goal ? goal.record : part.first + countUntil(part, goal.time)
    // What is drawn can be drawn on; else from the screen that the part, or one before it, begins with.
    const isAhead = this.#part !== undefined && this.record <= record
    const from = isAhead ? this.file.partOfRecord(this.record) : -1
    while (number > 0 && number > from && part.keyframe === undefined) part = await this.file.part(--number)
    if (!isAhead || number > from) {
      this.emulator.begin(part.header.size, part.keyframe)
      this.record = part.first
      this.sequence = part.header.sequence
    }
    for (;;) {
      while (this.record < record && this.record < part.first + part.records.length) {
        const next = part.records[this.record - part.first]!
        this.emulator.apply(next)
        this.sequence = next.sequence
        this.record++
      }
      if (this.record >= record) break
      part = await this.file.part(++number)
    }
    this.#part = part
    const last = part.records[this.record - part.first - 1]?.time ?? (this.record === 0 ? 0 : part.header.time)
    return { record, time: "time" in goal ? goal.time : last }
  }
}

const countUntil = ({ records }: PlayerPart, time: number): number =>
  records.length === 0 || records[0]!.time > time ? 0 : lastAtMost(records, time, (record) => record.time) + 1
