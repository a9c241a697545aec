import { assert, describe, it } from "@effect/vitest"
import {
  isSecretName,
  isSecretValue,
  isSecretVariable,
  MASK,
  maskEnv,
  redactValues,
  SECRET_VALUES_MAX,
  StreamRedactor
} from "../../src/exec/Secrets.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const words = (text: string) => text.trim().split(/\s+/)

describe("secret variables", () => {
  it("D20: are known by their names", () => {
    const secret =
      words(`TOKEN GITHUB_TOKEN github_token SECRET CLIENT_SECRET PASSWORD DB_PASSWORD PASSWD MYSQL_PWD DB_PASS API_KEY
      OPENAI_API_KEY apiKey APIKEY AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID PRIVATE_KEY SSH_PRIVATE_KEY CREDENTIAL CREDENTIALS
      GOOGLE_CREDENTIALS AUTH NPM_CONFIG__AUTH PROXY_AUTH COOKIE SESSION_COOKIE SESSION_KEY accessToken my-token a.secret.b
      ENCRYPTION_KEY GH_PAT SECRET_KEY_BASE PGPASSWORD_X_PASSWORD BEARER_TOKEN`)
    assert.deepStrictEqual(
      secret.filter((name) => !isSecretName(name)),
      []
    )
  })

  it("are not taken for what only looks like them", () => {
    const plain =
      words(`PWD OLDPWD AUTHOR GIT_AUTHOR_NAME AUTHORS KEYBOARD KEYBOARD_LAYOUT KEYMAP XAUTHORITY SSH_AUTH_SOCK PATH
      HOME TOKENIZERS_PARALLELISM MAX_TOKENS LLM_MAX_TOKENS SESSION_MANAGER DBUS_SESSION_BUS_ADDRESS MONKEY KEY SORT_KEY
      PUBLIC_KEY PASSWORD_FILE TOKEN_TTL COMPASS BYPASS PASSENGER SECRETARY COOKIECUTTER_CONFIG AUTHENTICATED PATTERN`)
    assert.deepStrictEqual(plain.filter(isSecretName), [])
    assert.isFalse(isSecretName(""))
    assert.isFalse(isSecretName("___"))
  })

  const random40 = "3f8a1c0e9b7d5246af10e8c3b94d27650fe1a8b2"
  it("D20: are known by the shape of their value", () => {
    const values = [
      `ghp_${"a1B2".repeat(9)}`,
      `gho_${"a1B2".repeat(9)}`,
      `github_pat_${"a1B2_".repeat(9)}`,
      `sk-proj-${"a1B2".repeat(9)}`,
      `sk-ant-api03-${"a1B2".repeat(9)}`,
      `sk_live_${"a1B2".repeat(6)}`,
      "xoxb-123456789012-abcdef",
      "xoxp-123456789012-abcdef",
      "AKIAIOSFODNN7EXAMPLE",
      "ASIAIOSFODNN7EXAMPLE",
      `AIza${"a1B2-".repeat(7)}`,
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
      "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
      "-----BEGIN OPENSSH PRIVATE KEY-----",
      "-----BEGIN PRIVATE KEY-----",
      `glpat-${"a1B2".repeat(5)}`,
      `npm_${"a1B2".repeat(9)}`,
      `hf_${"a1B2".repeat(9)}`,
      "postgres://user:hunter2@db/x",
      "redis://:hunter2@cache:6379",
      "postgres://u:p@ss@host/db",
      "user:pw@tcp(127.0.0.1:3306)/db",
      "host=db user=me password=hunter2",
      "Server=x;Pwd=hunter2;",
      "--api-key=x --password=y",
      "Authorization: Bearer abcdefghijklmnop"
    ]
    assert.deepStrictEqual(
      values.filter((value) => !isSecretValue(value)),
      []
    )
    assert.isTrue(isSecretVariable("MY_KEY", random40))
    assert.isTrue(isSecretVariable("SENTRY_DSN", "me:pw@host"))
  })

  it("keep ordinary values", () => {
    const values = [
      "",
      "/usr/bin:/bin",
      "https://example.com:8080/path@2",
      "https://me@example.com/",
      "git@github.com:a/b.git",
      "sk-short",
      "risk-assessment-of-the-whole-thing",
      "task-aaaaaaaaaaaaaaaaaaaaaaaaaa",
      "eyJust text",
      "-----BEGIN CERTIFICATE-----",
      random40,
      "12:34:56 me@host",
      "xterm-256color"
    ]
    assert.deepStrictEqual(
      values.filter((value) => isSecretVariable("VALUE", value)),
      []
    )
    assert.isFalse(isSecretVariable("GIT_COMMIT", random40))
    assert.isFalse(isSecretVariable("SORT_KEY", "a".repeat(60)))
    assert.isFalse(isSecretVariable("TOKEN", ""))
  })

  it("D20: are masked, and named", () => {
    const env = { HOME: "/h", A_TOKEN: "t", URL: "http://a:b@c", MINE: "x", EMPTY_TOKEN: "", GONE_TOKEN: null }
    assert.deepStrictEqual(maskEnv(env, ["MINE", "NOT_THERE"]), {
      env: { HOME: "/h", A_TOKEN: MASK, URL: MASK, MINE: MASK, EMPTY_TOKEN: "", GONE_TOKEN: null },
      masked: ["A_TOKEN", "URL", "MINE"]
    })
    const again = maskEnv(maskEnv(env, ["MINE"]).env, ["MINE"])
    assert.deepStrictEqual(again.masked, ["A_TOKEN", "MINE"])
    const proto = maskEnv(Object.fromEntries([["__proto__", "x"]]))
    assert.deepStrictEqual(Object.entries(proto.env), [["__proto__", "x"]])
  })

  it("are found in time that grows with the value, not with its square", () => {
    const hostile = [
      "eyJ",
      "-eyJ",
      "a.",
      "://",
      "://a:",
      "sk-",
      "sk-a ",
      "password",
      "a:",
      "-----BEGIN ",
      "A",
      "=",
      "xoxb-"
    ]
    const before = process.cpuUsage().user
    for (const piece of hostile) isSecretVariable("MY_KEY", piece.repeat(400_000 / piece.length))
    isSecretName("aB_".repeat(400_000))
    assert.isBelow((process.cpuUsage().user - before) / 1000, 4000)
  })
})

const run = (values: ReadonlyArray<string | Uint8Array>, chunks: ReadonlyArray<Uint8Array>) => {
  const redactor = new StreamRedactor(values)
  return Buffer.concat([...chunks.map((chunk) => redactor.push(chunk)), redactor.flush()]).toString("latin1")
}
/** By the definition: every byte of an occurrence is hidden; occurrences that overlap are one mask. */
const expected = (values: ReadonlyArray<string>, text: string): string => {
  const found: Array<[number, number]> = []
  for (const value of values.filter(({ length }) => length >= 6)) {
    for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + 1)) found.push([at, at + value.length])
  }
  found.sort((a, b) => a[0] - b[0])
  let result = ""
  let end = 0
  for (const [from, to] of found) {
    if (from >= end) result += text.slice(end, from) + MASK
    end = Math.max(end, to)
  }
  return result + text.slice(end)
}

describe("StreamRedactor", () => {
  it("D20: masks a value wherever it is cut", () => {
    const text = Buffer.from("a hunter22 b hunter22hunter22 c hunter2")
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        const chunks = [text.subarray(0, first), text.subarray(first, second), text.subarray(second)]
        assert.strictEqual(run(["hunter22"], chunks), "a *** b ****** c hunter2")
      }
    }
  })

  it("makes one mask of values that overlap, whichever ends first", () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string, string]> = [
      [["abcdef", "defghi"], "_abcdefghi_", "_***_"],
      [["abcdef", "xabcdefy"], "_xabcdefy_xabcdefz", "_***_x***z"],
      [["abcdef", "abcdefgh"], "abcdefg abcdefgh", "***g ***"],
      [["aaaaaa"], "b".concat("a".repeat(50), "b"), "b***b"],
      [["abcabc"], "abcabcabcabcab", "***ab"],
      [["ab", "12345"], "ab12345", "ab12345"]
    ]
    for (const [values, text, result] of cases) {
      assert.strictEqual(run(values, [Buffer.from(text)]), result)
      assert.strictEqual(
        run(
          values,
          [...Buffer.from(text)].map((byte) => Buffer.of(byte))
        ),
        result
      )
    }
  })

  it("gives the same for every chunking, and never emits a value", () => {
    const random = seededRandom(20)
    const letters = (length: number) => Array.from({ length }, () => "abc"[random.below(random.below(3) + 1)]).join("")
    for (let turn = 0; turn < 3000; turn++) {
      const values = Array.from({ length: 1 + random.below(5) }, () => letters(4 + random.below(8)))
      let text = ""
      while (text.length < 60)
        text += random.below(3) === 0 ? values[random.below(values.length)] : letters(random.below(9))
      const redactor = new StreamRedactor(values)
      const longest = Math.max(6, ...values.map(({ length }) => length))
      let emitted = ""
      let given = 0
      while (given < text.length) {
        const chunk = text.slice(given, given + random.below(12))
        given += chunk.length
        emitted += Buffer.from(redactor.push(Buffer.from(chunk))).toString()
        const rest = expected(values, text.slice(0, given))
        assert.isBelow(rest.length - emitted.length, longest)
      }
      emitted += Buffer.from(redactor.flush()).toString()
      assert.strictEqual(emitted, expected(values, text), JSON.stringify([turn, values, text]))
      for (const value of values) if (value.length >= 6) assert.isFalse(emitted.includes(value))
    }
  })

  it("holds nothing back that begins no value, and gives an untouched chunk itself", () => {
    const redactor = new StreamRedactor(["secret value"])
    const chunk = Buffer.from("nothing of it")
    assert.strictEqual(redactor.push(chunk), chunk)
    assert.strictEqual(Buffer.from(redactor.push(Buffer.from("se secr"))).toString(), "se ")
    assert.strictEqual(Buffer.from(redactor.push(Buffer.from("ecy"))).toString(), "secrecy")
    assert.strictEqual(redactor.flush().length, 0)
    assert.strictEqual(new StreamRedactor([]).push(chunk), chunk)
  })

  it("finds what a terminal makes of a value's line ends, and a value without its last one", () => {
    assert.strictEqual(redactValues("-line one\r\nline two-", ["line one\nline two\n"]), "-***-")
    assert.strictEqual(redactValues("hunter22 ", ["hunter22\n"]), "*** ")
    assert.strictEqual(redactValues("voilà la Ã", ["voilà"]), "voilà la Ã".replace("voilà", MASK))
  })

  it("takes values that are not UTF-8, and 64 of them", () => {
    const value = Uint8Array.from([0xff, 0xfe, 0, 1, 2, 0x80])
    assert.deepStrictEqual(
      redactValues(Uint8Array.from([9, ...value, 8]), [value]),
      Uint8Array.from([9, ...Buffer.from(MASK), 8])
    )
    const many = Array.from({ length: SECRET_VALUES_MAX }, (_, index) => `value number ${index}.`)
    assert.strictEqual(redactValues(many.join(""), many), MASK.repeat(SECRET_VALUES_MAX))
    assert.throws(() => new StreamRedactor([...many, "one more"]), RangeError)
  })

  it("leaves text without a value as it is", () => {
    assert.strictEqual(redactValues("\ud800 é", ["not there"]), "\ud800 é")
    assert.strictEqual(redactValues("é pässwört é", ["pässwört"]), "é *** é")
  })

  it("is linear in the stream, also for a stream made to defeat it", () => {
    const redactor = new StreamRedactor(["a".repeat(5000), `${"a".repeat(4999)}b`, `${"a".repeat(2500)}c`])
    const chunk = Buffer.alloc(65536, `${"a".repeat(4998)}d`)
    const before = process.cpuUsage().user
    for (let turn = 0; turn < 100; turn++) redactor.push(chunk)
    for (let turn = 0; turn < 20000; turn++) redactor.push(Buffer.from("a"))
    assert.isBelow((process.cpuUsage().user - before) / 1000, 5000)
  })
})
