/** PLACEHOLDER, to be dropped with its commit: an `Exec` that can do nothing, so that the engine's door compiles. */
import { Effect, Layer } from "effect"
import { Exec } from "./Exec.ts"

const absent = () => Effect.die(new Error("this engine cannot run commands yet"))

export const layer: Layer.Layer<Exec> = Layer.succeed(Exec, {
  start: absent,
  exec: absent,
  poll: absent,
  output: absent,
  send: absent,
  interrupt: absent,
  kill: absent,
  reset: absent,
  restore: absent,
  state: absent,
  history: absent,
  end: absent
})
