/**
 * How many inputs of each client to each session wait for their answer, so that a client that types faster than its
 * program reads is told so, and cannot fill the engine. `EngineCore` asks before it hands an input to its session.
 */
import type { SessionId } from "../../journal/Event.ts"
import { INPUT_QUEUED_BYTES_MAX } from "../keeper/PtyHost.ts"
import { LimitExceeded } from "./SessionError.ts"
import type { CommandOptions } from "./Sessions.ts"

/** Of one session, whoever they are from: a client may give itself any number of names. Eight of the largest writes. */
export const WAITING_BYTES_MAX = 8 * INPUT_QUEUED_BYTES_MAX

export class UnansweredInputs {
  readonly #max: number
  /** By session and client. */
  readonly #counts = new Map<string, number>()
  /** By session. */
  readonly #bytes = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Runs the input, or throws LimitExceeded at once: then nothing of it was done, and those before it are as they were. */
  async run<A>(session: SessionId, options: CommandOptions, bytes: number, input: () => Promise<A>): Promise<A> {
    const key = `${session} ${senderOf(options)}`
    if ((this.#counts.get(key) ?? 0) >= this.#max) {
      throw full(session, this.#max, `${this.#max} inputs of this client`)
    }
    if ((this.#bytes.get(session) ?? 0) + bytes > WAITING_BYTES_MAX) {
      throw full(session, WAITING_BYTES_MAX, `${WAITING_BYTES_MAX} bytes of input`)
    }
    add(this.#counts, key, 1)
    add(this.#bytes, session, bytes)
    try {
      return await input()
    } finally {
      add(this.#counts, key, -1)
      add(this.#bytes, session, -bytes)
    }
  }
}

/** What is nothing is not remembered. */
const add = (sums: Map<string, number>, key: string, more: number): void => {
  const sum = (sums.get(key) ?? 0) + more
  if (sum === 0) sums.delete(key)
  else sums.set(key, sum)
}

const full = (session: SessionId, max: number, what: string): LimitExceeded =>
  new LimitExceeded({
    limit: "input queue",
    max,
    reason: `session ${session}: ${what} wait for their answer; wait for one before sending the next`
  })

/** A name and a connection's number cannot be taken for each other; who has neither shares one queue with its like. */
const senderOf = ({ client, connection }: CommandOptions): string =>
  client !== undefined ? `name ${client}` : `connection ${connection ?? "none"}`
