/**
 * Stops commands before they end by themselves: the interrupt, the signal that somebody asks for, the time limit. It sends
 * signals, and never says how a command ended: the shell and the kernel do.
 */
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import type { Command } from "./Command.ts"
import { signalCommand } from "./CommandProcesses.ts"

/** Each step of ending a command whose time is over: INT, TERM, KILL, then the shell itself. */
const TIMEOUT_STEP_MILLIS = [500, 500, 1000] as const
/** A signal before the shell has opened the command's streams would meet an idle shell, which ignores it. */
const INTERRUPT_MIN_AGE_MILLIS = 50
/** A shell that goes on behind what was killed is done with it by then. */
const KILL_MILLIS = 1000
/** Signals that are meant to end a command. */
const ENDING: ReadonlySet<string> = new Set(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])

/** The session whose commands they are. */
export interface StopOwner {
  readonly live: LiveSession
  readonly running: Command | undefined
  readonly nowMicros: () => number
  event(event: SessionEvent, actor?: string): NewEvent
}

export class CommandStop {
  readonly #owner: StopOwner

  constructor(owner: StopOwner) {
    this.#owner = owner
  }

  async interrupt(command: Command, actor: string | undefined): Promise<void> {
    const age = this.#owner.nowMicros() / 1000 - command.startedMillis
    if (age < INTERRUPT_MIN_AGE_MILLIS) {
      await Promise.race([command.finished.catch(() => undefined), sleep(INTERRUPT_MIN_AGE_MILLIS - age)])
    }
    if (command.isSettled) return
    command.isInterrupted = true
    await this.#owner.live.signal("SIGINT", "foreground", { actor })
  }

  async kill(command: Command, signal: NodeJS.Signals, actor: string | undefined): Promise<void> {
    const event: SessionEvent = { _tag: "SignalSent", signal, target: "foreground" }
    await this.#owner.live.append([this.#owner.event(event, actor)])
    await this.#signal(command, signal)
    if (signal === "SIGKILL") await this.#endByForce(command)
  }

  /** A command that KILL does not end is the shell's own work: then the shell goes, and is brought back with its state. */
  async #endByForce(command: Command): Promise<void> {
    await Promise.race([command.finished.catch(() => undefined), sleep(KILL_MILLIS)])
    const { live } = this.#owner
    const { pid, startTime } = live.state
    if (command.isSettled || command.end !== undefined || this.#owner.running !== command) return
    if (pid === null || startTime === null) return
    // Those that were started since get it too, as long as there are some.
    const scope = { session: live.id, shell: { pid, startTime }, since: command.sinceTicks }
    if (signalCommand(scope, "SIGKILL") > 0) return
    await live.signal("SIGKILL", "leader", {})
  }

  async #signal(command: Command, signal: NodeJS.Signals): Promise<void> {
    const { live } = this.#owner
    const { pid, startTime } = live.state
    if (pid === null || startTime === null) return
    // The shell would go on with the rest of the command once its child is gone: it is told first.
    if (ENDING.has(signal)) await live.host?.signal(live.id, "SIGINT", "leader").catch(() => undefined)
    if (command.isSettled) return
    signalCommand({ session: live.id, shell: { pid, startTime }, since: command.sinceTicks }, signal)
  }

  /** The command's time limit runs from its start, whoever started it. */
  armTimeout(command: Command): void {
    const { timeoutMillis } = command.request
    if (timeoutMillis === undefined) return
    clearTimeout(command.timer)
    const left = command.startedMillis + timeoutMillis - this.#owner.nowMicros() / 1000
    command.timer = setTimeout(() => void this.#endByTime(command).catch(() => undefined), Math.max(0, left))
  }

  /** INT, TERM and KILL to its processes; then the shell itself, which is brought back with its state. */
  async #endByTime(command: Command): Promise<void> {
    const { live } = this.#owner
    const isOver = () => command.isSettled || command.end !== undefined || this.#owner.running !== command
    command.isTimedOut = true
    const steps = [
      () => live.signal("SIGINT", "foreground", {}),
      () => this.#signal(command, "SIGTERM"),
      () => this.#signal(command, "SIGKILL")
    ]
    for (const [index, step] of steps.entries()) {
      if (isOver()) return
      await step()
      await Promise.race([command.finished.catch(() => undefined), sleep(TIMEOUT_STEP_MILLIS[index]!)])
    }
    if (isOver()) return
    await live.signal("SIGKILL", "leader", {})
  }
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))
