/** zsh: how it is started, the line that runs a command in it, and what it says of its state; `driver.zsh` runs in it. */
import type { Driver, ShellState } from "./Driver.ts"
import { parseZshState, restoreShell } from "./ShellText.ts"

export const zshDriver: Driver = {
  language: "zsh",
  program: "driver.zsh",
  defaultShell: "zsh",
  argv: (shell, folder) => [shell, "-f", `${folder}/driver`],
  env: () => ({}),
  greeting: () => "",
  line: () => "\n",
  restore: (state: ShellState) => restoreShell(state, "zsh"),
  parseState: parseZshState
}
