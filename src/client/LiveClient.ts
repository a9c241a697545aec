/** `Client` over the services of an engine, wherever that runs. It owns its terminals and loops, and ends them with itself. */
import { Context, Effect } from "effect"
import { Exec } from "../exec/Exec.ts"
import { Search } from "../search/Search.ts"
import { Attach } from "../session/Attach.ts"
import { FACADE_LIMITS } from "../session/EngineLimits.ts"
import { History } from "../session/History.ts"
import { Lifecycle } from "../session/Lifecycle.ts"
import { Sessions } from "../session/Sessions.ts"
import { type Names, optionsOf, textOf } from "./arguments.ts"
import type { Client } from "./Client.ts"
import type { ClientSearch, SearchItem } from "./ClientSearch.ts"
import { unwrap } from "./failureOf.ts"
import { LiveShell } from "./LiveShell.ts"
import { LiveTerminal, type LiveTerminalOptions } from "./LiveTerminal.ts"
import { PageReader } from "./PageReader.ts"
import { closedError, invalid } from "./RepriseError.ts"
import { SessionEnds } from "./SessionEnds.ts"
import type { EngineInfo, LifecycleEvent, LiveSession, SessionInfo, SessionUsage } from "./SessionInfo.ts"
import type { Shell, ShellOptions } from "./Shell.ts"
import type { ReconnectOptions, Terminal, TerminalLimits, TerminalOptions } from "./Terminal.ts"

export type ClientServices = Sessions | Exec | Attach | Lifecycle | History | Search

export interface LiveClientOptions {
  readonly services: Context.Context<ClientServices>
  /** Programs start here unless told otherwise; undefined: where the engine decides. */
  readonly cwd: () => string | undefined
  /** Gives back what the services stand on. Called once. */
  readonly dispose: () => Promise<void>
}

export class LiveClient implements Client {
  readonly #options: LiveClientOptions
  readonly #sessions: typeof Sessions.Service
  readonly #history: typeof History.Service
  readonly #lifecycle: typeof Lifecycle.Service
  readonly #attach: typeof Attach.Service
  readonly #exec: typeof Exec.Service
  readonly #search: typeof Search.Service
  readonly #ends: SessionEnds
  readonly #terminals = new Set<LiveTerminal>()
  readonly #readers = new Set<PageReader<unknown>>()
  /** Ends the calls that have no answer yet. */
  readonly #closing = new AbortController()
  #closed: Promise<void> | undefined

  constructor(options: LiveClientOptions) {
    const { services } = options
    this.#options = options
    this.#sessions = Context.get(services, Sessions)
    this.#history = Context.get(services, History)
    this.#lifecycle = Context.get(services, Lifecycle)
    this.#attach = Context.get(services, Attach)
    this.#exec = Context.get(services, Exec)
    this.#search = Context.get(services, Search)
    this.#ends = new SessionEnds({ lifecycle: this.#lifecycle, history: this.#history, call: this.#call })
  }

  async terminal(given?: TerminalOptions): Promise<Terminal> {
    const options = optionsOf(given, TERMINAL)
    const { command = ["/bin/sh"], env, group, name, orphans = "end", redact, size } = options
    if (!Array.isArray(command))
      throw invalid("command", 'is a list: the program and its arguments, such as ["ls", "-l"]')
    if (orphans !== "end" && orphans !== "keep") throw invalid("orphans", 'is "end" or "keep"')
    const view = await this.#call(
      this.#sessions.create({
        argv: command,
        cwd: options.workingDir ?? options.cwd ?? this.#options.cwd(),
        env,
        inheritEnv: true,
        size,
        name,
        group,
        limits: limitsOf(options.limits, orphans),
        redact
      })
    )
    const owned = orphans === "end"
    try {
      return await this.#attached({ session: view.id, attachOptions: attaching(options, 0), ownsSession: owned })
    } catch (error) {
      // Nobody holds it: a session that was never handed out would only run on.
      if (owned) await this.#call(this.#sessions.close(view.id)).catch(() => undefined)
      throw error
    }
  }

  async reconnectTerminal(session: string, given?: ReconnectOptions): Promise<Terminal> {
    const options = optionsOf(given, RECONNECT)
    const { replayFromSequence: from = 0, size } = options
    if (from !== "screen" && !(Number.isInteger(from) && from >= 0)) {
      throw invalid("replayFromSequence", 'is a whole number of 0 or more, or "screen"')
    }
    const id = await this.#call(this.#history.resolve(textOf("session", session)))
    const attachOptions = { ...attaching(options, from === "screen" ? undefined : from), size }
    return this.#attached({ session: id, attachOptions, ownsSession: false })
  }

  async shell(given?: ShellOptions): Promise<Shell> {
    const options = optionsOf(given, SHELL)
    const cwd = options.cwd ?? this.#options.cwd()
    const view = await this.#call(this.#exec.start({ ...options, cwd, inheritEnv: true }))
    return new LiveShell({ session: view.id, exec: this.#exec, call: this.#call })
  }

  list(): Promise<ReadonlyArray<SessionInfo>> {
    return this.#call(this.#history.list)
  }

  live(): Promise<ReadonlyArray<LiveSession>> {
    return this.#call(this.#lifecycle.live)
  }

  async usage(session: string): Promise<SessionUsage> {
    return this.#call(
      Effect.flatMap(this.#history.resolve(textOf("session", session)), (id) => this.#lifecycle.usage(id))
    )
  }

  status(): Promise<EngineInfo> {
    return this.#call(this.#sessions.status)
  }

  async *lifecycle(after?: number): AsyncGenerator<LifecycleEvent, undefined> {
    if (this.#closed !== undefined) throw closedError()
    if (after !== undefined && !(Number.isInteger(after) && after >= 0)) {
      throw invalid("after", "is a whole number of 0 or more")
    }
    const reader = new PageReader(this.#lifecycle.feed(after))
    this.#readers.add(reader)
    try {
      for (let items = await reader.take(); items !== undefined; items = await reader.take()) {
        for (const item of items) {
          if (item._tag === "Synced") continue
          const { actor, event, position, sequence, session, timeMicros } = item
          const { _tag: type, ...fields } = event
          yield { position, session, sequence, timeMicros, actor, type, event: fields }
        }
      }
    } finally {
      this.#readers.delete(reader)
      await reader.close()
    }
    return undefined
  }

  async *search(given: ClientSearch): AsyncGenerator<SearchItem, undefined> {
    if (this.#closed !== undefined) throw closedError()
    const { session, ...query } = optionsOf(given, SEARCH)
    textOf("pattern", query.pattern)
    const id = session === undefined ? undefined : await this.#call(this.#history.resolve(textOf("session", session)))
    const reader = new PageReader(this.#search.search({ ...query, session: id }))
    this.#readers.add(reader)
    try {
      for (let items = await reader.take(); items !== undefined; items = await reader.take()) yield* items
    } finally {
      this.#readers.delete(reader)
      await reader.close()
    }
    return undefined
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([
      ...[...this.#terminals].map((terminal) => terminal.detach()),
      ...[...this.#readers].map((reader) => reader.close()),
      this.#ends.close()
    ])
    await this.#options.dispose()
  }

  async #attached(options: Pick<LiveTerminalOptions, "session" | "attachOptions" | "ownsSession">): Promise<Terminal> {
    if (this.#closed !== undefined) throw closedError()
    const terminal = new LiveTerminal({
      ...options,
      sessions: this.#sessions,
      attach: this.#attach,
      ends: this.#ends,
      call: this.#call,
      onLeft: (left) => this.#terminals.delete(left)
    })
    this.#terminals.add(terminal)
    try {
      await terminal.ready
      // Meanwhile.
      if (this.#closed !== undefined) throw closedError()
    } catch (error) {
      await terminal.detach()
      throw error
    }
    return terminal
  }

  readonly #call = async <A>(effect: Effect.Effect<A, unknown>): Promise<A> => {
    if (this.#closed !== undefined) throw closedError()
    return unwrap(await Effect.runPromiseExit(effect, { signal: this.#closing.signal }))
  }
}

const ATTACHING = { clientId: "text", readOnly: "any", exclusive: "any" } as const
const TERMINAL: Names<TerminalOptions> = {
  ...ATTACHING,
  command: "any",
  env: "any",
  workingDir: "text",
  cwd: "text",
  size: "any",
  name: "text",
  group: "text",
  limits: "any",
  redact: "any",
  orphans: "any"
}
const RECONNECT: Names<ReconnectOptions> = { ...ATTACHING, replayFromSequence: "any", size: "any" }
const SHELL: Names<ShellOptions> = { language: "text", cwd: "text", env: "any", secretEnv: "any", name: "text" }
const SEARCH: Names<ClientSearch> = {
  pattern: "text",
  regex: "any",
  flags: "text",
  ignoreCase: "any",
  in: "any",
  session: "text",
  since: "any",
  until: "any",
  cwd: "text",
  exitCode: "any",
  limit: "any"
}

const attaching = (
  { clientId, exclusive, readOnly }: Pick<TerminalOptions, "clientId" | "readOnly" | "exclusive">,
  after: number | undefined
) => ({ after, client: clientId ?? crypto.randomUUID(), readOnly, exclusive })

/** Field by field; a session that outlives its clients is not ended for having none, unless that is asked for. */
const limitsOf = (limits: TerminalLimits | undefined, orphans: "keep" | "end"): TerminalLimits => {
  const { idleMillis, noClientMillis, ...others } = FACADE_LIMITS
  return { ...(orphans === "keep" ? others : FACADE_LIMITS), ...limits }
}
