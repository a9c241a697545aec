/** Reading what the kernel says of a sleeping process, in a folder that stands for /proc. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { inputWaitOf, type TerminalNow } from "../../src/keeper/InputWait.ts"
import type { ProcessEntry } from "../../src/keeper/ProcessTable.ts"

const CALLS = { read: new Set([0]), epoll: new Set([232]), poll: new Set([7]), select: new Set([23]) }

describe("InputWait", () => {
  let proc: string
  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), "reprise-proc-"))
    mkdirSync(join(proc, "42", "fd"), { recursive: true })
    mkdirSync(join(proc, "42", "fdinfo"))
    // The controlling terminal has the same device number for everyone.
    for (const fd of [0, 5]) symlinkSync("/dev/tty", join(proc, "42", "fd", String(fd)))
    symlinkSync("/dev/null", join(proc, "42", "fd", "3"))
  })
  afterEach(() => rmSync(proc, { recursive: true, force: true }))

  const thread = (id: number, files: Readonly<Record<string, string>>) => {
    const folder = join(proc, "42", "task", String(id))
    mkdirSync(folder, { recursive: true })
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  }
  const entry: ProcessEntry = {
    pid: 42,
    startTime: "1",
    state: "S",
    group: 42,
    sessionLeader: 40,
    foregroundGroup: 42
  }
  const text = { echo: true, canonical: true, endOfFile: 4 }
  const secret = { ...text, echo: false }
  const raw = { ...secret, canonical: false }
  const look = (termios: TerminalNow["termios"], more: Partial<TerminalNow> = {}, who: Partial<ProcessEntry> = {}) => {
    const now = { termios, foregroundGroup: 42, device: -1, leaderPid: 40, commandPipes: () => [], ...more }
    const wait = inputWaitOf({ ...entry, ...who }, now, proc, CALLS)
    return wait === null ? null : `${wait.kind} ${wait.confidence}`
  }

  it("takes the kind of a read from the terminal's modes", () => {
    thread(42, { syscall: "0 0x0 0x7ffe 0x1 0x0 0x0 0x0 0x7ffe888324e8 0x7fc89c83c2ad\n" })
    assert.strictEqual(look(text), "text kernel")
    assert.strictEqual(look(secret), "secret kernel")
    assert.strictEqual(look(raw), "raw kernel")
    assert.strictEqual(look({ ...raw, echo: true }), "raw kernel")
  })

  it("does not take a read of something else, a stopped reader or a foreign terminal", () => {
    thread(42, { syscall: "0 0x3 0x7ffe 0x1 0x0 0x0 0x0 0x0 0x0\n" })
    assert.isNull(look(text))
    thread(42, { syscall: "0 0x9 0x7ffe 0x1 0x0 0x0 0x0 0x0 0x0\n" })
    assert.isNull(look(text))
    thread(42, { syscall: "0 0x0 0x7ffe 0x1 0x0 0x0 0x0 0x0 0x0\n" })
    for (const state of ["T", "t", "Z"]) assert.isNull(look(text, {}, { state }))
    // Nor one that the kernel is about to stop for it, or has stopped since it was found.
    assert.isNull(look(text, { foregroundGroup: 41 }))
    writeFileSync(join(proc, "42", "stat"), "42 (cat) T 1 42 40 34816 42 0 1 2 3 4 5 6 7 8 20 0 1 0 1 1000 200")
    assert.isNull(look(text))
    rmSync(join(proc, "42", "stat"))
    assert.isNull(look(text, {}, { sessionLeader: 7 }))
  })

  it("sees a read in any thread, and a wait for events only while none works", () => {
    thread(42, { syscall: "202 0x55 0x80 0x0 0x0 0x0 0x0 0x0 0x0\n" })
    thread(43, { syscall: "0 0x5 0x7ffe 0x1 0x0 0x0 0x0 0x0 0x0\n" })
    assert.strictEqual(look(text), "text kernel")
    thread(43, { syscall: "7 0x7ffe 0x1 0xffffffff 0x0 0x0 0x0 0x0 0x0\n" })
    assert.strictEqual(look(raw), "raw kernel")
    thread(42, { syscall: "running\n" })
    assert.isNull(look(raw))
  })

  it("takes poll and select for keys in raw mode and in the foreground alone", () => {
    for (const syscall of ["7 0x7ffe 0x1 0x64 0x0", "23 0x1 0x7ffe 0x0 0x0"]) {
      thread(42, { syscall: `${syscall}\n` })
      assert.strictEqual(look(raw), "raw kernel")
      assert.isNull(look(text))
      assert.isNull(look(secret))
      assert.isNull(look(raw, { foregroundGroup: 41 }))
    }
    // Without descriptors they are ways to sleep.
    for (const syscall of ["7 0x0 0x0 0x64 0x0", "23 0x0 0x0 0x0 0x0", "-1 0x7ffe 0x0", "230 0x0 0x0"]) {
      thread(42, { syscall: `${syscall}\n` })
      assert.isNull(look(raw))
    }
  })

  it("looks into the set of an epoll", () => {
    thread(42, { syscall: "232 0x4 0x7ffe 0x400 0xffffffff\n" })
    const set = (lines: string) => writeFileSync(join(proc, "42", "fdinfo", "4"), `pos:\t0\nflags:\t02\n${lines}`)
    set("tfd:        5 events:       19 data:  5  pos:0 ino:1 sdev:1\n")
    assert.strictEqual(look(raw), "raw kernel")
    set("tfd:        3 events:       19 data:  3  pos:0 ino:1 sdev:1\n")
    assert.isNull(look(raw))
    // Only whether it can be written to.
    set("tfd:        5 events:     2018 data:  5  pos:0 ino:1 sdev:1\n")
    assert.isNull(look(raw))
  })

  it("does not take a leader that sleeps while it holds its command pipe", () => {
    thread(42, { syscall: "7 0x7ffe 0x1 0x64 0x0\n" })
    const leader = { leaderPid: 42 }
    const mine = { sessionLeader: 42 }
    assert.strictEqual(look(raw, leader, mine), "raw kernel")
    const pipe = join(proc, "pipe")
    execFileSync("mkfifo", [pipe])
    const commandPipes = () => ["/nowhere", pipe]
    assert.strictEqual(look(raw, { ...leader, commandPipes }, mine), "raw kernel")
    symlinkSync(pipe, join(proc, "42", "fd", "9"))
    assert.isNull(look(raw, { ...leader, commandPipes }, mine))
    assert.strictEqual(look(raw, { commandPipes }), "raw kernel")
  })

  it("says when it could only guess", () => {
    thread(42, { wchan: "n_tty_read" })
    assert.strictEqual(look(text), "text heuristic")
    thread(42, { wchan: "wait_woken" })
    assert.strictEqual(look(secret), "secret heuristic")
    // A wait for the network sleeps in the same function.
    assert.isNull(look(text, { foregroundGroup: 41 }))
    thread(42, { wchan: "ep_poll" })
    assert.strictEqual(look(raw), "raw heuristic")
    assert.isNull(look(text))
    for (const wchan of ["hrtimer_nanosleep", "do_wait", "0", "pipe_read"]) {
      thread(42, { wchan })
      assert.isNull(look(raw))
    }
  })

  it("is null for a process that is gone", () => {
    assert.isNull(look(text))
  })
})
