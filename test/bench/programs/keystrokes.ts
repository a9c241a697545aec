/**
 * Types one character after the other and takes the time until each comes back; the same for every way of holding a
 * terminal. Used by rawPty.ts and engineClient.ts. It knows no terminal.
 */
import { READY, Returned } from "./Returned.ts"

/** The kernel echoes nothing; `cat` sends each byte back, so the way through a program is measured. */
export const ECHO_PROGRAM = ["/bin/sh", "-c", `stty raw -echo; printf ${READY}; exec cat`]
/** Between an echo and the next key: nothing is queued, nothing is cold. */
const PACE_MILLIS = 3
/** Not counted: code is compiled meanwhile. */
const WARM_UP_KEYS = 50
const FIRST_KEY = 97
const KEYS = 26

/** Milliseconds of each echo. `listen` is called once; `type` for each key. */
export const typeAndWait = async (
  count: number,
  listen: (onBytes: (bytes: Uint8Array) => void) => void,
  type: (bytes: Uint8Array) => void
): Promise<ReadonlyArray<number>> => {
  const returned = new Returned(listen)
  await returned.comes(READY)
  const samples: Array<number> = []
  for (let key = 0; key < WARM_UP_KEYS + count; key++) {
    const character = FIRST_KEY + (key % KEYS)
    const start = performance.now()
    type(Uint8Array.of(character))
    await returned.comes(String.fromCharCode(character))
    const millis = performance.now() - start
    if (key >= WARM_UP_KEYS) samples.push(millis)
    await new Promise((resolve) => setTimeout(resolve, PACE_MILLIS))
  }
  return samples
}
