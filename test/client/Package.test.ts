/** What npm would publish: the client is in it with its types, which need no Effect, and a plain JavaScript program runs on it. */
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { StoreUnderTest } from "./clientUnderTest.ts"

const run = promisify(execFile)
const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..")

/** A folder with this package installed in it, as a link. */
const withProject = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-project-"))
  try {
    mkdirSync(join(folder, "node_modules"))
    symlinkSync(root, join(folder, "node_modules/reprise"))
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", private: true }))
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe("the package", () => {
  it("holds the client and its types", async () => {
    const npm = join(dirname(process.execPath), "../lib/node_modules/npm/bin/npm-cli.js")
    const args = ["pack", "--dry-run", "--json", "--ignore-scripts"]
    const { stdout } = existsSync(npm)
      ? await run(process.execPath, [npm, ...args], { cwd: root })
      : await run("npm", args, { cwd: root })
    const [packed] = JSON.parse(stdout) as [{ readonly files: ReadonlyArray<{ readonly path: string }> }]
    const files = new Set(packed.files.map(({ path }) => path))
    for (const file of ["client/index", "remote/index"]) {
      assert.isTrue(files.has(`dist/src/${file}.js`), file)
      assert.isTrue(files.has(`dist/src/${file}.d.ts`), file)
    }
  })

  it("has a client whose types name no Effect, in any file that they reach", () => {
    const seen = new Set<string>()
    const visit = (file: string): void => {
      if (seen.has(file)) return
      seen.add(file)
      for (const [, specifier] of readFileSync(file, "utf8").matchAll(/(?:from|import)\s*\(?["']([^"']+)["']/g)) {
        assert.isTrue(specifier!.startsWith("."), `${file} needs ${specifier}`)
        visit(resolve(dirname(file), specifier!.replace(/\.[jt]s$/, ".d.ts")))
      }
    }
    visit(join(root, "dist/src/client/index.d.ts"))
    assert.isAbove(seen.size, 4)
  })

  it("runs a plain JavaScript program", () =>
    withProject(async (folder) => {
      const under = new StoreUnderTest()
      try {
        writeFileSync(
          join(folder, "program.js"),
          `import { connect, RepriseError } from "reprise/client"
           await using client = await connect({ store: process.argv[2] })
           await using terminal = await client.terminal({ command: ["sh", "-c", "read x; echo got $x; exit 42"] })
           await terminal.writeStdin("it\\n")
           for await (const chunk of terminal) if (chunk.stdout) process.stdout.write(chunk.stdout)
           console.log(terminal.exitCode, (await terminal.exited).reason)
           const error = await client.reconnectTerminal("nobody").catch((error) => error)
           console.log(error instanceof RepriseError, error.code)`
        )
        const { stderr, stdout } = await run(process.execPath, ["program.js", under.store], { cwd: folder })
        assert.strictEqual(stderr, "")
        assert.match(stdout.replaceAll("\r", ""), /got it\n42 exited\ntrue NotFound\n$/)
      } finally {
        await under.dispose()
      }
    }))

  it("compiles for a strict TypeScript program without skipLibCheck", () =>
    withProject(async (folder) => {
      writeFileSync(
        join(folder, "program.ts"),
        `import { connect, type Client, type OutputChunk, RepriseError, type Terminal } from "reprise/client"
         const use = async (): Promise<number | null> => {
           await using client: Client = await connect({ store: "/nowhere" })
           const terminal: Terminal = await client.terminal({ command: ["ls"], size: { cols: 80, rows: 24 }, orphans: "keep" })
           for await (const chunk of terminal) {
             const { exitCode, gapBefore, stdout }: OutputChunk = chunk
             if (exitCode !== undefined) return exitCode
             if (stdout !== undefined) console.log(stdout.byteLength, gapBefore?.from)
           }
           try {
             await terminal.signal("TERM", "leader")
           } catch (error) {
             if (error instanceof RepriseError && error.code === "NotFound") return null
           }
           // @ts-expect-error: a command is a list
           await client.terminal({ command: "ls" })
           // @ts-expect-error: there is no such option
           await client.reconnectTerminal("id", { after: 5 })
           return (await terminal.exited).exitCode
         }
         void use`
      )
      const options = {
        target: "ES2024",
        lib: ["ES2024", "ESNext.Disposable", "DOM"],
        module: "NodeNext",
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        types: []
      }
      writeFileSync(
        join(folder, "tsconfig.json"),
        JSON.stringify({ compilerOptions: options, include: ["program.ts"] })
      )
      const compiler = join(root, "node_modules/typescript/bin/tsc")
      const compiled = await run(process.execPath, [compiler, "-p", folder]).catch((error) => error)
      assert.strictEqual(compiled.stdout, "")
    }))
})
