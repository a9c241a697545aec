/**
 * The pipes of an exec session by number: which command or shell process one belongs to, and what it carries. The keeper
 * knows the numbers only; ExecSession.ts and its parts give them this meaning.
 */
import { join } from "node:path"
import type { PipeRequest } from "../keeper/PipeHost.ts"

/** Three for each command, two for each shell process. */
export const OUT = 1
export const ERR = 2
export const IN = 3
export const COMMAND = 5
export const CONTROL = 6
const PIPE_KINDS = 8

/** `group` is a command's number, or a shell process's. */
export const pipeOf = (group: number, kind: number): number => group * PIPE_KINDS + kind
export const kindOf = (pipe: number): number => pipe % PIPE_KINDS
export const groupOf = (pipe: number): number => Math.floor(pipe / PIPE_KINDS)

/** The pipes that a shell process has from its start: for what it is told, and for what it says. */
export const shellPipes = (folder: string, command: number, control: number): ReadonlyArray<PipeRequest> => [
  { pipe: command, path: join(folder, "command"), direction: "input" },
  { pipe: control, path: join(folder, "control"), direction: "output", stays: true }
]
