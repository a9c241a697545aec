/** The driver of each language, and which language a program speaks as far as its name says. Pure. */
import type { Language } from "../../journal/Event.ts"
import { bashDriver } from "./BashDriver.ts"
import type { Driver } from "./Driver.ts"
import { nodeDriver } from "./NodeDriver.ts"
import { pythonDriver } from "./PythonDriver.ts"
import { zshDriver } from "./ZshDriver.ts"

const drivers: Readonly<Record<Language, Driver>> = {
  bash: bashDriver,
  zsh: zshDriver,
  python: pythonDriver,
  node: nodeDriver
}

export const driverOf = (language: Language): Driver => drivers[language]

/** `/usr/bin/python3.12` is python; a name that says nothing is undefined. */
export const languageOf = (shell: string): Language | undefined => {
  const name = shell.slice(shell.lastIndexOf("/") + 1)
  if (name === "bash" || name === "zsh" || name === "node") return name
  return /^python(3(\.\d+)?)?$/.test(name) ? "python" : undefined
}
