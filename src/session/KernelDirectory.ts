/**
 * Where the program of a session is, as the kernel tells it: sampled a moment after the last activity, and journaled when it
 * has changed. It is for shells that do not tell their directory themselves, and never decides when a session is active.
 */
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"

/** After the last activity: a shell has changed its directory by then, and a flood is sampled at most 20 times a second. */
const CWD_SAMPLE_MILLIS = 50

/** The session whose program it is. */
export interface DirectoryOwner {
  /** Of the program that runs; null when none does. */
  readonly programPid: number | null
  /** What is seen may be journaled. */
  readonly isTaking: boolean
  readonly directoryOf: (pid: number) => Promise<string | undefined>
  /** A text as the session's rules let it be journaled. */
  shown(text: string): string
  event(event: SessionEvent): NewEvent
  journal(events: ReadonlyArray<NewEvent>): Promise<unknown>
}

export class KernelDirectory {
  /** As it was last journaled. */
  journaled = ""
  readonly #owner: DirectoryOwner
  #timer: NodeJS.Timeout | undefined

  constructor(owner: DirectoryOwner) {
    this.#owner = owner
  }

  sampleSoon(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.sample()
    }, CWD_SAMPLE_MILLIS)
    this.#timer.unref()
  }

  /** Asks the kernel and journals a change. */
  async sample(): Promise<void> {
    const owner = this.#owner
    const pid = owner.programPid
    const seen = pid === null ? undefined : await owner.directoryOf(pid)
    const cwd = seen === undefined ? undefined : owner.shown(seen)
    if (cwd === undefined || cwd === this.journaled || !owner.isTaking || owner.programPid === null) return
    this.journaled = cwd
    await owner.journal([owner.event({ _tag: "CwdChanged", cwd, source: "proc" })]).catch(() => undefined)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
