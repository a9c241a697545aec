/** Runs one acceptance case on a driver with the small host: the steps that need no engine. */
import type { Driver } from "../../../src/exec/Driver.ts"
import { type Case, mismatches, type Observed, type Step } from "../cases.ts"
import { DriverHost, type Running, sleep, until } from "./DriverHost.ts"

const OPERATIONS = new Set([
  undefined,
  "start",
  "poll",
  "wait",
  "send",
  "interrupt",
  "kill",
  "resize",
  "session",
  "sleep",
  "lateOutput",
  "repeat"
])
/** How long a case waits for output of a child that its command left behind. */
const LATE_MILLIS = 4000
/** What only an engine has: validation, queues, ids, limits, hidden values, and modes that are put back between commands. */
const ENGINE_OPTIONS = ["maxOutputBytes", "execId", "secretEnv"]
const ENGINE_CASES = new Set([
  // The engine puts the terminal's modes back after each command.
  "bash-stty-damage",
  "bash-invalid-env-name-rejected",
  "engine-send-after-finish",
  "engine-policy-applies-to-stdin"
])

/** Why a driver alone cannot run it; undefined when it can. */
export const needsEngine = ({ id, steps }: Case): string | undefined => {
  if (ENGINE_CASES.has(id)) return "it is about what the engine refuses"
  for (const { op, opts = {} } of steps) {
    if (!OPERATIONS.has(op)) return `the step ${op}`
    const option = ENGINE_OPTIONS.find((name) => name in opts)
    if (option !== undefined) return `the option ${option}`
  }
  return undefined
}

const KEYS: Readonly<Record<string, string>> = { "C-c": "\x03", "C-d": "\x04", Enter: "\r" }

/** What went wrong, one line each. */
export const runCase = async ({ steps }: Case, driver: Driver): Promise<ReadonlyArray<string>> => {
  const hosts = new Map<string, DriverHost>()
  const wrong: Array<string> = []
  let last: Running | undefined
  const session = async (name: string): Promise<DriverHost> => {
    const host = hosts.get(name) ?? (await DriverHost.start(driver))
    hosts.set(name, host)
    return host
  }
  const step = async (host: DriverHost, one: Step): Promise<Observed> => {
    switch (one.op) {
      case undefined:
      case "session":
        return host.exec(one.input!, one.opts)
      case "repeat": {
        for (let count = 0; count < one.count!; count += 1) {
          const found = mismatches(one.expect ?? {}, await host.exec(one.input!, one.opts), host.cwd0)
          if (found.length > 0) wrong.push(`repetition ${count}: ${found.join("; ")}`)
        }
        return {}
      }
      case "start":
        last = host.start(one.input!, one.opts)
        return {}
      case "poll":
        await sleep(one.afterMs ?? 0)
        return host.poll(last!)
      case "wait":
        return (await host.wait(last!, one.timeoutMs)) ?? host.poll(last!)
      case "send":
        host.send(one.keys === undefined ? one.input! : one.keys.map((key) => KEYS[key]!).join(""))
        await sleep(150)
        return {}
      case "interrupt":
        host.interrupt()
        return {}
      case "kill":
        await host.kill()
        return {}
      case "resize":
        host.resize(one.cols!, one.rows!)
        return {}
      case "sleep":
        await sleep(one.ms!)
        return {}
      case "lateOutput":
        await until(() => mismatches(one.expect ?? {}, host.late(one.exec!), host.cwd0).length === 0, LATE_MILLIS)
        return host.late(one.exec!)
      default:
        throw new Error(`unknown step ${one.op}`)
    }
  }
  try {
    for (const [index, one] of steps.entries()) {
      const host = await session(one.name ?? "")
      const got = await step(host, one)
      if (one.expect === undefined || one.op === "repeat") continue
      for (const line of mismatches(one.expect, got, host.cwd0)) wrong.push(`step ${index + 1}: ${line}`)
    }
  } finally {
    for (const host of hosts.values()) await host.close()
  }
  return wrong
}
