/** The contract, for the host that lives in this process. */
import { makeInProcessHost } from "../../src/keeper/InProcessHost.ts"
import { ptyHostContract } from "../contracts/PtyHostContract.ts"

ptyHostContract({
  name: "InProcessHost",
  make: async (listener) => {
    const host = makeInProcessHost(listener)
    return { host, dispose: () => host.dispose() }
  }
})
