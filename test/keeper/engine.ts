/**
 * An engine reduced to its promise: writes what a session prints to a file, acknowledges what is in the file, and goes
 * on at the file's end when it is started again. Killed at random moments by KeeperServer.test.ts.
 * Arguments: socket, generation, session, file.
 */
import { openSync, statSync, writeSync } from "node:fs"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import type { PtyHost, SpawnRequest } from "../../src/keeper/PtyHost.ts"

const [socket = "", generation = "", session = "", file = ""] = process.argv.slice(2)
const journal = openSync(file, "a")
let written = statSync(file).size
let host: PtyHost | undefined

host = await connectKeeper({
  socket,
  generation: Number(generation),
  listener: {
    output: (id, offset, bytes) => {
      if (offset !== written) process.exit(2)
      written += writeSync(journal, bytes)
      host?.ack(id, written)
    },
    leaderExited: () => {},
    terminalClosed: (_, outputBytes) => process.exit(outputBytes === written ? 0 : 3),
    pipeOutput: () => {},
    pipeEnded: () => {},
    disconnected: () => process.exit(4)
  }
})
await host.attach(session as SpawnRequest["session"], written)
