/** tlog: what is exported is what Debian's tlog-play shows, byte for byte, and what is imported again. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import { TLOG_PAYLOAD_BYTES_MAX, TlogMessages } from "../../src/export/TlogMessages.ts"
import { RecordingFile } from "../../src/files/RecordingFile.ts"
import { importFormat } from "../../src/import/Import.ts"
import type { Recording } from "../../src/import/Recording.ts"
import { isInstalled } from "../fixtures/installed.ts"
import { commandFinished, commandStarted, created, output, randomOutput, seeded } from "../projections/events.ts"
import { inTerminal } from "./readers.ts"
import { bytesOf, removed, sourceOf, stdout } from "./sources.ts"

interface Message {
  readonly timing: string
  readonly in_txt: string
  readonly in_bin: ReadonlyArray<number>
  readonly out_txt: string
  readonly out_bin: ReadonlyArray<number>
  readonly [field: string]: unknown
}

const HEAD = { host: "h", rec: "r", user: "u", term: "xterm", session: 1, beganMillis: 1_600_718_060_667 }
const parsed = (text: string): ReadonlyArray<Message> =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line))

/** The messages that an encoder gives for these calls. */
const encoded = (run: (messages: TlogMessages) => ReadonlyArray<string>, payloadBytesMax?: number) => {
  const messages = new TlogMessages(HEAD, payloadBytesMax === undefined ? {} : { payloadBytesMax })
  const parts = run(messages)
  return parsed(parts.join("") + messages.end())
}
const dataOf = ({ in_bin, in_txt, out_bin, out_txt, timing }: Message) => [timing, in_txt, in_bin, out_txt, out_bin]

/** As the reader's list of cases has it. */
const GOOD = {
  ver: "2.3",
  host: "h",
  rec: "r",
  user: "u",
  term: "xterm",
  session: 1,
  id: 1,
  pos: 0,
  time: 1600718060.667,
  timing: "=80x24>5",
  in_txt: "",
  in_bin: [] as ReadonlyArray<number>,
  out_txt: "hello",
  out_bin: [] as ReadonlyArray<number>
}
const line = (changes: Readonly<Record<string, unknown>> = {}): string => `${JSON.stringify({ ...GOOD, ...changes })}\n`
const without = (...names: ReadonlyArray<string>): string =>
  `${JSON.stringify(Object.fromEntries(Object.entries(GOOD).filter(([name]) => !names.includes(name))))}\n`

const folder = mkdtempSync(join(tmpdir(), "reprise-tlog-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const fileOf = (content: string | Uint8Array): string => {
  const path = join(folder, `${++files}.json`)
  writeFileSync(path, content)
  return path
}

/** What our import makes of a file; an Error where it refuses it. */
const imported = async (content: string | Uint8Array): Promise<ReadonlyArray<SessionEvent> | Error> => {
  const file = await RecordingFile.open(fileOf(content))
  try {
    const open = await importFormat(file.path, await file.first(4096), file.name).load()
    const recording: Recording = await open(file)
    assert.strictEqual(recording.format, "tlog-2")
    const events: Array<SessionEvent> = []
    for await (const { event } of recording.events()) events.push(event)
    return events
  } catch (error) {
    return error as Error
  } finally {
    await file.close()
  }
}
const bytesIn = (events: ReadonlyArray<SessionEvent> | Error, tag: "OutputReceived" | "InputWritten"): Buffer => {
  if (events instanceof Error) throw events
  return Buffer.concat(events.flatMap((event) => (event._tag === tag ? [event.data] : [])))
}

const input = (data: Uint8Array | string): SessionEvent => ({ _tag: "InputWritten", data: Buffer.from(data) })
const resized = (cols: number, rows: number): SessionEvent => ({ _tag: "Resized", size: { cols, rows } })
const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte)
const scattered = Uint8Array.from({ length: 20_000 }, (_, index) => (index * 7 + (index >> 8) * 31) & 0xff)

describe("the encoder of tlog", () => {
  it("10.2 (11): bytes that are no characters, cut characters, sizes", () => {
    const inputs = (...parts: ReadonlyArray<ReadonlyArray<number>>) =>
      dataOf(encoded((messages) => parts.map((part) => messages.input(0, Uint8Array.from(part))))[0]!)
    assert.deepStrictEqual(inputs([0xff]), ["[1/1", "\ufffd", [255], "", []])
    assert.deepStrictEqual(inputs([0xf0, 0x9d, 0x84, 0x58]), ["[1/3<1", "\ufffdX", [240, 157, 132], "", []])
    assert.deepStrictEqual(inputs([0xf0, 0x9d], [0x84, 0x9e]), ["<1", "\u{1d11e}", [], "", []])
    assert.deepStrictEqual(inputs([0x58, 0xf0, 0x9d]), ["<1[1/2", "X\ufffd", [240, 157], "", []])
    const sizes = encoded((messages) => [
      messages.resize(0, { cols: 100, rows: 100 }),
      messages.resize(0, { cols: 100, rows: 100 }),
      messages.resize(100, { cols: 200, rows: 200 })
    ])
    assert.deepStrictEqual(sizes.map(dataOf), [["=100x100+100=200x200", "", [], "", []]])
    const within = encoded((messages) => [
      messages.output(0, Uint8Array.of(0xf0, 0x9d)),
      messages.resize(0, { cols: 10, rows: 10 }),
      messages.output(3, Uint8Array.of(0x84, 0x9e))
    ])
    assert.deepStrictEqual(within.map(dataOf), [["=10x10+3>1", "", [], "\u{1d11e}", []]])
  })

  it("10.2 (11): a full message is followed by one that begins with the size", () => {
    const messages = encoded(
      (one) => [one.resize(0, { cols: 100, rows: 200 }), one.output(0, Buffer.from("x".repeat(500)))],
      192
    )
    assert.isAbove(messages.length, 2)
    for (const [index, message] of messages.entries()) {
      assert.match(message.timing, /^=100x200>\d+$/)
      assert.deepStrictEqual([message.id, message.ver, message.session], [index + 1, "2.3", 1])
    }
    assert.strictEqual(messages.map(({ out_txt }) => out_txt).join(""), "x".repeat(500))
  })

  it("10.2 (6): counts are of characters and not of UTF-16 units", () => {
    const [message] = encoded((messages) => [messages.output(0, Buffer.from("😀é😀"))])
    assert.deepStrictEqual(dataOf(message!), [">3", "", [], "😀é😀", []])
  })

  it("10.2 (8): bytes that are no text stand beside it", () => {
    const [message] = encoded((messages) => [messages.output(0, Uint8Array.of(0x61, 0xff, 0xfe, 0x62))])
    assert.deepStrictEqual(dataOf(message!), [">1]2/2>1", "", [], "a\ufffd\ufffdb", [255, 254]])
  })

  it("10.2 (13): a line of a real recording", () => {
    const [message] = encoded((messages) => [
      messages.resize(0, { cols: 90, rows: 30 }),
      messages.output(1, Buffer.concat([Buffer.from("hóla "), Uint8Array.of(255, 254), Buffer.from(" bad\r\n")])),
      messages.output(303, Buffer.from("done\r\n"))
    ])
    assert.deepStrictEqual(dataOf(message!), [
      "=90x30+1>5]2/2>6+302>6",
      "",
      [],
      "hóla \ufffd\ufffd bad\r\ndone\r\n",
      [255, 254]
    ])
  })

  it("10.2 (12): random bytes come back, no message holds more than 2048 bytes, nothing in it is a control character", async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = seeded(seed)
      const sent: Record<"in" | "out", Array<Uint8Array>> = { in: [], out: [] }
      const messages = new TlogMessages(HEAD)
      let text = messages.resize(0, { cols: 80, rows: 24 })
      let now = 0
      for (let index = 0; index < 60; index++) {
        now += Math.floor(random() * 3) * Math.floor(random() * 4000)
        const roll = random()
        if (roll < 0.1) text += messages.resize(now, { cols: 80 + Math.floor(random() * 3), rows: 24 })
        else {
          const of = roll < 0.3 ? "in" : "out"
          const data =
            random() < 0.5 ? randomOutput(random, 20) : Uint8Array.from({ length: 300 }, () => random() * 256)
          sent[of].push(data)
          text += of === "in" ? messages.input(now, data) : messages.output(now, data)
        }
      }
      text += messages.end()
      assert.notMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
      for (const [index, one] of text.split("\n").slice(0, -1).entries()) {
        const data = one.slice(one.indexOf('"timing":'), -1)
        const fields = /^"timing":"(.*)","in_txt":"(.*)","in_bin":\[(.*)\],"out_txt":"(.*)","out_bin":\[(.*)\]$/.exec(
          data
        )
        const bytes = fields!.slice(1).reduce((sum, field) => sum + Buffer.byteLength(field), 0)
        assert.isAtMost(bytes, TLOG_PAYLOAD_BYTES_MAX, `seed ${seed} message ${index + 1}`)
      }
      const events = await imported(text)
      assert.isTrue(bytesIn(events, "OutputReceived").equals(Buffer.concat(sent.out)), `seed ${seed}`)
      assert.isTrue(bytesIn(events, "InputWritten").equals(Buffer.concat(sent.in)), `seed ${seed}`)
    }
  })

  it("the times are those of the session, whatever its clock did", async () => {
    const source = sourceOf([
      [created(), 0],
      [output("a"), 250],
      [output("b"), -5000],
      [output("c"), 25_000],
      [resized(100, 30), 1]
    ])
    const messages = parsed((await bytesOf("tlog", source)).toString())
    assert.deepStrictEqual(
      messages.map(({ pos, timing }) => [pos, timing]),
      [
        [0, "=80x24+250>2"],
        [20_250, "=80x24>1+1=100x30"]
      ]
    )
    assert.match(
      (await bytesOf("tlog", source)).toString(),
      /"pos":0,"time":1600718060\.667,.*\n.*"time":1600718080\.917,/
    )
  })
})

describe("--format tlog", () => {
  const typed = [created(), output("one "), input("pass"), { _tag: "InputHidden" }, output(everyByte)] as const

  it("has input where it is wanted, and says what else it has no place for", async () => {
    const source = sourceOf([...typed, { _tag: "MarkerSet", label: "m" }])
    const [message] = parsed((await bytesOf("tlog", source)).toString())
    assert.deepStrictEqual([message!.in_txt, message!.in_bin, message!.rec], ["", [], source.view.id])
    assert.deepStrictEqual(
      source.losses.report().map(({ loss }) => loss),
      ["inputBytes", "markers"]
    )
    const [with_] = parsed((await bytesOf("tlog", sourceOf(typed, { input: true }))).toString())
    assert.deepStrictEqual([with_!.in_txt, with_!.timing.slice(0, 14)], ["pass", "=80x24>4<4>128"])
  })

  it("of a shell for commands it shows each command and what it printed; of a pruned session what is left", async () => {
    const shell = [created({ kind: "exec" }), commandStarted(1, "ls"), stdout(1, "a\n"), commandFinished(1)]
    const text = (events: ReadonlyArray<SessionEvent>) =>
      bytesOf("tlog", sourceOf(events)).then((bytes) =>
        parsed(bytes.toString())
          .map(({ out_txt }) => out_txt)
          .join("")
      )
    assert.strictEqual(await text(shell), "$ ls\r\na\r\n")
    assert.strictEqual(await text([removed(9), output("rest")]), "rest")
    assert.strictEqual(await text([]), "")
  })
})

describe("the import of tlog", () => {
  it("takes what tlog-play takes: no rec, no time, another field; a whole number as the time", async () => {
    for (const text of [line(), without("rec"), without("time"), line({ more: 1 }), line({ time: 1600718060 })]) {
      assert.strictEqual(bytesIn(await imported(text), "OutputReceived").toString(), "hello")
    }
  })

  it("10.2 (3)(4)(7)(9)(10): refuses what is no recording, with the line, and more text than is counted", async () => {
    for (const [text, message] of [
      [line({ session: 0 }), / line 1: session /],
      [without("in_bin"), / line 1: in_bin is missing/],
      [without("out_bin"), / line 1: out_bin is missing/],
      [line({ timing: "=80x24>6" }), / line 1: its timing counts more/],
      [line({ timing: "=80x24>4" }), / line 1: out_txt or out_bin has more/],
      [line({ out_txt: "😀", timing: ">2" }), / line 1: its timing counts more/],
      [line({ out_bin: [1] }), / line 1: out_txt or out_bin has more/],
      [line({ out_bin: [256] }), / line 1: out_bin is no list of bytes/],
      [line({ timing: ">5?" }), / line 1: timing is not understood from character 3/],
      [line({ ver: "2.x" }), /of no format/],
      [line() + line({ id: 3 }), / line 2: is message 3, and 2 should follow/],
      [line({ pos: 10 }) + line({ id: 2, pos: 9 }), / line 2: its time 9 is before/],
      [line() + line({ id: 2, rec: "other" }), / line 2: is of another recording/],
      [`${line()}{`, / line 2: is no message/]
    ] as const) {
      const result = await imported(text)
      assert.instanceOf(result, Error, text)
      assert.match((result as Error).message, message)
    }
  })

  it("gives sizes, times and both streams", async () => {
    const events = await imported(line({ timing: "=80x24>1+500<2=100x30[1/1+1>4", in_txt: "ab\ufffd", in_bin: [255] }))
    if (events instanceof Error) throw events
    assert.deepStrictEqual(
      events.map(({ _tag }) => _tag),
      [
        "SessionCreated",
        "OutputReceived",
        "InputWritten",
        "Resized",
        "InputWritten",
        "OutputReceived",
        "LeaderExited",
        "TerminalClosed",
        "SessionClosed"
      ]
    )
    assert.deepStrictEqual([...bytesIn(events, "InputWritten")], [0x61, 0x62, 0xff])
  })
})

describe.skipIf(!isInstalled("tlog-play"))("tlog-play reads it (Debian: tlog)", () => {
  const play = (content: string | Uint8Array, ...flags: ReadonlyArray<string>) =>
    inTerminal(["tlog-play", "-r", "file", "-i", fileOf(content), ...flags])
  /** What it shows before it puts the terminal back. */
  const shown = (content: string | Uint8Array, ...flags: ReadonlyArray<string>): Buffer => {
    const { code, output } = play(content, ...flags)
    assert.strictEqual(code, 0, output.toString())
    const end = output.lastIndexOf("\x1b[0m\x1b[?25h")
    return output.subarray(0, end === -1 ? output.length : end)
  }
  const refused = (content: string, message: RegExp) => {
    const { code, output } = play(content)
    assert.notStrictEqual(code, 0, content)
    assert.match(output.toString(), message)
  }

  it("every byte of a session: text, bytes that are none, cut characters, two sizes", async () => {
    const parts = [everyByte, Buffer.from("hóla 😀\r\n"), scattered.subarray(0, 9999), scattered.subarray(9999)]
    const source = sourceOf([
      created(),
      output(parts[0]!),
      output(parts[1]!),
      resized(100, 30),
      output(parts[2]!),
      output(parts[3]!)
    ])
    assert.isTrue(shown(await bytesOf("tlog", source)).equals(Buffer.concat(parts)))
  })

  it("10.2 (1): a message", () => {
    assert.strictEqual(shown(line()).toString(), "hello")
  })

  it("10.2 (2): a whole number as the time is refused, and ours never is one", () => {
    refused(line({ time: 1600718060 }), /invalid type/)
    const whole = new TlogMessages({ ...HEAD, beganMillis: 1_600_718_060_000 })
    const text = whole.output(0, Buffer.from("x")) + whole.end()
    assert.include(text, '"time":1600718060.000,')
    assert.strictEqual(shown(text).toString(), "x")
  })

  it("10.2 (3)(4): session 0 and missing fields are refused", () => {
    refused(line({ session: 0 }), /session|invalid/i)
    refused(without("in_bin"), /field is missing/)
    refused(without("out_bin"), /field is missing/)
  })

  it("10.2 (5): without rec, without time, with one field more it plays", () => {
    for (const text of [without("rec"), without("time"), line({ more: 1 })])
      assert.strictEqual(shown(text).toString(), "hello")
  })

  it("10.2 (6)(7): it counts characters; what is not counted it drops", () => {
    assert.strictEqual(shown(line({ out_txt: "😀", timing: ">1" })).toString(), "😀")
    refused(line({ out_txt: "😀", timing: ">2" }), /out_txt/)
    refused(line({ timing: "=80x24>6" }), /out_txt/)
    assert.strictEqual(shown(line({ timing: "=80x24>4" })).toString(), "hell")
  })

  it("10.2 (8)(13): bytes that are no text", () => {
    const bytes = shown(line({ timing: ">1]1/2>1", out_txt: "a\ufffdb", out_bin: [255, 254] }))
    assert.deepStrictEqual([...bytes], [0x61, 0xff, 0xfe, 0x62])
    const real = { timing: "=90x30+1>5]2/2>6+302>6", out_txt: "hóla \ufffd\ufffd bad\r\ndone\r\n", out_bin: [255, 254] }
    const expected = Buffer.concat([Buffer.from("hóla "), Buffer.of(255, 254), Buffer.from(" bad\r\ndone\r\n")])
    assert.isTrue(shown(line(real)).equals(expected))
  })

  it("10.2 (9): a missing message is refused, with --lax it plays", () => {
    const text = line() + line({ id: 3, out_txt: "again" })
    refused(text, /out of order/)
    assert.strictEqual(shown(text, "--lax").toString(), "helloagain")
  })

  it("10.2 (10): a position before the last is refused", () => {
    refused(line({ pos: 10 }) + line({ id: 2, pos: 9 }), /out of order/)
  })

  it("10.2 (14): it goes to a time in our messages, in all forms that it takes", () => {
    const messages = new TlogMessages(HEAD)
    const text = [
      messages.resize(0, { cols: 80, rows: 24 }),
      messages.output(0, Buffer.from("a")),
      messages.output(36_610_100, Buffer.from("b")),
      messages.end()
    ].join("")
    // Behind the time it is asked to go to it plays as fast as it happened: nothing is left to wait for.
    for (const goto of ["10:10:10.10", "36611", "611:", "11::", "36610.1"]) {
      assert.strictEqual(shown(text, `--goto=${goto}`).toString(), "ab", goto)
    }
    for (const goto of [".1000000000", "9223372036854775807:", "x"]) {
      const { code } = play(text, `--goto=${goto}`)
      assert.notStrictEqual(code, 0, goto)
    }
  })
})
