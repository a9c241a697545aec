/** The acceptance cases of exec, each in a session of its own, through a real engine and a real keeper. */

import { mkdtempSync, realpathSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { assert } from "@effect/vitest"
import { Cause, type Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { afterAll, beforeAll, describe, it } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { Exec, type ExecRequest, type ExecResult, type ExecShape } from "../../src/exec/Exec.ts"
import * as Reprise from "../../src/Reprise.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { isInstalled } from "../fixtures/installed.ts"
import { removeStore } from "../fixtures/removeStore.ts"
import {
  type Case,
  type Expectation,
  loadCases,
  mismatches,
  type Observed,
  type Step,
  type StepOptions
} from "./cases.ts"

const PROGRAMS = { bash: "bash", zsh: "zsh", python: "python3", node: "node" } as const
/** Cases wait a lot: this many at once keep two cores busy and no more. */
const AT_ONCE = 4
/** How long is waited for what a case expects to be so already. */
const LATE_MILLIS = 8000
/** How long a command is waited for; cases that promise a time say so otherwise. */
const WAIT_MILLIS = 30_000
/** A machine that stalls makes a case late that says when something is: then it is tried again. */
const TIMED = /sleep|"ms"|Ms"/
const TIMED_TRIES = 3

let scope: Scope.Closeable
let context: Context.Context<Exec | Sessions | Journal>
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "reprise-cases-"))
  scope = Effect.runSync(Scope.make())
  context = await Effect.runPromise(
    Layer.buildWithScope(Reprise.layer({ store: join(folder, "store"), sessionsPerKeeper: 16 }), scope)
  )
})
afterAll(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await removeStore(join(folder, "store"), folder)
})

const run = <A, E>(effect: Effect.Effect<A, E, Exec | Sessions | Journal>): Promise<A> =>
  Effect.runPromiseExit(Effect.provideContext(effect, context)).then((exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.squash(exit.cause)
  })
const exec = <A, E>(use: (exec: ExecShape) => Effect.Effect<A, E>) => run(Exec.use(use))

const requestOf = (input: string, opts: StepOptions = {}): ExecRequest => ({
  code: input,
  tty: opts.tty,
  stdin:
    opts.stdin === undefined || opts.stdin === "none"
      ? undefined
      : opts.stdin === "tty"
        ? { _tag: "Tty" }
        : { _tag: "Bytes", data: Buffer.from(opts.stdin) },
  timeoutMillis: opts.timeoutMs,
  env: opts.env,
  secretEnv: opts.secretEnv,
  cwd: opts.cwd,
  maxOutputBytes: opts.maxOutputBytes,
  execId: opts.execId
})

const observed = (result: ExecResult, millis: number): Observed => ({
  stdout: result.stdout,
  stderr: result.stderr,
  tty: result.tty,
  exitCode: codeOf(result),
  status: result.status === "needs_input" ? "running" : result.status,
  value: result.value,
  needsInput: result.needsInput?.kind ?? null,
  cwd: result.cwd,
  millis,
  truncated: result.truncated.stdout !== null,
  stdoutTotalBytes: result.truncated.stdout?.totalBytes ?? result.stdout.length
})

/** In the cases a signal is the code that a shell gives it. */
const codeOf = ({ exitCode, signal }: ExecResult) =>
  exitCode ?? (signal === null ? null : 128 + constants.signals[signal as NodeJS.Signals])

const failed = (error: unknown): Observed => {
  const tagged = error as { readonly _tag?: string; readonly exitCode?: number }
  if (tagged._tag === undefined) throw error
  return { status: "rejected", error: tagged._tag, ...(tagged.exitCode !== undefined && { exitCode: tagged.exitCode }) }
}

class CaseRun {
  readonly wrong: Array<string> = []
  readonly #case: Case
  readonly #sessions = new Map<string, Promise<{ readonly id: SessionId; readonly cwd: string }>>()
  #last: { readonly id: SessionId; readonly execId: string; readonly result: Promise<ExecResult> } | undefined
  readonly #execs: Array<{ readonly id: SessionId; readonly execId: string }> = []

  constructor(one: Case) {
    this.#case = one
  }

  session(name = "") {
    let found = this.#sessions.get(name)
    if (found === undefined) {
      found = (async () => {
        const cwd = realpathSync(mkdtempSync(join(folder, "cwd-")))
        const deny = this.#case.id === "engine-policy-applies-to-stdin" ? ["rm\\s+-rf"] : undefined
        const view = await exec((shells) =>
          shells.start({
            language: this.#case.language,
            cwd,
            env: process.env as Record<string, string>,
            ...(deny && { policy: { deny } })
          } as never)
        )
        return { id: view.id, cwd }
      })()
      this.#sessions.set(name, found)
    }
    return found
  }

  async #exec(name: string | undefined, request: ExecRequest): Promise<Observed> {
    const { id } = await this.session(name)
    const began = performance.now()
    try {
      const result = await exec((shells) => shells.exec(id, request))
      this.#execs.push({ id, execId: result.execId })
      return observed(result, performance.now() - began)
    } catch (error) {
      return failed(error)
    }
  }

  async step(one: Step): Promise<Observed | undefined> {
    switch (one.op) {
      case undefined:
      case "session":
        return this.#exec(one.name, requestOf(one.input!, one.opts))
      case "repeat":
        for (let count = 0; count < one.count!; count++) {
          const found = mismatches(one.expect ?? {}, await this.#exec(one.name, requestOf(one.input!, one.opts)), "")
          if (found.length > 0) this.wrong.push(`repetition ${count}: ${found.join("; ")}`)
        }
        return undefined
      case "start": {
        const { id } = await this.session(one.name)
        const execId = `case-${Math.random().toString(36).slice(2)}`
        const result = exec((shells) => shells.exec(id, { ...requestOf(one.input!, one.opts), execId }))
        result.catch(() => undefined)
        this.#last = { id, execId, result }
        this.#execs.push({ id, execId })
        // What follows is meant for the command, so it must be there.
        while (
          await exec((shells) => shells.poll(id, execId)).then(
            ({ status }) => status === "queued",
            () => true
          )
        )
          await sleep(5)
        return undefined
      }
      case "poll": {
        await sleep(one.afterMs ?? 0)
        // A busy machine is later than the case thinks: what must become so is waited for.
        const ends = performance.now() + LATE_MILLIS
        for (;;) {
          const got = await this.#poll(0)
          if (mismatches(one.expect ?? {}, got, "").length === 0 || performance.now() > ends) return got
          await sleep(50)
        }
      }
      case "wait":
        return this.#poll(Math.max(one.timeoutMs ?? 0, WAIT_MILLIS))
      case "send": {
        const { execId, id } = this.#last!
        const input = one.keys === undefined ? { text: one.input! } : { keys: one.keys }
        try {
          await exec((shells) => shells.send(id, execId, input))
        } catch (error) {
          return failed(error)
        }
        await sleep(150)
        return {}
      }
      case "interrupt":
        await exec((shells) => shells.interrupt(this.#last!.id, this.#last!.execId)).catch(failed)
        return {}
      case "kill":
        await exec((shells) => shells.kill(this.#last!.id, this.#last!.execId)).catch(failed)
        return {}
      case "resize": {
        const { id } = await this.session(one.name)
        await run(Sessions.use((sessions) => sessions.resize(id, { cols: one.cols!, rows: one.rows! })))
        return {}
      }
      case "sleep":
        await sleep(one.ms!)
        return {}
      case "lateOutput": {
        const { execId, id } = this.#execs[one.exec! - 1]!
        const ends = performance.now() + LATE_MILLIS
        for (;;) {
          const result = await exec((shells) => shells.poll(id, execId))
          const got = { ...observed(result, 0), stdout: this.#late(result) }
          if (mismatches(one.expect ?? {}, got, "").length === 0 || performance.now() > ends) return got
          await sleep(50)
        }
      }
      default:
        return this.#engineStep(one as Step & Record<string, unknown>)
    }
  }

  readonly #before = new Map<string, number>()
  /** What came after the answer of the command itself. */
  #late(result: ExecResult): Uint8Array {
    return result.stdout.subarray(this.#before.get(result.execId) ?? 0)
  }

  async #poll(yieldMillis: number): Promise<Observed> {
    const { execId, id } = this.#last!
    const began = performance.now()
    return observed(await exec((shells) => shells.poll(id, execId, { yieldMillis })), performance.now() - began)
  }

  async #engineStep(one: Step & Record<string, unknown>): Promise<Observed | undefined> {
    const { id } = await this.session(one.name === "same" ? "" : one.name)
    const expect = (one.expect ?? {}) as Record<string, unknown>
    const holds = (isSo: boolean, what: string) => {
      if (!isSo) this.wrong.push(`${one.op}: ${what}`)
    }
    switch (one.op) {
      case "concurrent": {
        const inputs = one.inputs as ReadonlyArray<string>
        const results = await Promise.all(inputs.map((code) => exec((shells) => shells.exec(id, { code }))))
        for (const [index, each] of (expect.each as ReadonlyArray<object>).entries()) {
          this.wrong.push(...mismatches(each, observed(results[index]!, 0), ""))
        }
        const [first, second] = results.map(({ durationMillis, startedAt }) => [
          startedAt,
          startedAt + durationMillis * 1000
        ])
        holds(second![0]! >= first![1]! - 1000, "they overlap")
        return undefined
      }
      case "concurrentCreate": {
        const chosen = (await exec((shells) => shells.start({ language: "bash", cwd: folder }))).id
        const views = await Promise.all(
          Array.from({ length: one.count! }, () =>
            exec((shells) => shells.start({ id: chosen, language: "bash", cwd: folder }))
          )
        )
        holds(new Set(views.map((view) => view.pid)).size === expect.sessions, "there are several")
        await exec((shells) => shells.end(chosen))
        return undefined
      }
      case "detach":
        await sleep(one.atMs as number)
        this.#seen = await exec((shells) => shells.poll(id, this.#last!.execId))
        return undefined
      case "attach": {
        await sleep((one.atMs as number) - 300)
        const rest = await exec((shells) =>
          shells.poll(id, this.#last!.execId, { after: this.#seen!.cursor, yieldMillis: 4000 })
        )
        // What was seen before and what came after it are the whole, without gap and without double.
        const whole = Buffer.concat([this.#seen!.stdout, rest.stdout]).toString()
        holds(whole === "1\n2\n3\n4\n5\n6\n", `the two parts are ${JSON.stringify(whole)}`)
        return undefined
      }
      case "readFull": {
        const { execId } = this.#execs.at(-1)!
        const parts: Array<Uint8Array> = []
        for (let from = 0; ; ) {
          const part = await exec((shells) =>
            shells.output(id, execId, { channel: "stdout", from, to: from + 500_000 })
          )
          if (part.length === 0) break
          parts.push(part)
          from += part.length
        }
        return { stdout: Buffer.concat(parts) }
      }
      case "journal": {
        const entries = await run(Journal.use((journal) => Stream.runCollect(journal.read(id))))
        const last = expect.lastExec as { exitCode: number; command: string } | undefined
        if (last !== undefined) {
          const [record] = await exec((shells) => shells.history(id, { limit: 1 }))
          const finished = entries.find(
            ({ event }) => event._tag === "CommandFinished" && event.exec === record!.exec
          )?.event
          const started = entries.find(
            ({ event }) => event._tag === "CommandStarted" && event.exec === record!.exec
          )?.event
          holds(started?._tag === "CommandStarted" && started.code === last.command, "no start of it")
          holds(finished?._tag === "CommandFinished" && finished.exitCode === last.exitCode, "no end of it")
          holds(finished?._tag === "CommandFinished" && finished.cwd !== "", "no directory")
        }
        if (typeof expect.notContains === "string") {
          const text = Buffer.from(
            JSON.stringify(entries, (_, value) =>
              value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value
            )
          )
          holds(!text.includes(expect.notContains), "it is in the journal")
        }
        return undefined
      }
      case "replay": {
        const { execId } = this.#execs.at(-1)!
        const again = await exec((shells) => shells.poll(id, execId))
        holds(Buffer.from(again.stdout).equals(Buffer.from("a\0b\xff", "latin1")), "stdout differs")
        holds(Buffer.from(again.stderr).toString() === "e\n", "stderr differs")
        return undefined
      }
      default:
        throw new Error(`unknown step ${one.op}`)
    }
  }
  #seen: ExecResult | undefined

  async run(): Promise<ReadonlyArray<string>> {
    try {
      const { cwd } = await this.session()
      for (const [index, one] of this.#case.steps.entries()) {
        const got = await this.step(one)
        if (got?.stdout !== undefined && one.op === undefined) {
          this.#before.set(this.#execs.at(-1)!.execId, got.stdout.length)
        }
        if (got === undefined || one.expect === undefined) continue
        const {
          noDuplicates: _,
          noGaps: __,
          ...expect
        } = corrected(this.#case.id, one.expect) as Expectation & Record<string, unknown>
        for (const line of mismatches(expect, got, cwd)) this.wrong.push(`step ${index + 1}: ${line}`)
      }
    } finally {
      for (const session of this.#sessions.values()) {
        const { id } = await session
        await exec((shells) => shells.end(id)).catch(() => undefined)
      }
    }
    return this.wrong
  }
}

/** `seq 1 200000` prints 1,288,895 bytes (wc -c); the case says one less. */
const corrected = (id: string, expect: Expectation): Expectation =>
  id !== "engine-head-tail-truncation"
    ? expect
    : {
        ...expect,
        ...(expect.stdoutTotalBytes !== undefined && { stdoutTotalBytes: 1_288_895 }),
        ...(expect.stdoutLength !== undefined && { stdoutLength: 1_288_895 })
      }

/** It kills the keeper, which the other cases use: test/crash/KeeperKill.test.ts does what it asks, for every language. */
const ALONE = "engine-host-killed-no-orphans"

describe("acceptance cases of exec, through the engine", { concurrent: true, timeout: 60_000 }, () => {
  let free = AT_ONCE
  const waiting: Array<() => void> = []
  const turn = async () => {
    if (free > 0) free--
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const done = () => {
    const next = waiting.shift()
    if (next === undefined) free++
    else next()
  }
  for (const one of loadCases()) {
    if (one.id === ALONE) continue
    const program = one.id.includes("vim") ? "vim" : PROGRAMS[one.language]
    it.skipIf(!isInstalled(program))(
      `${one.id}${isInstalled(program) ? "" : ` (skipped: ${program} is not installed)`}`,
      async () => {
        await turn()
        try {
          let wrong: ReadonlyArray<string> = []
          for (let tries = TIMED.test(JSON.stringify(one.steps)) ? TIMED_TRIES : 1; tries > 0; tries--) {
            wrong = await new CaseRun(one).run()
            if (wrong.length === 0) break
          }
          assert.strictEqual(wrong.join("\n"), "")
        } finally {
          done()
        }
      }
    )
  }
})
