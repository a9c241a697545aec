/**
 * The program of a node session (NodeDriver.ts writes the lines it reads): evaluates each command's text as the REPL does,
 * in the main context. Descriptors 0, 1 and 2 ARE the command's pipes while it runs, so that children with `inherit` and
 * native code are caught; in between they are the terminal. CommonJS, because the session's copy has no extension.
 * It never writes to a command's output but for errors and the reason why a command was not run.
 */
"use strict"
const fs = require("node:fs")
const inspector = require("node:inspector")
const { builtinModules, createRequire } = require("node:module")
const net = require("node:net")
const path = require("node:path")
const { Writable } = require("node:stream")
const tty = require("node:tty")
const util = require("node:util")
const vm = require("node:vm")

const folder = process.argv[2]
const VALUE_BYTES_MAX = 64 * 1024
const FUNCTIONS_LENGTH_MAX = 256 * 1024
/** Between two tries to write into a pipe that a child made non-blocking. */
const RETRY_MILLIS = 1
const { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants
// Of this session; user code may replace any of them.
const { closeSync, openSync, readFileSync, writeSync } = fs
const { inspect } = util
const exit = process.reallyExit.bind(process)
const cwdNow = process.cwd.bind(process)
const cell = new Int32Array(new SharedArrayBuffer(4))

const writeAll = (fd, data) => {
  let at = 0
  while (at < data.length) {
    try {
      at += writeSync(fd, data, at)
    } catch (error) {
      if (error.code !== "EAGAIN") throw error
      Atomics.wait(cell, 0, 0, RETRY_MILLIS)
    }
  }
}

// --- descriptors -----------------------------------------------------------------------------------------------------

/**
 * Makes `path` the descriptor `fd`. Node has no dup2; the kernel gives the lowest free number. An `fs.open` of user code
 * that runs in another thread at this very moment could take it: then nothing is right, and the session ends.
 */
const openAs = (fd, file, flags) => {
  try {
    closeSync(fd)
  } catch {
    // User code closed it.
  }
  const opened = openSync(file, flags | O_NOCTTY)
  if (opened !== fd) exit(70)
}

const terminal = () => {
  try {
    for (const fd of [0, 1, 2]) openAs(fd, "/dev/tty", O_RDWR)
  } catch {
    // Hung up: the host is gone, and nobody comes back to this process.
    exit(129)
  }
}

/** process.stdout and process.stderr: whatever the descriptor is at the moment of a write, at once and in order. */
class Descriptor extends Writable {
  constructor(fd) {
    super({ decodeStrings: true, highWaterMark: 1024 * 1024 })
    this.fd = fd
    this._type = "pipe"
  }
  _write(chunk, _encoding, done) {
    try {
      writeAll(this.fd, chunk)
    } catch {
      // Nobody reads any more. For a script that would be the end; here it is not.
    }
    done()
  }
  get isTTY() {
    return tty.isatty(this.fd) || undefined
  }
  get columns() {
    return this.isTTY ? this.getWindowSize()[0] : undefined
  }
  get rows() {
    return this.isTTY ? this.getWindowSize()[1] : undefined
  }
  getWindowSize() {
    return [80, 24]
  }
  getColorDepth(env) {
    return this.isTTY ? tty.WriteStream.prototype.getColorDepth.call(this, env) : 1
  }
  hasColors(count, env) {
    return this.isTTY ? tty.WriteStream.prototype.hasColors.call(this, count, env) : false
  }
  // As Node's own: they cannot be closed.
  end(chunk, encoding, done) {
    if (typeof chunk !== "function" && chunk !== undefined && chunk !== null) this.write(chunk, encoding)
    const after = [chunk, encoding, done].find((one) => typeof one === "function")
    if (after !== undefined) process.nextTick(after)
    return this
  }
  destroy() {
    return this
  }
}

const stdout = new Descriptor(1)
const stderr = new Descriptor(2)
for (const [name, stream] of [
  ["stdout", stdout],
  ["stderr", stderr]
]) {
  Object.defineProperty(process, name, { configurable: true, enumerable: true, writable: true, value: stream })
}

let stdin
const openStdin = () => (tty.isatty(0) ? new tty.ReadStream(0) : fs.createReadStream("", { fd: 0, autoClose: false }))
Object.defineProperty(process, "stdin", {
  configurable: true,
  enumerable: true,
  get: () => {
    if (stdin === undefined) {
      stdin = openStdin()
      stdin.fd = 0
    }
    return stdin
  }
})
const dropStdin = () => {
  try {
    stdin?.pause()
    stdin?.destroy()
  } catch {
    // It was not ours to begin with.
  }
  stdin = undefined
}

// --- frames ----------------------------------------------------------------------------------------------------------

const frames = (...all) => {
  let control
  try {
    // Nobody reads: the host is gone.
    control = openSync(path.join(folder, "control"), O_WRONLY | O_NONBLOCK)
  } catch {
    exit(129)
  }
  const text = all.map(([tag, ...fields]) => {
    const shown = fields.map((one) => `${String(one).replaceAll("\0", "")}\0`).join("")
    return `${tag}:${fields.length}\0${shown}`
  })
  try {
    writeAll(control, Buffer.from(text.join("")))
  } catch {
    exit(129)
  }
  closeSync(control)
}

const cwd = () => {
  try {
    return cwdNow()
  } catch {
    return process.env.PWD ?? ""
  }
}

// --- text ------------------------------------------------------------------------------------------------------------

/**
 * Code with everything that is not code (strings, comments, templates, regular expressions) made blank, at the same length:
 * what is found in it is found in the code. A slash after a value divides; after anything else it begins a pattern.
 */
const codeOnly = (source) => {
  const out = source.split("")
  const blank = (from, to) => {
    for (let at = from; at < to; at += 1) if (out[at] !== "\n") out[at] = " "
  }
  const templates = []
  let at = 0
  let depth = 0
  let last = ""
  const skip = (pattern) => {
    pattern.lastIndex = at
    const end = pattern.test(source) ? pattern.lastIndex : source.length
    blank(at, end)
    at = end
  }
  const template = () => {
    const pattern = /(?:[^\\`$]|\\[\s\S]|\$(?!\{))*(`|\$\{)/y
    pattern.lastIndex = at
    const found = pattern.exec(source)
    const end = found === null ? source.length : pattern.lastIndex
    blank(at, end)
    at = end
    if (found?.[1] === "${") {
      templates.push(depth)
      depth += 1
    }
  }
  while (at < source.length) {
    const char = source[at]
    const two = source.slice(at, at + 2)
    if (two === "//") skip(/[^\n]*/y)
    else if (two === "/*") skip(/\/\*[\s\S]*?\*\//y)
    else if (char === '"') skip(/"(?:[^"\\\n]|\\[\s\S])*"?/y)
    else if (char === "'") skip(/'(?:[^'\\\n]|\\[\s\S])*'?/y)
    else if (char === "`") {
      blank(at, at + 1)
      at += 1
      template()
      last = "x"
      continue
    } else if (char === "}" && templates.at(-1) === depth - 1) {
      templates.pop()
      depth -= 1
      blank(at, at + 1)
      at += 1
      template()
      continue
    } else if (char === "/" && !/[\w$)\]}]/.test(last)) skip(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y)
    else {
      if (char === "{") depth += 1
      if (char === "}") depth -= 1
      if (!/\s/.test(char)) last = char
      at += 1
      continue
    }
    if (two !== "//" && two !== "/*") last = "x"
  }
  return out.join("")
}

/** `import(...)` has no module that it could be relative to in evaluated text: ours is relative to the directory. */
const withImportCalls = (source) => {
  if (!source.includes("import")) return source
  const code = codeOnly(source)
  let result = ""
  let from = 0
  for (const { index } of code.matchAll(/(?<![.\w$])(?<!\.\s*)import(?=\s*\()/g)) {
    result += `${source.slice(from, index)}__reprise_import`
    from = index + "import".length
  }
  return result + source.slice(from)
}

const STATIC_IMPORT =
  /^[ \t]*import\s*(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)\s*|\{([^}]*)\}\s*)?(?:from\s*)?(['"])([^'"\n]+)\4(?:\s*with\s*(\{[^}]*\}))?[ \t]*;?/gm

/** Import statements as what the REPL's users write instead of them. */
const withoutStaticImports = (source) => {
  const code = codeOnly(source)
  return source.replace(STATIC_IMPORT, (statement, whole, all, names, _quote, specifier, attributes, index) => {
    // Within a string or a comment it is text.
    if (
      code
        .slice(index, index + statement.length)
        .trimStart()
        .slice(0, 6) !== "import"
    )
      return statement
    const loaded = `await __reprise_import(${JSON.stringify(specifier)}${attributes ? `, { with: ${attributes} }` : ""})`
    const parts = []
    if (whole !== undefined) parts.push(`default: ${whole}`)
    if (names !== undefined) parts.push(names.replace(/([\w$]+)\s+as\s+([\w$]+)/g, "$1: $2"))
    const lines = []
    if (all !== undefined) {
      lines.push(`const ${all} = ${loaded};`)
      if (whole !== undefined) lines.push(`const ${whole} = ${all}.default;`)
    } else lines.push(parts.length === 0 ? `${loaded};` : `const { ${parts.join(", ")} } = ${loaded};`)
    return lines.join(" ")
  })
}

const imports = new Set()
const REQUIRED = /^(?:const|let|var)\s+[\w$\s{},:]+=\s*(?:require|await\s+import)\(\s*(['"])[^'"\n]+\1\s*\)[ \t]*;?/gm
const noteImports = (source) => {
  if (!/import|require/.test(source)) return
  const code = codeOnly(source)
  for (const pattern of [STATIC_IMPORT, REQUIRED]) {
    for (const { 0: statement, index } of source.matchAll(pattern)) {
      const begins = code.slice(index, index + statement.length).trimStart()
      if (/^(import|const|let|var)/.test(begins)) imports.add(statement.trim())
    }
  }
}

// --- evaluation ------------------------------------------------------------------------------------------------------

const session = new inspector.Session()
session.connect()
const post = (method, parameters) =>
  new Promise((resolve, reject) => {
    session.post(method, parameters, (error, result) => (error ? reject(error) : resolve(result)))
  })

const hidden = (target, name, value) => {
  Object.defineProperty(target, name, { configurable: true, enumerable: false, writable: true, value })
}

const importer = (directory) => {
  const filename = path.join(directory, "session")
  const loader = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER
  if (loader === undefined) {
    const resolve = createRequire(filename).resolve
    return (specifier) => import(builtinModules.includes(specifier) ? specifier : resolve(specifier))
  }
  const script = new vm.Script("(specifier, options) => import(specifier, options)", {
    filename,
    importModuleDynamically: loader
  })
  return script.runInThisContext()
}
let importing = { directory: undefined, call: undefined }
hidden(globalThis, "__reprise_import", (specifier, options) => {
  const directory = cwd()
  if (importing.directory !== directory) importing = { directory, call: importer(directory) }
  return importing.call(specifier, options)
})
const requireHere = () => createRequire(path.join(cwd(), "session"))
const userRequire = (id) => requireHere()(id)
userRequire.resolve = (...all) => requireHere().resolve(...all)
userRequire.cache = require.cache
userRequire.main = undefined
userRequire.extensions = require.extensions
hidden(globalThis, "require", userRequire)

const initialGlobals = new Set(Object.getOwnPropertyNames(globalThis))
const state = () => {
  const functions = {}
  let total = 0
  for (const name of Object.keys(globalThis)) {
    if (initialGlobals.has(name)) continue
    const { value } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {}
    if (typeof value !== "function") continue
    const source = Function.prototype.toString.call(value)
    if (total + source.length > FUNCTIONS_LENGTH_MAX || /\{ \[native code\] \}$/.test(source)) continue
    functions[name] = source
    total += source.length
  }
  return JSON.stringify({ cwd: cwd(), env: { ...process.env }, functions, imports: [...imports] })
}

/** Thrown by `process.exit` to end what runs; the code is kept apart, for who catches it. */
class Exit extends Error {}
let exitCode
let leave = () => {}
process.exit = (code) => {
  exitCode = Number(code ?? process.exitCode ?? 0) & 0xff
  process.exitCode = undefined
  leave()
  throw new Exit(`process.exit(${exitCode})`)
}

/** What a frame of ours or of Node's loader says is of no use to who wrote the text. */
const withoutOurFrames = (error) => {
  if (!util.types.isNativeError(error) || typeof error.stack !== "string") return error
  const lines = error.stack.split("\n")
  const ours = lines.findIndex((line) => /^\s+at evalmachine\.<anonymous>:1:1$/.test(line))
  const isForeign = (line) =>
    /^\s+at /.test(line) && (line.includes(folder) || /node:(internal|inspector|vm)/.test(line))
  try {
    error.stack = (ours < 0 ? lines : lines.slice(0, ours)).filter((line) => !isForeign(line)).join("\n")
  } catch {
    // A frozen error keeps its frames.
  }
  return error
}

const shown = (value) => {
  try {
    return inspect(value)
  } catch (error) {
    return `(it cannot be shown: ${error?.message})`
  }
}
const report = (prefix, error) => {
  if (error instanceof Exit) return
  stderr.write(`${prefix} ${shown(withoutOurFrames(error))}\n`)
}
process.on("uncaughtException", (error) => report("Uncaught", error))
process.on("unhandledRejection", (error) => report("Uncaught (in promise)", error))
// A late Ctrl-C ends nothing.
process.on("SIGINT", () => interrupt())
let interrupt = () => {}

// A value of the evaluation, handed to us by the inspector: in the same process, so it need not be serialized.
let taken
const take = async (remote) => {
  if (remote.objectId === undefined) {
    if ("value" in remote) return remote.value
    if (remote.type === "undefined") return undefined
    const number = /^(-?\d+)n$/.exec(remote.unserializableValue ?? "")
    return number === null ? Number(remote.unserializableValue) : BigInt(number[1])
  }
  hidden(globalThis, "__reprise_taken", (value) => {
    taken = value
  })
  await post("Runtime.callFunctionOn", {
    objectId: remote.objectId,
    functionDeclaration: "function () { globalThis.__reprise_taken(this) }"
  })
  delete globalThis.__reprise_taken
  post("Runtime.releaseObject", { objectId: remote.objectId }).catch(() => {})
  const value = taken
  taken = undefined
  // A symbol comes boxed.
  return remote.type === "symbol" ? value.valueOf() : value
}

const evaluateOnce = (expression) =>
  new Promise((resolve) => {
    const parameters = { expression, replMode: true, awaitPromise: true, userGesture: true }
    hidden(globalThis, "__reprise_run", () => {
      session.post("Runtime.evaluate", parameters, (error, result) => {
        if (!error) resolve(result)
        else resolve(/terminated|Cannot find context/.test(error.message) ? { interrupted: true } : { error })
      })
    })
    try {
      vm.runInThisContext("__reprise_run()", { breakOnSigint: true })
    } catch (error) {
      resolve(error?.code === "ERR_SCRIPT_EXECUTION_INTERRUPTED" ? { interrupted: true } : { error })
    } finally {
      delete globalThis.__reprise_run
    }
  })

const IMPORT_REFUSED = /^SyntaxError: (Cannot use import statement|Unexpected (identifier|token)|import)/
const evaluate = async (source) => {
  const result = await evaluateOnce(withImportCalls(source))
  const description = result.exceptionDetails?.exception?.description ?? ""
  // It did not even parse: nothing of it has run.
  if (!IMPORT_REFUSED.test(description)) return result
  const rewritten = withoutStaticImports(source)
  return rewritten === source ? result : evaluateOnce(withImportCalls(rewritten))
}
/** For the programs of `restore`. */
hidden(process, Symbol.for("reprise.evaluate"), async (source) => {
  const { error, exceptionDetails } = await evaluate(source)
  if (error) throw error
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
  noteImports(source)
})
const VALUE = Symbol.for("reprise.value")

const run = async (source) => {
  exitCode = undefined
  process.exitCode = undefined
  const exited = new Promise((resolve) => {
    leave = () => resolve({ exited: true })
  })
  const interrupted = new Promise((resolve) => {
    interrupt = () => resolve({ interrupted: true })
  })
  const result = await Promise.race([evaluate(source), exited, interrupted])
  leave = interrupt = () => {}
  if (exitCode !== undefined) return { code: exitCode, status: "exited" }
  if (result.interrupted) return { code: 130, status: "interrupted" }
  noteImports(source)
  if (result.error) {
    report("Uncaught", result.error)
    return { code: 1, status: "completed" }
  }
  if (result.exceptionDetails) {
    const { exception, text } = result.exceptionDetails
    report("Uncaught", exception === undefined ? text : await take(exception))
    return { code: 1, status: "completed" }
  }
  const value = await take(result.result)
  return { code: 0, status: "completed", value: value === undefined ? undefined : shown(value) }
}

const cut = (text) => {
  const bytes = Buffer.from(text)
  if (bytes.length <= VALUE_BYTES_MAX) return text
  let end = VALUE_BYTES_MAX
  while ((bytes[end] & 0xc0) === 0x80) end -= 1
  return bytes.toString("utf8", 0, end)
}

/** Sets directory and variables of a command; answers with what puts them back. */
const own = (command) => {
  const before = { ...process.env }
  const directory = cwd()
  if (command.cwd !== null) process.chdir(command.cwd)
  Object.assign(process.env, command.env)
  return () => {
    for (const name of Object.keys(command.env)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
    if (command.cwd === null) return
    try {
      process.chdir(directory)
    } catch {
      // It is gone.
    }
  }
}

const serve = async (command) => {
  let result = { code: 1, status: "completed" }
  try {
    openAs(0, command.stdin, O_RDONLY)
    openAs(1, command.stdout, O_WRONLY)
    openAs(2, command.stderr, O_WRONLY)
    let restore
    try {
      restore = own(command)
    } catch (error) {
      stderr.write(`the command was not run: ${command.cwd}: ${error.code}\n`)
      result = { code: 1, status: "refused" }
    }
    if (restore !== undefined) {
      result = await run(readFileSync(command.source, "utf8"))
      restore()
    }
  } catch (error) {
    report("Uncaught", error)
  }
  const handed = process[VALUE]
  delete process[VALUE]
  dropStdin()
  terminal()
  if (command.mark !== "") writeAll(1, Buffer.from(`\x1b]633;D;${command.mark}\x07`))
  const value = handed ?? result.value
  frames(
    ["state", state()],
    ["end", command.exec, result.code, result.status, cwd(), value === undefined ? "" : "1", cut(value ?? "")]
  )
}

process.argv.length = 1
const pipe = new net.Socket({
  fd: openSync(path.join(folder, "command"), O_RDONLY | O_NONBLOCK),
  readable: true,
  writable: false
})
let rest = ""
let turn = Promise.resolve()
pipe.setEncoding("utf8")
pipe.on("data", (text) => {
  const lines = (rest + text).split("\n")
  rest = lines.pop()
  for (const line of lines) turn = turn.then(() => serve(JSON.parse(line)))
})
// The host was its only writer.
pipe.on("close", () => exit(129))
frames(["ready", process.pid, "start"])
