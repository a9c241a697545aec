/** A FIFO, a folder or a file where something else of a store should be: refused by name, at once, and never called healthy. */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { PROGRAM } from "../cli/reprise.ts"
import { copyStore, type MadeStore, makeStore, withFolder } from "./stores.ts"

/** A command that waits in a FIFO does not even end by a signal that it catches. */
const HANG_MILLIS = 60_000

const PLACES = {
  fifo: (path: string) => {
    spawnSync("mkfifo", ["-m", "600", path])
  },
  folder: (path: string) => mkdirSync(path, { mode: 0o700 }),
  file: (path: string) => writeFileSync(path, "", { mode: 0o600 })
}

/** In the order in which they are run; each ends with its code, and its words tell. `TARGET` is a folder that is not there. */
const CASES: ReadonlyArray<{
  readonly file: string
  readonly kinds: ReadonlyArray<keyof typeof PLACES>
  readonly commands: ReadonlyArray<readonly [command: string, code: number, words: RegExp]>
}> = [
  {
    file: "journal/format.json",
    kinds: ["fifo"],
    commands: [
      ["list", 73, /format\.json is not a file; run: reprise repair/],
      ["doctor", 73, /format\.json is not a file; run: reprise repair/],
      ["repair --yes", 0, /journal/],
      ["doctor", 0, /healthy/]
    ]
  },
  {
    file: "journal/ends.json",
    kinds: ["fifo", "folder"],
    commands: [
      ["list", 73, /ends\.json is not a file; run: reprise repair/],
      ["doctor", 73, /ends\.json is not a file; run: reprise repair/],
      ["repair --yes", 65, /ends\.json/],
      ["doctor", 65, /ends\.json is damaged/],
      ["list", 0, /ID/]
    ]
  },
  {
    file: "journal/db/CURRENT",
    kinds: ["fifo", "folder"],
    commands: [
      ["list", 73, /CURRENT: is not a file; move it away/],
      ["doctor", 73, /CURRENT +is not a file; move it away/]
    ]
  },
  { file: "journal/unsettled", kinds: ["fifo"], commands: [["list", 0, /ID/]] },
  {
    file: "config.json",
    kinds: ["fifo", "folder"],
    commands: [
      ["doctor", 73, /config\.json +is not a file; move it away/],
      ["run -- true", 73, /config\.json: is not a file; move it away/],
      ["backup TARGET", 73, /config\.json: is not a file; move it away/]
    ]
  },
  {
    file: "engine.log",
    kinds: ["fifo", "folder"],
    commands: [
      ["doctor", 73, /engine\.log +is not a file +move it away/],
      ["run -- true", 73, /engine\.log: is not a file; move it away/]
    ]
  },
  {
    file: "journal/damaged",
    kinds: ["fifo", "file"],
    commands: [
      ["list", 73, /damaged: is not a folder; move it away/],
      ["doctor", 73, /damaged +is not a folder; move it away/]
    ]
  },
  { file: "run", kinds: ["file"], commands: [["doctor", 73, /run +is not a folder of your own/]] },
  {
    file: "run/keepers",
    kinds: ["file"],
    commands: [
      ["doctor", 73, /keepers +is not a folder +move it away/],
      ["run -- true", 73, /keepers: is not a folder; move it away/]
    ]
  }
]

const reprise = (store: string, args: ReadonlyArray<string>) => {
  const env = { ...process.env, REPRISE_HOME: store, REPRISE_SESSION: "" }
  const options = { env, encoding: "utf8", timeout: HANG_MILLIS, killSignal: "SIGKILL" } as const
  const { signal, status, stderr, stdout } = spawnSync(process.execPath, [PROGRAM, ...args], options)
  return { code: signal ?? status, words: stdout + stderr }
}

const replaced = (made: MadeStore, store: string, file: string, kind: keyof typeof PLACES) => {
  const paths = copyStore(made.paths, store)
  const path = join(paths.store, file)
  rmSync(path, { recursive: true, force: true })
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  PLACES[kind](path)
  return paths
}

describe("what is no file in a store", () => {
  for (const { commands, file, kinds } of CASES) {
    for (const kind of kinds) {
      it(`${file} is a ${kind}: ${commands.map(([command]) => command).join(", ")}`, () =>
        withFolder(async (folder) => {
          const { store } = replaced(await makeStore(join(folder, "made")), join(folder, "store"), file, kind)
          const target = join(folder, "target")
          for (const [command, code, words] of commands) {
            const args = command.split(" ").map((word) => (word === "TARGET" ? target : word))
            const done = reprise(store, args)
            assert.strictEqual(done.code, code, `${command}: ${done.words}`)
            assert.match(done.words, words)
            assert.notMatch(done.words, /this is a bug/)
          }
          assert.isFalse(existsSync(target))
        }))
    }
  }

  it("format.json of a backup is a fifo: an import refuses it", () =>
    withFolder(async (folder) => {
      const made = await makeStore(join(folder, "made"))
      const { store } = replaced(made, join(folder, "backup"), "journal/format.json", "fifo")
      for (const more of [["--dry-run"], []]) {
        const { code, words } = reprise(made.paths.store, ["import", store, ...more])
        assert.strictEqual(code, 73, words)
        assert.match(words, /format\.json is not a file; run: reprise repair/)
      }
    }))
})
