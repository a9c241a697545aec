/**
 * The doors side by side: the engine's Unix socket and the WebSocket door in front of it, one after the other in each
 * round, with tmux beside them when it is installed. A round trip is a message of 64 bytes to a program that sends it
 * back; a stream is the same output as history and while it is printed, to one client and to eight, each in a process of
 * its own.
 */
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { writeLogLines } from "./logLines.ts"
import { figure, median, percentile, type Report } from "./Report.ts"
import { commandLine, Store } from "./Store.ts"
import { hasProgram, type Workspace } from "./Workspace.ts"

const BLOCKS = 4
const MESSAGES_PER_BLOCK = 250
const STREAM_BYTES = 40_000_000
const STREAM_ROUNDS = 3
const CLIENTS = [1, 8]
const BYTES_PER_MB = 1e6
/** What TCP and another process on the way may cost. */
const AIM_EXTRA_MILLIS = 1
const AIM_OF_UNIX = 0.5
const READY = "ready\n"

interface Door {
  readonly name: string
  /** As doorClient.ts takes it. */
  readonly args: readonly [door: string, tokenFile: string]
}

interface RoundTrips {
  readonly acknowledged: Array<number>
  readonly back: Array<number>
}

export const doors = async (workspace: Workspace): Promise<Report> => {
  const log = writeLogLines(workspace.path("doors.log"), STREAM_BYTES)
  const store = new Store(workspace, workspace.newFolder("doors"))
  await store.start()
  const { door: webSocket, stop: stopServe } = await serve(workspace, store)
  const ways: ReadonlyArray<Door> = [{ name: "Unix socket", args: [store.paths.store, "-"] }, webSocket]
  const tmux = hasProgram("tmux", "-V") ? await startTmux(workspace) : undefined
  const notes = [
    `${BLOCKS} blocks of ${MESSAGES_PER_BLOCK} messages for each way, in turn; acknowledged: durable and written to the terminal`,
    `streams: ${log.terminalBytes} bytes, median of ${STREAM_ROUNDS} rounds; MB/s for each client, from the start to the last client's last byte`,
    ...(tmux === undefined
      ? ["tmux is not installed: not measured"]
      : ["tmux: until the program has written all of it; what an attached client gets is redrawn, not all of it"])
  ]

  const trips = new Map<string, RoundTrips>()
  const add = (name: string, { acknowledged, back }: RoundTrips) => {
    const all = trips.get(name) ?? { acknowledged: [], back: [] }
    all.acknowledged.push(...acknowledged)
    all.back.push(...back)
    trips.set(name, all)
  }
  for (let block = 0; block < BLOCKS; block++) {
    for (const { args, name } of ways) {
      add(name, await workspace.program("doorClient", ["roundTrip", ...args, String(MESSAGES_PER_BLOCK)]))
    }
    if (tmux !== undefined) add(TMUX_ATTACHED, { ...(await tmux.roundTrip(MESSAGES_PER_BLOCK)), acknowledged: [] })
  }

  const history = await workspace.program<{ readonly id: string }>("engineClient", [
    "flood",
    store.paths.store,
    log.terminalSha256,
    "cat",
    log.file
  ])
  const streams = new Map<string, Array<number>>()
  const took = (name: string, clients: number, what: string, millis: number) => {
    const key = streamKey(name, clients, what)
    streams.set(key, [...(streams.get(key) ?? []), log.terminalBytes / BYTES_PER_MB / (millis / 1000)])
  }
  for (let round = 0; round < STREAM_ROUNDS; round++) {
    for (const clients of CLIENTS) {
      for (const { args, name } of ways) {
        const reads = Array.from({ length: clients }, () => ["read", ...args, history.id, String(log.terminalBytes)])
        took(name, clients, "history", await together(workspace, reads))
        const live = await workspace.program<string>("doorClient", [
          "create",
          ...args,
          "/bin/sh",
          "-c",
          `stty -echo; read line; exec cat ${log.file}`
        ])
        const follows = Array.from({ length: clients }, (_, index) => [
          index === clients - 1 ? "trigger" : "follow",
          ...args,
          live,
          String(log.terminalBytes)
        ])
        took(name, clients, "live", await together(workspace, follows))
      }
      if (tmux !== undefined) took(TMUX_ATTACHED, clients, "live", await tmux.flood(log.file, clients))
    }
    if (tmux !== undefined) took(TMUX_PIPED, 1, "live", await tmux.flood(log.file, 0))
  }
  await tmux?.stop()
  await stopServe()
  await store.stop()

  const speed = (name: string, clients: number, what: string) =>
    median(streams.get(streamKey(name, clients, what)) ?? [Number.NaN])
  const p50 = (name: string) => percentile(trips.get(name)!.back, 0.5)
  const [unix, web] = ways.map(({ name }) => name) as [string, string]
  const extra = p50(web) - p50(unix)
  const ofUnix = Math.min(
    ...CLIENTS.flatMap((clients) =>
      ["history", "live"].map((what) => speed(web, clients, what) / speed(unix, clients, what))
    )
  )
  const tmuxRows = tmux === undefined ? [] : [TMUX_ATTACHED]
  return {
    tables: [
      {
        title: "64 bytes to a program, milliseconds",
        columns: ["way", "acknowledged p50", "p99", "back p50", "p90", "p99", "max"],
        rows: [...trips].map(([name, { acknowledged, back }]) => [
          name,
          ...[0.5, 0.99].map((share) => figure(percentile(acknowledged, share))),
          ...[0.5, 0.9, 0.99, 1].map((share) => figure(percentile(back, share)))
        ])
      },
      {
        title: "Streams, MB/s for each client",
        columns: ["way", "clients", "history", "live"],
        rows: [
          ...[...ways.map(({ name }) => name), ...tmuxRows].flatMap((name) =>
            CLIENTS.map((clients) => [
              name,
              String(clients),
              figure(speed(name, clients, "history")),
              figure(speed(name, clients, "live"))
            ])
          ),
          ...(tmux === undefined ? [] : [[TMUX_PIPED, "-", "-", figure(speed(TMUX_PIPED, 1, "live"))]])
        ]
      }
    ],
    aims: [
      {
        aim: `64 bytes and back over WebSocket take at most ${AIM_EXTRA_MILLIS} ms more than over the Unix socket (p50)`,
        measured: `${figure(extra)} ms`,
        holds: extra <= AIM_EXTRA_MILLIS
      },
      {
        aim: `every stream over WebSocket is at least ${AIM_OF_UNIX} of the one over the Unix socket`,
        measured: figure(ofUnix),
        holds: ofUnix >= AIM_OF_UNIX
      }
    ],
    notes
  }
}

const TMUX_ATTACHED = "tmux, attached"
const TMUX_PIPED = "tmux, pipe-pane 'cat >/dev/null'"
const streamKey = (name: string, clients: number, what: string) => `${name} ${clients} ${what}`

const serve = async (
  workspace: Workspace,
  store: Store
): Promise<{ readonly door: Door; readonly stop: () => Promise<void> }> => {
  const child = workspace.spawn(process.execPath, [commandLine, "serve", "--json"], {
    env: { ...workspace.environment, REPRISE_HOME: store.paths.store },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const said = JSON.parse(await line(child))
  return {
    door: { name: "WebSocket", args: [said.url, said.tokenFile] },
    stop: async () => {
      const exited = once(child, "exit")
      child.kill("SIGTERM")
      await exited
    }
  }
}

const line = async (child: ChildProcess): Promise<string> => {
  let text = ""
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
    text += chunk
    if (text.includes("\n")) return text
  }
  throw new Error(`a program of the bench ended without a word: ${text}`)
}

/** Clients that begin when all are there; milliseconds until the last has all. */
const together = async (workspace: Workspace, runs: ReadonlyArray<ReadonlyArray<string>>): Promise<number> => {
  const file = workspace.programFile("doorClient")
  const children = runs.map((args) =>
    workspace.spawn(process.execPath, [file, ...args], { stdio: ["pipe", "pipe", "inherit"] })
  )
  for (const child of children) if ((await line(child)) !== READY) throw new Error("a client did not begin")
  const start = performance.now()
  const done = children.map(async (child) => JSON.parse(await line(child)))
  // The last one lets it happen, so the others are told first.
  for (const child of children) child.stdin!.end("\n")
  await Promise.all(done)
  return performance.now() - start
}

const startTmux = async (workspace: Workspace) => {
  const socket = workspace.path("tmux")
  let sessions = 0
  const tmux = async (...args: ReadonlyArray<string>): Promise<void> => {
    const { code, stderr } = await workspace.run("tmux", ["-S", socket, "-f", "/dev/null", ...args])
    if (code !== 0) throw new Error(`tmux ${args.join(" ")} ended with ${code}: ${stderr.trim()}`)
  }
  const open = async (program: string): Promise<string> => {
    const session = `s${sessions++}`
    await tmux("new-session", "-d", "-s", session, "-x", "80", "-y", "24", program)
    return session
  }
  // One that stays, or the server would end with the last.
  await open("exec sleep 1000000")
  return {
    roundTrip: async (count: number): Promise<RoundTrips> => {
      const session = await open("stty raw -echo; printf ready; exec cat")
      const trips = await workspace.program<RoundTrips>("tmuxClient", ["roundTrip", socket, session, String(count)])
      await tmux("kill-session", "-t", session)
      return trips
    },
    /** Milliseconds until the program has written all; with no client its output is piped. */
    flood: async (file: string, clients: number): Promise<number> => {
      const session = await open(`read line; cat ${file}; tmux -S ${socket} wait-for -S done; read line`)
      let attached: ChildProcess | undefined
      if (clients === 0) await tmux("pipe-pane", "-o", "-t", session, "cat >/dev/null")
      else {
        const args = [workspace.programFile("tmuxClient"), "attach", socket, session, String(clients)]
        attached = workspace.spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] })
        await line(attached)
      }
      const start = performance.now()
      await tmux("send-keys", "-t", session, "Enter")
      await tmux("wait-for", "done")
      const millis = performance.now() - start
      if (attached !== undefined) {
        const exited = once(attached, "exit")
        attached.stdin!.end()
        await exited
      }
      await tmux("kill-session", "-t", session)
      return millis
    },
    stop: () => tmux("kill-server")
  }
}
