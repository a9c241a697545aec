/** How much input may wait for its answer, whoever it is from. */
import { assert, describe, it } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { LimitExceeded } from "../../src/session/SessionError.ts"
import { UnansweredInputs, WAITING_BYTES_MAX } from "../../src/session/UnansweredInputs.ts"

const session = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId
const other = "01ARZ3NDEKTSV4RRFFQ69G5FAW" as SessionId

/** Inputs that are answered when the test says so. */
const waiting = () => {
  const answers: Array<() => void> = []
  return { input: () => new Promise<void>((resolve) => answers.push(resolve)), answers }
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.fail("it was not refused"),
    (error) => {
      assert.instanceOf(error, LimitExceeded)
      return (error as LimitExceeded).max
    }
  )

describe("inputs without an answer", () => {
  it("are bounded in their bytes for each session, however many names they come under", async () => {
    const inputs = new UnansweredInputs(100)
    const { answers, input } = waiting()
    const bytes = WAITING_BYTES_MAX / 16
    const taken = Array.from({ length: 16 }, (_, index) => inputs.run(session, { client: `${index}` }, bytes, input))
    assert.strictEqual(await refusal(inputs.run(session, { client: "another" }, 1, input)), WAITING_BYTES_MAX)
    const elsewhere = inputs.run(other, { client: "another" }, bytes, input)
    answers[3]!()
    await taken[3]
    taken.push(inputs.run(session, { client: "another" }, bytes, input))
    for (const answer of answers) answer()
    await Promise.all([...taken, elsewhere])
    await inputs.run(session, {}, WAITING_BYTES_MAX, async () => {})
  })

  it("are bounded in their number for each client and session, and one that fails makes room", async () => {
    const inputs = new UnansweredInputs(2)
    const { answers, input } = waiting()
    const failing = inputs.run(session, { connection: 1 }, 1, () => Promise.reject(new Error("refused")))
    const taken = [inputs.run(session, { connection: 1 }, 1, input)]
    assert.strictEqual(await refusal(inputs.run(session, { connection: 1 }, 1, input)), 2)
    await failing.catch(() => {})
    taken.push(inputs.run(session, { connection: 1 }, 1, input), inputs.run(session, { connection: 2 }, 1, input))
    for (const answer of answers) answer()
    await Promise.all(taken)
  })
})
