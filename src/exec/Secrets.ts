/**
 * What of an environment is a secret, and how it is kept out of the journal: variables by their name or by the shape of
 * their value (`maskEnv`), and given values wherever they stand in a stream of bytes (`StreamRedactor`). The exec engine
 * uses it before anything is journaled. It is a safety net: what it does not know as a secret it lets pass, so whoever has
 * secrets names them (`secretEnv`). Pure; it keeps no value longer than its redactor lives.
 */

/** What stands in the place of a secret. Says nothing of its length. */
export const MASK = "***"

/**
 * Bytes of the shortest value that is looked for in output. Shorter ones ("1", "root") stand in ordinary text so often that
 * masking them destroys it.
 */
const SECRET_VALUE_BYTES_MIN = 6
/** Values of one redactor: more than a command is ever given. It keeps five numbers for each of their bytes. */
export const SECRET_VALUES_MAX = 64

// --- variables -----------------------------------------------------------------------------------------------------

/** A word of a name that makes it a secret's. */
const SECRET_WORDS = new Set(
  `TOKEN TOKENS SECRET SECRETS PASSWORD PASSWORDS PASSWD PASSPHRASE PASSCODE PASS CREDENTIAL CREDENTIALS CREDS AUTH AUTHTOKEN
  AUTHORIZATION BEARER COOKIE COOKIES JWT APIKEY APIKEYS APITOKEN ACCESSKEY PRIVATEKEY SECRETKEY SESSIONKEY ACCESSTOKEN
  PRIVKEY OTP TOTP`.split(/\s+/)
)
/** Before KEY (or KEYS): a key that opens something. Other keys (KEY_REPEAT, SORT_KEY, PUBLIC_KEY) are none. */
const KEY_WORDS = new Set(
  `API ACCESS PRIVATE PRIV SECRET SESSION SIGNING SIGN ENCRYPTION ENCRYPT DECRYPTION CRYPTO MASTER SSH GPG PGP DEPLOY SERVICE
  ACCOUNT CLIENT SERVER LICENSE LICENCE HMAC AES RSA ROOT ADMIN APP APPLICATION STORAGE WEBHOOK TLS SSL`.split(/\s+/)
)
/** Last words of names that speak of a secret and hold none: SSH_AUTH_SOCK, TOKEN_TTL, PASSWORD_FILE. */
const DESCRIBING_WORDS = new Set(
  `SOCK SOCKET FILE FILES PATH DIR DIRECTORY FOLDER HOST PORT TYPE METHOD MODE TTL TIMEOUT EXPIRY EXPIRES EXPIRATION AGE LIMIT
  COUNT LENGTH SIZE ENABLED DISABLED REQUIRED PROVIDER ALGORITHM PROMPT POLICY`.split(/\s+/)
)
/** Tokens of a language model are counted, not hidden. */
const COUNTING_WORDS = new Set(["MAX", "MIN", "NUM"])

/**
 * Whether a variable of this name holds a secret. Words are what `_`, `-`, `.` and small-to-capital letters divide, in any
 * case: GITHUB_TOKEN, apiKey, DB_PASSWORD; not AUTHOR, KEYBOARD, PWD, OLDPWD.
 */
export const isSecretName = (name: string): boolean => {
  const words = name
    .slice(0, NAME_CHARACTERS_MAX)
    .replace(/([\p{Ll}\p{N}])(?=\p{Lu})/gu, "$1_")
    .toUpperCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "")
  const last = words[words.length - 1]
  if (last === undefined || DESCRIBING_WORDS.has(last) || words.some((word) => COUNTING_WORDS.has(word))) return false
  if (words.some((word) => SECRET_WORDS.has(word))) return true
  // MYSQL_PWD and the like; the shell's own two are directories.
  if (words.length > 1 && ((last === "PWD" && words[0] !== "OLD") || last === "PAT" || last === "PW")) return true
  return words.some((word, index) => index > 0 && /^KEYS?$/.test(word) && KEY_WORDS.has(words[index - 1]!))
}

/** Characters of a name that are looked at: beyond any name in use, and the work is bounded whatever comes. */
const NAME_CHARACTERS_MAX = 1024

/**
 * Shapes of well-known secrets. Each begins with literal text that is not preceded by its own characters, so that a search
 * takes time in proportion to the value.
 */
const SECRET_SHAPES: ReadonlyArray<RegExp> = [
  // GitHub, GitLab
  /(?<![A-Za-z0-9_])gh[pousr]_[A-Za-z0-9]{20,}/,
  /(?<![A-Za-z0-9_])github_pat_[A-Za-z0-9_]{20,}/,
  /(?<![A-Za-z0-9_-])gl(?:pat|dt|rt|cbt|ptt|soat)-[A-Za-z0-9_-]{16,}/,
  // OpenAI, Anthropic and those who copy them; Stripe; Slack
  /(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{16,}/,
  /(?<![A-Za-z0-9_])(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}/,
  /(?<![A-Za-z0-9_-])xox[abeoprs]-[A-Za-z0-9-]{8,}/,
  /(?<![A-Za-z0-9_-])xapp-[A-Za-z0-9-]{8,}/,
  // AWS, Google, DigitalOcean
  /(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])/,
  /(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{30,}/,
  /(?<![A-Za-z0-9_-])ya29\.[A-Za-z0-9_-]{16,}/,
  /(?<![A-Za-z0-9_])do[por]_v1_[a-f0-9]{32,}/,
  // npm, PyPI, Hugging Face, SendGrid, age
  /(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{20,}/,
  /(?<![A-Za-z0-9_-])pypi-[A-Za-z0-9_-]{32,}/,
  /(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{20,}/,
  /(?<![A-Za-z0-9_.-])SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}/,
  /AGE-SECRET-KEY-1[A-Z0-9]{20}/,
  // JSON web tokens, private keys, authorization headers
  /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/,
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY/,
  /(?<![A-Za-z])(?:bearer|basic) [A-Za-z0-9._~+/-]{16,}/i,
  // user:password@ in a URL and in the DSNs of Go's MySQL driver
  /:\/\/[^\s/?#@:]*:[^\s/?#]+@/,
  /^[^\s:/@]+:[^\s@]+@(?:tcp|udp|unix)?\(/,
  // password=… in connection strings, queries and options
  /(?<![A-Za-z0-9])(?:password|passwd|pwd|secret|access_?token|auth_?token|api_?key|accountkey)=[^\s;&"']/i
]

/** Whether a value has the shape of a secret, whatever its name. */
export const isSecretValue = (value: string): boolean => SECRET_SHAPES.some((shape) => shape.test(value))

/** Characters from which on a value without words is a key rather than a name. A SHA-1 in hex has 40. */
const KEY_VALUE_CHARACTERS_MIN = 40
/** Bits a character: 40 random hex digits have 3.3 to 3.9, a path or a word repeated less. */
const KEY_VALUE_ENTROPY_MIN = 3
/** Characters of which the entropy is taken. */
const ENTROPY_CHARACTERS_MAX = 4096

const looksLikeKey = (value: string): boolean => {
  if (value.length < KEY_VALUE_CHARACTERS_MIN || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(value)) return false
  const text = value.slice(0, ENTROPY_CHARACTERS_MAX)
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  let entropy = 0
  for (const count of counts.values()) entropy -= (count / text.length) * Math.log2(count / text.length)
  return entropy >= KEY_VALUE_ENTROPY_MIN
}

/** Whether a variable holds a secret, by its name or by its value. An empty value hides nothing. */
export const isSecretVariable = (name: string, value: string): boolean =>
  value !== "" &&
  (isSecretName(name) ||
    isSecretValue(value) ||
    (/KEYS?$/i.test(name) && looksLikeKey(value)) ||
    (/(?:^|_)DSN$/i.test(name) && /^[^\s:/@]+:[^\s@]+@/.test(value)))

/**
 * The variables with every secret masked, and the names of those. `extraSecretNames` are secret whatever they hold. null (a
 * variable that is gone) stays null.
 */
export const maskEnv = <Value extends string | null>(
  env: Readonly<Record<string, Value>>,
  extraSecretNames: Iterable<string> = []
): { readonly env: Record<string, Value | typeof MASK>; readonly masked: ReadonlyArray<string> } => {
  const extra = new Set(extraSecretNames)
  const masked: Array<string> = []
  const pairs = Object.entries(env).map(([name, value]): [string, Value | typeof MASK] => {
    if (value === null || !(extra.has(name) || isSecretVariable(name, value))) return [name, value]
    masked.push(name)
    return [name, MASK]
  })
  // fromEntries defines what assignment would not: a variable may be called __proto__.
  return { env: Object.fromEntries(pairs) as Record<string, Value | typeof MASK>, masked }
}

// --- streams -------------------------------------------------------------------------------------------------------

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true })
const MASK_BYTES = textEncoder.encode(MASK)
const NO_BYTES = new Uint8Array(0)
const ASTERISK = 0x2a

/**
 * Replaces values in a stream of bytes by `***`, wherever its chunks are cut.
 *
 * **Details** Values that overlap in the stream become one mask, so that no part of either is left. Of a value its form
 * without surrounding blanks is looked for too, and the form in which a terminal shows its line ends. Values below
 * SECRET_VALUE_BYTES_MIN bytes are ignored. Bytes are held back only while they begin a value: at most the longest form
 * less one.
 *
 * **Gotchas** A value that is itself made of asterisks cannot be told from masks.
 */
export class StreamRedactor {
  // An Aho-Corasick automaton. Node 0 is the root; nodes are numbers, children lists of siblings, for the values are long
  // and few: a table of all bytes for each node would be hundreds of times as large.
  readonly #firstChild: Int32Array
  readonly #nextSibling: Int32Array
  readonly #byte: Uint8Array
  /** The node of the longest proper suffix that begins a value. */
  readonly #suffix: Int32Array
  /** Length of the longest value that ends here; 0 for none. */
  readonly #matched: Int32Array
  readonly #depth: Int32Array
  /** A form through this node: its first `depth` bytes are those that led here, so held bytes need no copy. */
  readonly #form: Int32Array
  readonly #forms: ReadonlyArray<Uint8Array>
  /** Children of the root by byte: most bytes of a stream begin nothing, and this says so in one step. */
  readonly #begin = new Int32Array(256)

  #node = 0
  /** Ranges to mask that are not emitted, [from, to) in turn, counted from the first held byte. */
  #ranges: Array<number> = []
  /** Held bytes that belong to a mask already emitted. */
  #swallow = 0

  readonly #keepsLength: boolean

  /** `keepsLength`: as many asterisks as the value had bytes, so that every other byte keeps its offset. */
  constructor(values: Iterable<string | Uint8Array>, options: { readonly keepsLength?: boolean } = {}) {
    this.#keepsLength = options.keepsLength ?? false
    const all = [...values]
    if (all.length > SECRET_VALUES_MAX) throw new RangeError(`more than ${SECRET_VALUES_MAX} secret values`)
    this.#forms = formsOf(all)
    const nodes = this.#forms.reduce((sum, form) => sum + form.length, 1)
    this.#firstChild = new Int32Array(nodes)
    this.#nextSibling = new Int32Array(nodes)
    this.#byte = new Uint8Array(nodes)
    this.#suffix = new Int32Array(nodes)
    this.#matched = new Int32Array(nodes)
    this.#depth = new Int32Array(nodes)
    this.#form = new Int32Array(nodes)
    this.#build()
  }

  /** Bytes held back: they may begin a value. */
  get heldBytes(): number {
    return this.#depth[this.#node]!
  }

  /** What can be emitted now. May be the chunk itself. */
  push(chunk: Uint8Array): Uint8Array {
    const heldNode = this.#node
    const held = this.#depth[heldNode]!
    let node = heldNode
    for (let at = 0; at < chunk.length; at++) {
      node = node === 0 ? this.#begin[chunk[at]!]! : this.#step(node, chunk[at]!)
      const length = this.#matched[node]!
      if (length > 0) this.#mask(held + at + 1 - length, held + at + 1)
      // Nothing longer goes on from here: what follows continues a suffix at most.
      while (node !== 0 && this.#firstChild[node] === 0) node = this.#suffix[node]!
    }
    this.#node = node
    const end = held + chunk.length - this.#depth[node]!
    if (held === 0 && end === chunk.length && this.#ranges.length === 0 && this.#swallow === 0) return chunk
    return this.#emit(this.#forms[this.#form[heldNode]!]?.subarray(0, held) ?? NO_BYTES, chunk, end)
  }

  /** The stream has ended: what was held back. Afterwards a new stream begins. */
  flush(): Uint8Array {
    const held = this.#depth[this.#node]!
    const rest = this.#emit(this.#forms[this.#form[this.#node]!]?.subarray(0, held) ?? NO_BYTES, NO_BYTES, held)
    this.#node = 0
    this.#ranges = []
    this.#swallow = 0
    return rest
  }

  /** Ends never go back, so only the last ranges can overlap a new one. */
  #mask(from: number, to: number): void {
    const ranges = this.#ranges
    while (ranges.length > 0 && ranges[ranges.length - 1]! > from) {
      ranges.pop()
      from = Math.min(from, ranges.pop()!)
    }
    if (from < this.#swallow) this.#swallow = to
    else ranges.push(from, to)
  }

  /** Emits up to `end` of held and chunk; a mask is never longer than what it stands for, so the room is enough. */
  #emit(held: Uint8Array, chunk: Uint8Array, end: number): Uint8Array {
    const out = new Uint8Array(end + MASK_BYTES.length)
    let length = 0
    const mask = (from: number, to: number) => {
      const bytes = this.#keepsLength ? Math.min(to, end) - from : MASK_BYTES.length
      out.fill(ASTERISK, length, length + bytes)
      length += bytes
    }
    const copy = (from: number, to: number) => {
      if (from < held.length) {
        const part = held.subarray(from, Math.min(to, held.length))
        out.set(part, length)
        length += part.length
      }
      if (to > held.length) {
        const part = chunk.subarray(Math.max(0, from - held.length), to - held.length)
        out.set(part, length)
        length += part.length
      }
    }
    let at = this.#swallow
    if (this.#keepsLength && at > 0) mask(0, at)
    const later: Array<number> = []
    for (let index = 0; index < this.#ranges.length; index += 2) {
      const from = this.#ranges[index]!
      const to = this.#ranges[index + 1]!
      if (from >= end) {
        later.push(from - end, to - end)
        continue
      }
      copy(at, from)
      mask(from, to)
      at = to
    }
    if (at < end) copy(at, end)
    this.#ranges = later
    this.#swallow = Math.max(0, at - end)
    return out.subarray(0, length)
  }

  #child(node: number, byte: number): number {
    let child = this.#firstChild[node]!
    while (child !== 0 && this.#byte[child] !== byte) child = this.#nextSibling[child]!
    return child
  }

  #step(node: number, byte: number): number {
    for (;;) {
      const child = this.#child(node, byte)
      if (child !== 0) return child
      if (node === 0) return 0
      node = this.#suffix[node]!
    }
  }

  #build(): void {
    let nodes = 1
    for (const [index, form] of this.#forms.entries()) {
      let node = 0
      for (const byte of form) {
        let child = this.#child(node, byte)
        if (child === 0) {
          child = nodes++
          this.#byte[child] = byte
          this.#nextSibling[child] = this.#firstChild[node]!
          this.#firstChild[node] = child
          this.#depth[child] = this.#depth[node]! + 1
          this.#form[child] = index
        }
        node = child
      }
      this.#matched[node] = form.length
    }
    // By depth: a suffix is shorter, so it is known when it is needed.
    const queue = new Int32Array(nodes)
    let queued = 1
    for (let at = 0; at < queued; at++) {
      const node = queue[at]!
      for (let child = this.#firstChild[node]!; child !== 0; child = this.#nextSibling[child]!) {
        if (node === 0) this.#begin[this.#byte[child]!] = child
        else this.#suffix[child] = this.#step(this.#suffix[node]!, this.#byte[child]!)
        if (this.#matched[child] === 0) this.#matched[child] = this.#matched[this.#suffix[child]!]!
        queue[queued++] = child
      }
    }
  }
}

/** The text or the bytes without the values. */
export const redactValues: {
  (input: string, values: Iterable<string | Uint8Array>): string
  (input: Uint8Array, values: Iterable<string | Uint8Array>): Uint8Array
} = <Input extends string | Uint8Array>(input: Input, values: Iterable<string | Uint8Array>): never => {
  const redactor = new StreamRedactor(values)
  const bytes: Uint8Array = typeof input === "string" ? textEncoder.encode(input) : input
  const first = redactor.push(bytes)
  const rest = redactor.flush()
  // Text without a secret is given back itself: a lone surrogate in it would not survive the way through bytes.
  if (first === bytes && rest.length === 0) return input as never
  const redacted = rest.length === 0 ? first : new Uint8Array(Buffer.concat([first, rest]))
  return (typeof input === "string" ? textDecoder.decode(redacted) : redacted) as never
}

/** Each value, without surrounding blanks, and with the line ends of a terminal (which writes \n as \r\n). */
const formsOf = (values: ReadonlyArray<string | Uint8Array>): ReadonlyArray<Uint8Array> => {
  const forms = new Map<string, Uint8Array>()
  for (const value of values) {
    // As Latin-1, where a character is a byte: the value need not be UTF-8.
    const text = Buffer.from(value as string).toString("latin1")
    for (const form of [text, withoutBlanks(text)]) {
      for (const shown of [form, form.replace(/\r?\n/g, "\r\n")]) {
        if (shown.length >= SECRET_VALUE_BYTES_MIN) forms.set(shown, Buffer.from(shown, "latin1"))
      }
    }
  }
  return [...forms.values()]
}

/** Byte by byte: `trim` would take the byte A0 for a blank, which ends many a letter in UTF-8. */
const withoutBlanks = (text: string): string => {
  let from = 0
  let to = text.length
  while (from < to && " \t\r\n".includes(text[from]!)) from++
  while (from < to && " \t\r\n".includes(text[to - 1]!)) to--
  return text.slice(from, to)
}
