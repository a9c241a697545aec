/**
 * Sends one message of 64 bytes after the other to a program that sends each back, and takes two times: until it is
 * acknowledged and until it is back. The same for every way of holding a terminal; used by doorClient.ts and tmuxClient.ts.
 */
import { READY, Returned } from "./Returned.ts"

/** Each message is a line of its own and different from the one before. */
const MESSAGE_BYTES = 64
/** Between a message and the next: nothing is queued, nothing is cold. */
const PACE_MILLIS = 2
/** Not counted: code is compiled meanwhile. */
const WARM_UP_MESSAGES = 100

export interface RoundTrips {
  readonly acknowledged: ReadonlyArray<number>
  readonly back: ReadonlyArray<number>
}

/** `listen` is called once; `send` for each message and resolves when it is acknowledged. */
export const sendAndWait = async (
  count: number,
  listen: (onBytes: (bytes: Uint8Array) => void) => void,
  send: (bytes: Uint8Array) => Promise<unknown>
): Promise<RoundTrips> => {
  const returned = new Returned(listen)
  await returned.comes(READY)
  const acknowledged: Array<number> = []
  const back: Array<number> = []
  for (let index = 0; index < WARM_UP_MESSAGES + count; index++) {
    const text = String(index).padEnd(MESSAGE_BYTES - 2, "abcdefghij")
    const start = performance.now()
    const sent = send(Buffer.from(`${text}\r\n`)).then(() => performance.now() - start)
    await returned.comes(text)
    const backMillis = performance.now() - start
    const acknowledgedMillis = await sent
    if (index >= WARM_UP_MESSAGES) {
      acknowledged.push(acknowledgedMillis)
      back.push(backMillis)
    }
    await new Promise((resolve) => setTimeout(resolve, PACE_MILLIS))
  }
  return { acknowledged, back }
}
