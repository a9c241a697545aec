/**
 * The frame of an HTML export: one file that loads nothing, sends nothing and runs nothing but the script that stands here.
 * Its content security policy allows that script and that style by their hashes and nothing else, so that a mistake
 * in what is put into the page could still not run. HtmlExport.ts fills it. No text of a session is in here.
 */
import { createHash } from "node:crypto"
import { htmlText } from "./HtmlText.ts"

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { margin: 0 auto; max-width: 72rem; padding: 1rem }
h1 { font-size: 1.3rem; margin: 0 0 .5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0 0 1rem }
dt { opacity: .65 }
dd { margin: 0; overflow-wrap: anywhere }
#search { box-sizing: border-box; font: inherit; padding: .4rem; position: sticky; top: 0; width: 100% }
section { border-top: 1px solid #8886; margin-top: 1rem; padding-top: .5rem }
h2 { font-size: 1rem; margin: 0; opacity: .65 }
pre { font: 13px/1.35 ui-monospace, monospace; margin: .4rem 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
pre.command { font-weight: 600 }
.stderr { color: #b3261e }
.outcome { margin: 0; opacity: .75 }
.missing { border-left: 3px solid #b3261e; margin: .4rem 0; padding-left: .5rem }
@media (prefers-color-scheme: dark) { .stderr { color: #f2b8b5 } }
[hidden] { display: none }
`

/** Shows the sections that hold what is looked for, whatever its case. */
const SCRIPT = `
const search = document.getElementById("search");
const found = document.getElementById("found");
const sections = Array.from(document.querySelectorAll("main > section"));
search.addEventListener("input", () => {
  const wanted = search.value.toLowerCase();
  let count = 0;
  for (const section of sections) {
    section.hidden = wanted !== "" && !section.textContent.toLowerCase().includes(wanted);
    if (!section.hidden) count++;
  }
  found.textContent = wanted === "" ? "" : count + " of " + sections.length;
});
`

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const policy = (): string =>
  [
    "default-src 'none'",
    `style-src ${hashOf(STYLE)}`,
    `script-src ${hashOf(SCRIPT)}`,
    "base-uri 'none'",
    "form-action 'none'"
  ].join("; ")

export interface PageHead {
  readonly title: string
  /** Name and value of what is known of the session. */
  readonly facts: ReadonlyArray<readonly [string, string]>
}

/** Everything before the sections. */
export const pageHead = ({ facts, title }: PageHead): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>${htmlText(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${htmlText(title)}</h1>
<dl>
${facts.map(([name, value]) => `<dt>${htmlText(name)}</dt><dd>${htmlText(value)}</dd>\n`).join("")}</dl>
<input id="search" type="search" placeholder="Search" aria-label="Search" autocomplete="off">
<output id="found"></output>
</header>
<main>
`

/** Everything behind them. */
export const pageEnd = (): string => `</main>
<script>${SCRIPT}</script>
</body>
</html>
`
