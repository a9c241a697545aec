/** The contract suites (`reprise/testing`): a new journal or a new host runs them with vitest and is then one of ours. */
export { journalContract } from "./JournalContract.ts"
export { pipeHostContract } from "./PipeHostContract.ts"
export { ptyHostContract } from "./PtyHostContract.ts"
