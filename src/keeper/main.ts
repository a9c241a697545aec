/**
 * The keeper process: holds the terminals of a store's sessions, so that they outlive the engine. Started by
 * KeeperProcess as `main.ts --id ULID --socket PATH`, usually without a terminal and in a kernel session of its own. It
 * has no database, writes no file but its socket, prints nothing once it listens, and does not end while it holds a
 * session: not when the engine goes away, not on SIGTERM, not on an error of its own.
 */
import { closeSync, readdirSync, readFileSync, unlinkSync, writeSync } from "node:fs"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { SESSIONS_MAX_DEFAULT } from "./Frames.ts"
import { collectWhenIdle } from "./IdleMemory.ts"
import { KeeperServer } from "./KeeperServer.ts"
import { libc } from "./Libc.ts"

/** An empty keeper waits this long for an engine: a restart of the engine takes less. */
const IDLE_MILLIS_DEFAULT = 10_000
/** Before these, libuv took a hang-up for the end of the output and lost the rest. */
const NODE_MAJOR_MIN = 24
const LIBUV_MIN = [1, 52] as const
/**
 * Between what Node reads a connection into (64 KiB, for a moment, many times a second) and the memory of output (126 KiB,
 * until V8 collects it): of a flood, that would stay with the allocator in pieces that cannot be given back.
 */
const RETURNED_BYTES_MIN = 96 * 1024
/** As /proc shows it on x64 and arm64. */
const O_CLOEXEC = 0o2000000

const main = async (): Promise<void> => {
  const programUmask = process.umask(0o077)
  const { values } = parseArgs({
    options: {
      id: { type: "string" },
      socket: { type: "string" },
      "sessions-max": { type: "string" },
      /** Octal umask of the programs; without it, the one this process was started with. */
      umask: { type: "string" },
      "idle-millis": { type: "string" },
      /** A descriptor that gets one JSON line when engines can connect, or when they never will. */
      "ready-fd": { type: "string" }
    }
  })
  const readyFd = values["ready-fd"] === undefined ? null : Number(values["ready-fd"])
  closeInherited(readyFd)
  libc().forbidDumps()
  libc().returnBlocksFrom(RETURNED_BYTES_MIN)
  const ready = (message: object) => {
    if (readyFd === null) return
    writeSync(readyFd, `${JSON.stringify(message)}\n`)
    closeSync(readyFd)
  }
  try {
    checkRuntime()
    if (values.id === undefined || !/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(values.id)) {
      throw new Error("--id takes an upper-case ULID")
    }
    if (values.socket === undefined) throw new Error("--socket takes the path of the socket to listen on")
    const socket = resolve(values.socket)
    // A folder that we stand in could not be unmounted.
    process.chdir("/")
    const end = () => {
      try {
        unlinkSync(socket)
      } catch {
        // Removed already, with its folder perhaps.
      }
      process.exit(0)
    }
    const server = new KeeperServer({
      id: values.id,
      sessionsMax: wholeNumber("sessions-max", values["sessions-max"], SESSIONS_MAX_DEFAULT),
      idleMillis: wholeNumber("idle-millis", values["idle-millis"], IDLE_MILLIS_DEFAULT),
      programUmask: values.umask === undefined ? programUmask : Number.parseInt(values.umask, 8) & 0o777,
      onIdle: end
    })
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      process.on(signal, () => {
        if (server.sessions === 0) end()
      })
    }
    await server.listen(socket)
    collectWhenIdle(() => server.releaseMemory())
    // Other people's programs do not die of our mistake: the engine attaches anew to what is held.
    process.on("uncaughtException", (error) => server.fault(error))
    ready({ id: values.id, socket, pid: process.pid })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    ready({ error: message })
    process.stderr.write(`reprise keeper: ${message}\n`)
    process.exitCode = 1
  }
}

/**
 * Whatever the engine had open without the close-on-exec mark came along, its database among it: held here, a deleted
 * file would keep its space as long as we live. Node marks all of its own.
 */
const closeInherited = (keptFd: number | null): void => {
  let names: ReadonlyArray<string>
  try {
    names = readdirSync("/proc/self/fdinfo")
  } catch {
    return
  }
  for (const fd of names.map(Number)) {
    if (fd <= 2 || fd === keptFd) continue
    try {
      const flags = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1").match(/^flags:\s*([0-7]+)/m)?.[1]
      if (flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0) closeSync(fd)
    } catch {
      // The descriptor of the listing itself.
    }
  }
}

const checkRuntime = (): void => {
  const node = Number.parseInt(process.versions.node, 10)
  const [major = 0, minor = 0] = process.versions.uv.split(".").map(Number)
  if (node < NODE_MAJOR_MIN || major < LIBUV_MIN[0] || (major === LIBUV_MIN[0] && minor < LIBUV_MIN[1])) {
    throw new Error(
      `Node ${process.versions.node} with libuv ${process.versions.uv} loses output of terminals: ` +
        `use Node ${NODE_MAJOR_MIN} or newer with libuv ${LIBUV_MIN.join(".")} or newer`
    )
  }
}

const wholeNumber = (name: string, text: string | undefined, missing: number): number => {
  if (text === undefined) return missing
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name} takes a whole number above 0`)
  return Number(text)
}

await main()
