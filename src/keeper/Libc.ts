/**
 * The few calls into the C library that Node has no function for: reading a terminal without an exception for "nothing
 * there", its modes, its foreground group, FIFOs, and signalling a process by a handle. Used by GuardedPty, the pipes and
 * ProcessTable.
 * It keeps no state and opens no terminal; every number in it is a fixed part of the platform's ABI.
 */
import { constants } from "node:os"
import koffi from "koffi"

/** What the kernel says of a terminal, as far as anyone here asks. */
export interface Termios {
  readonly echo: boolean
  readonly canonical: boolean
  /** The character that means end-of-file in line mode (VEOF). */
  readonly endOfFile: number
}

export interface Libc {
  /** Bytes read into `buffer`; 0 at the end; below 0: the negated error number (see READ_EMPTY). */
  read(fd: number, buffer: Uint8Array): number
  /** Mode of the terminal behind the master `fd`; null when there is none any more. */
  termios(fd: number): Termios | null
  /** All modes of the terminal behind the master `fd`, to be set again as they are; null when there is none any more. */
  terminalModes(fd: number): Uint8Array | null
  /** At once, without waiting for output; false when there is no terminal any more. */
  setTerminalModes(fd: number, modes: Uint8Array): boolean
  /** Foreground process group of the terminal behind the master `fd`; 0 when there is none. */
  foregroundGroup(fd: number): number
  /** 0, or the error number. */
  mkfifo(path: string, mode: number): number
  /** Whether any process has the FIFO open for reading whose writing end is `fd`. */
  hasReader(fd: number): boolean
  /**
   * No program started from now on inherits a descriptor above 2 that is open now. Databases open theirs without the
   * mark, and node-pty's own guard stops at the first gap above 15.
   */
  closeDescriptorsOnExec(): void
  /**
   * This process leaves no core file, and no other process of the same user can read its memory: what is typed at a
   * prompt passes through it. Programs that it starts are not concerned. Nothing happens where there is no such call.
   */
  forbidDumps(): void
  /** Gives pages of the C heap that nothing lies in back to the system, where the library can. */
  trimHeap(): void
  /**
   * Each block of `bytes` or more is pages of its own from now on, which go back to the system when it is freed. Without
   * this the C library raises its own limit (128 KiB) with the first such block that is freed, and then keeps them all.
   * Nothing happens where there is no such call.
   */
  returnBlocksFrom(bytes: number): void
  /**
   * Takes pages of a mapped file out of this process's memory; they are read again when they are wanted. Whatever lies
   * there by now, nothing of it is lost. Nothing happens where there is no such call.
   */
  pageOut(address: number, bytes: number): void
  /** A handle that means this process for ever, also after its pid is used again; below 0 where there is none. */
  pidfdOpen(pid: number): number
  /** True when the process behind the handle got the signal. */
  pidfdSignal(pidfd: number, signal: number): boolean
}

/** `read` on a terminal that is open and has nothing to read now. */
export const READ_EMPTY = -constants.errno.EAGAIN

const isLinux = process.platform === "linux"

/** struct termios: glibc and musl share this layout on x64 and arm64; macOS has 64-bit flags and other bit values. */
const TERMIOS = isLinux
  ? { bytes: 60, localFlags: 12, controlChars: 17, canonical: 0x2, echo: 0x8, endOfFileIndex: 4 }
  : { bytes: 72, localFlags: 24, controlChars: 32, canonical: 0x100, echo: 0x8, endOfFileIndex: 0 }

const TCSANOW = 0
/** struct pollfd: the descriptor, what is asked, what is answered. */
const POLLFD_BYTES = 8
const POLLFD_ANSWER_AT = 6
/** On a writing end: nobody reads. Linux says the first, macOS the second. */
const POLLERR = 0x8
const POLLHUP = 0x10
const CLOSE_RANGE_CLOEXEC = 4
const DESCRIPTOR_MAX = 0xffffffff
/** Of mallopt, in glibc. */
const M_MMAP_THRESHOLD = -3
/** Of madvise, since Linux 5.4. */
const MADV_PAGEOUT = 21
/** Of prctl, on Linux. */
const PR_SET_DUMPABLE = 4
/** Numbers of the unified system call table: the same on every architecture since Linux 5.1. */
const SYS_PIDFD_SEND_SIGNAL = 424
const SYS_PIDFD_OPEN = 434
const SYS_CLOSE_RANGE = 436

let loaded: Libc | undefined

/** Bound on first use: a process that never opens a terminal (a client) does not pay the ~8 ms. */
export const libc = (): Libc => {
  loaded ??= bind()
  return loaded
}

const bind = (): Libc => {
  const library = koffi.load(null)
  const read = library.func("intptr_t read(int fd, void *buffer, size_t bytes)")
  const tcgetattr = library.func("int tcgetattr(int fd, void *termios)")
  const tcsetattr = library.func("int tcsetattr(int fd, int actions, void *termios)")
  const mkfifo = library.func("int mkfifo(const char *path, uint32_t mode)")
  const poll = library.func("int poll(void *fds, unsigned long count, int timeout)")
  const tcgetpgrp = library.func("int tcgetpgrp(int fd)")
  const mallocTrim = glibcFunction(library, "int malloc_trim(size_t pad)")
  const mallopt = glibcFunction(library, "int mallopt(int option, int value)")
  // Declared with fixed arguments: on Linux x64 and arm64 a variadic call passes integers in the same registers.
  const syscall = isLinux ? library.func("long syscall(long number, long a, long b, long c, long d)") : null
  const prctl = isLinux ? library.func("int prctl(int option, unsigned long value, long, long, long)") : null
  const madvise = isLinux ? library.func("int madvise(uintptr_t address, size_t bytes, int advice)") : null
  const termiosBytes = Buffer.alloc(TERMIOS.bytes)
  const pollBytes = Buffer.alloc(POLLFD_BYTES)
  return {
    read(fd, buffer) {
      for (;;) {
        const bytes: number = read(fd, buffer, buffer.length)
        if (bytes >= 0) return bytes
        const error = koffi.errno()
        if (error !== constants.errno.EINTR) return -error
      }
    },
    termios(fd) {
      if (tcgetattr(fd, termiosBytes) !== 0) return null
      const flags = termiosBytes.readUInt32LE(TERMIOS.localFlags)
      return {
        echo: (flags & TERMIOS.echo) !== 0,
        canonical: (flags & TERMIOS.canonical) !== 0,
        endOfFile: termiosBytes[TERMIOS.controlChars + TERMIOS.endOfFileIndex] ?? 4
      }
    },
    terminalModes(fd) {
      return tcgetattr(fd, termiosBytes) === 0 ? new Uint8Array(termiosBytes) : null
    },
    setTerminalModes(fd, modes) {
      return tcsetattr(fd, TCSANOW, modes) === 0
    },
    mkfifo(path, mode) {
      return mkfifo(path, mode) === 0 ? 0 : koffi.errno()
    },
    hasReader(fd) {
      pollBytes.fill(0)
      pollBytes.writeInt32LE(fd, 0)
      poll(pollBytes, 1, 0)
      return (pollBytes.readUInt16LE(POLLFD_ANSWER_AT) & (POLLERR | POLLHUP)) === 0
    },
    foregroundGroup(fd) {
      const group: number = tcgetpgrp(fd)
      return Math.max(group, 0)
    },
    closeDescriptorsOnExec() {
      // A kernel before 5.11 says no; then node-pty's guard is all there is.
      syscall?.(SYS_CLOSE_RANGE, 3, DESCRIPTOR_MAX, CLOSE_RANGE_CLOEXEC, 0)
    },
    forbidDumps() {
      prctl?.(PR_SET_DUMPABLE, 0, 0, 0, 0)
    },
    trimHeap() {
      mallocTrim?.(0)
    },
    returnBlocksFrom(bytes) {
      mallopt?.(M_MMAP_THRESHOLD, bytes)
    },
    pageOut(address, bytes) {
      madvise?.(address, bytes, MADV_PAGEOUT)
    },
    pidfdOpen(pid) {
      return syscall === null ? -1 : Number(syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0))
    },
    pidfdSignal(pidfd, signal) {
      return syscall !== null && Number(syscall(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0)) === 0
    }
  }
}

/** glibc alone has these: other libraries keep no such pages, or give them back by themselves. */
const glibcFunction = (library: ReturnType<typeof koffi.load>, declaration: string) => {
  try {
    return library.func(declaration)
  } catch {
    return undefined
  }
}
