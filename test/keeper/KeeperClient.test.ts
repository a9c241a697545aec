/** The contract, for a keeper process of its own at the other end of a socket. */
import { afterAll, beforeAll } from "vitest"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import { pipeHostContract } from "../contracts/PipeHostContract.ts"
import { ptyHostContract } from "../contracts/PtyHostContract.ts"
import { endSessions, type KeeperUnderTest, silent, startTestKeeper } from "./keeperUnderTest.ts"

// One process for all tests: each is an engine of its own, which finds an empty keeper and leaves it empty.
let keeper: KeeperUnderTest
let generation = 0
beforeAll(async () => {
  keeper = await startTestKeeper()
})
afterAll(() => keeper.dispose())

const options: Parameters<typeof ptyHostContract>[0] = {
  name: "KeeperClient",
  make: async (listener) => ({
    host: await connectKeeper({ socket: keeper.socket, generation: ++generation, listener }),
    dispose: async () => {
      // A newer engine takes over: what the test left behind is ended as after a crash.
      await endSessions(await connectKeeper({ socket: keeper.socket, generation: ++generation, listener: silent }))
    }
  })
}
ptyHostContract(options)
pipeHostContract(options)
