import { assert, describe, it } from "vitest"
import { makePace } from "../../cli/Pace.ts"

const secondsAt = (times: ReadonlyArray<number>, speed: number, idleLimitSeconds: number): ReadonlyArray<number> => {
  const wait = makePace({ speed, idleLimitMicros: idleLimitSeconds * 1e6 }, 2)
  let at = 0
  return times.map((time) => (at += wait(time * 1e6) / 1000))
}

describe("the pace of a replay", () => {
  it("10.1 (7): a limit of idle time of 2 s, and twice the speed", () => {
    assert.deepStrictEqual(secondsAt([0, 1, 3.5, 4, 7.5], 1, 2), [0, 1, 3, 3.5, 5.5])
    assert.deepStrictEqual(secondsAt([0, 20, 50], 2, Number.POSITIVE_INFINITY), [0, 10, 25])
  })

  it("owes what is too short to wait for, and waits for nothing when the clock was set back", () => {
    const wait = makePace({ speed: 1, idleLimitMicros: Number.POSITIVE_INFINITY }, 2)
    assert.deepStrictEqual([0, 1000, 2500, 3000, 2000, 6000].map(wait), [0, 0, 2.5, 0, 0, 4.5])
    assert.deepStrictEqual([0, 5e6].map(makePace({ speed: "max", idleLimitMicros: 1 }, 2)), [0, 0])
  })
})
