/** Rows by which a command is found by its id, for ever: they are written with its first event. */
export const EXEC_SPACE = "exec"
export const execRowKey = (session: string, execId: string): Buffer => Buffer.from(`${session}|${execId}`, "latin1")
