/**
 * How many inputs of each client to each session wait for their answer, so that a client that types faster than its
 * program reads is told so, and cannot fill the engine. `EngineCore` asks before it hands an input to its session.
 */
import type { SessionId } from "../../journal/Event.ts"
import { LimitExceeded } from "./SessionError.ts"
import type { CommandOptions } from "./Sessions.ts"

export class UnansweredInputs {
  readonly #max: number
  readonly #counts = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Runs the input, or throws LimitExceeded at once: then nothing of it was done, and those before it are as they were. */
  async run<A>(session: SessionId, options: CommandOptions, input: () => Promise<A>): Promise<A> {
    const key = `${session} ${senderOf(options)}`
    const count = this.#counts.get(key) ?? 0
    if (count >= this.#max) {
      throw new LimitExceeded({
        limit: "input queue",
        max: this.#max,
        reason: `session ${session}: ${this.#max} inputs of this client wait for their answer; wait for one before sending the next`
      })
    }
    this.#counts.set(key, count + 1)
    try {
      return await input()
    } finally {
      const left = this.#counts.get(key)! - 1
      if (left === 0) this.#counts.delete(key)
      else this.#counts.set(key, left)
    }
  }
}

/** A name and a connection's number cannot be taken for each other; who has neither shares one queue with its like. */
const senderOf = ({ client, connection }: CommandOptions): string =>
  client !== undefined ? `name ${client}` : `connection ${connection ?? "none"}`
