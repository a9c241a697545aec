/**
 * Types one character after the other and takes the time until each comes back; the same for every way of holding a
 * terminal. Used by rawPty.ts and engineClient.ts. It knows no terminal.
 */

/** Said by the echoing program once the terminal is raw. */
const READY = "ready"
/** The kernel echoes nothing; `cat` sends each byte back, so the way through a program is measured. */
export const ECHO_PROGRAM = ["/bin/sh", "-c", `stty raw -echo; printf ${READY}; exec cat`]
/** Between an echo and the next key: nothing is queued, nothing is cold. */
const PACE_MILLIS = 3
/** Not counted: code is compiled meanwhile. */
const WARM_UP_KEYS = 50
/** An echo that takes longer is lost. */
const ECHO_MILLIS_MAX = 10_000
const FIRST_KEY = 97
const KEYS = 26

/** Milliseconds of each echo. `listen` is called once; `type` for each key. */
export const typeAndWait = async (
  count: number,
  listen: (onBytes: (bytes: Uint8Array) => void) => void,
  type: (bytes: Uint8Array) => void
): Promise<ReadonlyArray<number>> => {
  let received = ""
  let wake: () => void = () => {}
  listen((bytes) => {
    received += Buffer.from(bytes).toString("latin1")
    wake()
  })
  const comes = async (text: string) => {
    const deadline = setTimeout(() => {
      process.stderr.write(`nothing came back for ${JSON.stringify(text)} within ${ECHO_MILLIS_MAX} ms\n`)
      process.exit(1)
    }, ECHO_MILLIS_MAX)
    while (!received.includes(text)) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    clearTimeout(deadline)
    received = ""
  }
  await comes(READY)
  const samples: Array<number> = []
  for (let key = 0; key < WARM_UP_KEYS + count; key++) {
    const character = FIRST_KEY + (key % KEYS)
    const start = performance.now()
    type(Uint8Array.of(character))
    await comes(String.fromCharCode(character))
    const millis = performance.now() - start
    if (key >= WARM_UP_KEYS) samples.push(millis)
    await new Promise((resolve) => setTimeout(resolve, PACE_MILLIS))
  }
  return samples
}
