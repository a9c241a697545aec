/**
 * Text of a session inside an HTML file: only ever text, and links only to where a click does no harm. Everything that
 * HtmlExport.ts writes and did not make itself passes here. Pure.
 */
import { escapeLines, escapeText } from "../SafeText.ts"

/** Longest address that all browsers open. */
const URL_CHARACTERS_MAX = 2083
const SAFE_PROTOCOLS: ReadonlySet<string> = new Set(["http:", "https:", "mailto:"])
const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

const escapeMarkup = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character]!)

/** One line: in an element, in `title`, or in an attribute within quotes. */
export const htmlText = (text: string): string => escapeMarkup(escapeText(text))

/** Several lines, for an element that keeps them. */
export const htmlLines = (text: string): string => escapeMarkup(escapeLines(text))

/**
 * The address to link to for what a program named; undefined where it is not an absolute http, https or mailto URL of
 * printable ASCII, as OSC 8 wants them. Whatever the program wrote, the result is what a URL parser made of it.
 */
export const safeUrl = (address: string): string | undefined => {
  if (address.length > URL_CHARACTERS_MAX || !/^[\x21-\x7e]+$/.test(address)) return undefined
  const url = URL.parse(address)
  if (url === null || !SAFE_PROTOCOLS.has(url.protocol)) return undefined
  // A name and a password before the host make one host look like another.
  if (url.username !== "" || url.password !== "" || url.href.length > URL_CHARACTERS_MAX) return undefined
  return url.href
}

/** A link that neither tells where it was clicked nor lets the page it opens reach this one. */
export const htmlLink = (url: string, text: string): string =>
  `<a href="${escapeMarkup(url)}" rel="noopener noreferrer" target="_blank">${htmlText(text)}</a>`
