/**
 * The player's part of an exported page: its controls, its keys as the page explains them, and its style. player/main.ts
 * gives them life; nothing here runs, and no text of a session is in here. The parts that a browser without scripts
 * cannot use are hidden until the script shows them.
 */

/** Foregrounds and backgrounds of the sixteen colours, for a light and for a dark page: each pair of them can be read. */
const FOREGROUNDS: ReadonlyArray<readonly [light: string, dark: string]> = [
  ["#000000", "#a0a8b0"],
  ["#a8001a", "#ff7b72"],
  ["#08601b", "#56d364"],
  ["#6b4e00", "#e3b341"],
  ["#003cb3", "#79b8ff"],
  ["#7d177d", "#d2a8ff"],
  ["#005a61", "#56d4dd"],
  ["#4a4a4a", "#d0d7de"],
  ["#5c5c5c", "#9aa4ae"],
  ["#b80f29", "#ffa198"],
  ["#136b26", "#7ee787"],
  ["#765600", "#f2cc60"],
  ["#1550c4", "#a5d6ff"],
  ["#93208f", "#e2c5ff"],
  ["#00656f", "#b3f0ff"],
  ["#1f1f1f", "#ffffff"]
]
const BACKGROUNDS: ReadonlyArray<readonly [light: string, dark: string]> = [
  ["#e0e0e0", "#000000"],
  ["#ffd7d5", "#5a1216"],
  ["#c8efd0", "#0f3d1c"],
  ["#f7e3a6", "#4a3500"],
  ["#cfe0ff", "#10325e"],
  ["#f0d7ff", "#3f1f66"],
  ["#c4eef2", "#0a3d44"],
  ["#ececec", "#33383d"],
  ["#d8d8d8", "#262b30"],
  ["#ffe3e1", "#701a1f"],
  ["#dcf5e1", "#14502a"],
  ["#fbeec6", "#5c4300"],
  ["#e0ebff", "#163f78"],
  ["#f6e6ff", "#4f2a80"],
  ["#dbf5f8", "#0d4d56"],
  ["#f6f6f6", "#3d434a"]
]

const variables = (name: string, colors: typeof FOREGROUNDS): string =>
  colors.map(([light, dark], index) => `--${name}${index}: light-dark(${light}, ${dark});`).join(" ")

export const PLAYER_STYLE = `
:root { --fg: light-dark(#1a1a1a, #e6e6e6); --bg: light-dark(#ffffff, #101418); --line: light-dark(#767676, #8b949e);
--accent: light-dark(#0b57d0, #8ab4f8); --gap: light-dark(#b3261e, #f2b8b5);
${variables("f", FOREGROUNDS)}
${variables("b", BACKGROUNDS)} }
:root[data-theme="light"], .on-light { color-scheme: light }
:root[data-theme="dark"], .on-dark { color-scheme: dark }
.stderr { color: light-dark(#b3261e, #f2b8b5) }
.bar { align-items: center; display: flex; flex-wrap: wrap; gap: .3rem; margin: .4rem 0 }
button, select, #player input { font: inherit }
button { min-height: 2rem; min-width: 2rem }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
[role="tab"][aria-selected="true"] { font-weight: 700; text-decoration: underline }
#stage { border: 1px solid var(--line); background: var(--bg); overflow: auto; padding: .3rem }
#screen { background: var(--bg); color: var(--fg); font-family: ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace; font-variant-ligatures: none; line-height: 1.2; white-space: pre }
#screen > div { height: 1.2em }
#screen span { white-space: pre }
.w1, .w2 { display: inline-block; height: 1.2em; overflow: hidden; vertical-align: top }
.w1 { width: 1ch }
.w2 { width: 2ch }
.t-b { font-weight: 700 }
.t-d { opacity: .7 }
.t-i { font-style: italic }
.t-u { text-decoration: underline }
.t-s { text-decoration: line-through }
.t-us { text-decoration: underline line-through }
.t-v { visibility: hidden }
.cursor { background: var(--fg); color: var(--bg) }
.hit { outline: 2px solid var(--accent) }
#seek { box-sizing: border-box; margin: .4rem 0 0; width: 100% }
/* Inset by half of the bar's thumb, so that a tick stands where the thumb does. */
#track { height: .6rem; margin: 0 .5rem; position: relative }
#track i { background: var(--line); bottom: 0; position: absolute; top: 0; width: 2px }
#track i.gap { background: var(--gap) }
#track i.marker { background: var(--accent) }
#find { flex: 1 1 10rem }
ol.marks { list-style: none; margin: .3rem 0; max-height: 20rem; overflow: auto; padding: 0 }
ol.marks button { background: none; border: 0; border-bottom: 1px solid #8884; color: inherit; cursor: pointer; display: flex; gap: 1rem; overflow-wrap: anywhere; padding: .3rem; text-align: left; width: 100% }
ol.marks button[aria-current="true"] { font-weight: 700 }
ol.marks .what { flex: 1; font-family: ui-monospace, monospace }
ol.marks .bad, ol.marks .gap { color: var(--gap) }
#keys td { padding: .1rem 1rem .1rem 0; vertical-align: top }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3rem }
dialog { max-width: 40rem }
@media (scripting: none) { #transcript[hidden] { display: block } }
@media (prefers-reduced-motion: no-preference) { #track i { transition: opacity .2s } }
`

/** Key, and what it does; player/main.ts has the same in code, and a test compares them. */
export const PLAYER_KEYS: ReadonlyArray<readonly [keys: string, what: string]> = [
  ["Space", "play, pause"],
  [", .", "one step back, one step on (output of one event)"],
  ["← →", "5 seconds back, on"],
  ["Shift+← Shift+→", "one minute back, on"],
  ["Home End", "to the beginning, to the end"],
  ["0 … 9", "to this tenth of it"],
  ["[ ]", "previous, next command"],
  ["{ }", "previous, next marker or gap"],
  ["< >", "slower, faster"],
  ["i", "leave out idle time, or not"],
  ["/", "search; Enter begins it"],
  ["n N", "next, previous place that was found"],
  ["c", "copy the screen's text"],
  ["f", "full screen"],
  ["d", "light, dark, or as the system has it"],
  ["t", "player, transcript"],
  ["?", "these keys"]
]

const SPEEDS = ["0.25", "0.5", "1", "2", "4", "8", "16", "64"]

const button = (id: string, text: string, label: string): string =>
  `<button type="button" id="${id}" aria-label="${label}" title="${label}">${text}</button>\n`

export const PLAYER_BODY = `<div id="views" role="tablist" aria-label="Views" hidden>
<button type="button" id="tab-player" role="tab" aria-selected="true" aria-controls="player">Player</button>
<button type="button" id="tab-transcript" role="tab" aria-selected="false" aria-controls="transcript" tabindex="-1">Transcript</button>
</div>
<p id="failed" class="missing" role="alert" hidden></p>
<div id="player" role="tabpanel" aria-labelledby="tab-player" hidden>
<div id="notices"></div>
<div id="stage" tabindex="0" role="group" aria-label="Terminal, as it was at the moment chosen below"><div id="screen"></div></div>
<p id="gap" class="missing" hidden></p>
<input id="seek" type="range" min="0" max="0" value="0" step="1" aria-label="Moment">
<div id="track" aria-hidden="true"></div>
<div class="bar" role="group" aria-label="Playback">
${button("play", "▶", "Play")}${button("back", "⟨", "One step back")}${button("on", "⟩", "One step on")}${button("previous-command", "[", "Previous command")}${button("next-command", "]", "Next command")}${button("previous-marker", "{", "Previous marker or gap")}${button("next-marker", "}", "Next marker or gap")}<label for="speed">Speed</label>
<select id="speed">
${SPEEDS.map((speed) => `<option value="${speed}"${speed === "1" ? " selected" : ""}>${speed}×</option>`).join("\n")}
</select>
<label><input id="idle" type="checkbox" checked> Leave out idle time</label>
</div>
<div class="bar"><span id="status" role="status" aria-live="off"></span>
${button("copy", "Copy screen", "Copy the screen's text")}${button("theme", "Theme: system", "Light, dark, or as the system has it")}${button("full", "Full screen", "Full screen")}${button("help", "?", "Keys")}</div>
<div class="bar" role="search">
<input id="find" type="search" aria-label="Search what the terminal showed" placeholder="Search what the terminal showed" autocomplete="off">
${button("search-go", "Search", "Search")}${button("hit-previous", "↑", "Previous place")}${button("hit-next", "↓", "Next place")}<output id="hits" for="find"></output>
</div>
<ol id="results" class="marks" aria-label="Places that were found" hidden></ol>
<h2 id="marks-title" hidden>Commands, markers and gaps</h2>
<ol id="marks" class="marks" aria-labelledby="marks-title"></ol>
<button type="button" id="more" hidden>Show more</button>
<dialog id="keys" aria-label="Keys"><table>
${PLAYER_KEYS.map(
  ([keys, what]) =>
    `<tr><td>${keys
      .split(" ")
      .map((key) => (key === "…" ? key : `<kbd>${key.replace("<", "&lt;").replace(">", "&gt;")}</kbd>`))
      .join(" ")}</td><td>${what}</td></tr>`
).join("\n")}
</table><form method="dialog"><button>Close</button></form></dialog>
</div>
`
