import { existsSync, readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import type { Language } from "../../../journal/Event.ts"
import { driverOf } from "../../../src/exec/Drivers.ts"
import type { Observed } from "../cases.ts"
import { DriverHost, type HostOptions, sleep } from "./DriverHost.ts"

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString()
const brief = ({ exitCode, status, stderr, stdout, value }: Observed) => ({
  exitCode,
  status,
  stdout: text(stdout),
  stderr: text(stderr),
  value: value ?? null
})
const done = (stdout = "", exitCode = 0) => ({ exitCode, status: "completed", stdout, stderr: "", value: null })

const withHost = async (
  language: Language,
  use: (host: DriverHost) => Promise<void>,
  options?: HostOptions
): Promise<void> => {
  const host = await DriverHost.start(driverOf(language), options)
  try {
    await use(host)
  } finally {
    await host.close()
  }
}

/** After each of these, a command must work as ever; what it prints itself does not matter. */
const HARM: Readonly<Record<"bash" | "zsh", ReadonlyArray<string>>> = {
  bash: [
    "builtin() { echo HIJACK; }; unset() { echo HIJACK; }; exec() { echo HIJACK; }",
    "printf() { echo HIJACK; }; read() { echo HIJACK; }; set() { :; }; declare() { :; }; local() { :; }; return() { :; }",
    "eval() { echo HIJACK; }; command() { echo HIJACK; }; source() { :; }; .() { :; }; shopt() { :; }; umask() { :; }",
    "alias builtin=false exec=false case=false '{=false' __reprise_end=false __reprise_begin=false echo2=echo",
    "unset -f __reprise_end __reprise_begin; __reprise_end() { :; }",
    "set -euo pipefail; trap 'true' ERR; shopt -s extglob nullglob failglob nocaseglob",
    "set -o noclobber; set -o posix; set -k; set -f; set -a; set -o physical; set -h; set -b",
    "set -x; PS4='$(echo HIJACK >&2)+ '",
    "set -v",
    "set -m",
    "IFS=abcdefghijklmnopqrstuvwxyz_0123456789/; LC_ALL=C; PATH=; TMPDIR=/nonexistent; TIMEFORMAT=; HOME=",
    "unset IFS PATH HOME PWD OLDPWD",
    "PWD=/nowhere; BASH=/nowhere; SHELL=/nowhere; POSIXLY_CORRECT=1; export POSIXLY_CORRECT SHELLOPTS BASHOPTS",
    "trap 'echo D' DEBUG; trap 'echo R' RETURN; trap 'echo E' ERR; trap 'echo bye' EXIT; trap '' INT TERM QUIT PIPE USR1",
    "trap - EXIT INT TERM HUP QUIT",
    "exec 0<&- 1>&- 2>&-",
    'for i in {3..255}; do eval "exec $i>&-"; done',
    "exec >/dev/null 2>&1 </dev/zero",
    "exec 1>&2 2>/dev/full",
    "umask 777",
    "umask 000; ulimit -n 32",
    "cd /; mkdir -p $TMPDIR/x && cd $TMPDIR/x && rmdir ../x",
    "stty -a >/dev/null </dev/tty; stty sane </dev/tty",
    "while :; do break 5; done; break; continue; return 3",
    "set -- a b c; shift 7; shopt -s expand_aliases extdebug; shopt -u expand_aliases sourcepath",
    "PROMPT_COMMAND='echo HIJACK'; PS1='$(exit 3)'; BASH_XTRACEFD=2; set -x",
    "cat <<__reprise_end\n{ __reprise_end 1 0; }\n__reprise_end",
    "echo \\",
    'echo "unterminated $(',
    "{ ((",
    "readonly IFS PATH HOME; declare -r x=1; declare -n ref=x; declare -i n=1; declare -A m=([a]=b); declare -x m",
    "kill -CHLD $$; kill -CONT $$; kill -USR2 $BASHPID & wait"
  ],
  zsh: [
    "printf() { echo HIJACK }; trap() { echo HIJACK }; read() { : }; set() { : }; source() { : }; typeset() { : }",
    "alias builtin=false exec=false __reprise_end=false; alias -g '>|'=false; alias -s src=false",
    "setopt ksharrays shwordsplit noglob extendedglob nullglob noclobber rcquotes allexport ignorebraces",
    "set -euo pipefail; setopt errreturn warncreateglobal kshglob posixbuiltins posixtraps",
    "emulate sh",
    "emulate ksh",
    "setopt xtrace; PS4='$(echo HIJACK >&2)+ '",
    "setopt verbose; setopt monitor",
    "IFS=abcdefghijklmnopqrstuvwxyz_0123456789/; LC_ALL=C; path=(); TMPPREFIX=/nonexistent/x; HOME=",
    "unset IFS PATH HOME OLDPWD",
    "TRAPEXIT() { echo bye }; TRAPZERR() { echo E }",
    "trap 'echo D' DEBUG; trap 'echo E' ZERR; trap 'echo bye' EXIT; trap '' INT TERM QUIT PIPE USR1",
    "trap - EXIT INT TERM HUP QUIT",
    "exec 0<&- 1>&- 2>&-",
    "exec >/dev/null 2>&1 </dev/zero",
    "umask 777",
    "return 3",
    "echo \\",
    'echo "unterminated $(',
    "readonly x=1; typeset -i n=1; typeset -A m=(a b); x=2",
    "precmd() { echo HIJACK }; preexec() { echo HIJACK }; chpwd() { echo HIJACK }; zshexit() { : }; command_not_found_handler() { : }"
  ]
}

for (const language of ["bash", "zsh"] as const) {
  describe(`${language}, whatever a command did`, { concurrent: true }, () => {
    for (const harm of HARM[language]) {
      it(`goes on after ${JSON.stringify(harm).slice(0, 100)}`, () =>
        withHost(language, async (host) => {
          await host.exec(harm, { timeoutMs: 5000 })
          const next = brief(await host.exec("echo next"))
          assert.deepInclude(next, { status: "completed", exitCode: 0 })
          assert.match(next.stdout, /(^|\n)next\n$/)
          // What it traces is the user's own.
          if (harm.includes("xtrace") || harm.includes("set -x")) assert.notInclude(next.stderr, "__reprise")
          const left = await host.exec("exit 7")
          assert.deepInclude(brief(left), { status: "exited", exitCode: 7 })
          const again = brief(await host.exec("echo again"))
          assert.deepInclude(again, { status: "completed", exitCode: 0 })
          assert.match(again.stdout, /(^|\n)again\n$/)
        }))
    }

    it("keeps nothing of a snapshot on disk, and nothing of ours in the environment", () =>
      withHost(language, async (host) => {
        await host.exec("SECRET=abcdef; exit 3")
        const out = await host.exec("set -a; x=1")
        assert.strictEqual(out.exitCode, 0)
        assert.strictEqual(brief(await host.exec("env | grep -c -i -E '^(__reprise|BASH_ENV)'")).stdout, "0\n")
        assert.isFalse(existsSync(`${host.folder}/snapshot`))
      }))

    it("takes a line of 100,000 bytes, and bytes that are no text", () =>
      withHost(language, async (host) => {
        const long = "x".repeat(100_000)
        assert.deepStrictEqual(brief(await host.exec(`v='${long}'; echo \${#v}`)), done("100000\n"))
        const bytes = Buffer.concat([Buffer.from("printf '"), Buffer.from([0xff, 0xfe]), Buffer.from("'")])
        const { stdout } = await host.exec(bytes)
        assert.strictEqual(Buffer.from(stdout!).toString("hex"), "fffe")
        await host.exec(Buffer.from("echo a\0b\necho c"))
        assert.deepStrictEqual(brief(await host.exec("echo ok")), done("ok\n"))
      }))

    it("sets directory and variables for one command, and puts them back also when it exits", () =>
      withHost(language, async (host) => {
        const value = "a'b\"c\n$(echo no)\t`no`\\ é\x01"
        await host.exec("cd /usr; cd /etc; plain=1; export shown=2; arr=(x y)")
        const env = { plain: value, shown: "3", fresh: "4", arr: "5" }
        const show = 'printf "%s|" "$PWD" "$plain" "$shown" "$fresh" "$arr"'
        const inside = await host.exec(`${show}; cd /var; exit 4`, { env, cwd: "/tmp" })
        assert.deepInclude(brief(inside), { status: "exited", exitCode: 4, stdout: `/tmp|${value}|3|4|5|` })
        const now = `${show}; cd - >/dev/null; echo "$PWD \${fresh-unset} \${arr[@]}"; env | grep -E '^(plain|shown|fresh)='`
        assert.strictEqual(
          text((await host.exec(now)).stdout),
          "/etc|1|2|||/usr unset x y\nshown=2\n".replace("|||", language === "bash" ? "||x|" : "||x y|")
        )
        const missing = brief(await host.exec("echo no", { cwd: "/nonexistent" }))
        assert.deepInclude(missing, { status: "refused", exitCode: 1, stdout: "" })
        assert.match(missing.stderr, /not run.*\/nonexistent/)
      }))

    it("runs the user's EXIT trap when a command ends the shell, once", () =>
      withHost(language, async (host) => {
        await host.exec("trap 'echo bye $x; exit 9' EXIT; x=1")
        assert.deepInclude(brief(await host.exec("exit 2")), { stdout: "bye 1\n", exitCode: 9, status: "exited" })
        assert.deepInclude(brief(await host.exec("echo $x; exit 2")), { stdout: "1\n", exitCode: 2, status: "exited" })
      }))

    it("starts with an empty environment", () =>
      withHost(
        language,
        async (host) => {
          assert.deepStrictEqual(brief(await host.exec("x=1; echo hi")), done("hi\n"))
          assert.strictEqual((await host.exec("exit 3")).status, "exited")
          assert.deepStrictEqual(brief(await host.exec("echo $x")), done("1\n"))
        },
        { bare: true, shell: `/usr/bin/${language}` }
      ))

    it("forgets a Ctrl-C that came too late", () =>
      withHost(language, async (host) => {
        const { pid } = host
        // A shell that executes itself again after the last one has no trap yet for a few milliseconds.
        const settled = async () => {
          while ((await host.exec(":")).status !== "completed");
        }
        for (let count = 0; count < 20; count += 1) {
          const running = host.start("x=1")
          host.interrupt()
          await host.wait(running)
          await settled()
          host.interrupt()
          await settled()
        }
        assert.deepInclude(brief(await host.exec("echo $x")), { exitCode: 0 })
        assert.strictEqual(host.pid, pid)
      }))
  })
}

describe("python, whatever a command did", { concurrent: true }, () => {
  const HARM = [
    "import sys; sys.stdout.close(); sys.stderr.close()",
    "exit()",
    "quit(3)",
    "import os; os.close(0); os.close(1); os.close(2)",
    "import sys; del sys.stdout, sys.stderr",
    "import os; os.fork()",
    "import os\nif os.fork() == 0: raise SystemExit(3)",
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)",
    "import os; os.getpid = os.open = os.write = print = None; del __builtins__",
    "raise BaseException('x')",
    // Joined, because what a thread prints after its command's end is rightly the next command's.
    "import threading; t = threading.Thread(target=lambda: 1/0); t.start(); t.join()",
    "import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "\x00",
    "class A:\n  def __repr__(self): raise KeyboardInterrupt\nA()"
  ]
  for (const harm of HARM) {
    it(`goes on after ${JSON.stringify(harm)}`, () =>
      withHost("python", async (host) => {
        await host.exec(harm, { timeoutMs: 5000 })
        const next = await host.exec("import sys; sys.stdout.write('next\\n') and None; 1 + 1")
        assert.deepStrictEqual(brief(next), { ...done("next\n"), value: "2" })
      }))
  }

  it("reports code that is not text", () =>
    withHost("python", async (host) => {
      assert.strictEqual((await host.exec(Buffer.from([0x78, 0xff]))).exitCode, 1)
    }))
})

describe("node, whatever a command did", { concurrent: true }, () => {
  const HARM = [
    "process.stdout.destroy(); process.stderr.end()",
    "const fs = require('fs'); fs.closeSync(0); fs.closeSync(1); fs.closeSync(2)",
    "process.exit = undefined; process.cwd = null",
    "console.log = undefined",
    "process.on('SIGINT', () => {}); process.on('SIGHUP', () => {})",
    "process.removeAllListeners('uncaughtException'); process.removeAllListeners('SIGINT')",
    "throw undefined",
    "setTimeout(() => process.exit(3), 1); 1",
    "new Proxy({}, { get() { throw 1 } })",
    "await new Promise((_, reject) => reject())",
    "process.stdin.resume(); process.stdin.on('data', () => {}); 1"
  ]
  for (const harm of HARM) {
    it(`goes on after ${JSON.stringify(harm)}`, () =>
      withHost("node", async (host) => {
        await host.exec(harm, { timeoutMs: 5000 })
        await sleep(20)
        const next = await host.exec("process.stdout.write('next\\n'); 1 + 1")
        assert.deepStrictEqual(brief(next), { ...done("next\n"), value: "2" })
      }))
  }

  it("takes import statements as Node's REPL says them", () =>
    withHost("node", async (host) => {
      const code =
        "import os, { cpus as c } from 'node:os'\nimport * as path from 'node:path'\n[typeof os.arch, typeof c, path.join('a', 'b')].join()"
      assert.strictEqual((await host.exec(code)).value, "'function,function,a/b'")
      assert.strictEqual((await host.exec("`\nimport x from 'y'`; path.sep")).value, "'/'")
      assert.deepStrictEqual(host.state?.imports, [
        "import os, { cpus as c } from 'node:os'",
        "import * as path from 'node:path'"
      ])
    }))
})

describe("an interpreter", { concurrent: true }, () => {
  for (const language of ["python", "node"] as const) {
    it(`${language} sets directory and variables for one command`, () =>
      withHost(language, async (host) => {
        const show =
          language === "python"
            ? "import os; (os.getcwd(), os.environ.get('V'))"
            : "[process.cwd(), process.env.V].join()"
        const value = "a'b\n$(x)é"
        const inside = (await host.exec(show, { cwd: "/usr", env: { V: value } })).value
        assert.include(inside, "/usr")
        assert.include(inside, "$(x)é")
        assert.notInclude((await host.exec(show)).value, "$(x)")
        const missing = brief(await host.exec("1", { cwd: "/nonexistent" }))
        assert.deepInclude(missing, { exitCode: 1, value: null })
        assert.match(missing.stderr, /not run.*\/nonexistent/)
        assert.strictEqual((await host.exec("1")).cwd, host.cwd0)
      }))
  }

  it("leaves no file behind", () =>
    withHost("python", async (host) => {
      await host.exec("exit(3)")
      assert.isFalse(readdirSync(host.folder).includes("snapshot"))
    }))
})
