/** The client through a WebSocket door, as from another machine: the same terminal, the same errors. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { afterAll, beforeAll } from "vitest"
import { built, numbered, readAll, readUntil, refusal, StoreUnderTest } from "./clientUnderTest.ts"

const { connect } = built

const under = new StoreUnderTest()
const program = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/reprise.js")
let door: ReturnType<typeof spawn>
let url: string
let token: string

beforeAll(async () => {
  door = spawn(process.execPath, [program, "--store", under.store, "serve", "--json"], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const [line] = await once(door.stdout!, "data")
  ;({ token, url } = JSON.parse(String(line)))
})
afterAll(async () => {
  door.kill("SIGTERM")
  await once(door, "exit")
  await under.dispose()
})

describe("door", () => {
  it("door: a terminal of another machine types, reads and ends", async () => {
    await using client = await connect({ url, token })
    await using terminal = await client.terminal({
      command: ["sh", "-c", "stty -echo; echo go; read n; seq $n; exit 42"]
    })
    await readUntil(terminal, "go\n")
    await terminal.writeStdin("20000\n")
    const { last, text } = await readAll(terminal)
    assert.strictEqual(text, numbered(20_000))
    assert.strictEqual(last?.exitCode, 42)
    assert.strictEqual((await terminal.exited).exitCode, 42)
  })

  it("door: programs start in the engine's folder, not in one of this process", async () => {
    await using client = await connect({ url, token })
    await using terminal = await client.terminal({ command: ["pwd"] })
    assert.strictEqual((await readAll(terminal)).text, "/\n")
  })

  it("door: the engine behind it is killed in the middle, and the loop goes on", async () => {
    await using client = await connect({ url, token })
    await using terminal = await client.terminal({
      command: ["sh", "-c", "stty -echo; seq 100; read line; seq 101 3000; exit 42"]
    })
    const first = await readUntil(terminal, "\n100\n")
    await under.killEngine(client)
    await terminal.writeStdin("\n")
    const rest = await readAll(terminal)
    assert.strictEqual(first.text + rest.text, numbered(3000))
    assert.strictEqual(rest.last?.exitCode, 42)
  })

  it("door: a wrong token is denied, and one for another machine is not sent in clear", async () => {
    assert.strictEqual((await refusal(connect({ url, token: "wrong" }))).code, "PermissionDenied")
    const refused = await refusal(connect({ url: "ws://example.com:1", token }))
    assert.strictEqual(refused.code, "Unavailable")
    assert.match(refused.message, /wss/)
  })
})
