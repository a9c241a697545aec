/** What a spreadsheet or a script makes of an exported table, whatever the session printed. */
import { execFileSync } from "node:child_process"
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Sessions } from "../../src/session/Sessions.ts"
import { withCommandLine } from "../crash/commandLine.ts"
import { rowsEngine } from "../exec/shells.ts"
import { exported, readCsv, UNCLEAN, untilEvent } from "./exports.ts"

const HEAD = "number,time,command,status,exit_code,signal,duration_ms,cwd,output_bytes,output".split(",")

/** What a command prints, and what stands in its cell. */
const CELLS: ReadonlyArray<readonly [printed: string, cell: string]> = [
  ["=1+1", "'=1+1"],
  ['=HYPERLINK("http://x","y")', `'=HYPERLINK("http://x","y")`],
  ["+1", "'+1"],
  ["-1", "'-1"],
  ["@SUM(1)", "'@SUM(1)"],
  ["  =1+1", "'  =1+1"],
  ["\uff1d1", "'\uff1d1"],
  ["a,b", "a,b"],
  ['say "hi"', 'say "hi"'],
  ["one\ntwo", "one\ntwo"],
  ["'quoted", "'quoted"],
  ["\u202egnp.exe", "\\u{202e}gnp.exe"],
  ["a\u2028b", "a\\u{2028}b"]
]

describe("the CSV export", { timeout: 180_000 }, () => {
  const engine = rowsEngine()

  it("hostile case 26: no cell is a formula, each is read back, and nothing in it is a control character", async () => {
    const shell = await engine.start()
    for (const [printed] of CELLS) {
      await shell.exec(`printf %s '${printed.replaceAll("'", "'\\''")}'`)
    }
    const text = (await engine.run(exported(shell.id, "csv"))).toString()
    assert.notMatch(text.replaceAll("\r\n", "\n"), UNCLEAN)
    const [head, ...rows] = readCsv(text)
    assert.deepStrictEqual(head, HEAD)
    assert.deepStrictEqual(
      rows.map((row) => row[9]),
      CELLS.map(([, cell]) => cell)
    )
    assert.isTrue(rows.every((row) => row.length === HEAD.length && row[3] === "completed" && row[4] === "0"))
    // Another program reads the same.
    const read = "import csv,json,sys; print(json.dumps(list(csv.reader(sys.stdin, strict=True))))"
    const other = execFileSync("python3", ["-c", read], { input: text, env: { ...process.env, PYTHONUTF8: "1" } })
    assert.deepStrictEqual(JSON.parse(other.toString()), [head, ...rows])
  })

  it("hostile case 26: a command, a folder and a name that begin as formulas, with NUL, tab and carriage return", async () => {
    const cwd = join(engine.folder, "=cmd|' calc'!A0\t\u009b")
    mkdirSync(cwd)
    const shell = await engine.start("bash", { cwd, name: "=1+1" })
    const code = "@echo\t+1\r\n\u0085; printf '\\0=1'; printf '\\t=2\\r=3'; false"
    await shell.exec(code)
    await shell.exec("cd /; printf '\\e[31m-5\\e[m'")
    const text = (await engine.run(exported(shell.id, "csv"))).toString()
    assert.notMatch(text.replaceAll("\r\n", "\n"), UNCLEAN)
    const [, first, second] = readCsv(text)
    assert.strictEqual(first![2], "'@echo\t+1\n\\x85; printf '\\0=1'; printf '\\t=2\\r=3'; false")
    assert.strictEqual(first![7], `${cwd.slice(0, -1)}\\x9b`)
    assert.strictEqual(first![4], "1")
    assert.match(first![9]!, /^[^=+@\t\r\n\0-]/)
    assert.strictEqual(second![9], "'-5")
  })

  it("hostile case 26: a session of another program is one row, a cell never longer than a spreadsheet takes", async () => {
    const program = "printf '=1+1 \\033]0;=title\\007'; for i in $(seq 400); do printf '\\033[9999Cx\\n'; done; exit 3"
    const view = await engine.run(Sessions.use((sessions) => sessions.create({ argv: ["sh", "-c", program] })))
    await engine.run(untilEvent(view.id, (tag) => tag === "SessionClosed"))
    const rows = readCsv((await engine.run(exported(view.id, "csv"))).toString())
    assert.strictEqual(rows.length, 2)
    const [number, , command, status, exitCode, signal] = rows[1]!
    assert.deepStrictEqual([number, status, exitCode, signal], ["1", "exited", "3", ""])
    assert.isTrue(command!.startsWith("sh -c "))
    assert.match(rows[1]![9]!, /^'=1\+1/)
    assert.isBelow(rows[1]![9]!.length, 32_767)
  })
})

describe("the file of an export", { timeout: 180_000 }, () => {
  it("is for its owner alone, replaces files only, and is not there when the export fails", () =>
    withCommandLine(async (cli) => {
      const folder = mkdtempSync(join(tmpdir(), "reprise-export-"))
      try {
        await cli.text(["run", "--name", "x", "--", "echo", "=hello"])
        const to = (out: string, session = "x") =>
          cli.run(["export", session, "--format", "csv", "--out", join(folder, out)])
        const printed = await cli.run(["export", "x", "--format", "csv", "--out", "-"])
        writeFileSync(join(folder, "old.csv"), "old", { mode: 0o644 })
        writeFileSync(join(folder, "secret"), "untouched")
        symlinkSync("secret", join(folder, "link.csv"))
        assert.strictEqual((await to("old.csv")).code, 0)
        assert.isTrue(readFileSync(join(folder, "old.csv")).equals(printed.stdout))
        assert.strictEqual(lstatSync(join(folder, "old.csv")).mode & 0o777, 0o600)
        for (const out of ["link.csv", ".", "missing/x.csv"]) {
          const { code, stderr } = await to(out)
          assert.strictEqual(code, 64, stderr)
          assert.match(stderr, /^reprise: cannot write [^\n]+\n$/)
        }
        assert.strictEqual((await to("none.csv", "nobody")).code, 66)
        assert.strictEqual(readFileSync(join(folder, "secret"), "utf8"), "untouched")
        assert.deepStrictEqual(readdirSync(folder).sort(), ["link.csv", "old.csv", "secret"])
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    }))
})
