/**
 * The text that shells read and print: quoting for bash and zsh, and reading back what `export -p`, `alias -p` and
 * `declare -f` (zsh: `typeset -px`, `alias -L`, `typeset -f`) say. What cannot be read, or is not UTF-8, is left out and
 * never guessed. Pure.
 */
import type { ShellState } from "./Driver.ts"

/** Names of the driver's own variables and functions. */
const OWN = "__reprise_"
/** Variables that a shell keeps itself: bringing back an old value would be wrong. */
const KEPT_BY_SHELL = new Set(["PWD", "SHLVL", "_"])

const CONTROL = /[\x00-\x1f\x7f]/
const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'" }

/** One word on one line, whatever is in it. Understood by bash and zsh alike, in every option of theirs. */
export const quote = (text: string): string =>
  CONTROL.test(text)
    ? `$'${text.replace(/[\x00-\x1f\x7f\\']/g, (char) => ESCAPES[char] ?? `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`)}'`
    : `'${text.replaceAll("'", "'\\''")}'`

const ANSI: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  e: 27,
  E: 27,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  "\\": 92,
  "'": 39,
  '"': 34,
  "?": 63
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

interface Word {
  /** undefined: not text. */
  readonly text: string | undefined
  /** First character after it. */
  readonly end: number
}

/** The word at `start`, unquoted; it ends at white space outside quotes. undefined: it never ends. */
const wordAt = (source: string, start: number, stop = ""): Word | undefined => {
  const parts: Array<Uint8Array> = []
  const utf8 = new TextEncoder()
  const bytes = (...values: ReadonlyArray<number>) => parts.push(Uint8Array.from(values))
  const text = (value: string) => parts.push(utf8.encode(value))
  let at = start
  while (at < source.length && source[at] !== stop && !/[ \t\n]/.test(source[at]!)) {
    if (source.startsWith("$'", at)) {
      at += 2
      for (;;) {
        const plain = /[^\\']*/y
        plain.lastIndex = at
        text(plain.exec(source)![0])
        at = plain.lastIndex
        if (at >= source.length) return undefined
        if (source[at] === "'") break
        const sequence =
          /\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|((?:C-|M-|\\C-|\\M-)+.)|(.))/sy
        sequence.lastIndex = at
        const found = sequence.exec(source)
        if (found === null) return undefined
        at = sequence.lastIndex
        const [, octal, hex, short, long, control, letter] = found
        if (octal !== undefined) bytes(Number.parseInt(octal, 8) & 0xff)
        else if (hex !== undefined) bytes(Number.parseInt(hex, 16))
        else if (short !== undefined || long !== undefined) {
          const point = Number.parseInt((short ?? long)!, 16)
          if (point > 0x10ffff) return undefined
          text(String.fromCodePoint(point))
        } else if (control !== undefined) {
          // zsh: any number of control and meta marks before a character.
          const char = control.at(-1)!
          const plain = control.includes("C-") ? (char === "?" ? 127 : char.charCodeAt(0) & 0x1f) : char.charCodeAt(0)
          bytes(control.includes("M-") ? plain | 0x80 : plain)
        } else if (letter !== undefined && ANSI[letter] !== undefined) bytes(ANSI[letter])
        else return undefined
      }
      at += 1
    } else if (source[at] === "'") {
      const close = source.indexOf("'", at + 1)
      if (close < 0) return undefined
      text(source.slice(at + 1, close))
      at = close + 1
    } else if (source[at] === '"') {
      const inner = /"((?:[^"\\]|\\.)*)"/sy
      inner.lastIndex = at
      const found = inner.exec(source)
      if (found === null) return undefined
      at = inner.lastIndex
      text(found[1]!.replace(/\\([\\"$`\n])/g, (_, char: string) => (char === "\n" ? "" : char)))
    } else if (source[at] === "\\") {
      text(source[at + 1] ?? "")
      at += 2
    } else {
      const plain = stop === "" ? /[^ \t\n'"\\$]+|\$/y : /[^ \t\n'"\\$)]+|\$/y
      plain.lastIndex = at
      text(plain.exec(source)![0])
      at = plain.lastIndex
    }
  }
  try {
    return { text: strictUtf8.decode(Buffer.concat(parts)), end: at }
  } catch {
    return { text: undefined, end: at }
  }
}

/** The words of one statement, to the end of its last line. */
const statementAt = (
  source: string,
  start: number
): { readonly words: ReadonlyArray<string | undefined>; readonly end: number } | undefined => {
  const words: Array<string | undefined> = []
  let at = start
  for (;;) {
    while (source[at] === " " || source[at] === "\t") at += 1
    if (at >= source.length || source[at] === "\n") return { words, end: at + 1 }
    // An array. Nobody can export one, but zsh shows PATH and its like as `-T PATH path=( ... )`.
    const array = /[A-Za-z_]\w*=\(/y
    array.lastIndex = at
    if (array.test(source)) {
      const elements: Array<string | undefined> = []
      at = array.lastIndex
      for (;;) {
        while (/[ \t\n]/.test(source[at] ?? "")) at += 1
        if (at >= source.length) return undefined
        if (source[at] === ")") break
        const element = wordAt(source, at, ")")
        if (element === undefined) return undefined
        elements.push(element.text)
        at = element.end
      }
      const line = source.indexOf("\n", at)
      const separator = /^\) +(\S+)$/.exec(source.slice(at, line < 0 ? undefined : line))?.[1]
      const name = words.at(-1)
      const isWhole = words[1]?.includes("T") && elements.every((one) => one !== undefined)
      const joiner = separator === undefined ? ":" : wordAt(separator, 0)?.text
      return {
        words: isWhole && name !== undefined ? [words[0], `${name}=${elements.join(joiner)}`] : [""],
        end: line < 0 ? source.length : line + 1
      }
    }
    const word = wordAt(source, at)
    if (word === undefined) return undefined
    words.push(word.text)
    at = word.end
  }
}

const NAME = /^[A-Za-z_]\w*$/

/**
 * Functions as `declare -f` prints them. A here-document in one may hold lines that look like anything, so their ends are
 * not looked for: each begins where the name that must come next is followed by a body.
 */
const functionsIn = (source: string, names: ReadonlyArray<string>): Map<string, string> => {
  const functions = new Map<string, string>()
  let at = 0
  let last: { readonly name: string; readonly start: number } | undefined
  const add = (end: number) => {
    if (last === undefined || last.name.startsWith(OWN)) return
    functions.set(last.name, source.slice(last.start, end).replace(/\n+$/, ""))
  }
  for (const name of names) {
    const heads = [`${name} () \n{`, `function ${name} () \n{`, `${name} () {`]
    const found = heads
      .flatMap((head) => {
        const index = source.startsWith(head, at) ? at : source.indexOf(`\n${head}`, at) + 1
        return index === at ? (source.startsWith(head, at) ? [index] : []) : index > 0 ? [index] : []
      })
      .sort((left, right) => left - right)[0]
    if (found === undefined) continue
    add(found)
    last = { name, start: found }
    at = found + name.length
  }
  add(source.length)
  return functions
}

interface Forms {
  /** Command words that print an exported variable, without options. */
  readonly variable: ReadonlySet<string>
  /** The names of functions that a line gives; undefined when it is no such line. */
  readonly functionNames: (words: ReadonlyArray<string | undefined>) => ReadonlyArray<string | undefined> | undefined
}

const parseState = (dump: string, { functionNames, variable }: Forms): ShellState => {
  const env = new Map<string, string>()
  const aliases = new Map<string, string>()
  const names: Array<string> = []
  const first = statementAt(dump, 0)
  const cwd = first?.words[0] ?? ""
  let at = first?.end ?? dump.length
  while (at < dump.length) {
    const statement = statementAt(dump, at)
    if (statement === undefined) break
    const { end, words } = statement
    const given = functionNames(words)
    if (given !== undefined) names.push(...given.filter((name) => name !== undefined))
    else if (words[0] === "alias") {
      const pair = words.at(-1)
      const equals = pair?.indexOf("=", 1) ?? -1
      // zsh: a global or suffix alias is printed with its option, and cannot be told from a plain one by name.
      const option = words[1]?.startsWith("-") && words[1] !== "--" && words.length > 2
      if (pair !== undefined && equals > 0 && !option) aliases.set(pair.slice(0, equals), pair.slice(equals + 1))
    } else if (words[0] !== undefined && variable.has(words[0])) {
      const pair = words.at(-1)
      const equals = pair?.indexOf("=") ?? -1
      if (pair !== undefined && equals > 0) {
        const key = pair.slice(0, equals)
        if (NAME.test(key) && !key.startsWith(OWN)) env.set(key, pair.slice(equals + 1))
      }
    } else if (words.length > 0) break
    at = end
  }
  return { cwd, env, functions: functionsIn(dump.slice(at), names), aliases, imports: [] }
}

/** A dump of `driver.bash`: `cwd`, exported variables, aliases, names of functions, functions. */
export const parseBashState = (dump: string): ShellState =>
  parseState(dump, {
    variable: new Set(["declare", "export"]),
    functionNames: (words) => (words[0] === "declare" && words[1] === "-f" ? words.slice(2) : undefined)
  })

/** A dump of `driver.zsh`: the same, as zsh prints them. */
export const parseZshState = (dump: string): ShellState =>
  parseState(dump, {
    variable: new Set(["export", "typeset"]),
    functionNames: (words) => (words[0] === "__reprise_function" ? words.slice(1, 2) : undefined)
  })

/** Each thing alone: one that fails says so with `__reprise_failed` and keeps nothing else from coming back. */
export const restoreShell = (state: ShellState, language: "bash" | "zsh"): string => {
  const failed = (what: string) => `|| __reprise_failed ${quote(what)}`
  const lines: Array<string> = []
  for (const [name, value] of state.env) {
    if (KEPT_BY_SHELL.has(name) || !NAME.test(name)) continue
    lines.push(`builtin export ${name}=${quote(value)} 2>/dev/null ${failed(`variable ${name}`)}`)
  }
  // A pattern such as +(a|b) in a function can only be read while these are on.
  if (language === "bash") lines.push("__reprise_extglob=$BASHOPTS; builtin shopt -s extglob")
  for (const [name, source] of state.functions) {
    lines.push(`builtin eval ${quote(source)} 2>/dev/null ${failed(`function ${name}`)}`)
  }
  if (language === "bash") {
    lines.push("[[ $__reprise_extglob == *extglob* ]] || builtin shopt -u extglob; builtin unset -v __reprise_extglob")
  }
  for (const [name, value] of state.aliases) {
    lines.push(`builtin alias -- ${quote(`${name}=${value}`)} 2>/dev/null ${failed(`alias ${name}`)}`)
  }
  if (state.cwd !== "") lines.push(`builtin cd -- ${quote(state.cwd)} 2>/dev/null ${failed(`directory ${state.cwd}`)}`)
  return `${lines.join("\n")}\n`
}
