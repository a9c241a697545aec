/** What a hostile program or caller calls things, through the real program: shown it is clean, stored it is unchanged, as a path it is nothing. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Cause, Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { toTextLine } from "../../cli/EventLine.ts"
import { SESSION_ID_PATTERN, type SessionId } from "../../journal/Event.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { entriesOf } from "../projections/events.ts"
import { UNCLEAN } from "./exports.ts"

/** C0, C1 in UTF-8, text that turns around, a forged line, markup, and a way up. */
const HOSTILE = "a\u001b[31m\u009b5m\u009d0;x\u0090y\u202egnp\u2066\n2026-01-01 INFO fake\r\tb</title>"
const FOLDER = `${HOSTILE.replaceAll("/", "")}..`

describe("hostile names", () => {
  const cli = new CommandLine()
  const files = realpathSync(mkdtempSync(join(tmpdir(), "reprise-names-")))
  const cwd = join(files, FOLDER)
  const argv = ["sh", "-c", 'cat "$1"; exec cat', HOSTILE, join(files, "output")]
  /** Folders as a shell reports them (OSC 7), and a title of a megabyte. */
  const reported = `/tmp/${FOLDER}/../../etc/`
  let session = ""

  beforeAll(async () => {
    mkdirSync(cwd)
    const osc7 = (path: string) => `\u001b]7;file://${encodeURI(path).replaceAll("#", "%23")}\u001b\\`
    const output = [
      osc7(`/${"d".repeat(4096)}`),
      osc7(reported),
      "\u001b]7;file:///%ff%fe\u0007",
      `\u001b]2;${"T".repeat(1_000_000)}\u0007`,
      `\u001b]2;one\u202e</title>two${"é".repeat(300)}\u0007`,
      "done"
    ]
    const broken = Buffer.from("\u001b]7;file:///x\u00ff\u0007", "latin1")
    writeFileSync(
      join(files, "output"),
      Buffer.concat([Buffer.from(output.slice(0, 3).join("")), broken, Buffer.from(output.slice(3).join(""))])
    )
    session = (
      await cli.text(["run", "--detach", "--name", "names", "--cwd", cwd, "--", ...argv.slice(0, 3), HOSTILE, argv[4]!])
    ).trim()
    while (!(await cli.text(["inspect", session, "--json"])).includes("done")) {}
  })
  afterAll(async () => {
    await cli.dispose()
    rmSync(files, { recursive: true, force: true })
  })

  it("hostile case 8, hostile case 9, hostile case 10: lists, views and events show them clean, one line each", async () => {
    const list = await cli.text(["list"])
    assert.strictEqual(list.trimEnd().split("\n").length, 2)
    for (const text of [list, await cli.text(["status"]), await cli.text(["inspect", session])]) {
      assert.notMatch(text, UNCLEAN)
      assert.notMatch(text, /^2026-01-01/m)
    }
    assert.include(list, "\\e[31m\\x9b5m\\x9d0;x\\x90y\\u{202e}gnp")
    const title = (await cli.json(["inspect", session])).title as string
    assert.strictEqual(Array.from(title).length, 256)
    assert.isTrue(title.startsWith("one</title>twoé"))
    // Events as a person reads them, on a terminal.
    const described = entriesOf([
      { _tag: "MarkerSet", label: HOSTILE },
      { _tag: "SessionLost", reason: HOSTILE },
      { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data: Buffer.from(HOSTILE) }
    ]).map((entry) => toTextLine(entry))
    for (const line of described) {
      assert.match(line, /^[^\n]*\n$/)
      assert.notMatch(line, UNCLEAN)
    }
  })

  it("hostile case 9, hostile case 10: JSON is nothing but JSON, shows nothing raw, and gives back what was stored", async () => {
    const given = ["sh", "-c", argv[2]!, HOSTILE, argv[4]!]
    const outputs = [
      await cli.text(["list", "--json"]),
      await cli.text(["inspect", session, "--json"]),
      await cli.text(["status", "--json"]),
      await cli.text(["events", session])
    ]
    for (const text of outputs) {
      assert.notMatch(text, UNCLEAN)
      for (const line of text.trimEnd().split("\n")) JSON.parse(line)
    }
    const [view] = JSON.parse(outputs[0]!)
    assert.deepStrictEqual(view.argv, given)
    // The last report that is one; what is longer than a path can be, and what is no UTF-8, is none.
    assert.strictEqual(view.cwd, reported)
    const [created] = outputs[3]!.split("\n").map((line) => JSON.parse(line || "null"))
    assert.deepStrictEqual([created.argv, created.cwd], [given, cwd])
    const feed = cli.spawn(["watch", "--json", "--after", "0"])
    const line = String(await new Promise((resolve) => feed.stdout!.once("data", resolve)))
    feed.kill("SIGTERM")
    assert.notMatch(line, UNCLEAN)
    assert.deepStrictEqual(JSON.parse(line.split("\n")[0]!).argv, given)
  })

  it("hostile case 10: no path is built of them", async () => {
    const below = (folder: string): ReadonlyArray<string> =>
      readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [entry.name, ...below(join(folder, entry.name))] : [entry.name]
      )
    assert.deepStrictEqual(
      below(cli.store).filter((name) => !/^[\w.-]+$/.test(name)),
      []
    )
    assert.deepStrictEqual(readdirSync(files).sort(), [FOLDER, "output"].sort())
    assert.deepStrictEqual(readdirSync(cwd), [])
  })

  it("hostile case 9: a session's own name is printable, or refused without a trace", async () => {
    for (const name of ["\u009b31m", "\u202ex", "a\nb", "\u001b]0;x\u0007", "n".repeat(129), "last", session]) {
      const { code, stderr, stdout } = await cli.run(["run", "--detach", `--name=${name}`, "--", "true"])
      assert.strictEqual(code, 64, stderr)
      assert.strictEqual(stdout.toString(), "")
      assert.match(stderr, /^reprise: name: [^\n]*\n$/)
      assert.notMatch(stderr, UNCLEAN)
    }
    assert.strictEqual((await cli.json(["list"])).length, 1)
  })

  it("hostile case 21: what is no session's id is none: not found, not made, not a path", async () => {
    const wrong = [
      "../x",
      "..%2f",
      "",
      "I".repeat(1024),
      "a\u0000b",
      "\u0000",
      "CON",
      session.toLowerCase(),
      `${session}\n`,
      `8${session.slice(1)}`,
      `${session.slice(0, 25)}U`,
      `/${session}`
    ]
    assert.match(session, SESSION_ID_PATTERN)
    const layer = EngineClient.layer({ paths: storePaths(cli.store), start: false, actor: "test" })
    const failures = await Effect.runPromise(
      Effect.gen(function* () {
        const history = yield* History
        const sessions = yield* Sessions
        const found: Array<string> = []
        for (const id of wrong as unknown as ReadonlyArray<SessionId>) {
          const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
            ["get", history.get(id)],
            ["stateAt", history.stateAt(id, { _tag: "Head" })],
            ["write", sessions.write(id, Buffer.from("x"))],
            ["signal", sessions.signal(id, "INT", "foreground")],
            ["close", sessions.close(id)],
            ["create", sessions.create({ id, argv: ["true"] })]
          ]
          for (const [name, call] of calls) {
            // A client that is typed refuses before it asks; an engine that is asked refuses too.
            const exit = yield* Effect.exit(call)
            if (exit._tag === "Success") found.push(`${name} ${JSON.stringify(id)}`)
            else if (
              /bug|defect|TypeError/i.test(Cause.pretty(exit.cause)) &&
              !/expected|Expected/.test(Cause.pretty(exit.cause))
            ) {
              found.push(`${name} ${JSON.stringify(id)}: ${Cause.pretty(exit.cause)}`)
            }
          }
        }
        return found
      }).pipe(Effect.provide(layer))
    )
    assert.deepStrictEqual(failures, [])
    // What can be typed. A lower-case id is a name that nobody has.
    for (const reference of ["../x", "..%2f", "", "CON", session.toLowerCase(), `${session}\n`]) {
      const { code, stderr } = await cli.run(["inspect", reference])
      assert.strictEqual(code, 66, `${JSON.stringify(reference)}: ${stderr}`)
      assert.match(stderr, /^reprise: session "[^\n]*" not found[^\n]*\n$/)
    }
    assert.strictEqual((await cli.json(["list"])).length, 1)
  })

  it("hostile case 25: an error message stays one line, and nothing in it acts", async () => {
    const wrong: ReadonlyArray<ReadonlyArray<string>> = [
      ["inspect", HOSTILE],
      ["run", "--", `/no/such/${HOSTILE}`],
      ["run", `--cwd=/no/such/${HOSTILE}`, "--", "true"],
      ["run", `--size=${HOSTILE}`, "--", "true"],
      ["signal", session, HOSTILE],
      ["inspect", session, `--at=${HOSTILE}`],
      ["list", `--${HOSTILE}`],
      ["export", session, "--format", "csv", `--out=/no/such/${HOSTILE}`],
      ["--store", `/dev/null/${HOSTILE}`, "run", "--", "true"]
    ]
    for (const args of wrong) {
      const { code, stderr } = await cli.run(args)
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /^reprise: [^\n]*\n$/, JSON.stringify(args))
      assert.notMatch(stderr, UNCLEAN)
    }
  })

  it("hostile case 25: a record of the engine's log is one line of JSON, whatever it is about", () => {
    const program = [
      `import { Effect } from "effect"`,
      `import * as EngineLog from "./src/remote/EngineLog.ts"`,
      `const text = ${JSON.stringify(HOSTILE)}`,
      `const failing = Effect.fail(new Error(text)).pipe(Effect.catchCause((cause) => Effect.logError(text, cause, { text })))`,
      `await Effect.runPromise(failing.pipe(Effect.annotateLogs("stream", text), Effect.provide(EngineLog.layer)))`
    ].join("\n")
    const root = fileURLToPath(new URL("../..", import.meta.url))
    const printed = execFileSync(
      "sh",
      ["-c", 'exec "$0" --input-type=module -e "$1" 2>&1', process.execPath, program],
      {
        cwd: root
      }
    ).toString()
    assert.notMatch(printed, UNCLEAN)
    assert.match(printed, /^[^\n]+\n$/)
    const record = JSON.parse(printed)
    assert.strictEqual(record.level, "ERROR")
    assert.strictEqual(record.annotations.stream, HOSTILE)
    // And what the engine of this file had to say.
    const log = readFileSync(storePaths(cli.store).log, "utf8")
    for (const line of log.split("\n").filter((text) => text !== "")) JSON.parse(line)
  })
})
