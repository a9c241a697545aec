/**
 * The input of one terminal on its way to the engine: one at a time, so that it is typed in the order of the calls also
 * when the connection breaks and an answer has to be asked for again.
 */
import { ENGINE_LIMITS } from "../session/EngineLimits.ts"
import { RepriseError } from "./RepriseError.ts"

/** As the engine itself bounds one client: what a program queues beyond this it should have waited for. */
const UNANSWERED_MAX = ENGINE_LIMITS.inputQueueMessages

export class InputQueue {
  #unanswered = 0
  #last: Promise<unknown> = Promise.resolve()

  /** Sends after everything added before was answered, one way or the other. */
  add<A>(send: () => Promise<A>): Promise<A> {
    if (this.#unanswered >= UNANSWERED_MAX) {
      return Promise.reject(
        new RepriseError(
          "LimitExceeded",
          "ResourceExhausted",
          `${UNANSWERED_MAX} writes to this terminal are not answered yet; wait for one of them`,
          { limit: "input queue", max: UNANSWERED_MAX }
        )
      )
    }
    this.#unanswered += 1
    const answer = this.#last.then(send).finally(() => {
      this.#unanswered -= 1
    })
    this.#last = answer.catch(() => undefined)
    return answer
  }
}
