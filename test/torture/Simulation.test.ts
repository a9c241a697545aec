import { it } from "vitest"
import { oneIn } from "./FaultPlan.ts"
import { simulate } from "./EngineSimulation.ts"
it("probe", async () => {
  const started = Date.now()
  let faults = 0
  const failures: Array<string> = []
  const from = Number(process.env.FROM ?? 1), to = Number(process.env.TO ?? 20)
  for (let seed = from; seed <= to; seed++) {
    try {
      const r = await simulate({ seed, steps: Number(process.env.STEPS ?? 60), storage: oneIn(Number(process.env.ST ?? 15)), host: oneIn(Number(process.env.HO ?? 25)), engineKills: 25, keeperKills: Number(process.env.KK ?? 0), clockJumps: 20 })
      faults += r.plan.faults
      if (process.env.V) console.log(seed, r.plan.faults, r.acknowledged, r.sessions, r.engines, r.ghosts, r.lies, r.outputBytes, r.plan.digest)
    } catch (e) { failures.push(String((e as Error).message)) }
  }
  console.log(`${Date.now() - started} ms, ${faults} faults, ${failures.length} failures`)
  const kinds = new Map<string, number>()
  for (const f of failures) { const k = f.split("\n")[0]!.replace(/seed \d+: /, "").replace(/01TEST\w+/g, "S").replace(/\d+/g, "N"); kinds.set(k, (kinds.get(k) ?? 0) + 1) }
  console.log([...kinds].map(([k, n]) => n + " x " + k).join("\n"))
  if (process.env.FULL) console.log(failures[0])
}, 600000)
