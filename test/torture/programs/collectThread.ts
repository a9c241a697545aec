/** Loaded into the drawing threads of an engine with a sampler in it (`sampler.ts`): collects their garbage when it is told to. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { BroadcastChannel } from "node:worker_threads"

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as (options: object) => void
const channel = new BroadcastChannel("reprise-collect")
channel.onmessage = () => {
  // As `sampler.ts` does.
  collect({ type: "major", execution: "sync", flavor: "last-resort" })
}
channel.unref()
