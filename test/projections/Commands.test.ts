import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import {
  CODE_BYTES_KEPT_MAX,
  CODE_BYTES_KEPT_TOTAL_MAX,
  COMMANDS_KEPT_MAX,
  type CommandEntry,
  Commands,
  type CommandsState,
  findCommand,
  historyOf,
  importNames,
  SHELL_STATE_CHARACTERS_MAX
} from "../../projections/Commands.ts"
import type { CommandRecord } from "../../src/exec/Exec.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import {
  commandFinished,
  commandStarted,
  created,
  entriesOf,
  foldAll,
  output,
  STREAM,
  shellRestarted,
  started,
  stateChanged
} from "./events.ts"

const shell = created({ kind: "exec", language: "bash" })
const fold = (...events: ReadonlyArray<SessionEvent>) => foldAll(Commands, [shell, started(), ...events])
const stream = (channel: "stdout" | "stderr", exec: number, offset: number, length: number): SessionEvent => ({
  _tag: "OutputReceived",
  channel,
  exec,
  offset,
  data: new Uint8Array(length)
})
const lost: SessionEvent = { _tag: "SessionLost", reason: "keeper gone" }
const resumed: SessionEvent = { _tag: "SessionResumed", keeper: "k1", outputOffset: 0, gapBytes: 0 }
const closed: SessionEvent = {
  _tag: "SessionClosed",
  exitCode: null,
  signal: null,
  reason: "ended",
  survivors: []
}
const one = (state: CommandsState, exec = 1): CommandEntry => state.commands.get(exec)!
const ends = (state: CommandsState, exec = 1) => {
  const { status, exitCode, ttyTo } = one(state, exec)
  return [status, exitCode, ttyTo, state.running]
}

describe("Commands", () => {
  it("follows a command from its start to its end", () => {
    const state = fold(
      commandStarted(1, "cd /tmp", { ttyFrom: 3 }),
      output("ab", 3),
      stream("stdout", 1, 0, 10),
      stream("stderr", 1, 0, 4),
      stream("stdout", 1, 10, 5),
      commandFinished(1, { cwd: "/tmp", exitCode: 3, ttyTo: 5, durationMicros: 2500 })
    )
    const record: CommandRecord = one(state)
    assert.deepStrictEqual(record, {
      exec: 1,
      execId: "e1",
      code: "cd /tmp",
      codeCut: false,
      status: "completed",
      exitCode: 3,
      signal: null,
      cwdBefore: "/home/me",
      cwdAfter: "/tmp",
      startedAt: 3_000_000,
      durationMillis: 2.5,
      stdoutBytes: 15,
      stderrBytes: 4,
      ttyFrom: 3,
      ttyTo: 5,
      firstSequence: 3,
      lastSequence: 8,
      finishedSequence: 8
    } as CommandRecord)
    assert.deepStrictEqual(
      [state.language, state.shellCwd, state.nextExec, state.running, state.ttyBytes],
      ["bash", "/tmp", 2, null, 5]
    )
    assert.strictEqual(fold(commandStarted(1, "sleep 1")).running, 1)
  })

  it("counts late output for the command it comes from, and none twice", () => {
    const state = fold(
      commandStarted(1, "sleep 1 &"),
      stream("stdout", 1, 0, 2),
      commandFinished(1, { stdoutBytes: 2 }),
      commandStarted(2, "echo"),
      stream("stdout", 1, 2, 7),
      stream("stdout", 2, 0, 1),
      stream("stdout", 1, 0, 3),
      stream("stderr", 99, 0, 3)
    )
    assert.deepStrictEqual([one(state).stdoutBytes, one(state, 2).stdoutBytes], [9, 1])
    assert.deepStrictEqual(
      [one(state).status, one(state).lastSequence, one(state).finishedSequence],
      ["completed", 9, 5]
    )
  })

  it("knows what the shell holds, by its differences", () => {
    const state = fold(
      commandStarted(1, "…"),
      commandFinished(1),
      stateChanged(1, {
        cwd: "/srv",
        env: { A: "1", B: "2", HOME: null, TOKEN: "***", NONE: null },
        masked: ["TOKEN"],
        functions: { f: "f() { :; }", g: "g() { :; }" },
        aliases: { ll: "ls -l" },
        imports: ["import math"]
      }),
      stateChanged(1, {
        env: { B: null, A: "3" },
        functions: { g: null },
        aliases: { ll: null },
        imports: ["import math"]
      })
    )
    assert.deepStrictEqual(
      [...state.env],
      [
        ["A", "3"],
        ["TOKEN", "***"]
      ]
    )
    assert.deepStrictEqual([...state.masked], ["TOKEN"])
    assert.deepStrictEqual([...state.unset], ["HOME"])
    assert.deepStrictEqual([...state.functions.keys()], ["f"])
    assert.deepStrictEqual([...state.aliases], [])
    assert.deepStrictEqual(state.imports, ["import math"])
    assert.strictEqual(state.shellCwd, "/srv")
    const later = fold(
      stateChanged(1, { env: { TOKEN: "***", HOME: null }, masked: ["TOKEN"] }),
      stateChanged(2, { env: { TOKEN: "plain", HOME: "/h" } })
    )
    assert.deepStrictEqual([later.masked.size, later.unset.size, later.env.get("TOKEN")], [0, 0, "plain"])
  })

  it("takes the directory from exec events, not from the kernel's view of a child", () => {
    const at = (source: "proc" | "exec") => fold({ _tag: "CwdChanged", cwd: "/x", source }).shellCwd
    assert.deepStrictEqual([at("exec"), at("proc")], ["/x", "/home/me"])
    // What no one knows is not a directory.
    assert.strictEqual(
      fold(commandStarted(1, ""), commandFinished(1, { status: "lost", cwd: "" })).shellCwd,
      "/home/me"
    )
  })

  it("R5: begins anew after a reset: no history, no variables, the first directory", () => {
    const state = fold(
      commandStarted(1, "a"),
      commandFinished(1, { cwd: "/tmp" }),
      stateChanged(1, {
        env: { A: "1", HOME: null },
        functions: { f: "…" },
        aliases: { l: "…" },
        imports: ["import a"]
      }),
      shellRestarted("reset", { env: ["A"] })
    )
    assert.deepStrictEqual(historyOf(state), [])
    assert.strictEqual(state.shellCwd, "/home/me")
    assert.deepStrictEqual(
      [state.env.size, state.unset.size, state.functions.size, state.aliases.size, state.imports.length],
      [0, 0, 0, 0, 0]
    )
    assert.strictEqual(state.shellCharacters, 0)
    // The number goes on and the id stays used: a command is never run twice.
    assert.strictEqual(findCommand(state, "e1")?.exec, 1)
    const next = foldAll(Commands, [shell, commandStarted(1, "a"), shellRestarted("reset"), commandStarted(2, "b")])
    assert.deepStrictEqual(
      historyOf(next).map(({ exec }) => exec),
      [2]
    )
    assert.deepStrictEqual(ends(next), ["lost", null, 0, 2])
    assert.strictEqual(next.nextExec, 3)
  })

  it("R20: keeps of a lost shell what was brought back, and its history", () => {
    const events = [
      commandStarted(1, "a"),
      commandFinished(1, { cwd: "/tmp" }),
      stateChanged(1, {
        env: { A: "1", B: "2", T: "***", HOME: null },
        masked: ["T"],
        functions: { f: "f", g: "g" },
        aliases: { x: "x", y: "y" },
        imports: ["import math", "from pathlib import Path", "import os"],
        omitted: ["variable BIG: too large"]
      }),
      lost,
      started(2)
    ]
    const restored = { env: ["A", "HOME"], functions: ["g"], aliases: ["y"], imports: ["import math", "pathlib"] }
    const state = fold(...events, shellRestarted("lost", { ...restored, cwd: "/tmp" }, ["variable T: …"]))
    assert.deepStrictEqual([...state.env], [["A", "1"]])
    assert.deepStrictEqual([...state.unset], ["HOME"])
    assert.strictEqual(state.masked.size, 0)
    assert.deepStrictEqual([...state.functions.keys(), ...state.aliases.keys()], ["g", "y"])
    assert.deepStrictEqual(state.imports, ["import math", "from pathlib import Path"])
    assert.strictEqual(state.shellCwd, "/tmp")
    assert.strictEqual(historyOf(state).length, 1)
    assert.deepStrictEqual(state.omitted, [])
    assert.deepStrictEqual(
      [state.lastRestart?.reason, state.lastRestart?.sequence, state.lastRestart?.missing],
      ["lost", 8, ["variable T: …"]]
    )
    assert.strictEqual(fold(...events, shellRestarted("died")).shellCwd, "/home/me")
  })

  it("calls a command lost when its shell is gone without a word of its end", () => {
    const start = [commandStarted(1, "sleep 9"), output("abc")]
    for (const end of [lost, shellRestarted("lost"), shellRestarted("died"), started(2), closed]) {
      assert.deepStrictEqual(ends(fold(...start, end)), ["lost", null, 3, null], end._tag)
    }
    // The engine's own word counts, in either order.
    const finished = commandFinished(1, { status: "died", exitCode: null, signal: "SIGKILL", ttyTo: 3, cwd: "/old" })
    for (const end of [lost, shellRestarted("died", { cwd: "/new" })]) {
      assert.deepStrictEqual(ends(fold(...start, finished, end)), ["died", null, 3, null])
      assert.deepStrictEqual(ends(fold(...start, end, finished)), ["died", null, 3, null])
    }
    assert.strictEqual(fold(...start, shellRestarted("died", { cwd: "/new" }), finished).shellCwd, "/new")
  })

  it("lets a command run on when its keeper is found again", () => {
    const start = commandStarted(1, "sleep 9")
    assert.deepStrictEqual(ends(fold(start, lost, resumed)), ["running", null, null, 1])
    assert.deepStrictEqual(ends(fold(start, lost, resumed, commandFinished(1))), ["completed", 0, 0, null])
    assert.deepStrictEqual(ends(fold(start, lost, started(2), resumed)), ["lost", null, 0, null])
    assert.deepStrictEqual(ends(fold(start, commandFinished(1), lost, resumed)), ["completed", 0, 0, null])
    assert.deepStrictEqual(ends(fold(start, lost, commandFinished(1, { status: "lost", exitCode: null }), resumed)), [
      "lost",
      null,
      0,
      null
    ])
  })

  it("R3: gives the last commands, oldest first, and finds them by id", () => {
    const state = fold(
      ...[1, 2, 3].flatMap((exec) => [
        commandStarted(exec, `echo test${exec}`),
        commandFinished(exec, { durationMicros: 1000 * exec })
      ]),
      commandStarted(4, "again", { execId: "e2" })
    )
    assert.deepStrictEqual(
      historyOf(state, 2).map(({ code }) => code),
      ["echo test3", "again"]
    )
    assert.deepStrictEqual(
      historyOf(state).map(({ durationMillis }) => durationMillis),
      [1, 2, 3, null]
    )
    assert.deepStrictEqual([historyOf(state, 0), historyOf(state, -1)], [[], []])
    assert.deepStrictEqual([findCommand(state, "e3")?.exec, findCommand(state, "e2")?.exec], [3, 4])
    assert.isUndefined(findCommand(state, "e9"))
  })

  it("keeps the last 1000 commands, and as much of their code as fits", () => {
    const many = fold(...Array.from({ length: COMMANDS_KEPT_MAX + 5 }, (_, index) => commandStarted(index + 1, "x")))
    assert.deepStrictEqual([many.commands.size, many.commands.has(5), many.commands.has(6)], [1000, false, true])
    assert.strictEqual(many.codeBytes, COMMANDS_KEPT_MAX)
    const euros = "€".repeat(CODE_BYTES_KEPT_MAX)
    const long = fold(commandStarted(1, euros), commandStarted(2, "a".repeat(CODE_BYTES_KEPT_MAX)))
    assert.deepStrictEqual([one(long).code, one(long).codeCut], ["€".repeat(5461), true])
    assert.deepStrictEqual([one(long, 2).code.length, one(long, 2).codeCut], [CODE_BYTES_KEPT_MAX, false])
    const all = fold(...Array.from({ length: 200 }, (_, index) => commandStarted(index + 1, euros)))
    assert.isAtMost(all.codeBytes, CODE_BYTES_KEPT_TOTAL_MAX)
    assert.deepStrictEqual([one(all).code, one(all, 200).code.length], ["€".repeat(85), 5461])
    assert.strictEqual(
      all.codeBytes,
      [...all.commands.values()].reduce((sum, { code }) => sum + Buffer.byteLength(code), 0)
    )
    assert.deepStrictEqual(Commands.decode(Commands.encode(all)), all)
  })

  it("keeps a bounded part of the shell's state, and says what it left out", () => {
    const half = "v".repeat(SHELL_STATE_CHARACTERS_MAX / 2)
    const state = fold(
      stateChanged(1, { env: { A: half } }),
      stateChanged(2, { functions: { f: half }, imports: [half], env: { B: "1" } }),
      stateChanged(3, { env: { A: `${half}${half}` } })
    )
    assert.deepStrictEqual([...state.env], [["B", "1"]])
    assert.strictEqual(state.functions.size, 0)
    assert.deepStrictEqual(
      state.omitted.map((words) => words.slice(0, 10)),
      ["function f", "import vvv", "variable A"].map((words) => words.slice(0, 10))
    )
    assert.strictEqual(state.shellCharacters, 2)
    const told = fold(stateChanged(1, { omitted: Array.from({ length: 150 }, (_, index) => `thing ${index}`) }))
    assert.deepStrictEqual([told.omitted.length, told.omitted[99]], [100, "thing 149"])
  })

  it("is the same folded at once, and in two parts with a snapshot between", () => {
    const random = seededRandom(4)
    const pick = <A>(values: ReadonlyArray<A>) => values[random.below(values.length)]!
    const names = ["A", "B", "HOME", "__proto__", "é"]
    const change = () => ({ [pick(names)]: pick([null, "1", "v\n\u0000\ud800"]) })
    for (let run = 0; run < 60; run++) {
      let exec = 0
      const events: Array<SessionEvent> = [shell]
      for (let step = 0; step < 60; step++) {
        const next = random.below(10)
        if (next < 2) events.push(commandStarted(++exec, "c".repeat(random.below(40))))
        else if (next < 4) events.push(commandFinished(1 + random.below(exec + 1), { cwd: pick(["/a", "/b", ""]) }))
        else if (next < 6) events.push(stream(pick(["stdout", "stderr"]), random.below(exec + 2), random.below(50), 3))
        else if (next === 6) events.push(pick([lost, resumed, closed, started(step)]))
        else if (next === 7) {
          events.push(shellRestarted(pick(["died", "lost", "reset"]), { env: [pick(names)], functions: [pick(names)] }))
        } else {
          events.push(
            stateChanged(exec, { env: change(), functions: change(), aliases: change(), masked: [pick(names)] })
          )
        }
      }
      const whole = foldAll(Commands, events)
      const cut = random.below(events.length)
      const entries = entriesOf(events)
      const first = entries
        .slice(0, cut)
        .reduce((state, entry) => Commands.fold(state, entry), Commands.initial(STREAM))
      const second = entries
        .slice(cut)
        .reduce((state, entry) => Commands.fold(state, entry), Commands.decode(Commands.encode(first)))
      assert.deepStrictEqual(second, whole, `run ${run}`)
      assert.isTrue(whole.running === null || one(whole, whole.running).status === "running")
      for (const command of whole.commands.values()) {
        assert.strictEqual(command.status === "running", command.exec === whole.running)
      }
    }
  })

  it("refuses snapshots that are not its own", () => {
    const encoded = Commands.encode(fold(commandStarted(1, "x")))
    for (let length = 0; length < encoded.length; length++) {
      assert.throws(() => Commands.decode(encoded.subarray(0, length)))
    }
    const text = Buffer.from(encoded).toString("latin1")
    assert.throws(() => Commands.decode(Buffer.from(text.replace('"execId"', '"execIe"'), "latin1")))
  })

  it("folds output without making anything", () => {
    const state = fold(commandStarted(1, "yes"))
    const entries = entriesOf([stream("stdout", 1, 0, 10), stream("stderr", 1, 0, 10), output("x")])
    const command = one(state)
    for (const entry of entries) assert.strictEqual(Commands.fold(state, entry), state)
    assert.strictEqual(one(state), command)
  })
})

describe("importNames", () => {
  const rows: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["import math", ["math"]],
    ["from pathlib import Path", ["pathlib", "Path"]],
    ["import numpy as np", ["numpy", "np"]],
    ["import os, sys as s", ["os", "sys", "s"]],
    ["import os.path", ["os.path", "os"]],
    ["import os; import re", ["os", "re"]],
    ["from a.b import (\n  c as d, # why\n  e,\n)", ["a.b", "c", "d", "e"]],
    ["from a import b, \\\n  c", ["a", "b", "c"]],
    ["from . import x", ["x"]],
    ["from .rel import y", ["rel", "y"]],
    ["from os import *", ["os"]],
    ["import fs from 'node:fs'", ["node:fs", "fs"]],
    ['import "side-effect"', ["side-effect"]],
    ['import * as path from "node:path"', ["node:path", "path"]],
    ["import a, { b, c as d } from 'm'", ["m", "a", "b", "c", "d"]],
    ["import {\n  b,\n  c\n} from 'm'", ["m", "b", "c"]],
    ["import type { T } from 'm'", ["m", "T"]],
    ["const x = require('y')", ["y", "x"]],
    ["const { a, b: c } = require('y');", ["y", "a", "b", "c"]],
    ["let x = await import('y')", ["y", "x"]],
    ["require('y')", ["y"]],
    ["import('y')", ["y"]],
    ["print('import x')", []],
    ["", []]
  ]
  for (const [source, names] of rows) {
    it(`R4: ${JSON.stringify(source)}`, () => assert.deepStrictEqual(importNames([source]), names))
  }
  it("R4: names each once", () => assert.deepStrictEqual(importNames(["import a", "import a, b"]), ["a", "b"]))
})
