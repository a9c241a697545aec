/** What rules find in a session's events, however the bytes came, and that nothing else changes. */
import { Schema } from "effect"
import { assert, describe, it } from "vitest"
import { type JournalEntry, type SessionEvent, SessionEvent as SessionEventSchema } from "../../journal/Event.ts"
import { cellsOf, maskOf } from "../../src/redact/CellMask.ts"
import { FoundSecrets } from "../../src/redact/FoundSecrets.ts"
import { everythingRule, patternRule, REDACT_RULES, type RedactRule, textRule } from "../../src/redact/RedactRule.ts"
import { SessionScan } from "../../src/redact/SessionScan.ts"
import { created, shellRestarted } from "../projections/events.ts"

const KEY = "AKIAIOSFODNN7EXAMPLE"
const MASKED = "*".repeat(KEY.length)

/** The events as they are after a redaction, and what was counted. */
const redact = (
  events: ReadonlyArray<SessionEvent>,
  rules: ReadonlyArray<RedactRule> = REDACT_RULES,
  range?: { readonly from: number; readonly to: number }
) => {
  const entries = events.map(
    (event, index): JournalEntry => ({ event, sequence: index + 1, actor: "a", timeMicros: 1 })
  )
  const secrets = new FoundSecrets()
  const scan = new SessionScan({ rules, secrets, range })
  for (const entry of entries) scan.take(entry)
  const first = scan.end()
  const copy = secrets.rule
  const again = new SessionScan({ rules: copy === undefined ? rules : [...rules, copy], range })
  for (const entry of entries) again.take(entry)
  const edited = copy === undefined ? first : again.end()
  const after = events.map((event) => structuredClone(event))
  for (const { edits, payload, sequence } of edited) {
    const event = after[sequence - 1]!
    if (payload !== undefined) {
      after[sequence - 1] = { _tag: event._tag, ...JSON.parse(Buffer.from(payload).toString()) } as SessionEvent
    } else if (event._tag === "OutputReceived" || event._tag === "InputWritten") {
      const shift = event._tag === "OutputReceived" ? 13 : 0
      for (const edit of edits) {
        assert.strictEqual(edit.bytes.length, edit.to - edit.from)
        event.data.set(edit.bytes, edit.from - shift)
      }
    }
  }
  return { after, matches: copy === undefined ? scan.matches : again.matches, edited }
}

/** Output in these parts. */
const output = (
  parts: ReadonlyArray<string | Uint8Array>,
  size = { cols: 80, rows: 24 }
): ReadonlyArray<SessionEvent> => {
  let offset = 0
  return [
    created({ size }),
    ...parts.map((part): SessionEvent => {
      const data = Uint8Array.from(Buffer.from(part as string))
      offset += data.length
      return { _tag: "OutputReceived", channel: "tty", exec: 0, offset: offset - data.length, data }
    })
  ]
}
const input = (parts: ReadonlyArray<string>): ReadonlyArray<SessionEvent> => [
  created(),
  ...parts.map((part): SessionEvent => ({ _tag: "InputWritten", data: Uint8Array.from(Buffer.from(part)) }))
]

const textOf = (events: ReadonlyArray<SessionEvent>): string =>
  Buffer.concat(
    events.flatMap((event) => (event._tag === "OutputReceived" || event._tag === "InputWritten" ? [event.data] : []))
  ).toString()

const shown = (parts: ReadonlyArray<string>, rules?: ReadonlyArray<RedactRule>) =>
  textOf(redact(output(parts), rules).after)

describe("what a redaction finds", () => {
  it("10.7 (1): a key that is split over two chunks", () => {
    assert.strictEqual(shown([`id ${KEY.slice(0, 9)}`, `${KEY.slice(9)} end`]), `id ${MASKED} end`)
  })

  it("10.7 (2): a key with colours in it; the colours stay", () => {
    assert.strictEqual(
      shown(["AKIA\x1b[31mIOSF\x1b[0", "mODNN7\x1b]0;title\x07EXAMPLE\r\n"]),
      "****\x1b[31m****\x1b[0m*****\x1b]0;title\x07*******\r\n"
    )
  })

  it("10.7 (3): a key that readline draws again after backspaces, in every copy", () => {
    const typo = `$ ${KEY.slice(0, -1)}X\b\x1b[KE\r\n`
    assert.strictEqual(shown([typo]), `$ ${"*".repeat(20)}\b\x1b[K*\r\n`)
    // Four letters were forgotten: inserted, each draws the rest of the line again.
    const rest = "ODNN7EXAMPLE"
    const inserted = [..."IOSF"].map((letter) => `${letter}${rest}${"\b".repeat(rest.length)}`).join("")
    const drawn = shown([`$ AKIA${rest}${"\b".repeat(rest.length)}${inserted}\r\n`])
    assert.notMatch(drawn, /[A-Z0-9]/)
    assert.strictEqual(drawn.length, `$ AKIA${rest}${"\b".repeat(rest.length)}${inserted}\r\n`.length)
    // Inserted by the terminal (ICH), and placed letter by letter.
    assert.notMatch(shown([`AKIA${rest}\x1b[${rest.length}D\x1b[4@IOSF\r\n`]), /[A-CE-Z0-9]{3}/)
    const placed = [...KEY].map((letter, index) => ({ letter, index })).reverse()
    const placing = placed.map(({ index, letter }) => `\x1b[3;${index + 5}H${letter}`).join("")
    assert.strictEqual(shown([placing]).replaceAll(/\x1b\[[\d;]*H/g, ""), MASKED)
  })

  it("10.7 (3): a key that was typed with mistakes, and one that wraps at the edge", () => {
    const typed = ["AKIAX", "\x7f", "IOSFODNN7EXAMPL", "EE", "\x7f", "\r"]
    const after = redact(input(typed)).after
    assert.notMatch(textOf(after), /[A-WYZ0-9]{2}/)
    const moved = redact(input(["ODNN7EXAMPLE", "\x01", "AKIA", "\x1b[C\x1b[D", "IOSF", "\r"])).after
    assert.strictEqual(textOf(moved), "************\x01****\x1b[C\x1b[D****\r")
    const narrow = textOf(
      redact(output([`12345 ${KEY.slice(0, 4)} \r${KEY.slice(4)}\r\n`], { cols: 10, rows: 5 })).after
    )
    assert.strictEqual(narrow, `12345 ****${" \r"}${"*".repeat(16)}\r\n`)
  })

  it("10.7 (3): a word that goes on in the next row, wherever the cursor went between, and what is not shown in it", () => {
    const size = { cols: 9, rows: 5 }
    for (const between of ["\r\n", "\x1b[2;1H", "\x1b[E"]) {
      const { after } = redact(output([`12345hunt${between}er2-x ok\r\n`], size), [textRule("hunter2-x")])
      assert.strictEqual(textOf(after), `12345****${between}***** ok\r\n`)
    }
    const { after } = redact(output(["│   hunt│\x1b[E│er2-x  │\r\n"], size), [textRule("hunter2-x")])
    assert.strictEqual(textOf(after), "│   hunt│\x1b[E│er2-x  │\r\n")
    assert.strictEqual(shown(["hun\u200bter\u00ad2-x"], [textRule("hunter2-x")]), "***\u200b***\u00ad***")
    assert.strictEqual(shown(["\x1b]52;c;aHVudGVyMi14\x07"], [textRule("hunter2-x")]), "\x1b]52;c;KioqKioqKioq\x07")
  })

  it("10.7 (4): titles, directories, variables and command lines in control strings", () => {
    const escaped = KEY.replaceAll("E", "\\x45")
    const strings = [
      `\x1b]0;deploy ${KEY}\x07`,
      `\x1b]7;file://host/home/${KEY.replaceAll("A", "%41")}/x\x1b\\`,
      `\x1b]1337;CurrentDir=/home/${KEY}\x07`,
      `\x1b]633;E;export K=${escaped};nonce\x07`,
      `\x1b]633;EnvJson;{\\x22K\\x22:\\x22${KEY}\\x22};nonce\x07`,
      `\x1b]1337;SetUserVar=k=${Buffer.from(`a ${KEY} b`).toString("base64")}\x07`,
      `\x1bP+q ${KEY}\x1b\\`
    ]
    for (const string of strings) {
      const parts = [...string].map((letter) => letter)
      const found = shown(parts)
      assert.strictEqual(found.length, string.length)
      assert.notInclude(found, KEY)
      assert.notInclude(decodeURIComponent(found.replaceAll("%", "%25").replaceAll("%25", "%")), KEY)
      assert.notInclude(
        found.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
        KEY
      )
      const base64 = /k=([\w+/=]+)/.exec(found)?.[1]
      if (base64 !== undefined) assert.strictEqual(Buffer.from(base64, "base64").toString(), `a ${MASKED} b`)
    }
  })

  it("10.7 (4): commands, variables, arguments, markers and directories of events", () => {
    const events: ReadonlyArray<SessionEvent> = [
      created({
        argv: ["deploy", "--token", "hunter2hunter2", KEY],
        name: `with ${KEY}`,
        cwd: `/tmp/${KEY}`,
        envNames: [KEY]
      }),
      {
        _tag: "CommandStarted",
        exec: 1,
        execId: "e1",
        code: `export K=${KEY}; curl -u me:x https://me:s3cretpw@host/`,
        stdin: "bytes",
        tty: false,
        env: { DB_PASSWORD: "correct horse", K: KEY },
        secretEnvNames: [],
        timeoutMillis: null,
        ttyFrom: 0
      },
      {
        _tag: "CommandInputWritten",
        exec: 1,
        base64: Buffer.from(`x ${KEY.slice(0, 5)}`).toString("base64"),
        end: false
      },
      { _tag: "CommandInputWritten", exec: 1, base64: Buffer.from(`${KEY.slice(5)} y`).toString("base64"), end: true },
      {
        _tag: "ShellStateChanged",
        exec: 1,
        env: { K: KEY, GONE: null },
        masked: [],
        functions: { f: `f () { echo ${KEY}; }` },
        aliases: { a: KEY },
        imports: [],
        omitted: []
      },
      { _tag: "MarkerSet", label: `before ${KEY}` },
      { _tag: "CwdChanged", cwd: `/srv/${KEY}`, source: "proc" }
    ]
    const { after } = redact(events)
    const text = JSON.stringify(after)
    for (const secret of [KEY, "hunter2hunter2", "s3cretpw", "correct horse"]) assert.notInclude(text, secret)
    const inputs = after.flatMap((event) =>
      event._tag === "CommandInputWritten" ? [Buffer.from(event.base64, "base64")] : []
    )
    assert.strictEqual(Buffer.concat(inputs).toString(), `x ${MASKED} y`)
    assert.deepInclude(after[1], { execId: "e1", stdin: "bytes" })
    assert.include(text, "https://me:********@host/")
  })

  it("10.7 (5): every character is replaced by one as wide and as long, and nothing moves", () => {
    const secret = "pä\u0301ss 密码 🔑 \u{20001}é"
    const line = `\x1b[1;5H<${secret}>\r\n`
    const found = shown([line], [textRule(secret)])
    assert.strictEqual(Buffer.byteLength(found), Buffer.byteLength(line))
    assert.notInclude(found, "密")
    const cells = (text: string) => [...text].reduce((sum, letter) => sum + cellsOf(letter.codePointAt(0)!), 0)
    assert.strictEqual(cells(found), cells(line))
    for (const letter of "aä密🔑\u{20001}\u0301\u{1d11e}\u200d") {
      const code = letter.codePointAt(0)!
      const mask = Buffer.from(maskOf(code, Buffer.byteLength(letter))).toString()
      assert.strictEqual(Buffer.byteLength(mask), Buffer.byteLength(letter))
      assert.strictEqual(cellsOf(mask.codePointAt(0)!), cellsOf(code), letter)
    }
  })

  it("10.7 (7): card numbers with their check digit, whose first six and last four stay", () => {
    assert.strictEqual(shown(["pay 4111 1111 1111 1111 now"]), "pay 4111 11** **** 1111 now")
    assert.strictEqual(
      shown(["4111-1111-1111-1111, 378282246310005, 12 4111 1111 1111 1111"]),
      "4111-11**-****-1111, 378282*****0005, 12 4111 11** **** 1111"
    )
    for (const text of ["4111 1111 1111 1112", "1700000000000", "4111 1111 1111 11111", "0.4111111111111111"]) {
      assert.strictEqual(shown([text]), text)
    }
  })

  it("the well-known shapes, and ordinary text stays as it is", () => {
    const secrets = [
      `ghp_${"a1B2".repeat(9)}`,
      `github_pat_${"1".repeat(22)}_${"x".repeat(59)}`,
      "glpat-abcdefghij0123456789",
      "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
      `sk_live_${"4eC39HqLyjWDarjtT1zdp7dc"}`,
      `sk-ant-api03-${"a".repeat(95)}`,
      `npm_${"aB3".repeat(12)}`,
      "AIzaSyA-1234567890abcdefghijklmnopqrstu",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
      `hf_${"aB3".repeat(11)}`,
      `dckr_pat_${"aB3_".repeat(7)}`
    ]
    for (const secret of secrets)
      assert.strictEqual(shown([`v ${secret} w`]), `v ${"*".repeat(secret.length)} w`, secret)
    assert.strictEqual(
      shown(["Authorization: Bearer abcdefgh12345678\r\n"]),
      `Authorization: Bearer ${"*".repeat(16)}\r\n`
    )
    assert.strictEqual(shown(['"password": "hunter22", api_key=abcd1234']), '"password": "********", api_key=********')
    assert.strictEqual(shown(["postgres://app:p4ssw0rd@db/x"]), "postgres://app:********@db/x")
    const pem = `-----BEGIN RSA PRIVATE KEY-----\r\n${`${"Ab3/".repeat(16)}\r\n`.repeat(20)}-----END RSA PRIVATE KEY-----\r\n`
    assert.notInclude(shown([pem]), "Ab3/")
    assert.include(shown([pem]), "-----END RSA PRIVATE KEY-----")
    const plain =
      "Password: \r\nLast login: Mon\r\ntotal 12\r\n-rw-r--r-- 1 root 1234567890123456 a\r\nhttps://example.com:8080/a@b token=$TOKEN max_tokens: 4096\r\n"
    assert.strictEqual(shown([plain]), plain)
  })

  it("what was written by somebody in events that have words of their own, and they stay what they are", () => {
    const events: ReadonlyArray<SessionEvent> = [
      created({ argv: ["x", "reset"], name: "exited" }),
      shellRestarted("reset", { cwd: `/tmp/${KEY}`, env: ["reset"] }, [`variable ${KEY}: its value is not stored`]),
      { _tag: "GapDetected", what: "output", from: 1, to: null, why: `lost with ${KEY}` },
      { _tag: "SessionLost", reason: `keeper of ${KEY}` },
      {
        _tag: "SessionClosed",
        exitCode: null,
        signal: null,
        reason: "exited",
        survivors: [{ pid: 7, command: `sleep ${KEY}` }]
      }
    ]
    for (const rules of [REDACT_RULES, [textRule("reset")], [textRule("exited")], [everythingRule]]) {
      const { after } = redact(events, rules)
      for (const event of after) assert.isTrue(Schema.is(SessionEventSchema)(event), JSON.stringify(event))
      if (rules === REDACT_RULES || rules[0] === everythingRule) assert.notInclude(JSON.stringify(after), KEY)
      assert.deepInclude(after[1], { reason: "reset" })
      assert.deepInclude(after[4], { reason: "exited" })
    }
  })

  it("a text, a pattern and whole events; counts are of what stood there, not of how often it was seen", () => {
    assert.strictEqual(
      shown(["a jolly\x1b[1m secret\r\nhere"], [textRule("jolly secret\nhere")]),
      "a *****\x1b[1m*******\r\n****"
    )
    assert.strictEqual(shown(["case 4711, case 12"], [patternRule("case \\d+")]), "*********, *******")
    const { matches } = redact(output([`${KEY} ${KEY}\r\n${KEY}`]))
    assert.deepStrictEqual(
      [...matches].filter(([rule]) => rule === "aws-access-key"),
      [["aws-access-key", 3]]
    )
    const some = redact(output(["one two\r\n", "three \x1b[1mfour\r\n", "five"]), [everythingRule], { from: 3, to: 3 })
    assert.strictEqual(textOf(some.after), "one two\r\n***** \x1b[1m****\r\nfive")
  })

  it("the same result wherever the stream is cut", () => {
    const stream = Buffer.from(
      `$ ${KEY.slice(0, -1)}X\b\x1b[KE\r\nAKIA\x1b[31mIOSF\x1b[0mODNN7EXAMPLE \x1b]0;t ${KEY}\x07é密🔑 password=hünter22x\r\n4111 1111 1111 1111\x1b[2;3HAK\x1b[2;5HIAIOSFODNN7EXAMPLE\x1b[1;1Hend`
    )
    const whole = textOf(redact(output([stream])).after)
    assert.notInclude(whole, "IOSF")
    for (let at = 1; at < stream.length; at++) {
      assert.strictEqual(
        textOf(redact(output([stream.subarray(0, at), stream.subarray(at)])).after),
        whole,
        `cut at ${at}`
      )
    }
    const bytes = Array.from(stream, (_, at) => stream.subarray(at, at + 1))
    assert.strictEqual(textOf(redact(output(bytes)).after), whole)
  })

  it("a long stream is searched in windows, and a key across their borders is found", () => {
    const parts: Array<string> = []
    for (let at = 0; at < 400; at++)
      parts.push(`${"x".repeat(at % 90)} `.repeat(12), at % 40 === 0 ? `${KEY} ` : "\r\n")
    const found = shown(parts)
    assert.notInclude(found, "AKIA")
    assert.strictEqual(found.split(MASKED).length - 1, 10)
  })
})
