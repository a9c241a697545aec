/** The engine process, as it is started: what it loads is compiled once and kept. Everything else is `engineMain.ts`. */
import { keepCompiledCode, writeCompiledCodeSoon } from "../CompiledCode.ts"

keepCompiledCode()
writeCompiledCodeSoon()
await import("./engineMain.ts")
