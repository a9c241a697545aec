/**
 * The working directory of a session at any point of its history: the one it was created in, then what its shell says
 * in its output (OSC 7, OSC 133/633 `P;Cwd=`, OSC 1337 `CurrentDir=`, OSC 9;9) and what the engine found out
 * (`CwdChanged`); the latest wins. Lists show it and a restored session starts in it, so whoever uses it as a path
 * checks that it exists: output is not proof. It never changes what was written: a path is stored as it was meant,
 * and showing it safely is the business of who shows it.
 *
 * **Which host is ours.** OSC 7 names a host, and a shell on another machine (ssh) names that one: its path means
 * nothing here. A fold may not ask for the machine's name (the same journal would mean something else on another
 * machine), so it learns it: the first host that the session names is its own, because a shell reports itself before
 * anybody can leave it. `localhost` and no host at all are always ours. A path of any other host is kept as `remote`
 * and does not change `cwd`. Should the first name have been a stranger's (a printed file), the engine's own look at
 * the process heals it: when that finds the very path of the last remote report, that report's host is ours.
 *
 * A bare path in OSC 7 (`/private/tmp`) is not accepted: the sequence carries a URL, VS Code ignores it too, and a
 * path without a host could never be told from another machine's.
 */
import type { JournalEntry } from "../journal/Event.ts"
import {
  makeOscScanner,
  maskScanner,
  type OscScanner,
  restoreScanner,
  scannerHeader,
  scannerPart,
  scanOsc
} from "./OscScanner.ts"
import type { Projection } from "./Projection.ts"
import { splitPair, unescapeValue } from "./ShellMark.ts"
import { decodeSnapshot, encodeSnapshot } from "./SnapshotCodec.ts"

/** Bytes of a path: PATH_MAX on Linux, its NUL included. */
const PATH_BYTES_MAX = 4096

export type WorkingDirectorySource = "created" | "osc7" | "osc133" | "osc633" | "osc1337" | "osc9" | "proc" | "exec"

export interface WorkingDirectoryState {
  cwd: string
  source: WorkingDirectorySource
  /** Sequence of the event that set it. */
  sequence: number
  /** The host that this session's shell calls its own, as it was first named; null while none was. */
  host: string | null
  /** Last path reported from another host; null when the last report was local. */
  remote: { readonly host: string; readonly path: string } | null
  /** Host of the last OSC 1337 `RemoteHost=`: the `CurrentDir=` that follow are that host's. */
  itermHost: string
  readonly scanner: OscScanner
}

export const WorkingDirectory: Projection<WorkingDirectoryState> = {
  name: "working-directory",
  version: 1,
  initial: () => ({
    cwd: "",
    source: "created",
    sequence: 0,
    host: null,
    remote: null,
    itermHost: "",
    scanner: makeOscScanner()
  }),
  fold: (state, entry: JournalEntry) => {
    const event = entry.event
    switch (event._tag) {
      case "OutputReceived":
        if (event.channel === "tty") {
          scanOsc(state.scanner, event.data, (payload, truncated) => {
            if (!truncated) noteReport(state, payload, entry.sequence)
          })
        }
        return state
      case "SessionCreated":
        return set(state, event.cwd, "created", entry.sequence)
      case "CwdChanged":
        if (event.source === "proc" && state.remote?.path === event.cwd) state.host = state.remote.host
        return set(state, event.cwd, event.source, entry.sequence)
      default:
        return state
    }
  },
  encode: (state) => encodeSnapshot({ ...state, scanner: scannerHeader(state.scanner) }, [scannerPart(state.scanner)]),
  decode: (bytes) => {
    const { state, parts } = decodeSnapshot<
      Omit<WorkingDirectoryState, "scanner"> & { scanner: { phase: number; truncated: boolean } }
    >(bytes, 1)
    if (typeof state.cwd !== "string" || typeof state.source !== "string" || typeof state.sequence !== "number") {
      throw new Error("snapshot: bad working directory")
    }
    return { ...state, scanner: restoreScanner(state.scanner, parts[0]!) }
  },
  mask: (state, mask) => {
    maskScanner(state.scanner, mask)
    const { cwd, host, itermHost, remote } = state
    return {
      ...state,
      cwd: mask.text(cwd),
      host: host === null ? null : mask.text(host),
      remote: remote === null ? null : { host: mask.text(remote.host), path: mask.text(remote.path) },
      itermHost: mask.text(itermHost)
    }
  }
}

/** What a whole payload of an OSC says of it, for a fold that reads the output itself. */
export const noteReport = (state: WorkingDirectoryState, payload: Uint8Array, sequence: number): void => {
  const report = parseOsc(payload)
  if (report !== undefined) apply(state, report, sequence)
}

const set = (
  state: WorkingDirectoryState,
  cwd: string,
  source: WorkingDirectorySource,
  sequence: number
): WorkingDirectoryState => {
  state.cwd = cwd
  state.source = source
  state.sequence = sequence
  state.remote = null
  return state
}

const apply = (state: WorkingDirectoryState, report: CwdReport, sequence: number): void => {
  if (report._tag === "RemoteHost") {
    state.itermHost = report.host
    return
  }
  const host = report.source === "osc1337" ? state.itermHost : report.host
  if (isLocal(state, host)) set(state, report.path, report.source, sequence)
  else state.remote = { host, path: report.path }
}

const isLocal = (state: WorkingDirectoryState, host: string): boolean => {
  if (host === "" || host.toLowerCase() === "localhost") return true
  state.host ??= host
  return sameHost(state.host, host)
}

/** `myhost`, `MyHost` and `myhost.local` are one; `a.example` and `a.other` are not. */
export const sameHost = (one: string, other: string): boolean => {
  const a = one.toLowerCase()
  const b = other.toLowerCase()
  return a === b || a.split(".")[0] === b || b.split(".")[0] === a
}

/** What one OSC says of a working directory. `host` is "" where the sequence names none. */
export type CwdReport =
  | {
      readonly _tag: "Cwd"
      readonly path: string
      readonly host: string
      readonly source: "osc7" | "osc133" | "osc633" | "osc1337" | "osc9"
    }
  | { readonly _tag: "RemoteHost"; readonly host: string }

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const PREFIXES = ["7;", "9;9;", "133;P;", "633;P;", "1337;"].map((prefix) => Buffer.from(prefix))

/** Reads an OSC payload (without introducer and terminator); undefined when it says nothing of a working directory. */
export const parseOsc = (payload: Uint8Array): CwdReport | undefined => {
  // The prefix is tested on bytes: of the many titles and prompts marks in an output, none is decoded for nothing.
  if (!PREFIXES.some((prefix) => startsWith(payload, prefix))) return undefined
  const text = decodeStrict(payload)
  if (text === undefined) return undefined
  const number = text.slice(0, text.indexOf(";"))
  const rest = text.slice(number.length + 1)
  switch (number) {
    case "7":
      return parseOsc7(rest)
    case "9":
      // Windows Terminal quotes the path.
      return cwd(rest.slice(2).replace(/^"(.*)"$/s, "$1"), "", "osc9")
    case "133":
    case "633": {
      const value = keyValue(rest.slice(2), "Cwd")
      return value === undefined ? undefined : cwd(unescapeValue(value), "", number === "133" ? "osc133" : "osc633")
    }
    default: {
      const path = keyValue(rest, "CurrentDir")
      if (path !== undefined) return cwd(path, "", "osc1337")
      const remote = keyValue(rest, "RemoteHost")
      return remote === undefined ? undefined : { _tag: "RemoteHost", host: remote.slice(remote.lastIndexOf("@") + 1) }
    }
  }
}

/** `file://host/percent-encoded` or `kitty-shell-cwd://host/raw`. Everything after the host is the path, `?` and `#` too. */
const parseOsc7 = (value: string): CwdReport | undefined => {
  const match = /^(file|kitty-shell-cwd):\/\/([^/]*)(\/.*)$/s.exec(value)
  if (match === null) return undefined
  const [, scheme, host, path] = match as unknown as [string, string, string, string]
  const decoded = scheme === "file" ? percentDecode(path) : path
  return decoded === undefined ? undefined : cwd(decoded, host, "osc7")
}

const cwd = (path: string, host: string, source: (CwdReport & { _tag: "Cwd" })["source"]): CwdReport | undefined =>
  path.startsWith("/") && !path.includes("\0") && Buffer.byteLength(path) < PATH_BYTES_MAX
    ? { _tag: "Cwd", path, host, source }
    : undefined

/** The value of `key=value`, or undefined when it is another key or has none. */
const keyValue = (text: string, key: string): string | undefined => {
  const [found, value] = splitPair(text)
  return found === key ? value : undefined
}

/** A `%` that is not followed by two hexadecimal digits stands for itself: shells print `$PWD` as it is. */
const percentDecode = (text: string): string | undefined => {
  if (!text.includes("%")) return text
  const source = Buffer.from(text)
  const bytes = Buffer.allocUnsafe(source.length)
  let length = 0
  for (let at = 0; at < source.length; at++) {
    const high = source[at] === 0x25 ? hexDigit(source[at + 1]) : -1
    const low = high === -1 ? -1 : hexDigit(source[at + 2])
    if (low === -1) bytes[length++] = source[at]!
    else {
      bytes[length++] = high * 16 + low
      at += 2
    }
  }
  return decodeStrict(bytes.subarray(0, length))
}

const hexDigit = (byte: number | undefined): number =>
  byte === undefined
    ? -1
    : byte >= 0x30 && byte <= 0x39
      ? byte - 0x30
      : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66
        ? (byte | 0x20) - 0x57
        : -1

/** A path that is not UTF-8 cannot be a string without becoming another path: such a report is left out. */
const decodeStrict = (bytes: Uint8Array): string | undefined => {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

const startsWith = (bytes: Uint8Array, prefix: Uint8Array): boolean => {
  if (bytes.length < prefix.length) return false
  for (let index = 0; index < prefix.length; index++) if (bytes[index] !== prefix[index]) return false
  return true
}
