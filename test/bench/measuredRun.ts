/**
 * Runs a command to its end and says what it cost: time, processor time, and the most memory it had. Used by the
 * measurements that compare commands. Memory is the kernel's own maximum (VmHWM), with everything that is mapped. It is
 * read while the process lives, so what it does in its last milliseconds is not in it.
 */
import { closeSync, openSync, readFileSync } from "node:fs"
import { cpuMillis } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

const LOOK_MILLIS = 5

export interface Measured {
  readonly millis: number
  readonly cpuMillis: number
  readonly peakBytes: number
}

/** Its output is thrown away. Throws unless it ends with 0. */
export const measuredRun = async (
  workspace: Workspace,
  command: string,
  args: ReadonlyArray<string>,
  environment: NodeJS.ProcessEnv = {}
): Promise<Measured> => {
  const nowhere = openSync("/dev/null", "w")
  let cpu = 0
  let peakBytes = 0
  const began = performance.now()
  const child = workspace.spawn(command, args, {
    env: { ...workspace.environment, ...environment },
    stdio: ["ignore", nowhere, "pipe"]
  })
  closeSync(nowhere)
  let stderr = ""
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-2000)
  })
  const looking = setInterval(() => {
    const used = cpuMillis(child.pid!)
    if (used > cpu) cpu = used
    peakBytes = Math.max(peakBytes, peakOf(child.pid!))
  }, LOOK_MILLIS)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject)
      child.once("close", resolve)
    })
    const millis = performance.now() - began
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}: ${stderr.trim()}`)
    return { millis, cpuMillis: cpu, peakBytes }
  } finally {
    clearInterval(looking)
  }
}

const peakOf = (pid: number): number => {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
