/**
 * Where rules at capture come from (flags, REPRISE_REDACT, config.json), what is refused of them, and what inspect and a bundle
 * of evidence tell of what they hid: all by one engine.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import { assert, describe, it } from "vitest"
import type { SessionId } from "../../journal/Event.ts"
import { redactSession } from "../../src/erasure/redactSession.ts"
import { everythingRule, textRule } from "../../src/redact/RedactRule.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { type ExecUnderTest, text, withShells } from "../crash/execUnderTest.ts"
import { filesHolding } from "./storeHolds.ts"

/** In parts, so that no command line of this test run holds one whole. */
const KEY = ["AKIAIOSFO", "DNN7EXAMPLE"].join("")
const ORDER = ["ORD-", "47", "1147"].join("")
const WORD = ["open", "sesame", "4711"].join("-")

const configure = ({ cli }: ExecUnderTest, config: unknown) =>
  writeFileSync(join(cli.store, "config.json"), typeof config === "string" ? config : JSON.stringify(config))

const create = (shells: ExecUnderTest, script: string, redact?: object, env: Readonly<Record<string, string>> = {}) =>
  shells.run(
    Sessions.use((sessions) =>
      sessions.create({
        argv: ["sh", "-c", script],
        env,
        cwd: shells.cli.store,
        ...(redact !== undefined && { redact })
      })
    )
  )

const ended = (shells: ExecUnderTest, session: SessionId) =>
  shells.run(
    History.use((history) =>
      history.follow(session, 0).pipe(
        Stream.takeUntil(
          (item) => item._tag === "Page" && item.entries.some(({ event }) => event._tag === "SessionClosed")
        ),
        Stream.runCollect,
        Effect.map((items) =>
          [...items].flatMap((item) => (item._tag === "Page" ? item.entries.map(({ event }) => event) : []))
        )
      )
    )
  )

const outputOf = async (shells: ExecUnderTest, session: SessionId): Promise<string> =>
  (await ended(shells, session))
    .flatMap((event) => (event._tag === "OutputReceived" ? [Buffer.from(event.data).toString()] : []))
    .join("")

const assertNowhere = ({ cli }: ExecUnderTest) => {
  for (const secret of [KEY, ORDER, WORD]) assert.deepStrictEqual(filesHolding(cli.store, secret), [], secret)
}

describe("rules at capture, by a real engine", { timeout: 300_000 }, () => {
  it("of config.json, REPRISE_REDACT and flags; inspect and the bundle tell of them; what is wrong starts nothing", () =>
    withShells(async (shells) => {
      const { cli } = shells
      // --- config.json, read at each creation, whoever asks
      configure(shells, { redact: { rules: ["aws-access-key"], patterns: ["ORD-[0-9]{6}"] } })
      const print = 'printf "%s %s\\n" "$K" "$O"'
      const stored = await create(shells, print, undefined, { K: KEY, O: ORDER })
      assert.strictEqual(
        await outputOf(shells, stored.id as SessionId),
        `${"*".repeat(KEY.length)} ${"*".repeat(ORDER.length)}\r\n`
      )
      // A session can have more rules, and not fewer.
      const more = await create(
        shells,
        `${print}; printf %s "$W"`,
        { rules: [], texts: [WORD] },
        { K: KEY, O: ORDER, W: WORD }
      )
      assert.notMatch(await outputOf(shells, more.id as SessionId), /AKIA|ORD-|sesame/)
      assert.deepStrictEqual(
        [more.redact?.rules, (await shells.run(History.use((history) => history.get(stored.id as SessionId)))).redact],
        [
          ["aws-access-key", "text", "pattern"],
          {
            rules: ["aws-access-key", "pattern"],
            found: [
              { rule: "aws-access-key", matches: 1 },
              { rule: "pattern", matches: 1 }
            ],
            bytes: KEY.length + ORDER.length
          }
        ]
      )
      // --- what is wrong: one line, and no session
      const sessions = async () => (await shells.run(History.use((history) => history.list))).length
      const before = await sessions()
      const refusals: ReadonlyArray<readonly [unknown, object | undefined, RegExp]> = [
        [{ redact: { rules: ["nope"] } }, undefined, /"nope" is no rule/],
        [{ redact: { patterns: ["(a+)+$"] } }, undefined, /repeats a group/],
        [{ redact: { patterns: ["("] } }, undefined, /no regular expression/],
        [{ redact: { texts: [WORD.slice(5)] } }, undefined, /redact\.texts would put secrets into this file/],
        [{ redact: ["all"] }, undefined, /"redact" is not an object/],
        [{ redact: { rules: "all" } }, undefined, /redact\.rules is not a list/],
        [{ redact: { rule: ["all"] } }, undefined, /redact\.rule is not known/],
        ["{", undefined, /is not JSON/],
        [{}, { patterns: ["x*"] }, /matches the empty text/],
        [{}, { texts: ["abc"] }, /at least 4 characters/]
      ]
      for (const [config, redact, said] of refusals) {
        configure(shells, config)
        const error = await create(shells, "true", redact).then(
          () => undefined,
          (error: Error) => error
        )
        assert.match(error?.message ?? "", said)
        assert.notInclude(error?.message ?? "", "\n")
      }
      assert.strictEqual(await sessions(), before)
      // Nothing is asked for: nothing is filtered, and nothing is told.
      for (const config of [{ redact: {} }, { redact: { rules: [], patterns: [] } }, {}]) {
        configure(shells, config)
        const plain = await create(shells, "printf 'ORD-000000'")
        assert.strictEqual(await outputOf(shells, plain.id as SessionId), "ORD-000000")
        assert.isTrue(plain.redact == null)
      }
      // --- REPRISE_REDACT and flags
      const env = { K: KEY, O: ORDER, W: WORD, REPRISE_REDACT: "github-token, aws-access-key,," }
      const [byVariable, byPattern, unknown, catastrophic] = await Promise.all([
        cli.run(["run", "--name", "variable", "--", "sh", "-c", 'printf %s "$K"'], { env }),
        cli.run(
          [
            "run",
            "--redact",
            "all",
            "--redact-env",
            "W",
            "--redact-pattern",
            "ORD-(?<secret>[0-9]{6})",
            "--name",
            "flags",
            "--",
            "sh",
            "-c",
            'printf "%s %s %s" "$K" "$O" "$W"'
          ],
          { env }
        ),
        cli.run(["run", "--", "true"], { env: { REPRISE_REDACT: "all, nope" } }),
        cli.run(["run", "--redact-pattern", "(a+)+$", "--", "true"], { env })
      ])
      assert.deepStrictEqual([byVariable.code, byVariable.stdout.toString()], [0, "*".repeat(KEY.length)])
      assert.deepStrictEqual(
        [byPattern.code, byPattern.stdout.toString()],
        [0, `${"*".repeat(KEY.length)} ORD-****** ${"*".repeat(WORD.length)}`]
      )
      for (const [{ code, stderr }, said] of [
        [unknown, /^reprise: .*"nope" is no rule.*\n$/],
        [catastrophic, /^reprise: .*repeats a group.*\n$/]
      ] as const) {
        assert.strictEqual(code, 64, stderr)
        assert.match(stderr, said)
      }
      // --- what a person and an auditor are told
      const bundle = join(cli.store, "..", `case-${process.pid}`)
      const [inspected, exported] = await Promise.all([
        cli.text(["inspect", "flags"]),
        cli.run(["export", "flags", "--format", "evidence", "--out", bundle])
      ])
      assert.match(inspected, /redacting +all, text, pattern: .*\b(aws-access-key 1|pattern 1|text 1)\b.*; 42 bytes/)
      assert.strictEqual(exported.code, 0, exported.stderr)
      const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8"))
      const { atCapture, redacted } = manifest.coverage
      assert.deepStrictEqual([redacted, atCapture.rules, atCapture.bytes], [0, ["all", "text", "pattern"], 42])
      assert.deepInclude(atCapture.found, { rule: "pattern", matches: 1 })
      const told = JSON.parse(readFileSync(join(bundle, "redactions.json"), "utf8"))
      assert.isNotEmpty(told)
      for (const { _tag, what } of told) assert.deepStrictEqual([_tag, what], ["SecretsRedacted", "output"])
      for (const file of ["manifest.json", "redactions.json", "events.jsonl"])
        for (const secret of [KEY, ORDER, WORD]) assert.notInclude(readFileSync(join(bundle, file), "utf8"), secret)
      rmSync(bundle, { recursive: true })
      assertNowhere(shells)
    }))

  it("10.7 (6): a secret in titles, links, folders, names, code, input, values and a range of a shell is in no file afterwards", () =>
    withShells(async (shells) => {
      const { cli } = shells
      const folder = join(cli.store, "..", `d-${process.pid}-${WORD}`)
      mkdirSync(folder)
      try {
        const session = await shells.start({ name: `with ${WORD}` })
        const code = [
          `cd ${folder}; export P=${WORD}; f() { echo ${WORD}; }; alias q='echo ${WORD}'; f; f >&2`,
          `printf '\\033]2;%s\\007\\033]8;;http://h/%s\\033\\\\x\\033]52;c;%s\\007' ${WORD} ${WORD} $(printf %s ${WORD} | base64) > /dev/tty`
        ].join("\n")
        await shells.command(session, { code, env: { Q: WORD } })
        const stdin = { _tag: "Bytes", data: Buffer.from(`${WORD}\n`) } as const
        await shells.command(session, { code: "cat; cd /", stdin })
        await shells.exec((exec) => exec.reset(session))
        assert.isNotEmpty(filesHolding(cli.store, WORD))
        const options = { reason: `it was ${WORD}`, isDryRun: false }
        const done = await shells.run(redactSession(session, { ...options, rules: [textRule(WORD)], texts: [WORD] }))
        assert.deepStrictEqual(done.left, [])
        assertNowhere(shells)
        assert.deepStrictEqual(filesHolding(cli.store, Buffer.from(WORD).toString("base64")), [])
        // All of its text, its first event and its restart among it; it is read, and goes on.
        await shells.run(
          redactSession(session, {
            ...options,
            reason: "",
            rules: [everythingRule],
            range: { from: 1, to: done.to }
          })
        )
        const result = await shells.command(session, { code: "echo still $((40 + 2))" })
        assert.strictEqual(text(result.stdout), "still 42\n")
        await shells.exec((exec) => exec.end(session))
        assertNowhere(shells)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    }))
})
