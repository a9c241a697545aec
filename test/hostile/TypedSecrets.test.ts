/** A secret that is typed where a program does not show it: it reaches the program and no file, log, export or core. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { assert as check } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { PROGRAM } from "../cli/reprise.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { until } from "../session/sessionsUnderTest.ts"
import { exported, unpackedPage } from "./exports.ts"
import { create, outputBytes, tagsOf, typeInto, untilOutput } from "./hostileEngine.ts"

/** Nothing else in this test's files has these letters. */
const SECRET = "Tr0ub4dor-zqxj-typed"

const isRoot = process.getuid?.() === 0

/** Reads a line from the terminal as sudo and ssh do: without echo, in line mode, what was typed ahead thrown away. */
const imitation = (prompt: string) =>
  [
    "import os,sys,termios",
    "tty=os.open('/dev/tty',os.O_RDWR|os.O_NOCTTY)",
    "old=termios.tcgetattr(tty); new=list(old); new[3]&=~(termios.ECHO|termios.ECHOE|termios.ECHOK|termios.ECHONL)",
    "termios.tcsetattr(tty,termios.TCSAFLUSH,new)",
    `os.write(tty,${JSON.stringify(prompt)}.encode())`,
    "line=os.read(tty,1024)",
    "termios.tcsetattr(tty,termios.TCSAFLUSH,old); os.write(tty,b'\\n')",
    "print('length',len(line)-1)"
  ].join("\n")

interface Asking {
  readonly argv: (folder: string) => ReadonlyArray<string>
  readonly prompt: RegExp
  /** What it prints when it got the secret. */
  readonly answer: RegExp
}

const lengthOf = new RegExp(`length ${SECRET.length}`)
const ASKING: Readonly<Record<string, Asking>> = {
  getpass: {
    argv: () => ["python3", "-c", "import getpass; print('length', len(getpass.getpass()))"],
    prompt: /Password: /,
    answer: lengthOf
  },
  "read -s": {
    argv: () => ["bash", "-c", "read -s -p 'Secret: ' x; echo; echo length $(printf %s \"$x\" | wc -c)"],
    prompt: /Secret: /,
    answer: lengthOf
  },
  // A real one asks everybody but root.
  ...(isRoot && {
    su: {
      argv: () => ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", "root", "-c", "true"],
      prompt: /assword: /,
      answer: /su: [^\n]*[Ff]ail/
    }
  }),
  sudo: {
    argv: () => ["python3", "-c", imitation("[sudo] password for alice: ")],
    prompt: /\[sudo\] password for alice: /,
    answer: lengthOf
  },
  ssh: {
    argv: () => ["python3", "-c", imitation("alice@host's password: ")],
    prompt: /alice@host's password: /,
    answer: lengthOf
  },
  // OpenSSH's own prompt.
  "ssh-keygen": {
    argv: (folder) => ["ssh-keygen", "-y", "-f", join(folder, "key")],
    prompt: /Enter passphrase[^:]*: /,
    answer: /ssh-ed25519 /
  }
}

const filesBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(folder, entry.name)) : entry.isFile() ? [join(folder, entry.name)] : []
  )

describe("a secret typed at a prompt", () => {
  it.live(
    `hostile case 24: ${Object.keys(ASKING).join(", ")}: it is in no journal, log or export`,
    () =>
      Effect.gen(function* () {
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-secrets-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", SECRET, "-f", join(folder, "key")])
        const engine = yield* engineProcess
        yield* Effect.gen(function* () {
          const asked: Array<SessionId> = []
          for (const [name, { answer, argv, prompt }] of Object.entries(ASKING)) {
            const session = yield* create(argv(folder))
            yield* until(session, prompt)
            yield* typeInto(session, `${SECRET}\r`)
            const entries = yield* until(session, answer)
            assert.match(outputBytes(entries).toString(), answer, name)
            assert.include(tagsOf(entries), "InputHidden", name)
            assert.notInclude(tagsOf(entries), "InputWritten", name)
            asked.push(session)
          }
          for (const session of asked) {
            for (const format of ["csv", "html"]) {
              assert.isFalse(unpackedPage(yield* exported(session, format)).includes(SECRET))
            }
          }
          // What is typed where it is shown is kept: the search finds what there is.
          const shown = yield* create(["sh", "-c", "stty raw -echo; exec cat"])
          yield* typeInto(shown, "SHOWN-letters")
          yield* untilOutput(shown, "SHOWN-letters".length)
        }).pipe(Effect.provide(engine.client()))
        yield* engine.kill("engine")
        const files = filesBelow(engine.store)
        assert.isTrue(files.some((file) => readFileSync(file).includes("SHOWN-letters")))
        assert.deepStrictEqual(
          files.filter((file) => readFileSync(file).includes(SECRET)),
          []
        )
      }),
    { timeout: 120_000 }
  )

  it("hostile case 24: neither the engine nor a keeper leaves a core, and nobody of the same user reads its memory", () => {
    const bin = dirname(PROGRAM)
    const folder = mkdtempSync(join(tmpdir(), "reprise-core-"))
    try {
      // Where the system makes cores at all, the ordinary program of the beginning leaves one.
      const program = [
        "import json,os,resource,signal,subprocess,sys",
        "node,engine,keeper,folder=sys.argv[1:]",
        "hard=resource.getrlimit(resource.RLIMIT_CORE)[1]",
        "resource.setrlimit(resource.RLIMIT_CORE,(hard,hard))",
        "def cored(argv,fd):",
        "  r,w=os.pipe(); os.set_inheritable(w,True)",
        "  pid=os.fork()",
        "  if pid==0:",
        "    os.chdir(folder); os.dup2(w,fd); os.execv(argv[0],argv)",
        "  os.close(w); os.read(r,4096)",
        "  try: open(f'/proc/{pid}/environ').read(1); read=True",
        "  except PermissionError: read=False",
        "  os.kill(pid,signal.SIGABRT)",
        "  return [os.WCOREDUMP(os.waitpid(pid,0)[1]),read]",
        "ulid='01ARZ3NDEKTSV4RRFFQ69G5FAV'",
        "print(json.dumps({",
        "  'engine':cored([node,engine,'--store',folder+'/store'],3),",
        "  'keeper':cored([node,keeper,'--id',ulid,'--socket',folder+'/k.sock','--ready-fd','3'],3)}))"
      ].join("\n")
      const result = JSON.parse(
        execFileSync("python3", [
          "-c",
          program,
          process.execPath,
          join(bin, "engine.js"),
          join(bin, "keeper.js"),
          folder
        ]).toString()
      )
      check.isFalse(result.engine[0])
      check.isFalse(result.keeper[0])
      if (!isRoot) check.deepStrictEqual([result.engine[1], result.keeper[1]], [false, false])
      check.deepStrictEqual(
        readdirSync(folder).filter((name) => name.startsWith("core")),
        []
      )
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    // The call itself, on every machine: the kernel says what it set (prctl PR_GET_DUMPABLE).
    const asked = [
      `import koffi from "koffi"`,
      `import { libc } from "./src/keeper/Libc.ts"`,
      `const get = () => koffi.load(null).func("int prctl(int, long, long, long, long)")(3, 0, 0, 0, 0)`,
      `const before = get(); libc().forbidDumps(); process.stdout.write(before + " " + get())`
    ].join("\n")
    const root = fileURLToPath(new URL("../..", import.meta.url))
    const told = execFileSync(process.execPath, ["--input-type=module", "-e", asked], { cwd: root }).toString()
    check.match(told, /^[12] 0$/)
  })
})
