/** Clients and engines of different releases: what both know works, and what one does not know is told as that. */

import { mkdirSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import * as NodeSocketServer from "@effect/platform-node-shared/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Schema, Stream } from "effect"
import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { afterAll, beforeAll } from "vitest"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { EVENT_KIND_MAX, rareKinds } from "../../journal/EventKind.ts"
import { eventFor } from "../../journal/Record.ts"
import { Attach, Exec, History, Redaction, Sessions } from "../../src/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { EngineMismatch } from "../../src/remote/EngineError.ts"
import {
  CAPTURE_REVISION,
  FRAME_BYTES_MAX,
  PROTOCOL_REVISION,
  PROTOCOL_VERSION,
  REDACT_DRY_RUN_REVISION
} from "../../src/remote/SessionRpcs.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { type Programs, RELEASES_TRIED, unpackPrograms } from "../fixtures/releases/Releases.ts"
import { openDoor } from "../remote/fakeEngine.ts"
import { textOf } from "../session/sessionsUnderTest.ts"
import { UPGRADE_MILLIS_MAX, upgradeStore } from "./upgradeUnderTest.ts"

let programs: Programs
beforeAll(() => {
  programs = unpackPrograms()
})
afterAll(() => programs.dispose())

/** Says `ready`, then what it is given; ends with 3. */
const ECHO = ["bash", "-c", "stty -echo; echo ready; while read x; do [ $x = end ] && exit 3; echo got $x; done"]

describe("an earlier client", { timeout: UPGRADE_MILLIS_MAX }, () => {
  for (const release of RELEASES_TRIED) {
    it.live(`reliability row 37: ${release} client, this engine: everything it knew works`, () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        const { own } = store
        const old = store.old(release)
        yield* Effect.promise(async () => {
          // The engine is of this version: the first client starts it.
          const id = (await own.text(["run", "--detach", "--name", "echo", "--", ...ECHO])).trim()
          const { code, stdout } = await old.run(
            ["run", "--name", "short", "--", "bash", "-c", "read x; echo $x; exit 4"],
            {
              input: "typed\n"
            }
          )
          assert.deepStrictEqual([code, stdout.toString().includes("typed\r\n")], [4, true])
          const [listed, view, status] = await Promise.all([
            old.json(["list"]),
            old.json(["inspect", "echo"]),
            old.json(["status"])
          ])
          assert.deepStrictEqual(listed.map(({ name }: { name: string }) => name).sort(), ["echo", "short"])
          assert.deepInclude(view, { id, status: "running" })
          assert.strictEqual(status.enginePid, await own.enginePid())
          await Promise.all([old.text(["resize", "echo", "91x21"]), old.text(["signal", "echo", "WINCH"])])
          if (release !== "protocol-1") {
            const shell = JSON.parse(await old.text(["start", "--name", "shell", "bash"])).session_id
            assert.strictEqual(await old.text(["exec", "shell", "--", "export A=1; echo $A"]), "1\n")
            await old.text(["end", shell])
          }
          while (!(await own.run(["replay", "echo"])).stdout.includes("ready")) await sleep(20)
          const events = (await old.text(["events", "echo"]))
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line))
          assert.includeMembers(
            events.map(({ type }) => type),
            ["SessionCreated", "ProcessStarted", "OutputReceived", "Resized", "SignalSent"]
          )
          // What happened under this engine to a session of the old client, in its words and in ours.
          assert.strictEqual(await old.text(["replay", "short"]), await own.text(["replay", "short"]))
          await old.text(["end", "echo"])
          assert.deepInclude(await own.json(["inspect", "echo"]), { status: "exited", size: { cols: 91, rows: 21 } })
          await old.text(["stop", "--sessions"])
          while ((await own.enginePid()) !== null) await sleep(20)
        })
      })
    )

    it.live(`reliability row 37: ${release} client, an engine of a protocol to come: it is told to be upgraded`, () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        yield* Layer.build(otherEngine(store.paths, { protocol: PROTOCOL_VERSION + 1, revision: 0 }))
        for (const args of [["list"], ["run", "--", "true"]]) {
          const { code, stderr } = yield* Effect.promise(() => store.old(release).run(args))
          assert.strictEqual(code, 76, stderr)
          assert.match(stderr, /^reprise: the engine of this store is newer \(9\.9\.9\).*upgrade this reprise\n$/)
        }
      })
    )
  }

  it("reliability row 37: an event of a later kind is Unknown for a client that does not know it, with its bytes", () => {
    const event: SessionEvent = { _tag: "DefectDetected", what: "screen", session: "s", at: 3, detail: "d" }
    assert.strictEqual(eventFor(event, EVENT_KIND_MAX), event)
    const { _tag, ...fields } = event
    assert.deepStrictEqual(eventFor(event, 39), {
      _tag: "Unknown",
      kind: 40,
      payload: Buffer.from(JSON.stringify(fields))
    })
    const output: SessionEvent = { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data: new Uint8Array(1) }
    assert.strictEqual(eventFor(output, 0), output)
  })
})

describe("an event of a later kind, in a session that an earlier client reads", { timeout: UPGRADE_MILLIS_MAX }, () => {
  it.live("reliability row 37: is Unknown to it, with its bytes, and the events around it are what they are", () =>
    Effect.gen(function* () {
      const store = yield* upgradeStore(programs)
      const { own } = store
      yield* Effect.promise(async () => {
        await own.text(["run", "--detach", "--name", "echo", "--", ...ECHO])
        await own.text(["hold", "echo", "--reason", "kept \u00e9"])
        await own.text(["resize", "echo", "60x20"])
        for (const release of RELEASES_TRIED) {
          const events = (await store.old(release).text(["events", "echo"])).trim().split("\n")
          const kinds = events.map((line) => JSON.parse(line))
          const held = kinds.findIndex(({ type }) => type === "Unknown")
          assert.deepInclude(kinds[held], { kind: rareKinds.HoldPlaced })
          assert.deepStrictEqual(JSON.parse(Buffer.from(kinds[held].payload, "base64").toString()), {
            reason: "kept \u00e9"
          })
          assert.deepStrictEqual(
            kinds.map(({ sequence }) => sequence),
            kinds.map((_, index) => index + 1)
          )
          assert.deepInclude(
            kinds.slice(held).map(({ type }) => type),
            "Resized"
          )
        }
        // Nor do they know that events may be removed.
        await own.text(["release", "echo"])
        await own.text(["prune", "echo", "--max-events", "1"])
        for (const release of RELEASES_TRIED) {
          const { code, stderr } = await store.old(release).run(["inspect", "echo", "--at", "1"])
          assert.strictEqual(code, 65, stderr)
          assert.match(stderr, /removed/)
          assert.deepInclude(await store.old(release).json(["inspect", "echo"]), { status: "running" })
        }
      })
    })
  )
})

describe("an earlier engine", { timeout: UPGRADE_MILLIS_MAX }, () => {
  for (const release of RELEASES_TRIED) {
    it.live(
      `reliability row 37: ${release} engine, this client: what both know works, the rest says what to do, and doing it keeps the session`,
      () =>
        Effect.gen(function* () {
          const store = yield* upgradeStore(programs)
          const { own } = store
          const old = store.old(release)
          const id = (yield* Effect.promise(() =>
            old.text(["run", "--detach", "--name", "echo", "--", ...ECHO])
          )).trim() as SessionId
          const engine = yield* Effect.promise(() => own.enginePid())
          const pid = yield* Effect.gen(function* () {
            const sessions = yield* Sessions
            const history = yield* History
            assert.deepStrictEqual(
              (yield* history.list).map(({ name }) => name),
              ["echo"]
            )
            yield* history.follow(id, 0).pipe(
              Stream.takeUntil((item) => item._tag === "Page" && textOf(item.entries).includes("ready")),
              Stream.runDrain
            )
            yield* sessions.write(id, Buffer.from("one\n"))
            yield* sessions.resize(id, { cols: 77, rows: 11 })
            assert.deepInclude(yield* sessions.status, { enginePid: engine!, sessions: { total: 1, live: 1 } })
            const attached = yield* Effect.exit(
              Effect.flatMap(Attach, (attach) => Stream.runDrain(Stream.take(attach.attach(id), 1)))
            )
            const limited = yield* Effect.exit(sessions.create({ argv: ["true"], limits: { idleMillis: 1000 } }))
            if (release === "protocol-3") {
              assert.isTrue(Exit.isSuccess(attached) && Exit.isSuccess(limited))
            } else {
              assert.match(mismatchIn(attached).message, /is older .* does not know the call Attach.*`reprise stop`/)
              // It would have been ignored without a word.
              assert.match(mismatchIn(limited).message, /is older/)
              assert.lengthOf(yield* history.list, 1)
            }
            return (yield* history.get(id)).pid!
          }).pipe(Effect.provide(EngineClient.layer({ paths: store.paths, start: false, actor: "test" })))
          yield* Effect.promise(async () => {
            if (release !== "protocol-3") {
              const { code, stderr } = await own.run(["attach", "echo"], { input: "" })
              assert.strictEqual(code, 76)
              assert.match(
                stderr,
                /`reprise stop` ends it, the next command starts the new one and sessions go on meanwhile/
              )
            }
            // As it says.
            await own.text(["stop"])
            await own.text(["send", "echo", "two\\nend\\n"])
            assert.notStrictEqual(await own.enginePid(), engine)
            const { code, stdout } = await own.run(["attach", "echo"], { input: "" })
            assert.deepStrictEqual([code, stdout.toString().replace(/^.*got two/s, "got two")], [3, "got two\r\n"])
            assert.deepInclude(await own.json(["inspect", "echo"]), { pid, exitCode: 3, size: { cols: 77, rows: 11 } })
            assert.strictEqual(await own.text(["replay", "echo"]), "ready\r\ngot one\r\ngot two\r\n")
          })
        })
    )
  }

  it.live(
    "reliability row 37: engines of an earlier and a later protocol are refused with exit code 76, can be stopped, and a bug stays one",
    () =>
      Effect.gen(function* () {
        for (const [protocol, said] of [
          [PROTOCOL_VERSION - 1, /is older \(9\.9\.9\).*`reprise stop`/],
          [PROTOCOL_VERSION + 1, /is newer \(9\.9\.9\).*upgrade this reprise/]
        ] as const) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const store = yield* upgradeStore(programs)
              yield* Layer.build(otherEngine(store.paths, { protocol, revision: 0 }))
              const { code, stderr } = yield* Effect.promise(() => store.own.run(["list"]))
              assert.strictEqual(code, 76)
              assert.match(stderr, said)
              const client = EngineClient.layer({ paths: store.paths, start: false, anyVersion: true })
              const stopped = yield* Effect.flatMap(EngineClient.EngineControl, (control) =>
                control.stop({ sessions: false })
              ).pipe(Effect.provide(client))
              assert.deepInclude(stopped, { ended: [], pid: process.pid })
            })
          )
        }
        // The answer to `Status` is another one there.
        for (const [revision, said] of [
          [PROTOCOL_REVISION + 1, /is newer.*an answer of the other.*upgrade this reprise/],
          [undefined, /is older.*an answer of the other.*`reprise stop`/]
        ] as const) {
          const exit = yield* Effect.scoped(
            Effect.gen(function* () {
              const store = yield* upgradeStore(programs)
              yield* Layer.build(otherEngine(store.paths, { protocol: PROTOCOL_VERSION, revision }))
              return yield* Effect.exit(
                Effect.provide(
                  Effect.flatMap(Sessions, ({ status }) => status),
                  EngineClient.layer({ paths: store.paths, start: false })
                )
              )
            })
          )
          assert.match(mismatchIn(exit).message, said)
        }
      })
  )

  it.live(
    "reliability row 37: an engine that would ignore rules that redact at capture is not given a session with them",
    () =>
      Effect.gen(function* () {
        const redact = { rules: ["aws"] }
        for (const revision of [undefined, CAPTURE_REVISION - 1]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const store = yield* upgradeStore(programs)
              yield* Layer.build(otherEngine(store.paths, { protocol: PROTOCOL_VERSION, revision }))
              const services = yield* Layer.build(EngineClient.layer({ paths: store.paths, start: false }))
              const terminal = Context.get(services, Sessions).create({ argv: ["true"], redact })
              const shell = Context.get(services, Exec).start({ language: "bash", redact })
              for (const started of [yield* Effect.exit(terminal), yield* Effect.exit(shell)]) {
                assert.match(mismatchIn(started).message, /is older.*rules that redact at capture.*`reprise stop`/)
              }
              const { code, stderr } = yield* Effect.promise(() =>
                store.own.run(["run", "--redact", "aws", "--", "true"])
              )
              assert.strictEqual(code, 76, stderr)
              assert.match(stderr, /rules that redact at capture/)
            })
          )
        }
      })
  )

  it.live("an engine that would redact where it is only to look is not asked", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        const revision = REDACT_DRY_RUN_REVISION - 1
        yield* Layer.build(otherEngine(store.paths, { protocol: PROTOCOL_VERSION, revision }))
        const services = yield* Layer.build(EngineClient.layer({ paths: store.paths, start: false }))
        const request = { session: newSessionId(), from: 1, to: 1, rules: [], reason: "", events: [], secrets: ["a"] }
        const exit = yield* Effect.exit(
          Context.get(services, Redaction).redact({ ...request, isLast: true, isDryRun: true })
        )
        assert.match(mismatchIn(exit).message, /is older.*of removed events would be redacted.*`reprise stop`/)
      })
    )
  )

  it.live(
    "reliability row 37: through a door of this version to an earlier engine, and through an earlier door to an engine of this one",
    () =>
      Effect.gen(function* () {
        const before = yield* upgradeStore(programs)
        yield* Effect.promise(() => before.old("protocol-1").text(["run", "--detach", "--name", "echo", "--", ...ECHO]))
        const door = yield* openDoor(before.paths)
        const through = (url: string, token: string) =>
          Effect.gen(function* () {
            const context = yield* Layer.build(EngineClient.layer({ url, token }))
            const history = Context.get(context, History)
            assert.deepStrictEqual(
              (yield* history.list).map(({ name }) => name),
              ["echo"]
            )
            return yield* Effect.exit(
              Effect.flatMap(history.resolve("echo"), (id) =>
                Stream.runDrain(Stream.take(Context.get(context, Attach).attach(id), 1))
              )
            )
          })
        assert.match(mismatchIn(yield* through(door.url, door.token)).message, /is older/)

        const after = yield* upgradeStore(programs)
        yield* Effect.promise(() => after.own.text(["run", "--detach", "--name", "echo", "--", ...ECHO]))
        const serving = yield* Effect.acquireRelease(
          Effect.sync(() => after.old("protocol-3").spawn(["serve", "--json"])),
          (child) => Effect.sync(() => child.kill("SIGTERM"))
        )
        const said = yield* Effect.promise(
          () => new Promise<string>((resolve) => serving.stdout!.once("data", (chunk) => resolve(String(chunk))))
        )
        const { token, url } = JSON.parse(said.split("\n")[0]!)
        assert.isTrue(Exit.isSuccess(yield* through(url, token)))
      })
  )
})

const mismatchIn = (exit: Exit.Exit<unknown, unknown>): EngineMismatch => {
  assert.isTrue(Exit.isFailure(exit), "it fails")
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  assert.instanceOf(error, EngineMismatch)
  return error as EngineMismatch
}

/** An engine that answers the Handshake, stops, and gives a status that this version does not understand. */
const otherEngine = (
  paths: StorePaths,
  greeting: { readonly protocol: number; readonly revision: number | undefined }
) => {
  mkdirSync(paths.run, { recursive: true, mode: 0o700 })
  const group = RpcGroup.make(
    Rpc.make("Handshake", {
      payload: { protocol: Schema.Int, version: Schema.String },
      success: Schema.Struct({
        protocol: Schema.Int,
        version: Schema.String,
        pid: Schema.Int,
        revision: Schema.optional(Schema.Int)
      })
    }),
    Rpc.make("Status", { success: Schema.Struct({ engine: Schema.String }) }),
    Rpc.make("Stop", {
      payload: { sessions: Schema.Boolean },
      success: Schema.Struct({ ended: Schema.Array(Schema.String), survivors: Schema.Array(Schema.String) })
    })
  )
  return RpcServer.layer(group, { disableTracing: true }).pipe(
    Layer.provide(
      group.toLayer({
        Handshake: () => Effect.succeed({ ...greeting, version: "9.9.9", pid: process.pid }),
        Status: () => Effect.succeed({ engine: "another" }),
        Stop: () => Effect.succeed({ ended: [], survivors: [] })
      })
    ),
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide(NodeSocketServer.layer({ path: paths.engineSocket })),
    Layer.provide(RpcSerialization.layerSchemaBinary({ maxFrameSize: FRAME_BYTES_MAX }))
  )
}
