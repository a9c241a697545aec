/** A store with a real engine: a second one never opens it, whatever is done to it meanwhile, and what is no store of ours is refused. */
import { spawn } from "node:child_process"
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { STORE_STREAM } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { lockHolder } from "../../src/care/LockHolder.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { type CommandLine, withCommandLine } from "../crash/commandLine.ts"
import { seesInside } from "../fixtures/processFigures.ts"
import { withFolder, withJournal } from "./stores.ts"

const OPENINGS = 50
/** Many processes, one after the other: a bound for a machine that is busy with ten times as much. */
const TIMEOUT_MILLIS = 300_000
/** Of them, engines of their own; the others are openings of the journal in this process, which is what an engine begins with. */
const ENGINES = 8

const engineProgram = new URL("../../dist/bin/engine.js", import.meta.url).pathname

/** Its pid and how it ended; it says nothing to anybody. */
const startEngine = (cli: CommandLine): Promise<number | null> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [engineProgram, "--store", cli.store], { stdio: "ignore", detached: true })
    child.once("close", (code) => resolve(code))
  })

const descriptorsOfFile = (pid: number, file: string) =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return statSync(`/proc/${pid}/fd/${fd}`).ino === lstatSync(file).ino
    } catch {
      return false
    }
  })

describe("a store in use", () => {
  it(
    `reliability row 15: a second engine that is started ${OPENINGS} times never opens it, while the first reads, backs up and is stopped`,
    { timeout: TIMEOUT_MILLIS },
    () =>
      withCommandLine((cli) =>
        withFolder(async (folder) => {
          const paths = storePaths(cli.store)
          const database = join(paths.journal, "db")
          const command = ["run", "--detach", "--", "sh", "-c", "while read line; do echo $line; done"]
          const id = (await cli.text(command)).trim()
          const pid = await cli.enginePid()
          assert.isNotNull(pid)
          assert.strictEqual(lockHolder(database), pid)
          let refused = 0
          const tryOpen = () =>
            withJournal(paths, Effect.asVoid(Journal)).then(
              () => assert.fail("opened"),
              (error) => {
                assert.deepInclude(error, { _tag: "StoreRefused", reason: "locked" })
                refused++
              }
            )
          const uses = [
            () => cli.json(["doctor"]),
            () => cli.json(["backup", join(folder, "backup")]),
            () => cli.json(["list"]),
            () => cli.text(["send", id, "hello", "--enter"]),
            () => cli.text(["replay", id])
          ]
          for (const use of uses) {
            const using = use()
            const engines = Array.from({ length: 1 }, () => startEngine(cli))
            for (let at = 0; at < 8; at++) await tryOpen()
            await using
            // It waits for the one that runs to answer, says so, and ends.
            for (const code of await Promise.all(engines)) assert.strictEqual(code, 0)
            assert.strictEqual(lockHolder(database), pid)
            assert.strictEqual(await cli.enginePid(), pid)
          }
          // LevelDB's own descriptor of LOCK, and no other.
          if (seesInside) assert.lengthOf(descriptorsOfFile(pid, join(database, "LOCK")), 1)
          // While it is stopped, one of those that start gets the store, after it.
          for (let at = uses.length; at < ENGINES; at++) {
            const stopping = cli.text(["stop"])
            const starting = cli.text(["send", id, "again", "--enter"])
            await Promise.all([stopping, starting.catch(() => "")])
          }
          for (let at = refused + uses.length + (ENGINES - uses.length); at < OPENINGS; at++) {
            if ((await cli.enginePid()) === null) await cli.text(["send", id, "again", "--enter"])
            await tryOpen()
          }
          await cli.text(["end", id])
          await cli.run(["stop"])
          // Every engine stopped before the next one started.
          const tags = await withJournal(
            paths,
            Effect.gen(function* () {
              const journal = yield* Journal
              assert.deepStrictEqual((yield* journal.verify).damages, [])
              const events = yield* Stream.runCollect(journal.read(STORE_STREAM))
              return events.map(({ event }) => event._tag).filter((tag) => tag.startsWith("Engine"))
            })
          )
          assert.isAtLeast(tags.length, 2)
          for (let at = 0; at < tags.length; at++) {
            assert.strictEqual(tags[at], at % 2 === 0 ? "EngineStarted" : "EngineStopped", tags.join())
          }
        })
      )
  )

  it(
    "hostile case 30: CURRENT deleted, a bit flipped, the log cut: said by every command, and never an empty or a wrong list",
    { timeout: TIMEOUT_MILLIS },
    () =>
      withCommandLine(async (cli) => {
        await cli.text(["run", "--", "seq", "1", "2000"])
        await cli.text(["stop"])
        const database = join(cli.store, "journal", "db")
        const current = join(database, "CURRENT")
        const saved = readFileSync(current)
        unlinkSync(current)
        const listed = await cli.run(["list"])
        assert.deepStrictEqual([listed.code, String(listed.stdout)], [73, ""])
        assert.include(listed.stderr, "reprise repair")
        assert.strictEqual((await cli.run(["run", "--", "true"])).code, 73)
        assert.strictEqual((await cli.run(["doctor"])).code, 73)
        assert.strictEqual((await cli.run(["repair"])).code, 73)
        assert.isFalse(readdirSync(cli.store).some((name) => name.includes("repair")))
        assert.strictEqual((await cli.run(["repair", "--yes"])).code, 0)
        assert.strictEqual((await cli.run(["doctor"])).code, 0)
        assert.include(await cli.text(["replay", "last"]), "1999\r\n2000\r\n")
        assert.isAbove(saved.length, 0)

        // What the repair wrote last is in the log, or in a table since somebody read it.
        const files = readdirSync(database).filter((name) => /\.(log|ldb)$/.test(name))
        for (const file of files.map((name) => join(database, name))) {
          const bytes = readFileSync(file)
          if (bytes.length < 1000) continue
          const middle = Math.floor(bytes.length / 3)
          writeFileSync(file, bytes.fill(0x55, middle, middle + 100))
        }
        const checked = await cli.run(["doctor", "--json"])
        assert.strictEqual(checked.code, 65)
        assert.isNotEmpty(JSON.parse(String(checked.stdout)).damages)
        const replayed = await cli.run(["replay", "last"])
        const whole = Array.from({ length: 2000 }, (_, at) => `${at + 1}\r\n`).join("")
        assert.isTrue(whole.startsWith(String(replayed.stdout)))
      })
  )
})

describe("a folder that somebody prepared", () => {
  const NOBODY = 65_534
  const isRoot = process.getuid?.() === 0
  const isMeant = (cli: CommandLine, stderr: string) =>
    assert.match(
      stderr,
      /symbolic link|belongs to|user|open to other|entered by other|not a socket|not a folder|not empty/,
      cli.store
    )
  /** Each refuses to start an engine there; nothing is made where the link points. */
  const CASES: ReadonlyArray<readonly [string, boolean, (cli: CommandLine, outside: string) => void]> = [
    [
      "a store that is a link",
      false,
      (cli, outside) => {
        rmSync(cli.store, { recursive: true })
        symlinkSync(outside, cli.store)
      }
    ],
    ["a store that is another user's", true, (cli) => chownSync(cli.store, NOBODY, NOBODY)],
    [
      "a store that is open to others and in use",
      false,
      (cli) => {
        writeFileSync(join(cli.store, "config.json"), "{}")
        chmodSync(cli.store, 0o777)
      }
    ],
    ["a journal that is a link", false, (cli, outside) => symlinkSync(outside, join(cli.store, "journal"))],
    ["a run folder that is a link", false, (cli, outside) => symlinkSync(outside, join(cli.store, "run"))],
    [
      "a run folder that others may enter",
      false,
      (cli) => {
        mkdirSync(join(cli.store, "run"))
        chmodSync(join(cli.store, "run"), 0o755)
      }
    ],
    [
      "a run folder that is another user's",
      true,
      (cli) => {
        mkdirSync(join(cli.store, "run"), { mode: 0o700 })
        chownSync(join(cli.store, "run"), NOBODY, NOBODY)
      }
    ],
    [
      "a socket that is a link",
      false,
      (cli, outside) => {
        mkdirSync(join(cli.store, "run"), { mode: 0o700 })
        symlinkSync(join(outside, "engine.sock"), join(cli.store, "run", "engine.sock"))
      }
    ]
  ]
  for (const [name, needsRoot, prepare] of CASES) {
    if (needsRoot && !isRoot) continue
    it(`reliability row 32: ${name} is refused, and nothing is made outside`, { timeout: TIMEOUT_MILLIS }, () =>
      withCommandLine((cli) =>
        withFolder(async (folder) => {
          const outside = join(folder, "outside")
          mkdirSync(outside, { mode: 0o700 })
          prepare(cli, outside)
          const { code, stderr } = await cli.run(["run", "--detach", "--", "sleep", "100"])
          assert.notStrictEqual(code, 0)
          isMeant(cli, stderr)
          assert.deepStrictEqual(readdirSync(outside), [])
          // A check says so too.
          const checked = await cli.run(["doctor"])
          assert.strictEqual(checked.code, 73, String(checked.stdout))
          if (lstatSync(cli.store).isSymbolicLink()) renameSync(cli.store, join(folder, "link"))
        })
      )
    )
  }
})
