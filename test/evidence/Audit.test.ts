/** Who looked, and what was done to the store: with an engine and without one, through every command that gives something away. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { WebSocket } from "ws"
import { Exec } from "../../src/exec/Exec.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { SUBPROTOCOL } from "../../src/remote/WebSocketProtocol.ts"
import { Attach } from "../../src/session/Attach.ts"
import { ownerName } from "../../src/session/CreateRequest.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { finish, makeReprise, watch } from "../cli/reprise.ts"

interface AuditLine {
  readonly type: string
  readonly what: string
  readonly session: string | null
  readonly by: string
  readonly through: string
  readonly times: number
  readonly reason?: string
  readonly detail?: string
  readonly actor: string
  readonly refused?: string
}

describe("who looked", () => {
  it.live(
    "every way to what a session holds is one event of the store's own stream, by whom, through what and what for",
    () =>
      Effect.gen(function* () {
        const reprise = yield* makeReprise
        const type = Effect.fnUntraced(function* (args: ReadonlyArray<string>, code = 0) {
          const { code: ended, stderr, stdout } = yield* reprise.run(args)
          assert.strictEqual(ended, code, `${args.join(" ")}: ${stderr}`)
          return stdout.toString()
        })
        const audit = Effect.map(type(["audit", "--json"]), (text) =>
          text
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line) as AuditLine)
        )
        /** `what through` of each access to the session, in order; with how often, where that is told. */
        const accesses = (lines: ReadonlyArray<AuditLine>, session: string | null) =>
          lines
            .filter((line) => line.type === "HistoryAccessed" && line.session === session)
            .map(({ reason, through, what }) => [what, through, ...(reason === undefined ? [] : [reason])].join(", "))

        yield* type(["run", "--name", "looked", "--", "sh", "-c", "echo one; echo two"])
        const { id } = yield* reprise.view("looked")
        // --- with an engine
        yield* type(["events", "looked"])
        yield* type(["inspect", "looked"])
        yield* type(["replay", "looked"])
        yield* type(["export", "looked", "--out", "a.cast", "--reason", "case 7"])
        yield* type(["export", "looked", "--out", "b.txt", "--format", "text"])
        yield* type(["export", "looked", "--out", "c.jsonl", "--format", "events", "--reason", "case 8"])
        yield* type(["search", "two"])
        yield* type(["diff", "looked", "looked"])
        yield* type(["backup", "copy"])
        yield* type(["hold", "looked", "--reason", "case 9"])
        yield* type(["release", "looked"])
        const anchor = yield* type(["anchor"])
        assert.match(anchor, /^reprise\.local\/[0-9A-Z]{26}\n\d+\n/)
        yield* type(["keys", "rotate"])
        yield* type(["verify"])
        // An engine does not wait for the event of an access: it may still be on its way to the disk.
        let live = yield* audit
        while (!accesses(live, null).includes("verify, cli")) live = yield* audit
        // Of the session that it runs, `run` follows the output; what asks page by page is one access.
        assert.deepStrictEqual(accesses(live, id).toSorted(), [
          "diff, cli",
          "export, cli",
          "export, cli, case 7",
          "export, cli, case 8",
          "follow, cli",
          "inspect, cli",
          "read, cli",
          "replay, cli"
        ])
        assert.deepStrictEqual(accesses(live, null).toSorted(), ["backup, cli", "search, cli", "verify, cli"])
        assert.deepStrictEqual(
          live.flatMap(({ detail, session, type, what }) =>
            type === "StoreAdministered" ? [[what, session, what === "rotate-key" ? "" : detail]] : []
          ),
          [
            ["hold", id, "case 9"],
            ["release", id, ""],
            ["rotate-key", null, ""]
          ]
        )
        assert.deepStrictEqual([...new Set(live.flatMap(({ by }) => by ?? []))], [ownerName()])

        // --- without one
        yield* type(["stop"])
        const before = (yield* audit).length
        yield* type(["replay", "looked"])
        yield* type(["export", "looked", "--out", "d.jsonl", "--format", "events", "--reason", "case 10"])
        yield* type(["search", "two"])
        yield* type(["verify"])
        const alone = (yield* audit).slice(before)
        assert.deepStrictEqual(
          [...accesses(alone, id), ...accesses(alone, null)],
          [
            "replay, cli without an engine",
            "export, cli without an engine, case 10",
            "search, cli without an engine",
            "verify, cli without an engine"
          ]
        )
        // All of it is under the next checkpoint, and a copy stays as it was made.
        yield* type(["anchor"])
        assert.match(yield* type(["verify"]), /integrity +intact\ncompleteness +complete/)
        yield* type(["backup", "second"])
        const copy = ["--store", join(reprise.store, "../second")]
        yield* type([...copy, "replay", "looked"])
        const { code, stderr } = yield* reprise.run([...copy, "verify"])
        assert.strictEqual(code, 0)
        assert.include(stderr, "nobody is told that this was looked at: a copy is left as it was made")
        assert.match(yield* type([...copy, "doctor"]), /as it was made/)
        assert.match(
          yield* type(["doctor"]),
          /evidence +\d+ statements, the last of .*; 2 sessions, \d+ events? not sealed yet/
        )
      }).pipe(Effect.scoped),
    // Some thirty commands are typed, one after the other.
    240_000
  )

  it.live(
    "what was refused is told too, and what a command printed when somebody reads it who did not give it",
    () =>
      Effect.gen(function* () {
        const reprise = yield* makeReprise
        const text = (args: ReadonlyArray<string>) => Effect.map(reprise.run(args), ({ stdout }) => stdout.toString())
        yield* text(["start", "--name", "sh"])
        const { exec_id: execId } = JSON.parse(yield* text(["exec", "sh", "--json", "--", "echo one"]))
        const { id } = yield* reprise.view("sh")
        const mine = { client: "eye", readOnly: true }
        yield* Effect.gen(function* () {
          const { attach } = yield* Attach
          const sessions = yield* Sessions
          const exec = yield* Exec
          yield* Stream.runForEach(attach(id, mine).pipe(Stream.take(1)), () =>
            Effect.gen(function* () {
              for (const data of ["a", "b"]) {
                const refused = yield* Effect.flip(sessions.write(id, Buffer.from(data), { client: mine.client }))
                assert.strictEqual(refused._tag, "AccessDenied")
              }
            })
          )
          const other = yield* exec.start({ policy: { deny: ["shutdown"] } })
          assert.strictEqual((yield* Effect.flip(exec.exec(other.id, { code: "shutdown" })))._tag, "PolicyDenied")
          // Its own command is none that it looks at.
          const own = yield* exec.exec(id, { code: "echo two" })
          yield* exec.poll(id, own.execId)
        }).pipe(
          Effect.provide(EngineClient.layer({ paths: storePaths(reprise.store), start: false, actor: "test" })),
          Effect.scoped
        )
        const readers = Effect.map(text(["audit", "--json"]), (lines) =>
          lines
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line) as AuditLine)
            .filter(({ type }) => type === "HistoryAccessed")
        )
        // They come a moment after their refusal.
        let before = yield* readers
        while (!before.some(({ through }) => through === "client")) before = yield* readers
        assert.deepStrictEqual(
          before
            .filter(({ what }) => what === "read" || what === "refused")
            .map(({ refused, through }) => [through, refused]),
          [
            ["eye", `session ${id}: client "eye" is attached read-only`],
            ["client", before.find(({ through }) => through === "client")?.refused]
          ]
        )
        assert.include(before.find(({ through }) => through === "client")?.refused, "policy against /shutdown/")
        yield* reprise.run(["poll", "sh", execId])

        // The door tells of all of them when it closes, by their address.
        const door = yield* reprise.start(["serve", "--json"])
        const { url } = JSON.parse(yield* watch(door.stdout!)(/\}/))
        for (let guesses = 0; guesses < 3; guesses++) {
          yield* Effect.callback<void>((resume) => {
            const socket = new WebSocket(url, [SUBPROTOCOL], { headers: { authorization: `Bearer ${guesses}` } })
            socket.once("error", () => resume(Effect.void))
          })
        }
        const gone = finish(door)
        door.kill("SIGTERM")
        yield* gone
        const later = Effect.map(readers, (lines) => lines.slice(before.length).filter(({ what }) => what !== "audit"))
        let told = yield* later
        while (!told.some(({ what }) => what === "refused")) told = yield* later
        assert.deepStrictEqual(
          told.map(({ refused, session, through, times, what }) => [what, session, through, times, refused]),
          [
            ["read", id, "cli", 1, undefined],
            ["refused", null, "serve", 3, "wrong token at 127.0.0.1:0, from 127.0.0.1"]
          ]
        )
        yield* reprise.run(["stop", "--sessions"])
      }).pipe(Effect.scoped),
    240_000
  )
})
