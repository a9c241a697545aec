/**
 * The modes of a terminal that show nothing: how it reports keys and the mouse, beyond what the emulator knows. Programs
 * (neovim, helix, fish, vim) set them once, so somebody who attaches later needs them or types what the program does not
 * understand. ScreenGuard.ts notes them from the sequences it passes on; ScreenRedraw.ts says them again.
 */

export interface InputModes {
  /** DEC private modes as they were last set (true) or reset; only those that are not as at first. */
  readonly private: Map<number, boolean>
  /** xterm's modifyOtherKeys. */
  modifyOtherKeys: number
  /** Flags of the kitty keyboard protocol: the stack of each screen, its current flags last. */
  readonly keyboard: readonly [Array<number>, Array<number>]
  alternate: boolean
}

/** Reverse video; mouse reports in UTF-8 and in urxvt's form; reports of the colour scheme and of sizes. Off at first. */
const OFF_AT_FIRST: ReadonlySet<number> = new Set([5, 1005, 1015, 2031, 2048])
/** Wheel as arrow keys; meta as the eighth bit or as escape; alt as escape. What they are at first is the terminal's. */
const OF_THE_TERMINAL: ReadonlySet<number> = new Set([1007, 1034, 1036, 1039])
const ALTERNATE_SCREENS: ReadonlySet<number> = new Set([47, 1047, 1049])
/** Entries of a keyboard stack; as in kitty, the oldest goes when there are more. */
const STACK_MAX = 16
/** All flags that the protocol has, with room for those to come. */
const FLAGS_MAX = 255

export const makeInputModes = (): InputModes => ({
  private: new Map(),
  modifyOtherKeys: 0,
  keyboard: [[0], [0]],
  alternate: false
})

/** A control sequence without intermediates that is passed on. */
export const noteControl = (modes: InputModes, prefix: string, parameters: string, final: number): void => {
  if (prefix === "?" && (final === 0x68 || final === 0x6c)) {
    const isSet = final === 0x68
    for (const number of parameters.split(";").map(Number)) {
      if (OF_THE_TERMINAL.has(number)) modes.private.set(number, isSet)
      else if (OFF_AT_FIRST.has(number)) {
        if (isSet) modes.private.set(number, true)
        else modes.private.delete(number)
      }
      if (ALTERNATE_SCREENS.has(number)) modes.alternate = isSet
    }
  } else if (prefix === ">" && final === 0x6d) {
    const [resource, value = ""] = parameters.split(";")
    if (resource === "4" || resource === "") modes.modifyOtherKeys = Math.min(Number(value) || 0, 3)
  } else if (prefix !== "" && prefix !== "?" && final === 0x75) {
    noteKeyboard(modes.keyboard[modes.alternate ? 1 : 0], prefix, parameters.split(";").map(Number))
  }
}

const noteKeyboard = (stack: Array<number>, prefix: string, [first = 0, second = 0]: ReadonlyArray<number>): void => {
  const flags = Math.min(first || 0, FLAGS_MAX)
  if (prefix === ">") {
    stack.push(flags)
    if (stack.length > STACK_MAX) stack.shift()
  } else if (prefix === "<") {
    for (let left = Math.max(first, 1); left > 0 && stack.length > 0; left--) stack.pop()
    if (stack.length === 0) stack.push(0)
  } else if (prefix === "=") {
    const current = stack.pop() ?? 0
    stack.push(second === 2 ? current | flags : second === 3 ? current & ~flags : flags)
  }
}

/** A full reset (RIS). */
export const clearInputModes = (modes: InputModes): void => {
  Object.assign(modes, makeInputModes())
}

/** What belongs to the terminal as a whole; nothing where nothing was set. */
export const inputModeSequences = (modes: SavedInputModes): string => {
  const privates = modes.private.map(([number, isSet]) => `\x1b[?${number}${isSet ? "h" : "l"}`)
  return privates.join("") + (modes.modifyOtherKeys === 0 ? "" : `\x1b[>4;${modes.modifyOtherKeys}m`)
}

/** One screen's keyboard stack, on that screen. A terminal that was never asked for the protocol is not told of it. */
export const keyboardSequences = (stack: ReadonlyArray<number>): string => {
  const [base, ...pushed] = stack
  if (base === undefined || (base === 0 && pushed.length === 0)) return ""
  return `\x1b[<${STACK_MAX}u\x1b[=${base};1u${pushed.map((flags) => `\x1b[>${flags}u`).join("")}`
}

export interface SavedInputModes {
  readonly private: ReadonlyArray<readonly [number, boolean]>
  readonly modifyOtherKeys: number
  readonly keyboard: readonly [ReadonlyArray<number>, ReadonlyArray<number>]
  readonly alternate: boolean
}

/** In an order of its own, so that equal modes are equal as JSON; undefined where nothing was ever set. */
export const saveInputModes = (modes: InputModes): SavedInputModes | undefined => {
  const { alternate, keyboard, modifyOtherKeys } = modes
  const isPlain = keyboard.every((stack) => stack.length === 1 && stack[0] === 0)
  if (isPlain && modes.private.size === 0 && modifyOtherKeys === 0 && !alternate) return undefined
  return {
    private: [...modes.private].sort(([one], [other]) => one - other),
    modifyOtherKeys,
    keyboard: [[...keyboard[0]], [...keyboard[1]]],
    alternate
  }
}

export const restoreInputModes = (saved: SavedInputModes | undefined): InputModes =>
  saved === undefined
    ? makeInputModes()
    : {
        private: new Map(saved.private),
        modifyOtherKeys: saved.modifyOtherKeys,
        keyboard: [[...saved.keyboard[0]], [...saved.keyboard[1]]],
        alternate: saved.alternate
      }
