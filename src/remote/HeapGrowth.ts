/**
 * How far V8 lets the memory of a process grow before it collects all of it. Called by the processes through which a
 * session's output flows: the engine, and the commands that show output. It changes nothing else of V8.
 */

/**
 * V8 counts the buffers of a flood as memory of the heap and, with a heap as small as ours (12 MiB live), collects all of
 * it after each 20 MiB of them: a fifth of an engine's time. Allowing four times what lives makes that rare; an idle
 * process has no such buffers and is not larger for it. V8 reads this at each collection, so it may be set while it runs.
 */
const HEAP_GROWING_PERCENT = 300

export const collectRarely = (): void => {
  // Loaded only where it is needed: every other command would pay for it.
  process.getBuiltinModule("node:v8").setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
}
