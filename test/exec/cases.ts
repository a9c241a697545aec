/**
 * The acceptance cases of exec (`test/cases/exec.jsonl`): how they are read, and how what a step gave is compared with what
 * it must give. Used by every runner of them; runs nothing itself. A case is a list of steps in a fresh session.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"

/** What a step must give; a key that is absent is not looked at. */
export interface Expectation {
  readonly stdout?: string
  readonly stderr?: string
  /** In standard output or standard error. */
  readonly contains?: string
  readonly notContains?: string
  readonly stderrContains?: string
  readonly stderrNotContains?: string
  readonly stdoutNotContains?: string
  readonly ttyContains?: string
  readonly ttyNotContains?: string
  readonly stdoutLength?: number
  readonly stdoutSha256?: string
  readonly stdoutBase64?: string
  readonly stdoutNonEmpty?: boolean
  readonly stdoutStartsWith?: string
  readonly stdoutEndsWith?: string
  readonly stdoutTotalBytes?: number
  readonly validUtf8?: boolean
  readonly exitCode?: number
  readonly exitCodeIn?: ReadonlyArray<number>
  readonly status?: string
  readonly value?: string
  readonly needsInput?: "text" | "secret" | "raw" | null
  readonly state?: { readonly cwd?: string }
  readonly maxMs?: number
  readonly truncated?: boolean
  readonly error?: string
}

export interface StepOptions {
  readonly tty?: boolean
  /** `tty`: the terminal; other text: the bytes. */
  readonly stdin?: string
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly secretEnv?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly maxOutputBytes?: number
  readonly execId?: string
}

export interface Step {
  /** Absent: exec of `input`. */
  readonly op?: string
  readonly input?: string
  readonly keys?: ReadonlyArray<string>
  readonly opts?: StepOptions
  readonly afterMs?: number
  readonly timeoutMs?: number
  readonly ms?: number
  readonly cols?: number
  readonly rows?: number
  readonly count?: number
  readonly name?: string
  /** lateOutput: the number of the exec. */
  readonly exec?: number
  readonly expect?: Expectation
}

export interface Case {
  readonly id: string
  readonly language: "bash" | "zsh" | "python" | "node"
  readonly steps: ReadonlyArray<Step>
  readonly verified: "prototype" | "partial" | "unverified"
}

/** What a step gave, as far as the runner knows it. */
export interface Observed {
  readonly stdout?: Uint8Array
  readonly stderr?: Uint8Array
  readonly tty?: Uint8Array
  readonly exitCode?: number | null
  readonly status?: string
  readonly value?: string | null
  readonly needsInput?: string | null
  readonly cwd?: string | null
  readonly millis?: number
  readonly truncated?: boolean
  readonly stdoutTotalBytes?: number
  readonly error?: string
}

export const loadCases = (): ReadonlyArray<Case> =>
  readFileSync(new URL("../cases/exec.jsonl", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Case)

const decode = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes ?? new Uint8Array())

const isUtf8 = (bytes: Uint8Array): boolean => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

const shorten = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "undefined"
  return text.length > 300 ? `${text.slice(0, 300)}... (${text.length})` : text
}

/** What of `expect` is not so: one line each. Unknown keys are named, so that no expectation is passed over in silence. */
export const mismatches = (expect: Expectation, got: Observed, cwd0: string): ReadonlyArray<string> => {
  const stdout = decode(got.stdout)
  const stderr = decode(got.stderr)
  const tty = decode(got.tty)
  const bytes = got.stdout ?? new Uint8Array()
  const here = (text: string) => text.replaceAll("{cwd0}", cwd0)
  const wrong: Array<string> = []
  const equal = (key: string, actual: unknown, expected: unknown) => {
    if (actual !== expected) wrong.push(`${key} is ${shorten(actual)}, not ${shorten(expected)}`)
  }
  const holds = (key: string, isSo: boolean, expected: unknown) => {
    const all = { status: got.status, exitCode: got.exitCode, stdout, stderr, tty, value: got.value }
    if (!isSo) wrong.push(`${key} ${shorten(expected)} does not hold for ${shorten(all)}`)
  }
  const checks: { readonly [Key in keyof Required<Expectation>]: (expected: Required<Expectation>[Key]) => void } = {
    stdout: (text) => equal("stdout", stdout, here(text)),
    stderr: (text) => equal("stderr", stderr, here(text)),
    contains: (text) => holds("contains", stdout.includes(here(text)) || stderr.includes(here(text)), text),
    notContains: (text) => holds("notContains", !stdout.includes(here(text)) && !stderr.includes(here(text)), text),
    stderrContains: (text) => holds("stderrContains", stderr.includes(here(text)), text),
    stderrNotContains: (text) => holds("stderrNotContains", !stderr.includes(here(text)), text),
    stdoutNotContains: (text) => holds("stdoutNotContains", !stdout.includes(here(text)), text),
    ttyContains: (text) => holds("ttyContains", tty.includes(here(text)), text),
    ttyNotContains: (text) => holds("ttyNotContains", !tty.includes(here(text)), text),
    stdoutLength: (length) => equal("stdoutLength", bytes.length, length),
    stdoutSha256: (hash) => equal("stdoutSha256", createHash("sha256").update(bytes).digest("hex"), hash),
    stdoutBase64: (text) => equal("stdoutBase64", Buffer.from(bytes).toString("base64"), text),
    stdoutNonEmpty: (isSo) => equal("stdoutNonEmpty", bytes.length > 0, isSo),
    stdoutStartsWith: (text) => holds("stdoutStartsWith", stdout.startsWith(text), text),
    stdoutEndsWith: (text) => holds("stdoutEndsWith", stdout.endsWith(text), text),
    stdoutTotalBytes: (total) => equal("stdoutTotalBytes", got.stdoutTotalBytes ?? bytes.length, total),
    validUtf8: (isSo) => equal("validUtf8", isUtf8(bytes), isSo),
    exitCode: (code) => equal("exitCode", got.exitCode, code),
    exitCodeIn: (codes) => holds("exitCodeIn", codes.includes(got.exitCode ?? -1), codes),
    status: (status) => equal("status", got.status, status),
    // In the cases, no value is "".
    value: (value) => equal("value", got.value ?? "", value),
    needsInput: (kind) => equal("needsInput", got.needsInput ?? null, kind),
    state: ({ cwd, ...rest }) => {
      if (cwd !== undefined) equal("cwd", got.cwd, here(cwd))
      if (Object.keys(rest).length > 0) wrong.push(`state ${shorten(rest)} is not checked by this runner`)
    },
    maxMs: (millis) => holds(`maxMs (${got.millis})`, (got.millis ?? 0) <= millis, millis),
    truncated: (isSo) => equal("truncated", got.truncated ?? false, isSo),
    error: (error) => equal("error", got.error, error)
  }
  for (const [key, expected] of Object.entries(expect)) {
    const check = (checks as Readonly<Record<string, (expected: never) => void>>)[key]
    if (check === undefined) wrong.push(`${key} is not checked by this runner`)
    else check(expected as never)
  }
  // A failure without what was printed cannot be understood.
  if (wrong.length > 0 && stderr !== "" && expect.stderr === undefined) wrong.push(`stderr was ${shorten(stderr)}`)
  return wrong
}
