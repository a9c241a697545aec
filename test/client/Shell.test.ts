/** Commands in a shell through the client. What each command gives is tried in test/exec; here, that it comes through. */
import { assert, describe, it } from "@effect/vitest"
import { afterAll, beforeAll } from "vitest"
import type { Client } from "../../src/client/index.ts"
import { refusal, StoreUnderTest } from "./clientUnderTest.ts"

const under = new StoreUnderTest()
let client: Client
beforeAll(async () => {
  client = await under.connect()
})
afterAll(() => under.dispose())

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

describe("a shell", () => {
  it("keeps directory and variables, and gives each command's streams and exit code apart", async () => {
    await using shell = await client.shell({ env: { GREETING: "hello" }, cwd: "/usr" })
    const first = await shell.exec("echo $GREETING in $PWD; cd /tmp; LEVEL=3; ls /no-such-folder")
    assert.strictEqual(text(first.stdout), "hello in /usr\n")
    assert.match(text(first.stderr), /no-such-folder/)
    assert.deepInclude(first, { status: "completed", cwd: "/tmp" })
    assert.isAbove(first.exitCode!, 0)
    const second = await shell.exec('echo "$LEVEL in $PWD, PATH=$PATH"; cat', { stdin: "from stdin" })
    assert.match(text(second.stdout), /^3 in \/tmp, PATH=\S+\nfrom stdin$/)
    assert.strictEqual(second.exitCode, 0)
  })

  it("a command that goes on can be polled, typed into, interrupted, and is never run twice", async () => {
    await using shell = await client.shell()
    const asking = await shell.exec("read -p 'name? ' name </dev/tty; echo $name", { yieldMillis: 0 })
    let now = asking
    while (now.status !== "needs_input") now = await shell.poll(asking.execId, { yieldMillis: 20 })
    await shell.send(asking.execId, "Ada\n")
    assert.strictEqual(text((await shell.poll(asking.execId, { yieldMillis: 30_000 })).stdout), "Ada\n")
    assert.strictEqual((await refusal(shell.send(asking.execId, "x"))).code, "FailedPrecondition")

    let sleeping = await shell.exec("echo begun; sleep 1000", { yieldMillis: 0, execId: "the-sleep" })
    while (text(sleeping.stdout) === "") sleeping = await shell.poll("the-sleep", { yieldMillis: 20 })
    assert.strictEqual(sleeping.status, "running")
    await under.killEngine(client)
    await shell.interrupt("the-sleep")
    const over = await shell.exec("echo begun; sleep 1000", { execId: "the-sleep" })
    assert.deepInclude(over, { status: "interrupted", execId: "the-sleep" })
    assert.strictEqual(text(over.stdout), "begun\n")
    assert.strictEqual((await refusal(shell.poll("nothing"))).code, "NotFound")
  })

  it("ended, it takes nothing more", async () => {
    const shell = await client.shell({ language: "node" })
    assert.strictEqual((await shell.exec("6 * 7")).value, "42")
    await shell.end()
    await shell.end()
    assert.strictEqual((await refusal(shell.exec("1"))).code, "FailedPrecondition")
    assert.strictEqual((await refusal(client.shell({ cwd: "/no/such" }))).code, "InvalidArgument")
  })
})
