/**
 * Whatever JavaScript passes, a call rejects with RepriseError, over a socket and in this process, and an option that does
 * not exist is told by its name: left out without a word, `cdw` would run a program in another folder.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Client, RepriseError, Shell, Terminal } from "../../src/client/index.ts"
import { built, refusal, StoreUnderTest } from "./clientUnderTest.ts"

const WRONG = [undefined, null, 5, Number.NaN, "no-such", {}, [], () => {}] as unknown as ReadonlyArray<never>
const first = (items: AsyncIterable<unknown>) => items[Symbol.asyncIterator]().next()

describe("whatever a call is given", () => {
  const store = new StoreUnderTest()
  const clients = new Map<string, Client>()
  beforeAll(async () => {
    clients.set("socket", await store.connect())
    clients.set("process", await built.open({ memory: true }))
  })
  afterAll(async () => {
    await clients.get("process")?.close()
    await store.dispose()
  })

  for (const door of ["socket", "process"]) {
    it(`it rejects with RepriseError or does it (${door})`, async () => {
      const client = clients.get(door)!
      const terminal = await client.terminal({ command: ["cat"] })
      const shell = await client.shell()
      const calls: Record<string, (wrong: never) => Promise<unknown>> = {
        terminal: (wrong) => client.terminal(wrong).then((made: Terminal) => made.close()),
        reconnectTerminal: (wrong) => client.reconnectTerminal(wrong),
        "reconnectTerminal's options": (wrong) =>
          client.reconnectTerminal(terminal.sessionId, wrong).then((made) => made.detach()),
        shell: (wrong) => client.shell(wrong).then((made: Shell) => made.end()),
        usage: (wrong) => client.usage(wrong),
        search: (wrong) => first(client.search(wrong)),
        exec: (wrong) => shell.exec(wrong),
        "exec's options": (wrong) => shell.exec("true", wrong),
        poll: (wrong) => shell.poll(wrong),
        "poll's options": (wrong) => shell.poll("no-such", wrong),
        send: (wrong) => shell.send(wrong, "text"),
        "send's text": (wrong) => shell.send("no-such", wrong),
        interrupt: (wrong) => shell.interrupt(wrong),
        writeStdin: (wrong) => terminal.writeStdin(wrong),
        resize: (wrong) => terminal.resize(wrong, wrong),
        signal: (wrong) => terminal.signal(wrong),
        "signal's target": (wrong) => (wrong === undefined ? Promise.resolve() : terminal.signal("URG", wrong))
      }
      // What an option holds, too.
      for (const option of ["env", "cwd", "size", "name", "group", "limits", "redact", "orphans", "clientId"]) {
        calls[`terminal's ${option}`] = (wrong) =>
          client.terminal({ [option]: wrong }).then((made: Terminal) => made.close())
      }
      for (const option of ["stdin", "cwd", "env", "yieldMillis", "timeoutMillis", "maxOutputBytes", "execId"]) {
        calls[`exec's ${option}`] = (wrong) => shell.exec("true", { [option]: wrong })
      }
      const wrongErrors: Array<string> = []
      for (const [name, call] of Object.entries(calls)) {
        for (const wrong of WRONG) {
          const told = await Promise.resolve()
            .then(() => call(wrong))
            .then(
              () => undefined,
              (error: unknown) => error
            )
          if (told !== undefined && !(told instanceof built.RepriseError)) {
            wrongErrors.push(`${name}(${typeof wrong} ${String(wrong)}): ${String(told)}`)
          }
        }
      }
      assert.deepStrictEqual(wrongErrors, [])
      // Nothing is left of a lifecycle that begins nowhere.
      assert.strictEqual((await refusal(first(client.lifecycle("no" as never)))).code, "InvalidArgument")
      await shell.end()
      await terminal.close()
    })

    it(`an option that does not exist is named (${door})`, async () => {
      const client = clients.get(door)!
      const shell = await client.shell()
      const named = (promise: Promise<unknown>, option: string) =>
        refusal(promise).then((error: RepriseError) => {
          assert.strictEqual(error.code, "InvalidArgument")
          assert.match(error.message, new RegExp(`^${option}: is no option here; there are `))
        })
      const bogus = { bogus: 1 } as never
      await named(client.terminal({ command: ["ls"], ...(bogus as object) }), "bogus")
      await named(client.reconnectTerminal(shell.sessionId, bogus), "bogus")
      await named(client.shell(bogus), "bogus")
      await named(first(client.search(bogus)), "bogus")
      await named(shell.exec("true", bogus), "bogus")
      await named(shell.poll("x", bogus), "bogus")
      await shell.end()
    })
  }
})
