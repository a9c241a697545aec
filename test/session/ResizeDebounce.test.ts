/** Which changes of size are applied, in which order, and who is answered with what. */
import { assert, describe, it } from "vitest"
import type { TerminalSize } from "../../journal/Event.ts"
import { ResizeDebounce } from "../../src/session/ResizeDebounce.ts"

const columns = (cols: number): TerminalSize => ({ cols, rows: 24 })

/** Applies at once, or when `release` is called. */
const applier = () => {
  const applied: Array<number> = []
  const held: Array<() => void> = []
  return {
    applied,
    held,
    isHeld: false,
    current: 80,
    failure: undefined as Error | undefined,
    async apply({ cols }: TerminalSize) {
      if (this.isHeld) await new Promise<void>((resolve) => this.held.push(resolve))
      if (this.failure !== undefined) throw this.failure
      if (cols === this.current) return false
      this.current = cols
      this.applied.push(cols)
      return true
    }
  }
}

/** A window that no test waits for. */
const LONG_MILLIS = 1_000_000

describe("ResizeDebounce", () => {
  it("G14: the size asked for is known at once, also while it waits", async () => {
    const to = applier()
    const resizes = new ResizeDebounce<undefined>(LONG_MILLIS, (size) => to.apply(size))
    await resizes.ask(columns(100), undefined)
    assert.isUndefined(resizes.asked)
    const answers = [101, 102, 103].map((cols) => resizes.ask(columns(cols), undefined))
    assert.deepStrictEqual(resizes.asked, columns(103))
    assert.deepStrictEqual(to.applied, [100])
    resizes.settle()
    assert.deepStrictEqual(await Promise.all(answers), [columns(103), columns(103), columns(103)])
    assert.deepStrictEqual(to.applied, [100, 103])
    resizes.settle()
  })

  it("what comes while one is applied waits for it, also when the window is over", async () => {
    const to = applier()
    to.isHeld = true
    const resizes = new ResizeDebounce<undefined>(LONG_MILLIS, (size) => to.apply(size))
    const first = resizes.ask(columns(100), undefined)
    const second = resizes.ask(columns(101), undefined)
    resizes.settle()
    assert.strictEqual(to.held.length, 1)
    to.isHeld = false
    to.held[0]!()
    assert.deepStrictEqual([await first, await second], [columns(100), columns(101)])
    assert.deepStrictEqual(to.applied, [100, 101])
    resizes.settle()
  })

  it("the size that there is delays nobody", async () => {
    const to = applier()
    const resizes = new ResizeDebounce<undefined>(LONG_MILLIS, (size) => to.apply(size))
    await resizes.ask(columns(80), undefined)
    await resizes.ask(columns(100), undefined)
    assert.deepStrictEqual(to.applied, [100])
    resizes.settle()
  })

  it("a failure is told to all who waited for it, and delays nobody", async () => {
    const to = applier()
    const resizes = new ResizeDebounce<undefined>(LONG_MILLIS, (size) => to.apply(size))
    await resizes.ask(columns(100), undefined)
    const answers = [101, 102].map((cols) => resizes.ask(columns(cols), undefined))
    to.failure = new Error("gone")
    resizes.settle()
    for (const answer of await Promise.allSettled(answers)) assert.strictEqual(answer.status, "rejected")
    to.failure = undefined
    assert.deepStrictEqual(await resizes.ask(columns(103), undefined), columns(103))
    resizes.settle()
  })

  it("without a debounce each is applied", async () => {
    const to = applier()
    const resizes = new ResizeDebounce<undefined>(0, (size) => to.apply(size))
    for (const cols of [100, 101, 102]) await resizes.ask(columns(cols), undefined)
    assert.deepStrictEqual(to.applied, [100, 101, 102])
  })
})
