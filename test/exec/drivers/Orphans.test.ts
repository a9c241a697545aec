import { spawn } from "node:child_process"
import { once } from "node:events"
import { rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { driverOf } from "../../../src/exec/Drivers.ts"
import { readProcess } from "../../../src/keeper/ProcessTable.ts"
import { DriverHost, descendants, until } from "./DriverHost.ts"

const LANGUAGES = ["bash", "zsh", "python", "node"] as const
/** Closing a session promises as much. */
const GONE_MILLIS_MAX = 5000
const program = fileURLToPath(new URL("orphan.ts", import.meta.url))

/** What has ended and was not collected by init yet is gone. */
const isGone = (pid: number): boolean => "ZX".includes(readProcess(pid)?.state ?? "X")

/** Kills a host and says which processes of its session are there after five seconds. */
const leftover = async (...argv: ReadonlyArray<string>): Promise<ReadonlyArray<number>> => {
  const host = spawn(process.execPath, [program, ...argv], { stdio: ["ignore", "pipe", "inherit"] })
  const [line] = (await once(host.stdout, "data")) as [Buffer]
  const [pid, ...folders] = line.toString().trim().split(" ")
  const pids = [Number(pid), ...descendants(Number(pid))]
  host.kill("SIGKILL")
  await until(() => pids.every(isGone), GONE_MILLIS_MAX)
  const left = pids.filter((one) => !isGone(one))
  for (const one of left) process.kill(one, "SIGKILL")
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  return left
}

describe.skipIf(process.platform !== "linux")("a shell whose host was killed", { concurrent: true }, () => {
  for (const language of LANGUAGES) {
    for (const activity of ["idle", "busy"]) {
      it(`${language}, ${activity}, leaves nothing`, async () => {
        assert.deepStrictEqual(await leftover(language, activity), [])
      })
    }
    it(`${language} ends with its command pipe`, async () => {
      const host = await DriverHost.start(driverOf(language))
      // A shell says that it is ready before it opens the pipe; one that nobody writes to would not open.
      await host.exec("1")
      host.endCommands()
      assert.isTrue(await until(() => host.exited, GONE_MILLIS_MAX))
      await host.close()
    })
  }
  for (const language of ["bash", "zsh"]) {
    it(`${language} that ignores every signal leaves nothing`, async () => {
      assert.deepStrictEqual(await leftover(language, "idle", "trap '' HUP TERM INT QUIT PIPE"), [])
    })
    it(`${language} that executed itself again leaves nothing`, async () => {
      assert.deepStrictEqual(await leftover(language, "idle", "trap 'exit 3' EXIT; exit 1"), [])
    })
  }
})
