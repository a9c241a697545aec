/** Limits are seen before they are hit: with files as the kernel shows them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { missingHeadRoom } from "../../src/keeper/HeadRoom.ts"

describe("reliability row 18: missingHeadRoom", () => {
  let root: string
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const missing = (uid = 1000) => missingHeadRoom({ proc: join(root, "proc"), cgroup: join(root, "cgroup") }, uid)

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "reprise-room-"))
    put(
      "proc/self/limits",
      "Max processes             500                  500                  processes\nMax open files            1024                 4096                 files\n"
    )
    put("proc/self/fd/0", "")
    put("proc/loadavg", "0.10 0.20 0.30 1/300 12345\n")
    put("proc/sys/kernel/threads-max", "10000\n")
    put("proc/sys/kernel/pid_max", "32768\n")
    put("proc/self/cgroup", "0::/user/session\n")
    put("cgroup/user/pids.max", "400\n")
    put("cgroup/user/pids.current", "100\n")
    put("cgroup/user/session/pids.max", "max\n")
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  it("sees room", () => {
    assert.isNull(missing())
  })

  it("says nothing where nothing can be read", () => {
    assert.isNull(missingHeadRoom({ proc: join(root, "none"), cgroup: join(root, "none") }))
  })

  it("sees descriptors run out", () => {
    for (let fd = 1; fd <= 1010; fd++) put(`proc/self/fd/${fd}`, "")
    assert.include(missing(), "file descriptors")
  })

  it("counts the user's own threads only when all threads might be too many, and not for root", () => {
    put("proc/loadavg", "0.10 0.20 0.30 1/480 12345\n")
    assert.isNull(missing(process.getuid!()))
    for (let i = 0; i < 470; i++) put(`proc/4242/task/${i}`, "")
    const uid = process.getuid!()
    if (uid === 0) assert.isNull(missing(0))
    else assert.include(missing(uid), "ulimit -u")
  })

  it("sees a full machine and a full control group at any level", () => {
    put("cgroup/user/pids.current", "390\n")
    assert.include(missing(), "control group")
    put("proc/loadavg", "0.10 0.20 0.30 1/9990 12345\n")
    assert.include(missing(0), "the machine runs")
  })
})
