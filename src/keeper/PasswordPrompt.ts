/**
 * Whether the last line of a terminal's output asks for a secret. Many programs print the prompt a moment before they
 * switch the echo off, and some read it in raw mode: the kernel's mode alone is late for the first and blind for the
 * second. Used by GuardedPty to answer `mode`. It decides nothing by itself: the mode of the terminal is the evidence,
 * this only says when to look again.
 */

/** Enough for a prompt with a path and a host name in it. */
export const PROMPT_TAIL_BYTES = 256

const WORDS = [
  "password",
  "passwd",
  "passphrase",
  "passcode",
  "pass phrase",
  "pin",
  "pin code",
  "secret",
  "token",
  "verification code",
  "one-time code",
  "mot de passe",
  "code secret",
  "passwort",
  "kennwort",
  "contraseña",
  "clave",
  "senha",
  "parola d'ordine",
  "wachtwoord",
  "lösenord",
  "hasło",
  "пароль",
  "密码",
  "パスワード"
].join("|")
/** `for NAME`, `(again)`, `[hidden]` may stand between the word and the end. */
const PROMPT = new RegExp(
  `(?<![\\p{L}\\p{N}_-])(?:${WORDS})(?: (?:for|of|pour|für|para) .*?| *[([].*?[)\\]])?\\s*([:?>：]?)\\s*$`,
  "iu"
)

/** What some programs show for each character that was typed, and take back for one that was erased. */
const MASK = /[*•●\b][*•●\b ]*$/

export interface PasswordPrompt {
  /** It ends as a question does. Without that, `echo password` on a command line would look the same. */
  readonly punctuated: boolean
}

export const passwordPromptIn = (tail: Uint8Array): PasswordPrompt | null => {
  const text = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength)
    .toString("utf8")
    .replace(/\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]/g, "")
  const line = text.slice(Math.max(text.lastIndexOf("\n"), text.lastIndexOf("\r")) + 1).replace(MASK, "")
  const match = PROMPT.exec(line)
  return match === null ? null : { punctuated: match[1] !== "" }
}
