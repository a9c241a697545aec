import { assert, describe, it } from "@effect/vitest"
import { driverOf, languageOf } from "../../../src/exec/Drivers.ts"
import { quote } from "../../../src/exec/ShellText.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { DriverHost } from "./DriverHost.ts"

const ALPHABET = [..."ab '\"\\$`!#~*?[](){}<>|&;=\n\t\r\x01\x1b\x7f-/:,.%^@é€😀\u0301\ufeff"]
const randomOf = (seed: number): (() => number) => {
  const { below } = seededRandom(seed)
  return () => below(1_000_000) / 1_000_000
}
const text = (random: () => number): string =>
  Array.from({ length: Math.floor(random() * 12) }, () => ALPHABET[Math.floor(random() * ALPHABET.length)]).join("")

describe("state of a shell", () => {
  for (const language of ["bash", "zsh"] as const) {
    it(`${language}: any value comes back, through the dump, a new shell, and its dump`, async () => {
      const random = randomOf(7)
      const host = await DriverHost.start(driverOf(language))
      try {
        const values = new Map(Array.from({ length: 100 }, (_, index) => [`VALUE_${index}`, text(random)]))
        const aliases = new Map(Array.from({ length: 30 }, (_, index) => [`al${index}`, text(random)]))
        const program = [
          ...[...values].map(([name, value]) => `export ${name}=${quote(value)}`),
          ...[...aliases].map(([name, value]) => `alias ${name}=${quote(value)}`),
          "plain() { echo plain; }",
          "document() { cat <<'END'\n}\nplain () \n{ \n    echo forged\n}\nEND\n}",
          'nested() { inner() { echo "$1"; }; inner nested; }',
          "cd /usr"
        ]
        await host.exec(program.join("\n"))
        const seen = () => {
          const { state } = host
          for (const [name, value] of values) assert.strictEqual(state?.env.get(name), value, name)
          for (const [name, value] of aliases) assert.strictEqual(state?.aliases.get(name), value, name)
          assert.includeMembers([...(state?.functions.keys() ?? [])], ["plain", "document", "nested"])
          assert.isFalse([...(state?.functions.keys() ?? [])].some((name) => name.startsWith("__reprise")))
          assert.strictEqual(state?.env.get("PATH"), process.env.PATH)
          assert.strictEqual(state?.cwd, "/usr")
        }
        seen()
        const before = host.state
        const end = await host.restart()
        assert.strictEqual(end?.value, null)
        seen()
        assert.deepStrictEqual(host.state?.functions, before?.functions)
        const out = await host.exec("plain; document; nested")
        assert.strictEqual(Buffer.from(out.stdout!).toString(), "plain\n}\nplain () \n{ \n    echo forged\n}\nnested\n")
      } finally {
        await host.close()
      }
    })

    it(`${language}: says what could not be brought back`, async () => {
      const host = await DriverHost.start(driverOf(language))
      try {
        await host.exec("x=1")
        host.state = {
          cwd: "/nonexistent",
          env: new Map([["GOOD", "1"]]),
          functions: new Map([["bad", "bad () { ("]]),
          aliases: new Map(),
          imports: []
        }
        const end = await host.restart()
        assert.deepStrictEqual(end?.value?.split("\n"), ["function bad", "directory /nonexistent"])
        assert.strictEqual(host.state?.env.get("GOOD"), "1")
      } finally {
        await host.close()
      }
    })
  }

  it("python and node: directory, variables, imports and functions come back", async () => {
    const programs = {
      python:
        "import os, math as m\nfrom json import dumps\nos.environ['V'] = 'é\\n'\nos.chdir('/usr')\ndef f(x):\n  return m.floor(x)",
      node: "const m = require('node:path')\nprocess.env.V = 'é\\n'\nprocess.chdir('/usr')\nfunction f(x) { return m.sep + x }"
    }
    for (const language of ["python", "node"] as const) {
      const host = await DriverHost.start(driverOf(language))
      try {
        await host.exec(programs[language])
        assert.strictEqual((await host.restart())?.value, null)
        assert.strictEqual((await host.exec("f(1.5)")).value, language === "python" ? "1" : "'/1.5'")
        assert.strictEqual(host.state?.cwd, "/usr")
        assert.strictEqual(host.state?.env.get("V"), "é\n")
        host.state = {
          ...host.state!,
          cwd: "/nonexistent",
          imports: [language === "python" ? "import nope_x" : "import 'nope-x'"]
        }
        const lines = (await host.restart())?.value?.split("\n") ?? []
        assert.strictEqual(lines.length, 2)
      } finally {
        await host.close()
      }
    }
  })
})

describe("dumps that are no dumps", () => {
  it("give what can be read and never throw", () => {
    const random = randomOf(3)
    for (const language of ["bash", "zsh", "python", "node"] as const) {
      const { parseState } = driverOf(language)
      for (let count = 0; count < 2000; count += 1) {
        const dump = Array.from({ length: 6 }, () =>
          random() < 0.3 ? 'declare -x A="' : random() < 0.3 ? "\nf () \n{" : text(random)
        ).join("")
        parseState(dump)
      }
      assert.strictEqual(parseState("").cwd, "")
    }
  })
})

describe("languageOf", () => {
  it("knows a program by its name", () => {
    const names = { bash: "bash", "/bin/zsh": "zsh", "/usr/bin/python3.12": "python", python: "python", node: "node" }
    for (const [name, language] of Object.entries(names)) assert.strictEqual(languageOf(name), language)
    for (const name of ["sh", "fish", "pythonic", "python2", ""]) assert.isUndefined(languageOf(name))
  })
})
