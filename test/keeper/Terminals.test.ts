/** What Terminals promises beyond the PtyHost contract: a listener that takes little at a time gets of everything. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "vitest"
import { Terminals } from "../../src/keeper/Terminals.ts"
import { spawnRequest } from "../contracts/PtyHostContract.ts"
import { silent } from "./keeperUnderTest.ts"

it("no flood holds up the others when the listener takes one delivery at a time", async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "reprise-terminals-")))
  const counts = new Map<string, number>()
  let done = () => {}
  const enough = new Promise<void>((resolve) => {
    done = resolve
  })
  const took = (source: string) => {
    counts.set(source, (counts.get(source) ?? 0) + 1)
    terminals.holdDeliveries()
    if (counts.size === 4 && Math.min(...counts.values()) >= 20) done()
    // Long enough for every program to have filled what may be held.
    else setTimeout(() => terminals.resumeDeliveries(), 2)
  }
  const terminals: Terminals = new Terminals({
    id: "",
    sessionsMax: 2,
    listener: {
      ...silent,
      output: (session, offset, bytes) => {
        terminals.ack(session, offset + bytes.length)
        took(session)
      },
      pipeOutput: (session, pipe, offset, bytes) => {
        terminals.ackPipe(session, pipe, offset + bytes.length)
        took(`${session} ${pipe}`)
      }
    }
  })
  const pipe = (number: number) => ({ pipe: number, path: join(folder, `${number}`), direction: "output" }) as const
  await terminals.spawn(spawnRequest(["yes"]))
  await terminals.spawn(
    spawnRequest(["sh", "-c", "yes >1 & yes >2 & exec yes"], { cwd: folder, pipes: [pipe(1), pipe(2)] })
  )
  await enough
  assert.strictEqual(counts.size, 4)
  await terminals.dispose()
  rmSync(folder, { recursive: true, force: true })
})
