/** The engine process, as it is started: what it loads is compiled once and kept. Everything else is `engineMain.ts`. */
import { keepCompiledCode } from "../CompiledCode.ts"

keepCompiledCode()
await import("./engineMain.ts")
