/**
 * The first thing that was not as promised, as a campaign rejects with it: what was expected, what was found, and the
 * store it happened in. `main.ts` prints it and keeps a copy of that store; in `npm test` it is the failure's message.
 */

export class TortureFailure extends Error {
  override readonly name = "TortureFailure"
  /** Folder with the evidence; undefined where there is none. */
  readonly store: string | undefined

  constructor(what: string, details: { readonly expected: string; readonly found: string; readonly store?: string }) {
    super(`${what}\n  expected: ${details.expected}\n  found:    ${details.found}`)
    this.store = details.store
  }
}
