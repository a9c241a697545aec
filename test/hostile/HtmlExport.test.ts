/** What a browser makes of an exported page: read by a parser that follows the HTML standard, as browsers do. */
import { createHash } from "node:crypto"
import { Effect, Stream } from "effect"
import { type DefaultTreeAdapterTypes, parse } from "parse5"
import { assert, describe, it } from "vitest"
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import { html } from "../../src/export/HtmlExport.ts"
import { safeUrl } from "../../src/export/HtmlText.ts"
import { LinkedLines } from "../../src/export/LinkedLines.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { rowsEngine } from "../exec/shells.ts"
import { chunked, entriesOf, randomCuts, randomOutput, seeded } from "../projections/events.ts"
import { exported, UNCLEAN, untilEvent } from "./exports.ts"

type Element = DefaultTreeAdapterTypes.Element

interface Page {
  readonly elements: ReadonlyArray<Element>
  readonly errors: ReadonlyArray<string>
}

const readPage = (text: string): Page => {
  const errors: Array<string> = []
  const elements: Array<Element> = []
  const visit = (node: DefaultTreeAdapterTypes.ChildNode | DefaultTreeAdapterTypes.Document) => {
    if ("tagName" in node) elements.push(node)
    if ("childNodes" in node) node.childNodes.forEach(visit)
  }
  visit(parse(text, { onParseError: ({ code }) => errors.push(code) }))
  return { elements, errors }
}

const textOf = (element: Element): string =>
  element.childNodes
    .map((node) => ("value" in node ? node.value : "childNodes" in node ? textOf(node as Element) : ""))
    .join("")
const attribute = (element: Element, name: string): string | undefined =>
  element.attrs.find((attr) => attr.name === name)?.value
const named = ({ elements }: Page, tag: string): ReadonlyArray<Element> =>
  elements.filter(({ tagName }) => tagName === tag)

/** Everything a page of ours may hold. */
const TAGS = new Set(
  (
    "html head meta title style body header h1 dl dt dd input output main section h2 pre span a p script " +
    "div button label select option ol dialog table tbody tr td kbd form template"
  ).split(" ")
)
const ATTRIBUTES = new Set(
  (
    "lang charset http-equiv content name id type placeholder aria-label autocomplete class href rel target " +
    "role hidden tabindex title for value min max step selected checked method " +
    "aria-selected aria-controls aria-labelledby aria-hidden aria-live"
  ).split(" ")
)

/** Nothing in it runs, loads or leads anywhere, but what is ours. */
const assertHarmless = (text: string): Page => {
  assert.notMatch(text, UNCLEAN)
  const page = readPage(text)
  assert.deepStrictEqual(page.errors, [])
  assert.deepStrictEqual(
    [...new Set(page.elements.map(({ tagName }) => tagName))].filter((tag) => !TAGS.has(tag)),
    []
  )
  const attributes = page.elements.flatMap(({ attrs }) => attrs.map(({ name }) => name))
  assert.deepStrictEqual(
    attributes.filter((name) => !ATTRIBUTES.has(name)),
    []
  )

  const [policy] = named(page, "meta").filter((meta) => attribute(meta, "http-equiv") === "Content-Security-Policy")
  const directives = new Map(
    attribute(policy!, "content")!
      .split("; ")
      .map((directive) => [directive.split(" ")[0], directive.split(" ").slice(1).join(" ")] as const)
  )
  assert.deepStrictEqual([...directives.keys()].sort(), [
    "base-uri",
    "default-src",
    "form-action",
    "script-src",
    "style-src"
  ])
  for (const name of ["default-src", "base-uri", "form-action"]) assert.strictEqual(directives.get(name), "'none'")
  // One script and one style, and exactly those that the policy names.
  for (const [tag, directive] of [
    ["script", "script-src"],
    ["style", "style-src"]
  ] as const) {
    const [only, ...others] = named(page, tag)
    assert.deepStrictEqual(others, [])
    const hash = createHash("sha256").update(textOf(only!)).digest("base64")
    assert.strictEqual(directives.get(directive), `'sha256-${hash}'`)
  }
  // What the player is given is base64, which no browser takes for anything else.
  for (const template of named(page, "template") as ReadonlyArray<DefaultTreeAdapterTypes.Template>) {
    for (const node of template.content.childNodes)
      assert.match("value" in node ? node.value : node.nodeName, /^[\w+/=]+$/)
  }
  for (const link of named(page, "a")) {
    assert.match(attribute(link, "href")!, /^(https?:\/\/|mailto:)[\x21-\x7e]+$/)
    assert.strictEqual(attribute(link, "rel"), "noopener noreferrer")
  }
  return page
}

const ATTACKS: ReadonlyArray<string> = [
  "<script>alert(1)</script>",
  "</script><script>alert(1)</script>",
  "</style><img src=x onerror=alert(1)>",
  "</title></pre></textarea><svg onload=alert(1)>",
  '" onmouseover="alert(1)',
  "' onmouseover='alert(1)",
  "<!--<script>",
  "]]><iframe src=javascript:alert(1)>",
  "&lt;script&gt;&#60;script&#62;",
  "a\u2028b\u2029c",
  "\u202e<b>"
]

const link = (address: string, text: string) => `\u001b]8;;${address}\u001b\\${text}\u001b]8;;\u0007`
const BAD_ADDRESSES: ReadonlyArray<string> = [
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  " javascript:alert(1)",
  "java\tscript:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "vbscript:x",
  "file:///etc/passwd",
  "blob:https://x/y",
  "//evil.example",
  "/relative",
  "https://bank.example@evil.example/",
  `https://x/${"y".repeat(3000)}`
]

describe("the HTML export", { timeout: 180_000 }, () => {
  const engine = rowsEngine()

  it("hostile case 27: markup, quotes and line separators in commands, output and names are text", async () => {
    const shell = await engine.start("bash", { name: "<script>alert(1)</script>" })
    for (const attack of ATTACKS) {
      const word = `'${attack.replaceAll("'", "'\\''")}'`
      await shell.exec(`printf '%s\\n' ${word}; printf '%s\\n' ${word} >&2`)
    }
    const page = assertHarmless((await engine.run(exported(shell.id, "html"))).toString())
    assert.strictEqual(textOf(named(page, "h1")[0]!), "<script>alert(1)</script>")
    const sections = named(page, "section")
    assert.strictEqual(sections.length, ATTACKS.length)
    for (const [index, attack] of ATTACKS.entries()) {
      const shown = attack.replace(/[\u2028-\u202e]/g, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`)
      const [output] = sections[index]!.childNodes.filter(
        (node): node is Element => "tagName" in node && attribute(node, "class") === "output"
      )
      assert.strictEqual(textOf(output!), `${shown}\n${shown}\n`)
    }
  })

  it("hostile case 27: of hyperlinks only those to web pages and mail addresses are links, and nothing gets out of them", async () => {
    const good = [
      "https://example.com/a?b=c&d=\"onmouseover='alert(1)'<b>",
      "http://example.com/",
      "mailto:a@example.com"
    ]
    const program = [...BAD_ADDRESSES, ...good]
      .map((address, index) => `${link(address, `<i>link ${index}</i>`)}\n`)
      .join("")
    const title = "\u001b]2;</title><script>alert(1)</script>\u0007"
    const argv = ["printf", "%s", title + program]
    const view = await engine.run(Sessions.use((sessions) => sessions.create({ argv })))
    await engine.run(untilEvent(view.id, (tag) => tag === "SessionClosed"))
    const page = assertHarmless((await engine.run(exported(view.id, "html"))).toString())
    assert.deepStrictEqual(
      named(page, "a").map((element) => [attribute(element, "href"), textOf(element)]),
      good.map((address, index) => [new URL(address).href, `<i>link ${BAD_ADDRESSES.length + index}</i>`])
    )
    const lines = textOf(named(page, "pre")[0]!).split("\n")
    for (const index of [...BAD_ADDRESSES, ...good].keys()) assert.strictEqual(lines[index], `<i>link ${index}</i>`)
  })

  it("hostile case 27: random output is harmless, and what is not in the journal is named", async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seeded(seed)
      const data = Buffer.concat([
        randomOutput(random, 60),
        Buffer.from(ATTACKS.join("\r\n")),
        randomOutput(random, 60)
      ])
      const events = chunked(data, randomCuts(random, data.length, 9))
      assertHarmless(await written(entriesOf(events)))
    }
    const [first, ...others] = entriesOf(chunked(Buffer.from("abc"), [1, 2]))
    const text = textOf(named(assertHarmless(await written([first!, ...others.slice(1)])), "main")[0]!)
    assert.include(text, "events 2 to 2 are not in the journal any more")
  })

  it("hostile case 2: a hundred thousand links become at most 4,096, a flood of columns and links stays in proportion", async () => {
    const many = Array.from({ length: 1e5 }, (_, index) => link(`http://x/${index}`, "l")).join("\r\n")
    const page = assertHarmless(await written(entriesOf(chunked(Buffer.from(many), [5e5, 2e6]))))
    assert.strictEqual(named(page, "a").length, 4096)
    // One address over a million lines, and one character in each of ten thousand columns.
    const long = `\u001b]8;;http://x/${"y".repeat(2000)}\u0007${"l\n".repeat(5e4)}\u001b]8;;\u0007`
    assert.isBelow((await written(entriesOf(chunked(Buffer.from(long), [])))).length, 12e6)
    const wide = "\u001b[9999Cx\n".repeat(3000)
    assert.isBelow((await written(entriesOf(chunked(Buffer.from(wide), [])))).length, 4e6)
  })
})

const view = {
  id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  name: null,
  kind: "terminal",
  status: "exited",
  exitCode: 0,
  signal: null,
  argv: ["x"],
  cwd: "/",
  size: { cols: 80, rows: 24 },
  title: "",
  term: "xterm",
  owner: "me",
  createdAt: 0,
  endedAt: null,
  outputBytes: 0,
  sequence: 0
} as never

const written = (entries: ReadonlyArray<JournalEntry>): Promise<string> =>
  html({ view, events: Stream.fromIterable(entries) }).pipe(
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat([...pieces]).toString()),
    Effect.runPromise
  )

describe("LinkedLines", () => {
  const linesOf = (events: ReadonlyArray<SessionEvent>) => {
    const lines = new LinkedLines()
    const found: Array<unknown> = []
    for (const event of events)
      if (event._tag === "OutputReceived") lines.feed(event.data, (parts) => found.push(parts))
    return [...found, lines.open()]
  }

  it("knows which part of a line is a link, over the line's end, after a carriage return, and in any pieces", () => {
    const text = `a ${link("http://x", "bc")} d\n\u001b]8;id=1;http://y\u0007e\nf\u001b]8;;\u0007g\n${link("http://z", "old")}\rnew\n`
    const expected = [
      [{ text: "a " }, { text: "bc", address: "http://x" }, { text: " d" }],
      [{ text: "e", address: "http://y" }],
      [{ text: "f", address: "http://y" }, { text: "g" }],
      [{ text: "new" }],
      []
    ]
    const data = Buffer.from(text)
    assert.deepStrictEqual(linesOf(chunked(data, [])), expected)
    assert.deepStrictEqual(linesOf(chunked(data, [...data.keys()])), expected)
    for (let seed = 1; seed <= 40; seed++) {
      const random = seeded(seed)
      const output = randomOutput(random, 80)
      const whole = linesOf(chunked(output, []))
      assert.deepStrictEqual(linesOf(chunked(output, randomCuts(random, output.length, 12))), whole, `seed ${seed}`)
    }
  })

  it("links only where a click does no harm", () => {
    assert.deepStrictEqual(
      BAD_ADDRESSES.filter((address) => safeUrl(address) !== undefined),
      []
    )
  })
})
