/** What JavaScript passes that TypeScript would not: refused as everything else is, before anything is started. */
import { assert, describe, it } from "@effect/vitest"
import type { SessionId } from "../../journal/Event.ts"
import { connect } from "../../src/client/connect.ts"
import { LiveShell } from "../../src/client/LiveShell.ts"
import { RepriseError } from "../../src/client/RepriseError.ts"
import type { ExecShape } from "../../src/exec/Exec.ts"

describe("values of wrong types", () => {
  it("are InvalidArgument, and the message names what is meant", async () => {
    const shell = new LiveShell({
      session: "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId,
      exec: {} as Partial<ExecShape> as ExecShape,
      call: () => assert.fail("it was sent")
    })
    const calls: ReadonlyArray<readonly [() => Promise<unknown>, RegExp]> = [
      [() => connect(5 as never), /^options: are an object/],
      [() => connect(null as never), /^options: are an object/],
      [() => connect({ store: 5 as never }), /^store: must be a string/],
      [() => shell.exec(5 as never), /^code: must be a string/]
    ]
    for (const [call, message] of calls) {
      const error = await call().then(
        () => assert.fail("it was taken"),
        (cause: unknown) => cause
      )
      if (!(error instanceof RepriseError)) throw error
      assert.strictEqual(error.code, "InvalidArgument")
      assert.match(error.message, message)
    }
  })
})
