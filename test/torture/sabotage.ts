/**
 * `npm run sabotage [-- --only TEXT]`: breaks one line of production code after the other in a copy of this checkout and
 * expects the tests that are named for it to fail there, after they passed without it. Prints a markdown table; exits with
 * 1 when a line is not found, when a test named does not pass without the sabotage, or when nothing catches it.
 *
 * The copy is of hard links, except for what is sabotaged: nothing of the checkout is changed, and nothing is left.
 */
import { spawn } from "node:child_process"
import {
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { scriptOptions } from "../fixtures/scriptOptions.ts"
import { SABOTAGES, type Sabotage } from "./Sabotages.ts"

const root = join(import.meta.dirname, "../..")
/** What tests need of a checkout. */
const COPIED = ["cli", "dist", "docs", "journal", "projections", "src", "test"]
/** A sabotage may make a test wait for what does not come. */
const TEST_MILLIS_MAX = 20_000
const RUN_MILLIS_MAX = 300_000

interface TestResult {
  readonly file: string
  readonly name: string
  readonly status: string
}

const linkTree = (from: string, to: string): void => {
  mkdirSync(to, { recursive: true })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) linkTree(source, target)
    else if (entry.isFile()) linkSync(source, target)
  }
}

/** Packages are the checkout's own; what tools write beside them is not. */
const makeCopy = (): string => {
  const copy = mkdtempSync(join(tmpdir(), "reprise-sabotage-"))
  for (const name of COPIED) linkTreeOrCopy(join(root, name), join(copy, name))
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    if (entry.isFile()) cpSync(join(root, entry.name), join(copy, entry.name))
  }
  mkdirSync(join(copy, "node_modules"))
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (/^\.(vite|vitest|reprise|cache)/.test(name)) continue
    symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name))
  }
  return copy
}

const linkTreeOrCopy = (from: string, to: string): void => {
  try {
    linkTree(from, to)
  } catch (error) {
    // Temporary files are on another file system.
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error
    rmSync(to, { recursive: true, force: true })
    cpSync(from, to, { recursive: true, preserveTimestamps: true })
  }
}

/** Never through the link: a link would change the checkout's file. */
const replaceFile = (path: string, content: string): void => {
  rmSync(path)
  writeFileSync(path, content)
}

/** Runs tests in the copy; what is not among the results was not run. */
const runTests = async (copy: string, files: ReadonlyArray<string>, pattern: string, bail: number) => {
  const report = join(copy, "report.json")
  rmSync(report, { force: true })
  const vitest = join(copy, "node_modules/vitest/vitest.mjs")
  const args = [vitest, "run", "--root", copy, "--reporter=json", `--outputFile=${report}`, `--bail=${bail}`]
  const child = spawn(process.execPath, [...args, `--testTimeout=${TEST_MILLIS_MAX}`, "-t", pattern, ...files], {
    cwd: copy,
    stdio: "ignore",
    detached: true
  })
  const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), RUN_MILLIS_MAX)
  await new Promise((resolve) => child.once("exit", resolve))
  clearTimeout(timer)
  let text: string
  try {
    text = readFileSync(report, "utf8")
  } catch {
    return []
  }
  const { testResults } = JSON.parse(text) as {
    readonly testResults: ReadonlyArray<{
      readonly name: string
      readonly assertionResults: ReadonlyArray<{ readonly fullName: string; readonly status: string }>
    }>
  }
  return testResults.flatMap(
    ({ assertionResults, name }): ReadonlyArray<TestResult> =>
      assertionResults
        .filter(({ status }) => status === "passed" || status === "failed")
        .map(({ fullName, status }) => ({ file: relative(copy, name), name: fullName, status }))
  )
}

const trySabotage = async (copy: string, sabotage: Sabotage): Promise<string> => {
  const path = join(copy, sabotage.file)
  const whole = readFileSync(path, "utf8")
  const places = whole.split(sabotage.find).length - 1
  if (places !== 1) throw new Error(`its line is there ${places} times in ${sabotage.file}`)
  const sound = await runTests(copy, sabotage.tests, sabotage.pattern, 0)
  if (sound.length === 0) throw new Error("no test of its pattern")
  const broken = sound.find(({ status }) => status !== "passed")
  if (broken !== undefined) throw new Error(`fails without it too: ${broken.name}`)
  replaceFile(
    path,
    whole.replace(sabotage.find, () => sabotage.replacement)
  )
  try {
    const results = await runTests(copy, sabotage.tests, sabotage.pattern, 1)
    const caught = results.find(({ status }) => status === "failed")
    if (caught === undefined)
      throw new Error(results.length === 0 ? "the tests could not be run" : "nothing catches it")
    return `${caught.file}: ${caught.name}`
  } finally {
    replaceFile(path, whole)
  }
}

const USAGE = `npm run sabotage -- [--only TEXT]

  --only TEXT  those whose name holds it: ${SABOTAGES.map(({ name }) => name).join("; ")}

0: the tests that are named for each caught it. 1: some did not.`

const values = scriptOptions(USAGE, { only: { type: "string" } })
const chosen = SABOTAGES.filter(({ name }) => name.includes(values.only ?? ""))
if (chosen.length === 0) {
  process.stderr.write(`no sabotage has ${JSON.stringify(values.only)} in its name\n\n${USAGE}\n`)
  process.exit(2)
}
const copy = makeCopy()
const end = () => rmSync(copy, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
process.once("SIGINT", () => {
  end()
  process.exit(130)
})
let failures = 0
try {
  console.log("| sabotage | in | caught by | seconds |\n| --- | --- | --- | ---: |")
  for (const sabotage of chosen) {
    const began = performance.now()
    let found: string
    try {
      found = await trySabotage(copy, sabotage)
    } catch (error) {
      failures++
      found = `**${(error as Error).message}**`
    }
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    console.log(`| ${sabotage.name} | ${sabotage.file} | ${found.replaceAll("|", "\\|")} | ${seconds} |`)
  }
} finally {
  end()
}
console.log(`\n${chosen.length - failures} of ${chosen.length} sabotages are caught`)
process.exitCode = failures === 0 ? 0 : 1
