/** The arguments that name a command in a session, the same in every command of the command line. */
import { Argument } from "effect/cli"

const execId = Argument.String("exec").pipe(
  Argument.withMetavar("EXECID"),
  Argument.withDescription("Id of a command: `reprise history` shows them")
)

export const execArgument = execId
export const runningExecArgument = execId.pipe(
  Argument.withDescription("Id of a command (default: the one that runs)"),
  Argument.optional
)
