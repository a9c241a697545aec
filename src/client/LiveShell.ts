/** `Shell` over the services of an engine, wherever that runs. */
import type { Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { ExecShape } from "../exec/Exec.ts"
import { invalid } from "./RepriseError.ts"
import type { Shell, ShellCommandOptions, ShellPollOptions, ShellResult } from "./Shell.ts"

export interface LiveShellOptions {
  readonly session: SessionId
  readonly exec: ExecShape
  /** Runs a call of a service for the client that this shell is of. */
  readonly call: <A>(effect: Effect.Effect<A, unknown>) => Promise<A>
}

export class LiveShell implements Shell {
  readonly sessionId: SessionId
  readonly #exec: ExecShape
  readonly #call: LiveShellOptions["call"]

  constructor({ call, exec, session }: LiveShellOptions) {
    this.sessionId = session
    this.#exec = exec
    this.#call = call
  }

  async exec(code: string, { stdin, ...options }: ShellCommandOptions = {}): Promise<ShellResult> {
    // The command's length is measured before it is sent, where no schema has looked at it yet.
    if (typeof code !== "string") throw invalid("code", "must be a string: the command")
    const data = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin
    const input = data === undefined ? {} : { stdin: { _tag: "Bytes", data } as const }
    return this.#call(this.#exec.exec(this.sessionId, { code, ...options, ...input }))
  }

  poll(execId: string, options?: ShellPollOptions): Promise<ShellResult> {
    return this.#call(this.#exec.poll(this.sessionId, execId, options))
  }

  send(execId: string, text: string): Promise<void> {
    return this.#call(this.#exec.send(this.sessionId, execId, { text }))
  }

  interrupt(execId?: string): Promise<void> {
    return this.#call(this.#exec.interrupt(this.sessionId, execId))
  }

  async end(): Promise<void> {
    await this.#call(this.#exec.end(this.sessionId))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}
