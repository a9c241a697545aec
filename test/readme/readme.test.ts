/**
 * The README and the documents are tried, not believed: the programs are compiled against the package's own exports and
 * run, the tour is typed and must answer what it says, the commands are the ones that CI runs, links lead somewhere, and
 * the reader in the format's document reads the golden records. Needs a build, as `npm test` makes one.
 */
import { execFile, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { ExitCode } from "../../cli/ExitCode.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { kill } from "../fixtures/processes.ts"
import { removeStore } from "../fixtures/removeStore.ts"

const run = promisify(execFile)
const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, "../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")
const readme = read("README.md")

const blocks = (text: string, language: string): ReadonlyArray<string> =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, body]) => body!)

/** A folder for one test, and in it a store that nothing of is left when the test ends. */
const withFolder = async (parent: string, use: (folder: string, store: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(parent, "readme-"))
  const store = join(folder, "sessions")
  const { keepers } = storePaths(store)
  try {
    await use(folder, store)
  } finally {
    // A keeper without a session ends when it is asked to; by itself it would wait for the next engine first.
    for (const { pid } of await listKeepers(keepers)) kill(pid, "SIGTERM")
    while (existsSync(keepers) && readdirSync(keepers).length > 0) await new Promise((done) => setTimeout(done, 10))
    await removeStore(store, folder)
  }
}

describe("the README's programs", () => {
  const [promises, effect, ...others] = blocks(readme, "ts")
  const layer = 'EngineClient.layer({ paths: storePaths("sessions"), start: true })'
  const engineHere = 'Reprise.layer({ store: "sessions" })'
  const programs = {
    "promises.ts": promises!,
    "effect.ts": effect!,
    "here.ts": effect!
      .replace(layer, engineHere)
      .replace("storePaths", "Reprise")
      .replace(/^.*"reprise\/remote"\n/m, "")
  }
  /** Inside the checkout, so that `reprise` resolves to this package through its exports. */
  const withPrograms = (use: (folder: string, store: string) => Promise<void>) =>
    withFolder(here, async (folder, store) => {
      for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text)
      await use(folder, store)
    })

  it("are two, and name the layer that stands for the other", () => {
    assert.deepStrictEqual(others, [])
    assert.include(effect!, layer)
    assert.include(readme, engineHere)
  })

  it("compile", () =>
    withPrograms(async (folder) => {
      writeFileSync(
        join(folder, "tsconfig.json"),
        JSON.stringify({
          extends: "../../../tsconfig.json",
          compilerOptions: { noEmit: true },
          include: ["*.ts"]
        })
      )
      const compiler = join(root, "node_modules/typescript/bin/tsc")
      const compiled = await run(process.execPath, [compiler, "-p", folder]).catch((error) => error)
      assert.strictEqual(compiled.stdout, "")
    }))

  it.for(Object.keys(programs))("%s runs", (name) =>
    withPrograms(async (folder, store) => {
      try {
        const { stderr, stdout } = await run(process.execPath, [name], { cwd: folder })
        assert.strictEqual(stderr, "")
        assert.match(stdout, /\b42\r\nexited 3\n$/)
      } finally {
        await run(process.execPath, [join(root, "dist/bin/reprise.js"), "--store", store, "stop", "--sessions"])
      }
    })
  )
})

/** What differs from run to run and from machine to machine. */
const normalize = (text: string): string =>
  text
    .replaceAll("\r", "")
    .replace(/[0-7][0-9A-HJKMNP-TV-Z]{25}/g, "ID")
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{6}Z)?/g, "TIME")
    .replace(/after \d+\.\d+s/, "after SECONDS")
    .replace(/^(pid|owner) +\S+$/gm, "$1 …")

describe("the README's tour", () => {
  /** Each command with the output that stands below it. */
  const steps = blocks(readme, "console").flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const at = step.indexOf("\n")
        return { command: step.slice(0, at), output: step.slice(at + 1) }
      })
  )

  it("answers as it says", () =>
    withFolder(tmpdir(), async (folder, store) => {
      const bin = join(folder, "bin")
      mkdirSync(bin)
      const program = join(root, "dist/bin/reprise.js")
      writeFileSync(join(bin, "reprise"), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`, { mode: 0o755 })
      const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, HOME: folder, REPRISE_HOME: store }
      const type = async (command: string) => (await run("bash", ["-c", command], { cwd: folder, env })).stdout
      try {
        assert.isAbove(steps.length, 5)
        for (const { command, output } of steps) {
          assert.strictEqual(normalize(await type(command)), normalize(output), command)
        }
      } finally {
        // Whatever a failed step left; without an engine this says so and is content.
        await type("reprise stop --sessions")
      }
    }))
})

describe("the documents", () => {
  const documents = [
    "README.md",
    "CHANGELOG.md",
    ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => join("docs", name))
  ]

  it("link to what is there", () => {
    const broken = documents.flatMap((document) =>
      [...read(document).matchAll(/\]\(([^)#]+)[^)]*\)/g)]
        .map(([, link]) => link!)
        .filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(document), link)))
        .map((link) => `${document}: ${link}`)
    )
    assert.deepStrictEqual(broken, [])
  })

  it("print the test command that CI runs", () => {
    const [, tests] = blocks(readme, "sh")
    assert.strictEqual(read(".ci/run").trimEnd().split("\n").at(-1), tests!.trimEnd())
  })

  it("list every exit code", () => {
    const listed = [...read("docs/cli.md").matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))
    const { signalBase: _, ...codes } = ExitCode
    assert.deepStrictEqual(listed, Object.values(codes))
  })

  it.skipIf(spawnSync("python3", ["--version"]).status !== 0)("read the golden records without our code", async () => {
    const golden = JSON.parse(read("test/journal/golden/format-1.json")) as ReadonlyArray<{ readonly tag: string }>
    const [decoder] = blocks(read("docs/journal-format.md"), "python")
    const check = `${decoder}
for record in json.load(open("test/journal/golden/format-1.json")):
    decoded = decode(bytes.fromhex(record["key"]), bytes.fromhex(record["value"]))
    print(decoded[1], decoded[3], decoded[4])
`
    const { stdout } = await run("python3", ["-c", check], { cwd: root })
    const lines = stdout.trimEnd().split("\n")
    assert.strictEqual(lines.length, golden.length)
    assert.strictEqual(lines[0], "1 16 tester")
  })
})
