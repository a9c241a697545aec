/**
 * Secrets at prompts, as sudo's filter of passwords has them and where it fails: a session is recorded, and nothing of a
 * password is in its journal or in any export with input, while the command behind it is kept. What comes in one write with
 * a password is hidden with it: nobody can tell where a secret ends without a moment in which another one could be kept.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { exportFolder, exportFormat, exportSession, folderFormat } from "../../src/export/Export.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { isInstalled } from "../fixtures/installed.ts"
import { create, typeInto } from "../hostile/hostileEngine.ts"
import { eventsOf, until, untilEnd } from "../session/sessionsUnderTest.ts"

const SECRET = "Tr0ub4dor-zqxj-filter"
const KEPT = "echo hi ere, this command is kept"

/** Python: asks without echo in line mode, or key by key as sudo does with pwfeedback; then reads a line that is shown. */
const asking = (...body: ReadonlyArray<string>): ReadonlyArray<string> => [
  "python3",
  "-c",
  [
    "import os,sys,termios,time",
    "old=termios.tcgetattr(0)",
    "def mode(off):",
    "  new=termios.tcgetattr(0); new[3]&=~off; termios.tcsetattr(0,termios.TCSADRAIN,new)",
    "def ask(*prompt):",
    "  mode(termios.ECHO|termios.ECHONL)",
    "  for part in prompt: os.write(1,part.encode()); time.sleep(0.02)",
    "  line=os.read(0,1024); termios.tcsetattr(0,termios.TCSADRAIN,old); os.write(1,b'\\n'); return line",
    "def stars(prompt):",
    "  mode(termios.ECHO|termios.ICANON); os.write(1,prompt.encode()); line=b''",
    "  while not line.endswith((b'\\r',b'\\n')): line+=os.read(0,1); os.write(1,b'*')",
    "  termios.tcsetattr(0,termios.TCSADRAIN,old); os.write(1,b'\\n'); return line",
    ...body
  ].join("\n")
]
const END = "print('command',sys.stdin.readline().strip()); print('done')"

interface Case {
  readonly name: string
  readonly argv: ReadonlyArray<string>
  /** What is typed when this is shown. */
  readonly typed: ReadonlyArray<readonly [shown: string | RegExp, text: string]>
  /** The command comes in the same write as a password, and is hidden with it: what it shows and does is kept. */
  readonly isPasted?: boolean
}

const CASES: ReadonlyArray<Case> = [
  {
    name: "test1: two passwords, then an interrupt",
    argv: asking("ask('Password: '); ask('Password: '); print('command', os.read(0,9)); print('done')"),
    typed: [
      [/Password: $/, `A new ${SECRET}?\r`],
      [/Password: [\s\S]*Password: $/, `A bad ${SECRET}...\r`],
      [/Password: [\s\S]*Password: \r\n$/, `${KEPT}\r`]
    ]
  },
  {
    name: "test2: a password, then a command",
    argv: asking("ask('[sudo] password for alice: ')", END),
    typed: [
      ["alice: ", `${SECRET}\r`],
      [/alice: \r\n$/, `${KEPT}\r`]
    ]
  },
  {
    name: "test3: three attempts of ssh",
    argv: asking("for n in range(3): ask(\"alice@host's password: \"); print('denied',n)", END),
    typed: [
      ["password: ", `${SECRET}1\r`],
      [/denied 0[\s\S]*password: $/, `${SECRET}2\r`],
      [/denied 1[\s\S]*password: $/, `${SECRET}3\r`],
      ["denied 2", `${KEPT}\r`]
    ]
  },
  {
    name: "the prompt comes in two chunks",
    argv: asking("ask('Pass','word: ')", END),
    typed: [
      ["word: ", `${SECRET}\r`],
      [/word: \r\n$/, `${KEPT}\r`]
    ]
  },
  {
    name: "Mot de passe",
    argv: asking("ask('Mot de passe : ')", END),
    typed: [
      ["passe : ", `${SECRET}\r`],
      [/passe : \r\n$/, `${KEPT}\r`]
    ]
  },
  {
    name: "each character is answered with a star",
    argv: asking("stars('Password: ')", END),
    typed: [
      ...Array.from(SECRET, (character, at): [RegExp, string] => [new RegExp(`Password: \\*{${at}}$`), character]),
      [new RegExp(`Password: \\*{${SECRET.length}}$`), "\r"],
      [/\*\r\n$/, `${KEPT}\r`]
    ]
  },
  {
    name: "password, line end and command in one write",
    argv: asking("ask('Password: ')", END),
    typed: [["Password: ", `${SECRET}\r${KEPT}\r`]],
    isPasted: true
  },
  {
    name: "a new password twice and a command in one write",
    argv: asking("ask('New password: '); ask('Retype new password: ')", END),
    typed: [["New password: ", `${SECRET}\r${SECRET}\r${KEPT}\r`]],
    isPasted: true
  }
]

const filesBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(folder, entry.name)) : entry.isFile() ? [join(folder, entry.name)] : []
  )

describe.skipIf(!isInstalled("python3"))("passwords in a recorded session (needs python3)", () => {
  it.live(
    `10.3 (12): ${CASES.map(({ name }) => name).join("; ")}: nothing of it is kept, the command is, in what was typed or in what it showed`,
    () =>
      Effect.gen(function* () {
        const engine = yield* engineProcess
        const run = Effect.fnUntraced(function* ({ argv, isPasted, name, typed }: Case) {
          const session: SessionId = yield* create(argv)
          for (const [shown, text] of typed) {
            yield* until(session, shown)
            yield* typeInto(session, text)
          }
          const entries: ReadonlyArray<JournalEntry> = yield* untilEnd(session)
          const typedBytes = Buffer.concat(eventsOf(entries, "InputWritten").map(({ data }) => data)).toString()
          const output = Buffer.concat(eventsOf(entries, "OutputReceived").map(({ data }) => data)).toString()
          assert.strictEqual(typedBytes, isPasted ? "" : `${KEPT}\r`, name)
          if (isPasted) assert.include(output, `command ${KEPT}`, name)
          assert.include(output, "done", name)
          assert.isAbove(eventsOf(entries, "InputHidden").length, 0, name)
          return { session, input: typedBytes }
        })
        yield* Effect.gen(function* () {
          const sessions = yield* Effect.all(CASES.map(run), { concurrency: CASES.length })
          const options = { input: true, whole: true }
          for (const { input, session } of sessions) {
            for (const format of ["tlog", "asciicast", "text", "commands"]) {
              const pieces = yield* Stream.runCollect(exportSession(session, exportFormat(format)!, options))
              assert.isFalse(Buffer.concat([...pieces]).includes(SECRET), format)
            }
            const pieces = yield* Stream.runCollect(exportFolder(session, folderFormat("sudo")!, options))
            const typed = pieces.filter(({ file }) => file === "ttyin").map(({ data }) => data)
            assert.strictEqual(Buffer.concat(typed).toString(), input)
          }
        }).pipe(Effect.provide(engine.client()))
        yield* engine.kill("engine")
        const files = filesBelow(engine.store)
        assert.isTrue(files.some((file) => readFileSync(file).includes(KEPT)))
        assert.deepStrictEqual(
          files.filter((file) => readFileSync(file).includes(SECRET.slice(0, 12))),
          []
        )
      }),
    { timeout: 120_000 }
  )
})
