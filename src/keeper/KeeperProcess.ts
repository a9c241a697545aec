/**
 * Starting keeper processes and finding those that run. Used by the engine. A started keeper is no child to look after:
 * it has its own kernel session, no terminal, no open file of ours and an environment of nothing, and goes on when the
 * engine ends. This file never signals a keeper and never removes a socket.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { type KeeperWelcome, probeKeeper } from "./KeeperClient.ts"
import { HostUnavailable } from "./PtyHost.ts"

/** From the spawn to its first word; on a busy machine Node alone can take a second. */
const KEEPER_START_MILLIS_MAX = 10_000
const SOCKET_SUFFIX = ".sock"
/** One line of JSON; more than this is no answer of a keeper. */
const READY_CHARS_MAX = 4096

export interface StartKeeperOptions {
  /** The keeper's program: `src/keeper/main.ts`, or the bundled `keeper.js`. */
  readonly entry: string
  /** The folder of the sockets; made (0700) if it is missing. */
  readonly folder: string
  readonly id: string
  /** The Node that runs it. */
  readonly execPath: string
  readonly sessionsMax: number
  /** The umask of the programs it will start; without it the one of this process. */
  readonly programUmask?: number | undefined
  /** How long an empty keeper without an engine goes on; without it the keeper's own default. */
  readonly idleMillis?: number | undefined
}

export interface StartedKeeper {
  readonly id: string
  readonly socket: string
  readonly pid: number
}

export const keeperSocket = (folder: string, id: string): string => join(folder, `${id}${SOCKET_SUFFIX}`)

/** Resolves when it listens. Rejects with HostUnavailable and the keeper's own words. */
export const startKeeper = async (options: StartKeeperOptions): Promise<StartedKeeper> => {
  const { entry, folder, id, execPath, sessionsMax, programUmask, idleMillis } = options
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const socket = keeperSocket(folder, id)
  const args = [entry, "--id", id, "--socket", socket, "--sessions-max", String(sessionsMax), "--ready-fd", "3"]
  if (programUmask !== undefined) args.push("--umask", programUmask.toString(8))
  if (idleMillis !== undefined) args.push("--idle-millis", String(idleMillis))
  const child = spawn(execPath, args, {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    // Nothing of ours: no token, and no session's marker, by which closing that session would end the keeper.
    env: { NODE_OPTIONS: "" }
  })
  const ready = child.stdio[3] as Readable
  try {
    return await new Promise<StartedKeeper>((resolve, reject) => {
      const fail = (message: string) => reject(new HostUnavailable(message))
      const timer = setTimeout(() => {
        child.kill("SIGKILL")
        fail(`the keeper did not start within ${KEEPER_START_MILLIS_MAX} ms`)
      }, KEEPER_START_MILLIS_MAX)
      let text = ""
      ready.setEncoding("utf8")
      ready.on("data", (part: string) => {
        text += part
        if (text.length > READY_CHARS_MAX) fail("the keeper's first words are not those of a keeper")
      })
      ready.on("error", (error) => fail(`the keeper could not be heard: ${error.message}`))
      child.on("error", (error) => fail(`the keeper could not be started: ${error.message}`))
      child.on("exit", (code, signal) => fail(`the keeper ended at once (${signal ?? `exit code ${code}`})`))
      // Each way out ends here; a second word after the first changes nothing.
      ready.on("data", () => {
        if (!text.includes("\n")) return
        clearTimeout(timer)
        const answer = JSON.parse(text) as { error?: string; pid: number }
        if (answer.error === undefined) resolve({ id, socket, pid: answer.pid })
        else fail(`the keeper did not start: ${answer.error}`)
      })
      ready.on("close", () => clearTimeout(timer))
    })
  } finally {
    ready.destroy()
    child.unref()
  }
}

/** Waits between attempts to reach a keeper that is there and did not answer: what hinders it may pass. */
const REACH_DELAYS_MILLIS = [20, 100, 500]

/** Asks again, a few times, unless it is known that there is nobody. */
export const untilFinal = async <A>(ask: () => Promise<A>): Promise<A> => {
  for (const millis of REACH_DELAYS_MILLIS) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof HostUnavailable) || error.isFinal) throw error
      await new Promise((resolve) => setTimeout(resolve, millis))
    }
  }
  return ask()
}

/** The keepers that answer in this folder. One that was killed leaves a socket that nobody answers. */
export const listKeepers = async (
  folder: string
): Promise<ReadonlyArray<KeeperWelcome & { readonly socket: string }>> => {
  let names: ReadonlyArray<string>
  try {
    names = readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []
    throw error
  }
  const answers = await Promise.allSettled(
    names
      .filter((name) => name.endsWith(SOCKET_SUFFIX))
      .map(async (name) => {
        const socket = join(folder, name)
        return { ...(await untilFinal(() => probeKeeper(socket))), socket }
      })
  )
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []))
}
