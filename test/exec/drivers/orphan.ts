/** A host that is about to be killed: starts a shell, says its pid, and runs a command in it for ever when asked to. */
import type { Language } from "../../../journal/Event.ts"
import { driverOf } from "../../../src/exec/Drivers.ts"
import { DriverHost } from "./DriverHost.ts"

const FOREVER: Readonly<Record<Language, string>> = {
  bash: "while :; do sleep 0.1; done",
  zsh: "while :; do sleep 0.1; done",
  python: "import time\nwhile True: time.sleep(0.1)",
  node: "await new Promise(() => setInterval(() => {}, 1000))"
}

const [language = "bash", activity = "idle", before = ""] = process.argv.slice(2)
const host = await DriverHost.start(driverOf(language as Language))
if (before !== "") await host.exec(before)
if (activity === "busy") host.start(FOREVER[language as Language])
setTimeout(() => process.stdout.write(`${host.pid} ${host.folder} ${host.cwd0}\n`), 300)
setInterval(() => {}, 1000)
