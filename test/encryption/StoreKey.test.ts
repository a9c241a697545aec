/** Where a store's key comes from, and what is wrong with it: one line that says what to do, an exit code, and a store that is as it was. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { KEY_SPACE, KEY_SPACES } from "../../journal/DataKeys.ts"
import { Journal } from "../../journal/index.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { eventKey, rowKey, streamBytes } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { encodeRow } from "../../journal/Record.ts"
import { loadStoreKey } from "../../journal/StoreKey.ts"
import { closed, contentOf, created, served, withFolder } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { encryptedPaths, inJournal, keyFile } from "./stores.ts"

process.umask(0o077)

const refusalOf = (load: () => unknown): string => {
  try {
    load()
  } catch (error) {
    assert.instanceOf(error, StoreRefused, String(error))
    return (error as StoreRefused).detail
  }
  throw new Error("was not refused")
}

describe("a store's key", () => {
  it("that is missing, another, empty or no file: one line, 73, and nothing of the store is changed", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const stream = newSessionId()
      await inJournal(
        paths,
        Journal.use((journal) => journal.append(stream, [created(), outputEvent("here"), closed]))
      )
      const { name } = loadStoreKey(paths.key!)
      const other = keyFile(folder, 8)
      const empty = join(folder, "empty")
      writeFileSync(empty, "")
      mkdirSync(join(folder, "key.d"))
      const before = contentOf(paths.store)
      const cli = new CommandLine(paths.store)
      const file = (path: string) => ({ args: ["--key-file", path], env: {} })
      const command = (text: string) => ({ args: [], env: { REPRISE_STORE_KEY_COMMAND: text } })
      const cases = [
        [{ args: [], env: {} }, "list", `is encrypted with the key ${name}, and no key was given: set`],
        [file(other), "list", `is encrypted with the key ${name}, and ${other} holds the key`],
        // One that would start an engine.
        [file(other), "run", `is encrypted with the key ${name}, and ${other} holds the key`],
        [file(empty), "list", "gives no key: it must be 32 bytes, as they are, in hex or in base64"],
        [file(join(folder, "key.d")), "list", "is not a file; name the file that holds the store's key"],
        [
          file(join(folder, "none")),
          "list",
          "the key file does not exist; `reprise keys --new-store-key FILE` makes one"
        ],
        [command("exit 3"), "list", "the command of REPRISE_STORE_KEY_COMMAND: failed (exit code 3)"]
      ] as const
      // Two at a time: each is a process that mostly starts.
      const look = async ([{ args, env }, verb, expected]: (typeof cases)[number]) => {
        const rest = verb === "run" ? ["run", "--", "true"] : [verb]
        const { code, stderr, stdout } = await cli.run([...args, ...rest], { env })
        assert.strictEqual(code, 73, stderr)
        assert.strictEqual(stdout.toString(), "")
        assert.include(stderr, expected)
        assert.strictEqual(stderr.split("\n").length, 2, stderr)
      }
      for (let at = 0; at < cases.length; at += 2) await Promise.all(cases.slice(at, at + 2).map(look))
      const after = contentOf(paths.store)
      for (const [path, bytes] of before) assert.strictEqual(after.get(path), bytes, path)
      const made = [...after.keys()].filter((path) => !before.has(path) && !path.startsWith(paths.run))
      assert.deepStrictEqual(
        made.filter((path) => path !== paths.log),
        []
      )
      assert.deepStrictEqual((await inJournal(paths, served(stream))).outputs, ["here"])
    }))

  it("whose file or command gives something else is told what it is", () =>
    withFolder(async (folder) => {
      const write = (name: string, content: string | Buffer, mode = 0o600) => {
        const file = join(folder, name)
        writeFileSync(file, content)
        chmodSync(file, mode)
        return file
      }
      const good = keyFile(folder)
      const link = join(folder, "link")
      symlinkSync(good, link)
      const dangling = join(folder, "dangling")
      symlinkSync(join(folder, "nowhere"), dangling)
      const loop = join(folder, "loop")
      symlinkSync(loop, loop)
      // A secret that a service manager mounts is often a link: what it leads to counts.
      assert.strictEqual(loadStoreKey({ file: link }).name, loadStoreKey({ file: good }).name)
      const openLink = join(folder, "open-link")
      symlinkSync(write("readable", Buffer.alloc(32, 3), 0o644), openLink)
      const noKey = /gives no key: it must be 32 bytes/
      for (const [source, expected] of [
        [{ file: write("short", Buffer.alloc(31, 1)) }, noKey],
        [{ file: write("long", Buffer.alloc(33, 1)) }, noKey],
        [{ file: write("huge", Buffer.alloc(1 << 20, 65)) }, noKey],
        [{ file: write("newline", "\n") }, noKey],
        [{ file: write("hex", "ab".repeat(31)) }, noKey],
        [{ file: write("group", Buffer.alloc(32, 1), 0o640) }, /open to other users \(mode 640\); run: chmod 600/],
        [{ file: openLink }, /open to other users \(mode 644\)/],
        [{ file: dangling }, /the key file does not exist/],
        [{ file: loop }, /the key file cannot be read: .*ELOOP/],
        [{ file: "/dev/zero" }, /is not a file/],
        [{ command: "echo" }, noKey],
        [{ command: ":" }, noKey],
        [{ command: "head -c 40 /dev/urandom" }, noKey],
        [{ command: "head -c 32 /dev/zero; exit 1" }, /failed \(exit code 1\)/],
        [{ command: "kill -9 $$" }, /failed \(SIGKILL\)/],
        [{ command: "/no/such/program" }, /failed \(exit code 127\)/]
      ] as const) {
        const told = refusalOf(() => loadStoreKey(source))
        assert.match(told, expected)
        assert.notInclude(told, "\n")
      }
      const told = refusalOf(() => loadStoreKey({ command: "exec sleep 60" }, 200))
      assert.include(told, "gave no key within 0.2 s")
    }))
})

describe("who writes into an encrypted store without its key", () => {
  it("is found out: values that are cut off, emptied, moved or of another session, and keys that are swapped", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId(), newSessionId()] as const
      for (const stream of streams) {
        const outputs = Array.from({ length: 20 }, (_, index) => outputEvent(`${stream} ${index}`))
        await inJournal(
          paths,
          Journal.use((journal) =>
            journal.append(stream, [created(), ...outputs, closed], {
              rows: [{ space: "index", key: Buffer.from(stream), value: Buffer.from(`row of ${stream}`) }]
            })
          )
        )
      }
      const keyOf = (stream: (typeof streams)[number], sequence: number) => eventKey(streamBytes(stream), sequence)
      const indexOf = (stream: (typeof streams)[number]) => rowKey("index", Buffer.from(stream))
      const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
      const valueAt = async (key: Uint8Array): Promise<Buffer> => {
        const [found] = await storage.range({
          from: key,
          to: Buffer.concat([key, Buffer.of(0)]),
          limit: 1,
          bytesMax: 1e6
        })
        return Buffer.from(found![1])
      }
      /** With a checksum that is right where it is put. */
      const placed = (key: Uint8Array, value: Uint8Array) => ({ key, value: encodeRow(key, value.subarray(4)) })
      const [one, two, three] = streams
      const puts = [
        placed(keyOf(one, 3), (await valueAt(keyOf(one, 3))).subarray(0, -1)),
        placed(keyOf(one, 5), Buffer.alloc(4)),
        placed(keyOf(one, 7), await valueAt(keyOf(one, 8))),
        placed(keyOf(one, 9), await valueAt(keyOf(two, 9))),
        placed(indexOf(one), await valueAt(indexOf(two)))
      ]
      // The flag that says whose key it is under is bound too.
      const flagged = await valueAt(keyOf(one, 11))
      flagged[5]! ^= 1
      puts.push(placed(keyOf(one, 11), flagged))
      // The keys of two sessions, swapped in both places; and one that stands for another's in one place only.
      for (const space of KEY_SPACES) {
        const [at, of] = [rowKey(space, streamBytes(two)), rowKey(space, streamBytes(three))]
        puts.push(placed(at, await valueAt(of)))
        if (space === KEY_SPACE) puts.push(placed(of, await valueAt(at)))
      }
      await storage.batch(puts)
      await storage.close()
      const report = await inJournal(
        paths,
        Journal.use((journal) => journal.verify)
      )
      const NOT_THERE = "cannot be decrypted: it is not what was written there"
      assert.deepStrictEqual(
        report.damages.filter(({ stream }) => stream === one).map(({ from, reason }) => [from, reason]),
        [
          [3, NOT_THERE],
          [5, "checksum does not match"],
          [7, NOT_THERE],
          [9, NOT_THERE],
          [11, NOT_THERE]
        ]
      )
      const lost = report.damages.filter(({ stream }) => stream === two)
      assert.isNotEmpty(lost)
      for (const { reason } of lost) assert.strictEqual(reason, "the key of this session is missing")
      // From its copy.
      assert.strictEqual((await inJournal(paths, served(three))).outputs.length, 20)
      await inJournal(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          assert.isUndefined(yield* journal.row("index", Buffer.from(one)))
        })
      )
    }))
})
