/**
 * The house rules that a reader relies on and no compiler checks: imports point one way, unstable modules stay in one
 * folder each, the keeper stays free of Effect, every source says what it is, nothing names the machine it was written
 * on, and what package.json exports is there after a build.
 */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { driverOf } from "../../src/exec/Drivers.ts"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")

/** What is committed, and what is about to be; without the folders that the README's test makes and removes meanwhile. */
const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "-x", "readme-*"], {
  cwd: root
})
  .toString()
  .split("\0")
  .filter((file) => file !== "" && existsSync(join(root, file)))
const sources = files.filter((file) => file.endsWith(".ts"))

interface Import {
  readonly file: string
  readonly specifier: string
  readonly isType: boolean
}

/** Statements and `import()`; `import { type A }` without a value is a type import too. */
const STATEMENT = /^(?:import|export)\s+(type\s+)?([^;"'`]*?\sfrom\s+)?["']([^"']+)["']/gm
const EXPRESSION = /\bimport\(\s*["']([^"']+)["']\s*\)/g

const importsOf = (file: string): ReadonlyArray<Import> => {
  const text = read(file)
  const statements = [...text.matchAll(STATEMENT)].map(([, type, clause, specifier]) => {
    const names = /\{([^}]*)\}/
      .exec(clause ?? "")?.[1]
      ?.split(",")
      .map((name) => name.trim())
    const onlyTypes = names?.filter((name) => name !== "").every((name) => name.startsWith("type ")) ?? false
    return { file, specifier: specifier!, isType: type !== undefined || onlyTypes }
  })
  const expressions = [...text.matchAll(EXPRESSION)].map(([, specifier]) => ({
    file,
    specifier: specifier!,
    isType: false
  }))
  return [...statements, ...expressions]
}

const imports = sources.flatMap(importsOf)

/** The file an import names, from the root; undefined for a package. */
const target = ({ file, specifier }: Import): string | undefined =>
  specifier.startsWith(".") ? relative(root, resolve(root, dirname(file), specifier)) : undefined

const show = (found: ReadonlyArray<Import>) => found.map(({ file, specifier }) => `${file} imports ${specifier}`)

/** A folder may import from itself and from those before it. */
const LAYERS = ["journal", "projections", "src", "cli"]
const layerOf = (file: string) => LAYERS.indexOf(file.split("/")[0]!)

/** The same inside src: its folders, and the files that lie in none. Also for types, which are a dependency of the reader. */
const PLACES = [
  "EntryPoints.ts",
  "CompiledCode.ts",
  "SafeText.ts",
  "keeper",
  "redact",
  "capture",
  "session",
  "exec",
  "search",
  "files",
  "export",
  "evidence",
  "care",
  "import",
  "erasure",
  "SessionEngine.ts",
  "Reprise.ts",
  "remote",
  "client",
  "index.ts"
]
const placeOf = (file: string) => PLACES.indexOf(file.split("/")[1]!)

describe("imports", () => {
  it("are found at all", () => assert.isAbove(imports.length, 200))

  it("point one way: journal, projections, src, cli; and never into the tests", () => {
    const wrong = imports.filter((one) => {
      const to = target(one)
      if (to === undefined || layerOf(one.file) < 0) return false
      return layerOf(to) < 0 || layerOf(to) > layerOf(one.file)
    })
    assert.deepStrictEqual(show(wrong), [])
  })

  it("point one way inside src, too", () => {
    const isOfSource = (file: string | undefined): file is string => file?.startsWith("src/") === true
    const wrong = imports.filter((one) => {
      const to = target(one)
      return isOfSource(one.file) && isOfSource(to) && (placeOf(to) < 0 || placeOf(to) > placeOf(one.file))
    })
    assert.deepStrictEqual(show(wrong), [])
  })

  it("keep each unstable module of Effect in one folder", () => {
    const homes = [
      { module: /^effect\/(rpc|socket)$/, home: "src/remote/" },
      { module: /^effect\/cli$/, home: "cli/" }
    ]
    const wrong = imports.filter(({ file, specifier }) =>
      homes.some(({ home, module }) => module.test(specifier) && layerOf(file) >= 0 && !file.startsWith(home))
    )
    assert.deepStrictEqual(show(wrong), [])
  })

  it("keep Effect out of the keeper, and take only types into it", () => {
    const wrong = imports
      .filter(({ file }) => file.startsWith("src/keeper/"))
      .filter((one) => {
        if (/^(effect|@effect)(\/|$)/.test(one.specifier)) return true
        const to = target(one)
        return to !== undefined && !to.startsWith("src/keeper/") && !one.isType
      })
    assert.deepStrictEqual(show(wrong), [])
  })
})

describe("sources", () => {
  it("begin with a comment that says what they are", () => {
    const bare = sources
      .filter((file) => layerOf(file) >= 0 || file.startsWith("test/"))
      // What a test is about, its name and its cases say.
      .filter((file) => !file.endsWith(".test.ts"))
      .filter((file) => !/^(#!.*\n)?\s*\/\*\*/.test(read(file)))
    assert.deepStrictEqual(bare, [])
  })

  it("name no folder of the machine they were written on", () => {
    const own = "test/structure/imports.test.ts"
    const folders = /(?<![\w.~-])\/(work|root)\//
    const wrong = files.filter((file) => file !== own && file !== "package-lock.json" && folders.test(read(file)))
    assert.deepStrictEqual(wrong, [])
  })
})

describe("package", () => {
  const manifest = JSON.parse(read("package.json")) as {
    readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
    readonly bin: Readonly<Record<string, string>>
  }

  it("exports what the README names", () => {
    const entries = [
      "reprise",
      "reprise/client",
      "reprise/remote",
      "reprise/journal",
      "reprise/projections",
      "reprise/testing"
    ]
    for (const entry of entries) assert.isTrue(existsSync(fileURLToPath(import.meta.resolve(entry))), entry)
  })

  it("has the programs that run inside a shell's session", () => {
    for (const language of ["bash", "zsh", "python", "node"] as const) {
      const { program } = driverOf(language)
      assert.isTrue(existsSync(join(root, "dist/bin", program)), program)
    }
  })

  it("has every file that its manifest names", () => {
    const named = [
      ...Object.values(manifest.exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry))),
      ...Object.values(manifest.bin)
    ]
    assert.deepStrictEqual(
      named.filter((file) => !existsSync(join(root, file))),
      []
    )
  })
})
