/** `Shell` over the services of an engine, wherever that runs. */
import type { Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { ExecShape } from "../exec/Exec.ts"
import { type Names, optionsOf, textOf } from "./arguments.ts"
import { invalid } from "./RepriseError.ts"
import type { Shell, ShellCommandOptions, ShellPollOptions, ShellResult } from "./Shell.ts"

export interface LiveShellOptions {
  readonly session: SessionId
  readonly exec: ExecShape
  /** Runs a call of a service for the client that this shell is of. */
  readonly call: <A>(effect: Effect.Effect<A, unknown>) => Promise<A>
}

const COMMAND: Names<ShellCommandOptions> = {
  stdin: "any",
  cwd: "text",
  env: "any",
  yieldMillis: "any",
  timeoutMillis: "any",
  maxOutputBytes: "any",
  execId: "text"
}
const POLL: Names<ShellPollOptions> = { after: "any", yieldMillis: "any", maxOutputBytes: "any" }

export class LiveShell implements Shell {
  readonly sessionId: SessionId
  readonly #exec: ExecShape
  readonly #call: LiveShellOptions["call"]

  constructor({ call, exec, session }: LiveShellOptions) {
    this.sessionId = session
    this.#exec = exec
    this.#call = call
  }

  async exec(code: string, given?: ShellCommandOptions): Promise<ShellResult> {
    const { stdin, ...options } = optionsOf(given, COMMAND)
    // The command's length is measured before it is sent, where no schema has looked at it yet.
    if (typeof code !== "string") throw invalid("code", "must be a string: the command")
    if (stdin !== undefined && typeof stdin !== "string" && !(stdin instanceof Uint8Array)) {
      throw invalid("stdin", "must be a string or a Uint8Array")
    }
    const data = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin
    const input = data === undefined ? {} : { stdin: { _tag: "Bytes", data } as const }
    return this.#call(this.#exec.exec(this.sessionId, { code, ...options, ...input }))
  }

  async poll(execId: string, options?: ShellPollOptions): Promise<ShellResult> {
    return this.#call(this.#exec.poll(this.sessionId, textOf("execId", execId), optionsOf(options, POLL)))
  }

  async send(execId: string, text: string): Promise<void> {
    return this.#call(this.#exec.send(this.sessionId, textOf("execId", execId), { text: textOf("text", text) }))
  }

  async interrupt(execId?: string): Promise<void> {
    if (execId !== undefined) textOf("execId", execId)
    return this.#call(this.#exec.interrupt(this.sessionId, execId))
  }

  async end(): Promise<void> {
    await this.#call(this.#exec.end(this.sessionId))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}
