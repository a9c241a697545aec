/** A question on the terminal before something is done that cannot be undone. Whether anybody can be asked, the command looks. */
import { Effect, Option, Stream } from "effect"
import { Caller } from "./Caller.ts"

/** Whether the answer is yes. `question`: without the choices. */
export const confirm = Effect.fnUntraced(function* (question: string) {
  const caller = yield* Caller
  yield* caller.write(`${question} [y/N] `)
  const answer = yield* Stream.runHead(caller.input)
  return Option.isSome(answer) && /^y(es)?\s*$/i.test(Buffer.from(answer.value).toString())
})
