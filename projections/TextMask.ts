/**
 * Takes texts out of a projection's state, where that stands for removed events (BaseState.ts) and nothing can make it again:
 * asterisks take their place, so that nothing moves. What is looked for is up to whoever makes one; a projection knows which
 * of its fields hold what a program or a person wrote, and gives it those (`Projection.mask`).
 */
export interface TextMask {
  /** Places that were masked so far: more than before, and a state is another one. */
  readonly places: number
  /** As many UTF-16 units and bytes of UTF-8, and as many lines. */
  text(text: string): string
  /** Texts that belong together, such as arguments: what goes on from one to the next is found too. */
  words(words: ReadonlyArray<string>): Array<string>
  /** A name and its value: also what was written as `NAME=VALUE`. */
  pair(name: string, value: string): [string, string]
  /** Bytes that a terminal draws. `isCut`: there were others before them. */
  output(bytes: Uint8Array, isCut: boolean): Uint8Array
  /** Bytes of a control string (OSC) without its introducer, in any of the forms in which terminals take text there. */
  controlString(payload: Uint8Array): Uint8Array
  /** Where in a text something is to be masked, as ranges of UTF-16 units, for who does it itself; that counts as a place. */
  find(text: string): ReadonlyArray<{ readonly from: number; readonly to: number }>
}
