/** `run` and `replay` give exactly what the program printed: many at once, with slow readers, for every byte value. */
import { once } from "node:events"
import { assert, describe, it } from "vitest"
import { type CommandLine, sequence, sha256, withCommandLine } from "./commandLine.ts"

/** Through the command line; 200 programs through one client are in test/torture. The campaign runs 100 (`npm run campaign`). */
const TRIES = Number(process.env.REPRISE_TRIES ?? 4)
const AT_ONCE = 4

const idsOf = async (cli: CommandLine): Promise<ReadonlyArray<string>> =>
  (await cli.json(["list"])).map(({ id }: { id: string }) => id)

describe("exact output", () => {
  it(
    `reliability row 1: run -- seq 1 200000, ${TRIES} times, ${AT_ONCE} at once: stdout and replay have the expected digest`,
    { timeout: 600_000 },
    () =>
      withCommandLine(async (cli) => {
        const expected = sha256(sequence(200_000))
        await cli.text(["run", "--", "true"])
        let next = 0
        let short = 0
        const worker = async () => {
          while (next++ < TRIES) {
            const name = `n${next}`
            const { code, stderr, stdout } = await cli.run(["run", "--name", name, "--", "seq", "1", "200000"])
            assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
            if (sha256(stdout) !== expected) short++
          }
        }
        await Promise.all(Array.from({ length: AT_ONCE }, worker))
        const ids = await idsOf(cli)
        assert.strictEqual(ids.length, TRIES + 1)
        let replayed = 0
        const verify = async () => {
          for (;;) {
            const id = ids[replayed++]
            if (id === undefined) return
            const { stdout } = await cli.run(["replay", id])
            if (stdout.length > 0 && sha256(stdout) !== expected) short++
          }
        }
        await Promise.all(Array.from({ length: AT_ONCE }, verify))
        assert.strictEqual(short, 0)
      })
  )

  it("a consumer that reads nothing for 2 s while the program exits gets every byte", () =>
    withCommandLine(async (cli) => {
      const child = cli.spawn(["run", "--", "sh", "-c", "seq 1 200000; exit 5"])
      await new Promise((resolve) => setTimeout(resolve, 2000))
      const chunks: Array<Buffer> = []
      child.stdout!.on("data", (chunk) => chunks.push(chunk))
      const [code] = await once(child, "close")
      assert.strictEqual(code, 5)
      assert.strictEqual(sha256(Buffer.concat(chunks)), sha256(sequence(200_000)))
      assert.strictEqual(sha256((await cli.run(["replay", "last"])).stdout), sha256(sequence(200_000)))
    }))

  it("all 256 byte values, many times over", () =>
    withCommandLine(async (cli) => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i).filter((byte) => byte !== 10))
      const printer = `stty -opost; node -e 'const b = Buffer.from(Array.from({length: 256}, (_, i) => i).filter((i) => i !== 10)); for (let i = 0; i < 2000; i++) process.stdout.write(b)'`
      const expected = sha256(Buffer.concat(Array.from({ length: 2000 }, () => bytes)))
      const { code, stdout } = await cli.run(["run", "--", "sh", "-c", printer])
      assert.strictEqual(code, 0)
      assert.strictEqual(sha256(stdout), expected)
      assert.strictEqual(sha256((await cli.run(["replay", "last"])).stdout), expected)
    }))

  it("standard input goes to the program and its end is the end of file; exit codes and signals come back", () =>
    withCommandLine(async (cli) => {
      const echoed = await cli.run(["run", "--", "sh", "-c", "stty -echo; cat; exit 6"], { input: "one\ntwo\n" })
      assert.strictEqual(echoed.code, 6)
      assert.include(echoed.stdout.toString(), "one\r\ntwo\r\n")
      assert.strictEqual((await cli.run(["run", "--", "sh", "-c", "kill -TERM $$"])).code, 143)
      assert.strictEqual((await cli.run(["run", "--", "cat"], { input: "" })).code, 0)
      assert.strictEqual((await cli.run(["run", "--", "seq", "1", "3"])).stdout.toString(), sequence(3))
    }))
})
