/** The built command line in a store of its own, whose engine and sessions are ended, and whose files are removed, with the test. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"

export const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/reprise.js")

export interface Finished {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface Reprise {
  readonly store: string
  readonly env: NodeJS.ProcessEnv
  /** Runs to its end. */
  run(args: ReadonlyArray<string>, input?: string | Uint8Array): Effect.Effect<Finished>
  /** Starts and leaves running; killed with the test. */
  start(args: ReadonlyArray<string>): Effect.Effect<ChildProcess, never, Scope.Scope>
}

export const finish = (child: ChildProcess): Effect.Effect<Finished> =>
  Effect.callback((resume) => {
    const stdout: Array<Buffer> = []
    let stderr = ""
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.on("close", (code) => resume(Effect.succeed({ code, stdout: Buffer.concat(stdout), stderr })))
  })

/** Keeps everything a stream gives, from now on, and waits for a text in it: nothing is missed between two waits. */
export const watch = (stream: NodeJS.ReadableStream): ((text: string | RegExp) => Effect.Effect<string>) => {
  let seen = ""
  let wake = () => {}
  stream.on("data", (chunk: Buffer) => {
    seen += chunk.toString()
    wake()
  })
  return (text) =>
    Effect.callback((resume) => {
      wake = () => {
        if (typeof text === "string" ? seen.includes(text) : text.test(seen)) resume(Effect.succeed(seen))
      }
      wake()
    })
}

export const makeReprise: Effect.Effect<Reprise, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rp-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const store = join(folder, "store")
  const { REPRISE_SESSION: _session, ...inherited } = process.env
  const env = { ...inherited, REPRISE_HOME: store }
  const launch = (args: ReadonlyArray<string>) => spawn(process.execPath, [PROGRAM, ...args], { env, cwd: folder })
  const reprise: Reprise = {
    store,
    env,
    run: (args, input = "") =>
      Effect.suspend(() => {
        const child = launch(args)
        // The program may be gone before it has read everything.
        child.stdin.on("error", () => {})
        child.stdin.end(input)
        return finish(child)
      }),
    start: (args) =>
      Effect.acquireRelease(
        Effect.sync(() => launch(args)),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
  }
  yield* Effect.addFinalizer(() => reprise.run(["stop", "--sessions"]))
  return reprise
})
