/**
 * A client of a running engine in a process of its own, through either of its doors: what the measurement `doors` does.
 * Run as `doorClient.ts COMMAND DOOR TOKENFILE …`, where DOOR is a store's folder, or the URL of a WebSocket door whose
 * token is in the file. Prints one line of JSON; `read` says `ready` first and begins with the first byte of its standard
 * input. It starts and ends no engine.
 *
 *   roundTrip DOOR TOKENFILE COUNT            messages to a program that sends each one back
 *   create DOOR TOKENFILE PROGRAM…            the id of a new session
 *   read DOOR TOKENFILE SESSION BYTES         its history until that many bytes came
 *   follow DOOR TOKENFILE SESSION BYTES       the same, of what happens from now on
 *   trigger DOOR TOKENFILE SESSION BYTES      the same, and types the Enter that lets it happen
 */
import { readFileSync } from "node:fs"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../../journal/Event.ts"
import * as EngineClient from "../../../src/remote/EngineClient.ts"
import { SessionOutput } from "../../../src/remote/SessionOutput.ts"
import { Sessions } from "../../../src/session/Sessions.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { ECHO_PROGRAM } from "./keystrokes.ts"
import { sendAndWait } from "./messages.ts"

const create = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const view = yield* Sessions.use((sessions) => sessions.create({ argv, cwd: "/" }))
  return view.id as SessionId
})

const roundTrip = Effect.fnUntraced(function* (count: number) {
  const id = yield* create(ECHO_PROGRAM)
  const output = yield* SessionOutput
  const sessions = yield* Sessions
  const context = yield* Effect.context()
  let onBytes: (bytes: Uint8Array) => void = () => {}
  yield* output.stream(id).pipe(
    Stream.runForEach((item) => Effect.sync(() => item._tag === "Output" && onBytes(item.data))),
    Effect.forkScoped
  )
  const run = Effect.runPromiseWith(context)
  const samples = yield* Effect.promise(() =>
    sendAndWait(
      count,
      (listener) => {
        onBytes = listener
      },
      (bytes) => run(sessions.write(id, bytes))
    )
  )
  yield* sessions.close(id)
  return samples
})

const go = Effect.callback<void>((resume) => {
  process.stdin.once("data", () => {
    process.stdin.destroy()
    resume(Effect.void)
  })
  process.stdout.write("ready\n")
})

const read = Effect.fnUntraced(function* (id: SessionId, bytesMax: number, mode: string) {
  const output = yield* SessionOutput
  const sessions = yield* Sessions
  let bytes = 0
  if (mode === "read") yield* go
  yield* output.stream(id, { live: mode !== "read" }).pipe(
    Stream.tap((item) => {
      if (item._tag !== "Synced") return Effect.void
      return mode === "trigger"
        ? Effect.andThen(go, Effect.orDie(sessions.write(id, Uint8Array.of(13))))
        : Effect.andThen(go, Effect.void)
    }),
    Stream.takeUntil((item) => {
      if (item._tag === "Output") bytes += item.data.byteLength
      return bytes >= bytesMax
    }),
    Stream.runDrain
  )
  return { bytes }
})

const [command, door, tokenFile, ...rest] = process.argv.slice(2)
const work = (): Effect.Effect<unknown, unknown, Sessions | SessionOutput | import("effect").Scope.Scope> => {
  switch (command) {
    case "roundTrip":
      return roundTrip(Number(rest[0]))
    case "create":
      return create(rest)
    case "read":
    case "follow":
    case "trigger":
      return read(rest[0] as SessionId, Number(rest[1]), command)
    default:
      return Effect.die(new Error(`doorClient: what is ${command}?`))
  }
}

const target = door!.startsWith("ws")
  ? { url: door!, token: readFileSync(tokenFile!, "utf8").trim() }
  : { paths: storePaths(door!), start: false }
const result = await Effect.runPromise(
  Effect.scoped(work()).pipe(Effect.provide(EngineClient.layer({ ...target, actor: "bench" })))
)
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
