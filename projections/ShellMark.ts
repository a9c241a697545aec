/**
 * What a shell tells its terminal about prompts and commands: OSC 133 (FinalTerm and its successors), OSC 633 (VS Code) and the
 * user variable WEZTERM_PROG of OSC 1337. One payload in, one mark out; PromptCommands.ts makes commands of them. Marks are
 * output like any other: any program can print them, so a mark is evidence of what was shown and never of what was run.
 * Only a command line that comes with the session's own nonce (OSC 633;E) is said to be trusted. Pure.
 */

export type ShellMark =
  /** `secondary`: a prompt in the middle of an input (PS2, a right prompt); what follows up to its end is not typed. */
  | { readonly _tag: "PromptStarted"; readonly secondary: boolean }
  /** `oneLine`: the input ends with its line, and output follows without a mark. */
  | { readonly _tag: "InputStarted"; readonly oneLine: boolean }
  | { readonly _tag: "CommandLineTold"; readonly text: string; readonly trusted: boolean }
  /** `text` is null where the mark says nothing of the command. */
  | { readonly _tag: "OutputStarted"; readonly text: string | null }
  /** null: the shell did not say how it ended, which is not 0. */
  | { readonly _tag: "CommandEnded"; readonly exitCode: number | null }

const PREFIXES = ["133;", "633;", "1337;SetUserVar=WEZTERM_PROG="].map((prefix) => Buffer.from(prefix))
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * Reads an OSC payload (without introducer and terminator); undefined when it is no such mark. `nonce` is the secret that the
 * session's shell was given; without one no command line is trusted.
 */
export const parseShellMark = (payload: Uint8Array, nonce?: string): ShellMark | undefined => {
  if (!PREFIXES.some((prefix) => prefix.equals(payload.subarray(0, prefix.length)))) return undefined
  const text = decoder.decode(payload)
  if (text.startsWith("1337;")) return wezterm(text.slice(text.lastIndexOf("PROG=") + 5))
  const isCode = text.startsWith("633;")
  const letter = text[4] ?? ""
  if (text.length > 5 && text[5] !== ";") return undefined
  const rest = text.slice(6)
  switch (letter) {
    case "A":
    case "N":
      return { _tag: "PromptStarted", secondary: !isCode && isSecondary(rest) }
    case "P":
      // OSC 633 uses the letter for properties.
      return isCode ? undefined : { _tag: "PromptStarted", secondary: isSecondary(rest) || hasField(rest, "k=r") }
    case "B":
      return { _tag: "InputStarted", oneLine: false }
    case "C":
      return { _tag: "OutputStarted", text: isCode ? null : commandLineIn(rest) }
    case "D":
      return { _tag: "CommandEnded", exitCode: exitCodeIn(rest) }
    case "E":
      return isCode ? told(rest, nonce) : undefined
    case "F":
    case "H":
      return isCode ? { _tag: "PromptStarted", secondary: true } : undefined
    case "G":
      return isCode ? { _tag: "InputStarted", oneLine: false } : undefined
    case "I":
      return { _tag: "InputStarted", oneLine: !isCode }
    default:
      return undefined
  }
}

/** `key=value`, divided at the first `=`; without one the whole is the key and there is no value. */
export const splitPair = (text: string): readonly [key: string, value: string | undefined] => {
  const at = text.indexOf("=")
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** VS Code's escapes: `\\` is a backslash, `\xHH` a byte. */
export const unescapeValue = (value: string): string =>
  value.replace(/\\(?:\\|x([0-9a-fA-F]{2}))/g, (_, hex: string | undefined) =>
    hex === undefined ? "\\" : String.fromCharCode(Number.parseInt(hex, 16))
  )

/** The same in the other direction: backslash, `;` and everything up to the blank. */
export const escapeValue = (value: string): string =>
  value.replace(/[\\;\u0000-\u0020]/g, (character) =>
    character === "\\" ? "\\\\" : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`
  )

/** `k=s` (and `k=c`, a continuation): a prompt for more of the same input. */
const isSecondary = (parameters: string): boolean => hasField(parameters, "k=s") || hasField(parameters, "k=c")

const hasField = (parameters: string, field: string): boolean => parameters.split(";").includes(field)

const told = (rest: string, nonce: string | undefined): ShellMark => {
  const [line = "", given] = rest.split(";")
  return {
    _tag: "CommandLineTold",
    text: unescapeValue(line),
    trusted: nonce !== undefined && nonce !== "" && given === nonce
  }
}

/** Empty between two commands, which says nothing of the next. */
const wezterm = (base64: string): ShellMark | undefined => {
  const text = decoder.decode(Buffer.from(base64, "base64"))
  return text === "" ? undefined : { _tag: "CommandLineTold", text, trusted: false }
}

const exitCodeIn = (parameters: string): number | null => {
  const first = parameters.split(";")[0]!
  return /^-?\d{1,10}$/.test(first) ? Number.parseInt(first, 10) : null
}

/** `cmdline_url=` is percent-encoded; `cmdline=` is quoted for a shell and goes on to the end, semicolons included. */
const commandLineIn = (parameters: string): string | null => {
  for (let at = 0; at !== -1 && at <= parameters.length; ) {
    const rest = parameters.slice(at)
    if (rest.startsWith("cmdline=")) return unquoteShell(rest.slice(8))
    if (rest.startsWith("cmdline_url=")) return percentDecoded(rest.slice(12).split(";")[0]!)
    const next = parameters.indexOf(";", at)
    at = next === -1 ? -1 : next + 1
  }
  return null
}

const percentDecoded = (text: string): string =>
  decoder.decode(
    Buffer.from(
      Buffer.from(text)
        .toString("latin1")
        .replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
      "latin1"
    )
  )

const NAMED: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  e: "\x1b",
  E: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v"
}

/** Undoes what `printf %q` of bash and `${(q)}` of zsh do: backslashes, `'…'`, `"…"` and `$'…'`. */
const unquoteShell = (text: string): string =>
  text.replace(
    /\\([\s\S])|'([^']*)'|\$'((?:[^'\\]|\\[\s\S])*)'|"((?:[^"\\]|\\[\s\S])*)"/g,
    (_, escaped?: string, single?: string, ansi?: string, double?: string) =>
      escaped ?? single ?? (ansi === undefined ? double!.replace(/\\([\\"$`])/g, "$1") : ansiC(ansi))
  )

/** Its numbers are bytes, of which several may be one character. */
const ansiC = (text: string): string =>
  decoder.decode(
    Buffer.concat(
      text
        .split(/(\\(?:x[0-9a-fA-F]{1,2}|[0-7]{1,3}|u[0-9a-fA-F]{1,4}|[\s\S]))/)
        .map((part) => Buffer.from(ansiBytes(part)))
    )
  )

const ansiBytes = (part: string): string | ReadonlyArray<number> => {
  if (!part.startsWith("\\")) return part
  const rest = part.slice(1)
  if (/^x./.test(rest)) return [Number.parseInt(rest.slice(1), 16)]
  if (/^[0-7]/.test(rest)) return [Number.parseInt(rest, 8) & 0xff]
  if (/^u./.test(rest)) return String.fromCodePoint(Number.parseInt(rest.slice(1), 16))
  return NAMED[rest] ?? rest
}
