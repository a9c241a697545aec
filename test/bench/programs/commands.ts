/**
 * Commands in persistent shells, timed in a process of its own: what the measurement `exec` does. Run as
 * `commands.ts WAY STORE COMMAND …`; prints one line of JSON. WAY is `service`: the built library in this process, with
 * the store and a keeper of its own; or `socket`: a client of a running engine.
 *
 *   noop LANGUAGE COUNT     a command that does nothing; for bash through the service beside a fresh `bash -c true`
 *   output COUNT            10 MB of zeros and of text, compared with what they must be
 *   reset COUNT             a new shell in the place of the old one
 *   functions COUNT FUNCTIONS   a command that does nothing in a bash that has so many functions
 *   growth COUNT            memory of this process and bytes of the journal before and after so many commands
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { Effect, type Layer, type Scope } from "effect"
import type { Language, SessionId } from "../../../journal/Event.ts"
import { Exec, type ExecResult } from "../../../src/exec/Exec.ts"
import * as EngineClient from "../../../src/remote/EngineClient.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"

const NOOP: Readonly<Record<Language, string>> = { bash: "true", zsh: "true", python: "pass", node: ";" }
/** Not counted: V8 compiles meanwhile. */
const WARM_UP = 200
/** Of each way in turn: long enough to be what it is alone, short enough that a busy machine is busy for both. */
const BLOCK = 50
const OUTPUT_BYTES = 10_000_000
/** RSS after it is what stays; before it, the collector may not have run. */
const SETTLE_MILLIS = 1000
const BYTES_PER_MIB = 2 ** 20

const start = Effect.fnUntraced(function* (language: Language) {
  const begin = performance.now()
  const { id } = yield* Exec.use((exec) => exec.start({ language, cwd: "/" }))
  const millis = performance.now() - begin
  yield* Effect.addFinalizer(() => Effect.ignore(Exec.use((exec) => exec.end(id))))
  return { id: id as SessionId, millis }
})

const run = (session: SessionId, code: string): Effect.Effect<ExecResult, unknown, Exec> =>
  Exec.use((exec) => exec.exec(session, { code }))

const timed = Effect.fnUntraced(function* (session: SessionId, code: string) {
  const begin = performance.now()
  const { exitCode, status } = yield* run(session, code)
  const millis = performance.now() - begin
  if (status !== "completed" || exitCode !== 0) throw new Error(`${code} ended with ${status}, ${exitCode}`)
  return millis
})

const times = Effect.fnUntraced(function* (session: SessionId, code: string, count: number) {
  const samples: Array<number> = []
  for (let at = 0; at < count; at++) samples.push(yield* timed(session, code))
  return samples
})

/** Until its streams are closed, as whoever wants its output has to wait. */
const freshBash = Effect.promise(
  () =>
    new Promise<number>((resolve, reject) => {
      const begin = performance.now()
      const child = spawn("bash", ["-c", "true"], { stdio: ["ignore", "pipe", "pipe"] })
      child.once("error", reject)
      child.stdout.resume()
      child.stderr.resume()
      child.once("close", () => resolve(performance.now() - begin))
    })
)

const noop = Effect.fnUntraced(function* (language: Language, count: number) {
  const { id, millis } = yield* start(language)
  const code = NOOP[language]
  yield* times(id, code, WARM_UP)
  const samples: Array<number> = []
  const fresh: Array<number> = []
  for (let at = 0; at < count; at += BLOCK) {
    samples.push(...(yield* times(id, code, Math.min(BLOCK, count - at))))
    if (language !== "bash" || way !== "service") continue
    for (let one = 0; one < BLOCK; one++) fresh.push(yield* freshBash)
  }
  return { startMillis: millis, samples, fresh }
})

const output = Effect.fnUntraced(function* (count: number) {
  const { id } = yield* start("bash")
  const line = "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ é\n"
  const text = Buffer.alloc(OUTPUT_BYTES, line)
  const ways = [
    { name: "zeros", code: `head -c ${OUTPUT_BYTES} /dev/zero`, expected: Buffer.alloc(OUTPUT_BYTES) },
    { name: "text", code: `yes '${line.trimEnd()}' | head -c ${OUTPUT_BYTES}`, expected: text }
  ]
  const results: Array<{ name: string; millis: Array<number>; intact: boolean }> = []
  for (const { code, expected, name } of ways) {
    const millis: Array<number> = []
    let intact = true
    for (let at = 0; at < count; at++) {
      const begin = performance.now()
      const { stderr, stdout } = yield* run(id, code)
      millis.push(performance.now() - begin)
      intact &&= stderr.length === 0 && sha256(stdout) === sha256(expected)
    }
    results.push({ name, millis, intact })
  }
  return results
})

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const reset = Effect.fnUntraced(function* (count: number) {
  const { id } = yield* start("bash")
  const samples: Array<number> = []
  for (let at = 0; at < count; at++) {
    const begin = performance.now()
    yield* Exec.use((exec) => exec.reset(id))
    samples.push(performance.now() - begin)
  }
  return samples
})

const functions = Effect.fnUntraced(function* (count: number, number: number) {
  const { id } = yield* start("bash")
  // As long as one of bash-completion is.
  const body =
    "local cur prev words cword; if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '--help --version' -- \"$cur\")); fi"
  yield* run(
    id,
    `for ((i = 0; i < ${number}; i++)); do eval "_completion_$i() { ${body.replaceAll("$", "\\$").replaceAll('"', '\\"')}; }"; done`
  )
  yield* times(id, "true", WARM_UP)
  return yield* times(id, "true", count)
})

const growth = Effect.fnUntraced(function* (count: number) {
  const { id } = yield* start("bash")
  yield* times(id, "true", WARM_UP)
  const look = Effect.promise(async () => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MILLIS))
    return { rss: process.memoryUsage.rss() / BYTES_PER_MIB, journal: bytesIn(storePaths(store!).journal) }
  })
  const before = yield* look
  yield* times(id, "true", count)
  return { before, after: yield* look }
})

const bytesIn = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).reduce((sum, entry) => {
    if (!entry.isFile()) return sum
    return sum + (statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0)
  }, 0)

const [way, store, command, ...rest] = process.argv.slice(2)
const work = (): Effect.Effect<unknown, unknown, Exec | Scope.Scope> => {
  switch (command) {
    case "noop":
      return noop(rest[0] as Language, Number(rest[1]))
    case "output":
      return output(Number(rest[0]))
    case "reset":
      return reset(Number(rest[0]))
    case "functions":
      return functions(Number(rest[0]), Number(rest[1]))
    case "growth":
      return growth(Number(rest[0]))
    default:
      return Effect.die(new Error(`commands: what is ${command}?`))
  }
}

/** The built one: it starts built keepers, as a user's does. */
const service = async (): Promise<Layer.Layer<Exec, unknown>> => {
  const built: string = "../../../dist/src/index.js"
  const { Reprise } = (await import(built)) as typeof import("../../../src/index.ts")
  return Reprise.layer({ store })
}
const layer = way === "service" ? await service() : EngineClient.layer({ paths: storePaths(store!), start: false })
const result = await Effect.runPromise(Effect.scoped(work()).pipe(Effect.provide(layer)))
process.stdout.write(`${JSON.stringify(result)}\n`)
