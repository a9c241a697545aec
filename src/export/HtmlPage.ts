/**
 * The frames of HTML exports: one file that loads nothing, sends nothing and runs nothing but the script that stands in it.
 * Its content security policy allows that script and that style by their hashes and nothing else, so that a mistake
 * in what is put into the page could still not run. TranscriptExport.ts and HtmlExport.ts fill them. No text of a session
 * is in here.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { playerScript } from "../EntryPoints.ts"
import { htmlText } from "./HtmlText.ts"
import { PLAYER_BODY, PLAYER_STYLE } from "./PlayerMarkup.ts"

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { margin: 0 auto; max-width: 72rem; padding: 1rem }
h1 { font-size: 1.3rem; margin: 0 0 .5rem; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0 0 1rem }
dt { opacity: .75 }
dd { margin: 0; overflow-wrap: anywhere }
#search { box-sizing: border-box; font: inherit; padding: .4rem; position: sticky; top: 0; width: 100% }
section { border-top: 1px solid #8886; margin-top: 1rem; padding-top: .5rem }
h2 { font-size: 1rem; margin: 0; opacity: .75 }
pre { font: 13px/1.35 ui-monospace, monospace; margin: .4rem 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
pre.command { font-weight: 600 }
.stderr { color: #b3261e }
.outcome { margin: 0; opacity: .8 }
.missing { border-left: 3px solid #b3261e; margin: .4rem 0; padding-left: .5rem }
@media (prefers-color-scheme: dark) { .stderr { color: #f2b8b5 } }
[hidden] { display: none }
`

/** Shows the sections that hold what is looked for, whatever its case. */
const SEARCH_SCRIPT = `
const search = document.getElementById("search");
const found = document.getElementById("found");
const sections = Array.from(document.querySelectorAll("main section"));
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

const SEARCH_FIELD = `<input id="search" type="search" placeholder="Search" aria-label="Search the transcript" autocomplete="off">
<output id="found"></output>
`

export interface PageHead {
  readonly title: string
  /** Name and value of what is known of the session. */
  readonly facts: ReadonlyArray<readonly [string, string]>
}

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const policy = (style: string, script: string): string =>
  [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${hashOf(script)}`,
    "base-uri 'none'",
    "form-action 'none'"
  ].join("; ")

const head = (title: string, style: string, script: string): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(style, script)}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>${htmlText(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${htmlText(title)}</h1>
`

const factList = (facts: PageHead["facts"]): string =>
  `<dl>
${facts.map(([name, value]) => `<dt>${htmlText(name)}</dt><dd>${htmlText(value)}</dd>\n`).join("")}</dl>
`

const end = (script: string): string => `<script>${script}</script>
</body>
</html>
`

/** Sections stand between the two. */
export const transcriptPage = {
  head: ({ facts, title }: PageHead): string =>
    `${head(title, STYLE, SEARCH_SCRIPT)}${factList(facts)}${SEARCH_FIELD}</header>
<main>
`,
  end: `</main>
${end(SEARCH_SCRIPT)}`
}

/** The script of all pages of this version, read once. */
let player: string | undefined
const script = (): string => {
  player ??= `${readFileSync(playerScript, "utf8")}${SEARCH_SCRIPT}`
  return player
}

/** The head, sections, `between`, parts in order, the index, the end. Without its script it is a transcript. */
export const playerPage = {
  head: ({ facts, title }: PageHead): string =>
    `${head(title, `${STYLE}${PLAYER_STYLE}`, script())}</header>
<main>
${PLAYER_BODY}<div id="transcript" role="tabpanel" aria-labelledby="tab-transcript" hidden>
${factList(facts)}${SEARCH_FIELD}`,
  between: `</div>
</main>
`,
  // Base64, in elements that a browser neither shows nor runs.
  part: (base64: string): string => `<template class="part">${base64}</template>\n`,
  index: (base64: string): string => `<template id="index">${base64}</template>\n`,
  get end(): string {
    return end(script())
  }
}
