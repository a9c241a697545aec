/**
 * What every PtyHost promises of the pipes beside a terminal, and of its answers about who waits for input, as tests that
 * any implementation runs: `pipeHostContract({ name, make })`. Real programs on real FIFOs; SessionRecorder checks by
 * itself that deliveries are contiguous and come before the end.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import {
  type InputWait,
  NOTE_BYTES_MAX,
  PIPE_HELD_BYTES_HIGH,
  PIPE_QUEUED_BYTES_MAX,
  PipeError,
  type PipeFailure,
  type PipeRequest,
  SESSION_PIPES_MAX,
  SPAWN_NOTE_BYTES_MAX
} from "../../src/keeper/PipeHost.ts"
import {
  INPUT_WRITE_BYTES_MAX,
  OUTPUT_CHUNK_BYTES_MAX,
  type PtyHost,
  type PtyHostListener,
  SessionUnknown,
  SpawnError,
  type SpawnRequest
} from "../../src/keeper/PtyHost.ts"
import {
  hasProgram,
  newSession,
  type PtyHostUnderTest,
  type SessionId,
  SessionRecorder,
  spawnRequest
} from "./PtyHostContract.ts"

const failureOf = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => null,
    (reason: unknown) => reason
  )

/** Time in which something that must not happen would have happened. */
const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

export const pipeHostContract = (options: {
  readonly name: string
  readonly make: (listener: PtyHostListener) => Promise<PtyHostUnderTest>
}): void => {
  describe(`${options.name}'s pipes`, () => {
    let recorder: SessionRecorder
    let underTest: PtyHostUnderTest
    let host: PtyHost
    let folder: string

    beforeEach(async () => {
      recorder = new SessionRecorder()
      underTest = await options.make(recorder)
      host = underTest.host
      recorder.host = host
      folder = realpathSync(mkdtempSync(join(tmpdir(), "reprise-pipes-")))
    })
    afterEach(async () => {
      await underTest.dispose()
      rmSync(folder, { recursive: true, force: true })
    })

    const path = (pipe: number) => join(folder, `p${pipe}`)
    const output = (pipe: number): PipeRequest => ({ pipe, path: path(pipe), direction: "output" })
    const input = (pipe: number): PipeRequest => ({ pipe, path: path(pipe), direction: "input" })

    /** A shell in the folder of the pipes, without echo, that runs the script. */
    const shell = async (script: string, more: Partial<SpawnRequest> = {}): Promise<SessionId> => {
      const request = spawnRequest(["sh", "-c", script], { cwd: folder, ...more })
      await host.spawn(request)
      return request.session
    }
    /** A shell that runs a line when it is typed. */
    const prompt = async (pipes: ReadonlyArray<PipeRequest>): Promise<SessionId> => {
      const session = await shell('stty -echo; echo ready; while read -r line; do eval "$line"; done')
      await recorder.shows(session, "ready")
      await host.openPipes(session, pipes)
      return session
    }
    let sequence = 0
    const type = (session: SessionId, line: string) => host.write(session, ++sequence, Buffer.from(`${line}\n`))
    const held = async (session: SessionId, pipe: number) => {
      const found = (await host.listPipes(session)).find((one) => one.pipe === pipe)
      assert.isDefined(found)
      return found!
    }

    describe("for output", () => {
      it("are FIFOs of their owner alone", async () => {
        const session = await prompt([output(1), input(2)])
        for (const pipe of [1, 2]) {
          const stats = statSync(path(pipe))
          assert.isTrue(stats.isFIFO())
          assert.strictEqual(stats.mode & 0o777, 0o600)
        }
        assert.deepStrictEqual(await host.listPipes(session), [
          { ...output(1), heldFrom: 0, bytes: 0, ended: false, inputSequence: 0 },
          { ...input(2), heldFrom: 0, bytes: 0, ended: false, inputSequence: 0 }
        ])
      })

      it("carry 10 MB to the byte, and end when the writer does", async () => {
        const bytes = 10_000_000
        const file = join(folder, "data")
        const data = Buffer.alloc(bytes, createHash("sha512").update("seed").digest())
        writeFileSync(file, data)
        const session = await prompt([output(1)])
        await type(session, "cat data >p1")
        const record = await recorder.pipeEnd(session, 1)
        assert.strictEqual(record.endedAt, bytes)
        assert.isTrue(record.bytes.equals(data))
        assert.deepInclude(await held(session, 1), { heldFrom: bytes, bytes, ended: true })
      })

      it("wait for their first writer, however late it comes", async () => {
        const session = await prompt([output(1)])
        await pause(200)
        assert.isFalse((await held(session, 1)).ended)
        await type(session, "exec 3>p1; sleep 0.2; echo slow >&3; sleep 0.2; exec 3>&-")
        assert.strictEqual((await recorder.pipeEnd(session, 1)).text, "slow\n")
      })

      it("end when a writer opens and closes them without a byte", async () => {
        const session = await prompt([output(1)])
        await type(session, ": >p1")
        assert.strictEqual((await recorder.pipeEnd(session, 1)).endedAt, 0)
      })

      it("do not end while a child in the background holds them", async () => {
        const session = await prompt([output(1)])
        const waiting = "{ while [ ! -e go ]; do sleep 0.02; done; echo late; }"
        await type(session, `{ echo first; ${waiting} & } >p1; echo returned`)
        await recorder.shows(session, "returned")
        const record = recorder.pipe(session, 1)
        await recorder.until(() => record.text === "first\n")
        assert.isFalse((await held(session, 1)).ended)
        writeFileSync(join(folder, "go"), "")
        assert.strictEqual((await recorder.pipeEnd(session, 1)).text, "first\nlate\n")
      })

      it("stay apart, and stay after the leader's exit until they are closed", async () => {
        const script = "trap '' HUP; exec 3>p1; echo err >p2; echo out >&3; (sleep 0.3; echo late >&3) & exit 5"
        const session = await shell(script, { pipes: [output(1), output(2)] })
        await recorder.until(() => recorder.of(session).exit !== null)
        assert.strictEqual((await recorder.pipeEnd(session, 2)).text, "err\n")
        assert.strictEqual((await recorder.pipeEnd(session, 1)).text, "out\nlate\n")
        assert.strictEqual((await host.listPipes(session)).length, 2)
        host.closePipes(session, [1, 2])
        assert.deepStrictEqual(await host.listPipes(session), [])
      })

      it("make their writer wait when nobody acknowledges, and go on", async () => {
        recorder.acknowledging = false
        const session = await prompt([output(1)])
        const bytes = 3_000_000
        await type(session, `head -c ${bytes} /dev/zero >p1; echo written`)
        const record = recorder.pipe(session, 1)
        await recorder.until(() => record.nextOffset > PIPE_HELD_BYTES_HIGH)
        await pause(200)
        assert.isAtMost(record.nextOffset, PIPE_HELD_BYTES_HIGH + OUTPUT_CHUNK_BYTES_MAX)
        assert.strictEqual((await held(session, 1)).bytes, record.nextOffset)
        assert.notInclude(recorder.of(session).text, "written")
        recorder.acknowledging = true
        host.ackPipe(session, 1, record.nextOffset)
        host.ack(session, recorder.of(session).nextOffset)
        await recorder.pipeEnd(session, 1)
        assert.strictEqual(record.nextOffset, bytes)
        await recorder.shows(session, "written")
      })

      it("end with what is held when nobody acknowledges, and are delivered again from any offset", async () => {
        recorder.acknowledging = false
        const session = await prompt([output(1)])
        await type(session, "seq 1 20000 >p1")
        const record = await recorder.pipeEnd(session, 1)
        const all = record.bytes
        host.ackPipe(session, 1, 5000)
        const again = async (from: number) => {
          record.chunks.length = 0
          record.endedAt = null
          record.nextOffset = Math.max(from, 5000)
          const found = await host.attachPipe(session, 1, from)
          assert.deepInclude(found, { heldFrom: 5000, bytes: all.length, ended: true })
          return (await recorder.pipeEnd(session, 1)).bytes
        }
        assert.isTrue((await again(7777)).equals(all.subarray(7777)))
        assert.isTrue((await again(0)).equals(all.subarray(5000)))
        assert.strictEqual((await again(all.length)).length, 0)
      })

      it("keep small writes in few pieces", async () => {
        const session = await prompt([output(1)])
        await type(session, "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done >p1")
        assert.strictEqual(
          (await recorder.pipeEnd(session, 1)).text,
          Array.from({ length: 3000 }, (_, i) => `${i + 1}\n`).join("")
        )
      })

      it("give their writers SIGPIPE when they are closed, and are gone", async () => {
        const session = await prompt([output(1)])
        await type(session, "(while echo y; do :; done) >p1; echo ended")
        await recorder.until(() => recorder.pipe(session, 1).nextOffset > 0)
        host.closePipes(session, [1, 77])
        await recorder.shows(session, "ended")
        assert.isFalse(existsSync(path(1)))
        assert.deepStrictEqual(await host.listPipes(session), [])
        const error = (await failureOf(host.attachPipe(session, 1, 0))) as PipeError
        assert.strictEqual(error.failure, "pipe-unknown")
      })
    })

    describe("for input", () => {
      it("apply each sequence once, in order, then end", async () => {
        const session = await prompt([input(1), output(2)])
        const write = (number: number, text: string) => host.writePipe(session, 1, number, Buffer.from(text))
        assert.strictEqual((await write(10, "one\n")).outcome, "applied")
        assert.strictEqual((await write(10, "one\n")).outcome, "repeated")
        assert.strictEqual((await write(9, "none\n")).outcome, "repeated")
        await type(session, "cat <p1 >p2")
        assert.strictEqual((await write(11, "two\n")).outcome, "applied")
        assert.strictEqual((await held(session, 1)).inputSequence, 11)
        assert.strictEqual((await host.endPipe(session, 1, 11)).outcome, "repeated")
        assert.strictEqual((await host.endPipe(session, 1, 12)).outcome, "applied")
        assert.strictEqual((await host.endPipe(session, 1, 12)).outcome, "repeated")
        assert.strictEqual((await write(13, "three\n")).outcome, "closed")
        assert.strictEqual((await recorder.pipeEnd(session, 2)).text, "one\ntwo\n")
        assert.deepInclude(await held(session, 1), { inputSequence: 12, ended: true })
      })

      it("take a write and the end right behind their opening, for a program that comes later", async () => {
        const session = await prompt([])
        const outcomes = Promise.all([
          host.openPipes(session, [input(1), output(2)]),
          host.writePipe(session, 1, 1, Buffer.from("early\n")),
          host.endPipe(session, 1, 2),
          type(session, "sleep 0.2; cat <p1 >p2")
        ])
        assert.strictEqual((await recorder.pipeEnd(session, 2)).text, "early\n")
        const [, write, end] = await outcomes
        assert.deepStrictEqual([write.outcome, end.outcome], ["applied", "applied"])
      })

      it("carry 5 MB to the byte, then the end", async () => {
        const session = await prompt([input(1), output(2)])
        const piece = Buffer.alloc(INPUT_WRITE_BYTES_MAX, "The quick brown fox. ")
        const hash = createHash("md5")
        for (let i = 1; i <= 5; i++) {
          hash.update(piece)
          assert.strictEqual((await host.writePipe(session, 1, i, piece)).outcome, "applied")
        }
        assert.strictEqual((await host.endPipe(session, 1, 6)).outcome, "applied")
        await type(session, "md5sum <p1 >p2")
        assert.include((await recorder.pipeEnd(session, 2)).text, hash.digest("hex"))
      })

      it("refuse, and do not cut, when too much waits", async () => {
        const session = await prompt([input(1), output(2)])
        const piece = Buffer.alloc(INPUT_WRITE_BYTES_MAX)
        const pieces = PIPE_QUEUED_BYTES_MAX / INPUT_WRITE_BYTES_MAX
        const outcomes: Array<string> = []
        for (let i = 1; i <= pieces + 1; i++) outcomes.push((await host.writePipe(session, 1, i, piece)).outcome)
        assert.strictEqual(outcomes.filter((outcome) => outcome === "applied").length, pieces)
        assert.strictEqual(outcomes.at(-1), "full")
        const tooLong = Buffer.alloc(INPUT_WRITE_BYTES_MAX + 1)
        assert.strictEqual((await host.writePipe(session, 1, 99, tooLong)).outcome, "full")
        assert.strictEqual((await held(session, 1)).inputSequence, pieces)
        await host.endPipe(session, 1, 100)
        await type(session, "wc -c <p1 >p2")
        assert.strictEqual((await recorder.pipeEnd(session, 2)).text.trim(), String(pieces * INPUT_WRITE_BYTES_MAX))
      })

      it("end for their reader when they are closed, and drop what waits", async () => {
        const session = await prompt([input(1), output(2)])
        await type(session, "cat <p1 >p2; echo gone")
        await host.writePipe(session, 1, 1, Buffer.from("x"))
        await recorder.until(() => recorder.pipe(session, 2).text === "x")
        host.closePipes(session, [1])
        await recorder.shows(session, "gone")
        assert.isFalse(existsSync(path(1)))
        assert.strictEqual((await host.writePipe(session, 1, 2, Buffer.from("y"))).outcome, "closed")
        assert.strictEqual((await host.writePipe(session, 2, 2, Buffer.from("y"))).outcome, "closed")
      })
    })

    describe("beside them, who waits for terminal input", () => {
      /** Asks until the answer is as wanted: a program comes to its read at a moment of its own. */
      const waitWhen = async (session: SessionId, kind: InputWait["kind"]): Promise<InputWait> => {
        for (;;) {
          const wait = await host.inputWait(session)
          if (wait?.kind === kind) return wait
          await pause(5)
        }
      }
      const start = async (argv: ReadonlyArray<string>): Promise<SessionId> => {
        const request = spawnRequest(argv, { cwd: folder })
        await host.spawn(request)
        return request.session
      }
      const leaderOf = async (session: SessionId) => (await host.list()).find((one) => one.session === session)!.pid

      it("is a shell's read, and nobody once it was answered", async () => {
        const session = await start(["bash", "-c", "read -r line; echo got $line; sleep 1000"])
        const wait = await waitWhen(session, "text")
        assert.deepStrictEqual(wait, { kind: "text", pid: await leaderOf(session), confidence: "kernel" })
        await type(session, "it")
        await recorder.shows(session, "got it")
        await pause(50)
        assert.isNull(await host.inputWait(session))
      })

      it("is a secret's read", async () => {
        const session = await start(["bash", "-c", "read -rs line"])
        assert.strictEqual((await waitWhen(session, "secret")).confidence, "kernel")
      })

      it.skipIf(!hasProgram("python3"))("is getpass, a child of the leader", async () => {
        const session = await start(["sh", "-c", "python3 -c 'import getpass; getpass.getpass()'; true"])
        assert.notStrictEqual((await waitWhen(session, "secret")).pid, await leaderOf(session))
      })

      it("is a program that reads keys", async () => {
        const session = await start(["sh", "-c", "stty raw -echo; cat"])
        assert.strictEqual((await waitWhen(session, "raw")).confidence, "kernel")
      })

      it("is a program that waits for keys with epoll, or with select", async () => {
        const script = "process.stdin.setRawMode(true); process.stdin.resume(); setInterval(() => {}, 1000)"
        await waitWhen(await start([process.execPath, "-e", script]), "raw")
        await waitWhen(await start(["bash", "--norc", "--noprofile", "-i"]), "raw")
      })

      it("is one that left the kernel session and still reads the terminal", async () => {
        const session = await start(["sh", "-c", "setsid cat; sleep 1000"])
        await waitWhen(session, "text")
      })

      it("is a program whose parent has ended", async () => {
        const script = "sh -c '(read -r line </dev/tty; echo got $line) & exit'; exec sleep 1000"
        const session = await start(["sh", "-c", script])
        await waitWhen(session, "text")
      })

      it.each([
        ["sleep", "exec sleep 1000"],
        ["sleep in raw mode", "stty raw -echo; exec sleep 1000"],
        ["a busy loop", "while :; do :; done"],
        ["a read of a pipe", "mkfifo f; cat f"],
        ["a read of a pipe in raw mode", "stty raw -echo; mkfifo f; cat f"],
        ["a child in the background", "set -m; cat & wait; sleep 1000"]
      ])("is nobody for %s", async (_, script) => {
        const session = await start(["sh", "-c", `echo ready; ${script}`])
        await recorder.shows(session, "ready")
        for (let i = 0; i < 20; i++) {
          assert.isNull(await host.inputWait(session))
          await pause(10)
        }
        await host.signal(session, "SIGKILL", "session")
      })

      it.skipIf(!hasProgram("python3"))("is nobody for a wait for the network, in raw mode too", async () => {
        const script = [
          "import socket,tty,selectors",
          "tty.setraw(0)",
          "s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen()",
          "e=selectors.EpollSelector(); e.register(s, 1)",
          "print('ready',flush=True)",
          "e.select()"
        ]
        const session = await start(["python3", "-c", script.join("\n")])
        await recorder.shows(session, "ready")
        for (let i = 0; i < 10; i++) {
          assert.isNull(await host.inputWait(session))
          await pause(10)
        }
      })

      it("is not a leader that sleeps for its command pipe", async () => {
        const python = hasProgram("python3")
        if (!python) return
        const script = [
          "import select,tty",
          "tty.setraw(0)",
          "f=open('p1','rb',0)",
          "print('ready',flush=True)",
          "select.select([f],[],[])"
        ]
        const request = spawnRequest(["python3", "-c", script.join("\n")], { cwd: folder, pipes: [input(1)] })
        await host.spawn(request)
        await recorder.shows(request.session, "ready")
        await pause(50)
        assert.isNull(await host.inputWait(request.session))
      })

      it("is nobody after the end, and unknown without a session", async () => {
        const session = await start(["true"])
        await recorder.closed(session)
        assert.isNull(await host.inputWait(session))
        await host.resetMode(session)
        assert.instanceOf(await failureOf(host.inputWait(newSession())), SessionUnknown)
        assert.instanceOf(await failureOf(host.resetMode(newSession())), SessionUnknown)
      })

      it("reads as it did at the start after resetMode", async () => {
        const session = await start(["sh", "-c", "stty -a; stty raw -echo; echo changed; sleep 1000"])
        await recorder.shows(session, "changed")
        assert.deepInclude(await host.mode(session), { echo: false, canonical: false })
        await host.resetMode(session)
        assert.deepInclude(await host.mode(session), { echo: true, canonical: true })
        const waiting = "while [ ! -e go ]; do sleep 0.02; done"
        const other = await start(["sh", "-c", `stty raw -echo; echo changed; ${waiting}; stty -a`])
        await recorder.shows(other, "changed")
        await host.resetMode(other)
        writeFileSync(join(folder, "go"), "")
        const modes = (await recorder.closed(other)).text.replace("changed", "").trim()
        assert.strictEqual(modes, recorder.of(session).text.split("changed")[0]!.trim())
      })
    })

    describe("as a whole", () => {
      it("are there before the program is, and gone with its session", async () => {
        const session = await shell("cat <p1 >p2", { pipes: [input(1), output(2)] })
        await host.writePipe(session, 1, 1, Buffer.from("hello"))
        await host.endPipe(session, 1, 2)
        assert.strictEqual((await recorder.pipeEnd(session, 2)).text, "hello")
        await recorder.closed(session)
        assert.isTrue(existsSync(path(1)))
        host.forget(session)
        assert.instanceOf(await failureOf(host.listPipes(session)), SessionUnknown)
        assert.isFalse(existsSync(path(1)))
        assert.isFalse(existsSync(path(2)))
      })

      it("end for a program that opens them while others are started", async () => {
        const one = async (number: number) => {
          const [from, to] = [2 * number + 1, 2 * number + 2]
          const session = await shell(`cat <p${from} >p${to}`, { pipes: [input(from), output(to)] })
          await host.writePipe(session, from, 1, Buffer.from("hello"))
          await host.endPipe(session, from, 2)
          assert.strictEqual((await recorder.pipeEnd(session, to)).text, "hello")
          await recorder.closed(session)
          host.forget(session)
        }
        let next = 0
        const worker = async () => {
          while (next < 60) await one(next++)
        }
        await Promise.all(Array.from({ length: 4 }, worker))
      })

      it("are opened all or not at all", async () => {
        const session = await prompt([output(1)])
        const refused = async (pipes: ReadonlyArray<PipeRequest>, failure: PipeFailure) => {
          const error = await failureOf(host.openPipes(session, pipes))
          assert.instanceOf(error, PipeError)
          assert.strictEqual((error as PipeError).failure, failure)
          assert.deepStrictEqual(
            (await host.listPipes(session)).map(({ pipe }) => pipe),
            [1]
          )
          for (const pipe of [2, 3]) assert.isFalse(existsSync(path(pipe)))
        }
        writeFileSync(join(folder, "taken"), "precious")
        await refused([output(2), { ...output(3), path: join(folder, "taken") }], "failed")
        assert.isTrue(existsSync(join(folder, "taken")))
        await refused([output(2), { ...output(3), path: join(folder, "none", "p") }], "failed")
        await refused([output(2), { ...output(3), path: "relative" }], "invalid-argument")
        await refused([output(2), { ...output(3), path: `/${"x".repeat(2000)}` }], "invalid-argument")
        await refused([output(2), { ...output(3), pipe: 0 }], "invalid-argument")
        await refused([output(2), { ...output(3), direction: "both" } as unknown as PipeRequest], "invalid-argument")
        await refused([output(2), null as unknown as PipeRequest], "invalid-argument")
        // One that is open is left as it is.
        await host.openPipes(session, [output(1)])
        const error = await failureOf(shell("true", { pipes: [output(1)] }))
        assert.instanceOf(error, SpawnError)
        assert.isTrue(existsSync(path(1)))
        assert.instanceOf(await failureOf(host.openPipes(newSession(), [output(2)])), SessionUnknown)
      })

      it("are bounded in number", async () => {
        const session = await prompt([output(1)])
        const many = Array.from({ length: SESSION_PIPES_MAX }, (_, i) => output(i + 2))
        const error = (await failureOf(host.openPipes(session, many))) as PipeError
        assert.strictEqual(error.failure, "limit")
        assert.strictEqual((await host.listPipes(session)).length, 1)
      })

      it.skipIf(process.getuid?.() !== 0)(
        "leave no descriptor behind (needs root, to whom alone a keeper shows its own)",
        async () => {
          const session = await prompt([])
          // The first use may load something that stays.
          const round = async (pipe: number) => {
            await host.openPipes(session, [output(pipe), input(pipe + 1)])
            await host.writePipe(session, pipe + 1, 1, Buffer.alloc(100_000))
            if (pipe % 4 === 1) await host.endPipe(session, pipe + 1, 2)
            host.closePipes(session, [pipe, pipe + 1])
          }
          await round(1)
          const before = descriptors(host.pid)
          for (let i = 0; i < 200; i++) await round(2 * i + 3)
          // Less, when something of an earlier test was still open; one more for a moment, while something else is read.
          for (let look = 0; look < 100 && descriptors(host.pid) > before; look++) {
            await host.listPipes(session)
            await pause(20)
          }
          assert.isAtMost(descriptors(host.pid), before)
        }
      )

      it("have a note of the engine beside them, as it was set last, until the session is forgotten", async () => {
        const request = spawnRequest(["cat"], { note: Buffer.from("first") })
        const { session } = request
        await host.spawn(request)
        assert.strictEqual(Buffer.from((await host.getNote(session))!).toString(), "first")
        const bytes = Buffer.alloc(NOTE_BYTES_MAX, 7)
        host.setNote(session, bytes)
        assert.isTrue(bytes.equals((await host.getNote(session))!))
        const mine = Buffer.from([0, 255, 10])
        host.setNote(session, mine)
        mine.fill(1)
        assert.deepStrictEqual([...(await host.getNote(session))!], [0, 255, 10])
        assert.throws(() => host.setNote(session, Buffer.alloc(NOTE_BYTES_MAX + 1)), PipeError)
        const large = spawnRequest(["cat"], { note: Buffer.alloc(SPAWN_NOTE_BYTES_MAX + 1) })
        assert.instanceOf(await failureOf(host.spawn(large)), SpawnError)
        const bare = spawnRequest(["cat"])
        await host.spawn(bare)
        assert.isNull(await host.getNote(bare.session))
        // Of a session that is not held nothing is kept.
        host.setNote(large.session, mine)
        assert.instanceOf(await failureOf(host.getNote(large.session)), SessionUnknown)
        await host.close(session, 1000)
        host.forget(session)
        assert.instanceOf(await failureOf(host.getNote(session)), SessionUnknown)
      })

      it("count the terminal's output and input on from where another program stopped", async () => {
        recorder.acknowledging = false
        const request = spawnRequest(["sh", "-c", "stty -echo; echo ready; cat"], {
          firstOffset: 5000,
          inputSequence: 40
        })
        const { session } = request
        recorder.of(session).nextOffset = 5000
        await host.spawn(request)
        // With its line end, which may come in a piece of its own.
        await recorder.shows(session, "ready\r\n")
        assert.deepInclude((await host.list())[0], { heldFrom: 5000, outputBytes: 5007, inputSequence: 40 })
        assert.strictEqual((await host.write(session, 40, Buffer.from("old\n"))).outcome, "repeated")
        assert.strictEqual((await host.write(session, 41, Buffer.from("new\n"))).outcome, "applied")
        await host.closeInput(session, 42)
        const record = await recorder.closed(session)
        assert.strictEqual(record.text, "ready\r\nnew\r\n")
        assert.strictEqual(record.outputBytes, 5012)
        record.chunks.length = 0
        record.outputBytes = null
        record.nextOffset = 5007
        assert.strictEqual((await host.attach(session, 5007)).outputBytes, 5012)
        assert.strictEqual((await recorder.closed(session)).text, "new\r\n")
        assert.instanceOf(await failureOf(host.spawn(spawnRequest(["true"], { firstOffset: -1 }))), SpawnError)
      })
    })
  })
}

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length
