import { PassThrough } from "node:stream"
import * as NodeSocket from "@effect/platform-node-shared/NodeSocket"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { withoutClosedWrites } from "../../src/remote/ClosedWrites.ts"

describe("withoutClosedWrites", () => {
  it.live("what is written to a stream that closed a moment ago does not wait", () =>
    Effect.gen(function* () {
      const stream = new PassThrough()
      const inner = yield* NodeSocket.fromDuplex(Effect.succeed(stream))
      let told = 0
      const socket = withoutClosedWrites(
        inner,
        stream,
        Effect.sync(() => {
          told++
        })
      )
      yield* socket.reader
      const writer = yield* socket.writer
      yield* writer.write(Uint8Array.of(1))
      assert.deepStrictEqual([...(stream.read() as Uint8Array)], [1])
      const closed = new Promise((resolve) => stream.once("close", resolve))
      stream.destroy()
      yield* Effect.promise(() => closed)
      yield* writer.write(Uint8Array.of(2))
      yield* writer.writeAll([Uint8Array.of(3)])
      assert.strictEqual(told, 2)
      // Why it is needed: the socket itself waits. When this fails, the wrapper can go.
      const alone = (yield* inner.writer).write(Uint8Array.of(4))
      assert.strictEqual(yield* Effect.timeoutOption(alone, 100).pipe(Effect.map(({ _tag }) => _tag)), "None")
    })
  )
})
