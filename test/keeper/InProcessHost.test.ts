/** The contract, for the host that lives in this process. */
import { makeInProcessHost } from "../../src/keeper/InProcessHost.ts"
import { pipeHostContract } from "../contracts/PipeHostContract.ts"
import { ptyHostContract } from "../contracts/PtyHostContract.ts"

const options: Parameters<typeof ptyHostContract>[0] = {
  name: "InProcessHost",
  make: async (listener) => {
    const host = makeInProcessHost(listener)
    return { host, dispose: () => host.dispose() }
  }
}
ptyHostContract(options)
pipeHostContract(options)
