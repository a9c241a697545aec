/**
 * The script of an exported page: connects the controls of PlayerMarkup.ts with the playback, the screen and the search.
 * It asks nothing of a network, keeps nothing, and shows what is in the page. All text of the session goes in as text.
 */
import type { PlayerMark } from "../PlayerFormat.ts"
import { Emulator } from "./Emulator.ts"
import { Playback } from "./Playback.ts"
import { lastAtMost, PlayerFile } from "./PlayerFile.ts"
import { ScreenRows } from "./ScreenRows.ts"
import { HITS_MAX, type Hit, searchText } from "./TextSearch.ts"

/** Marks and hits that a list begins with, and that "Show more" adds: thousands of elements make a page slow. */
const LIST_STEP = 300
/** Marks on the seek bar: more cannot be told apart there. */
const TICKS_MAX = 400
const FONT_PIXELS_MIN = 6
const FONT_PIXELS_MAX = 16
const SECOND = 1_000_000
const THEMES = ["system", "light", "dark"] as const

const element = <E extends HTMLElement = HTMLElement>(id: string): E => document.getElementById(id) as E

/** Hours only where there are some, a tenth of a second always. */
const clock = (micros: number): string => {
  const tenths = Math.floor(micros / 100_000)
  const seconds = Math.floor(tenths / 10)
  const two = (value: number) => String(value).padStart(2, "0")
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor(seconds / 60) % 60
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}.${tenths % 10}`
}

const duration = (micros: number): string =>
  micros < SECOND
    ? `${Math.round(micros / 1000)} ms`
    : micros < 60 * SECOND
      ? `${(micros / SECOND).toFixed(1)} s`
      : clock(micros)

class Page {
  readonly #file: PlayerFile
  readonly #playback: Playback
  readonly #rows: ScreenRows
  readonly #emulator: Emulator
  readonly #commands: ReadonlyArray<PlayerMark>
  readonly #others: ReadonlyArray<PlayerMark>
  readonly #gaps: ReadonlyArray<PlayerMark>
  #markButtons: Array<HTMLElement> = []
  #current: HTMLElement | undefined
  #hits: ReadonlyArray<Hit> = []
  #hit = -1
  #search = 0
  #searched = ""
  #cols = 0
  #theme = 0
  #isStarted = false

  constructor(file: PlayerFile) {
    const { marks, scrollback, size } = file.index
    this.#file = file
    this.#emulator = new Emulator(size, scrollback)
    this.#rows = new ScreenRows(element("screen"), this.#emulator)
    this.#playback = new Playback(file, this.#emulator, () => this.#show(), fail)
    this.#commands = marks.filter(({ kind }) => kind === "command")
    this.#others = marks.filter(({ kind }) => kind !== "command")
    this.#gaps = marks.filter(({ kind }) => kind === "gap")
  }

  async start(): Promise<void> {
    const { endTime, marks, marksLeftOut, notices } = this.#file.index
    const all = marksLeftOut === 0 ? notices : [...notices, `${marksLeftOut} more commands and markers are not listed`]
    element("notices").append(...all.map((text) => withText("p", "missing", text)))
    element<HTMLInputElement>("seek").max = String(Math.ceil(endTime / 1000))
    element("marks-title").hidden = marks.length === 0
    this.#addTicks()
    this.#addMarks()
    this.#listen()
    element("views").hidden = false
    this.#view(true)
    const event = /^#event=(\d{1,15})$/.exec(location.hash)?.[1]
    if (event === undefined) await this.#playback.seekRecord(firstScreen(this.#file))
    else await this.#seekEvent(Number(event))
    this.#isStarted = true
    this.#show()
  }

  /** The screen after an event. */
  async #seekEvent(sequence: number): Promise<void> {
    const { parts } = this.#file.index
    let low = 0
    for (let high = parts.length; low < high; ) {
      const middle = (low + high) >>> 1
      const { header } = await this.#file.part(middle)
      if (header.sequence < sequence) low = middle + 1
      else high = middle
    }
    const number = Math.max(0, low - 1)
    if (parts.length === 0) return
    const { first, records } = await this.#file.part(number)
    await this.#playback.seekRecord(first + records.filter((record) => record.sequence <= sequence).length)
  }

  #listen(): void {
    const playback = this.#playback
    const on = (id: string, run: () => void) => element(id).addEventListener("click", run)
    on("play", () => this.#toggle())
    on("back", () => this.#step(-1))
    on("on", () => this.#step(1))
    on("previous-command", () => this.#toMark(this.#commands, -1))
    on("next-command", () => this.#toMark(this.#commands, 1))
    on("previous-marker", () => this.#toMark(this.#others, -1))
    on("next-marker", () => this.#toMark(this.#others, 1))
    on("copy", () => this.#copy())
    on("theme", () => this.#nextTheme())
    on("full", () => this.#full())
    on("help", () => element<HTMLDialogElement>("keys").showModal())
    on("more", () => this.#addMarks())
    on("search-go", () => this.#find())
    on("hit-next", () => this.#toHit(1))
    on("hit-previous", () => this.#toHit(-1))
    on("tab-player", () => this.#view(true))
    on("tab-transcript", () => this.#view(false))
    element("views").addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return
      this.#view(element("player").hidden !== false)
      element(element("player").hidden ? "tab-transcript" : "tab-player").focus()
      event.preventDefault()
      event.stopPropagation()
    })
    const seek = element<HTMLInputElement>("seek")
    seek.addEventListener("input", () => void playback.seekTime(Number(seek.value) * 1000))
    const speed = element<HTMLSelectElement>("speed")
    speed.addEventListener("change", () => {
      playback.speed = Number(speed.value)
    })
    const idle = element<HTMLInputElement>("idle")
    idle.addEventListener("change", () => {
      playback.isIdleLeftOut = idle.checked
    })
    element("find").addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#find()
    })
    document.addEventListener("keydown", (event) => this.#onKey(event))
    window.addEventListener("resize", () => this.#fit())
    document.addEventListener("fullscreenchange", () => this.#fit())
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || element<HTMLDialogElement>("keys").open) return
    const target = event.target as HTMLElement
    const isTyping = target instanceof HTMLInputElement && target.type === "search"
    if (isTyping) {
      if (event.key === "Escape") target.blur()
      return
    }
    if (event.key === "t") {
      this.#view(element("player").hidden !== false)
      event.preventDefault()
      return
    }
    if (element("player").hidden) return
    // A button or a choice that has the focus keeps its own keys.
    if (event.key === " " && target instanceof HTMLButtonElement) return
    if (event.key === " " && target instanceof HTMLInputElement && target.type === "checkbox") return
    if (target instanceof HTMLSelectElement && /^(Arrow|Home|End| |[0-9.])/.test(event.key)) return
    if (this.#runKey(event.key, event.shiftKey)) event.preventDefault()
  }

  #runKey(key: string, isShift: boolean): boolean {
    const playback = this.#playback
    if (/^[0-9]$/.test(key)) {
      void playback.seekTime((playback.endTime * Number(key)) / 10)
      return true
    }
    const leap = (isShift ? 60 : 5) * SECOND
    const keys: Readonly<Record<string, () => void>> = {
      " ": () => this.#toggle(),
      ",": () => this.#step(-1),
      ".": () => this.#step(1),
      ArrowLeft: () => void playback.seekTime(playback.time - leap),
      ArrowRight: () => void playback.seekTime(playback.time + leap),
      Home: () => void playback.seekTime(0),
      End: () => void playback.seekTime(playback.endTime),
      "[": () => this.#toMark(this.#commands, -1),
      "]": () => this.#toMark(this.#commands, 1),
      "{": () => this.#toMark(this.#others, -1),
      "}": () => this.#toMark(this.#others, 1),
      "<": () => this.#faster(-1),
      ">": () => this.#faster(1),
      i: () => element("idle").click(),
      "/": () => element("find").focus(),
      n: () => this.#toHit(1),
      N: () => this.#toHit(-1),
      c: () => this.#copy(),
      f: () => this.#full(),
      d: () => this.#nextTheme(),
      "?": () => element<HTMLDialogElement>("keys").showModal()
    }
    const run = Object.hasOwn(keys, key) ? keys[key] : undefined
    run?.()
    return run !== undefined
  }

  #toggle(): void {
    if (this.#playback.isPlaying) this.#playback.pause()
    else this.#playback.play()
  }

  #step(by: -1 | 1): void {
    this.#playback.pause()
    void this.#playback.seekRecord(this.#playback.record + by)
  }

  #faster(by: -1 | 1): void {
    const speed = element<HTMLSelectElement>("speed")
    speed.selectedIndex = Math.min(Math.max(0, speed.selectedIndex + by), speed.options.length - 1)
    this.#playback.speed = Number(speed.value)
  }

  #toMark(marks: ReadonlyArray<PlayerMark>, by: -1 | 1): void {
    const { record, time } = this.#playback
    const isBefore = (mark: PlayerMark) => mark.record < record || (mark.record === record && mark.time < time)
    const isAfter = (mark: PlayerMark) => mark.record > record || (mark.record === record && mark.time > time)
    const mark = by === 1 ? marks.find(isAfter) : marks.findLast(isBefore)
    if (mark === undefined) return
    this.#playback.pause()
    void this.#playback.seekMark(mark)
  }

  #find(): void {
    const text = element<HTMLInputElement>("find").value
    if (text !== "" && text === this.#searched) {
      this.#toHit(1)
      return
    }
    this.#searched = text
    this.#rows.wanted = text.toLowerCase()
    this.#hits = []
    this.#hit = -1
    element("results").replaceChildren()
    element("results").hidden = true
    const search = ++this.#search
    this.#show()
    element("hits").textContent = ""
    if (text === "") return
    const found = (hits: ReadonlyArray<Hit>, done: number) => {
      if (search !== this.#search) return
      this.#hits = hits
      this.#addResults()
      const count = `${hits.length >= HITS_MAX ? `the first ${HITS_MAX}` : hits.length} found`
      element("hits").textContent =
        done < 1 && hits.length < HITS_MAX ? `${count}, ${Math.floor(done * 100)}% searched` : count
      if (this.#hit < 0 && hits.length > 0) this.#toHit(1)
    }
    searchText(this.#file, text, found, () => search !== this.#search).catch(fail)
  }

  #addResults(): void {
    const results = element("results")
    for (let at = results.childElementCount; at < Math.min(this.#hits.length, LIST_STEP); at++) {
      const hit = this.#hits[at]!
      results.append(
        item([withText("span", "", clock(hit.time)), withText("span", "what", hit.line)], () => this.#showHit(at))
      )
    }
    results.hidden = this.#hits.length === 0
  }

  /** From where the player is: the next one after it, or before it. */
  #toHit(by: -1 | 1): void {
    if (this.#hits.length === 0) return
    const next = this.#hit < 0 ? this.#hits.findIndex(({ record }) => record >= this.#playback.record) : this.#hit + by
    this.#showHit(this.#hit < 0 ? Math.max(0, next) : (next + this.#hits.length) % this.#hits.length)
  }

  #showHit(number: number): void {
    this.#hit = number
    this.#playback.pause()
    void this.#playback.seekRecord(this.#hits[number]!.record)
    for (const [at, one] of Array.from(element("results").children).entries()) {
      setCurrent(one.firstElementChild as HTMLElement, at === number)
    }
  }

  #addTicks(): void {
    const { endTime, marks } = this.#file.index
    if (endTime === 0) return
    const step = Math.max(1, Math.ceil(this.#commands.length / TICKS_MAX))
    const shown = [...this.#others.slice(0, TICKS_MAX), ...this.#commands.filter((_, index) => index % step === 0)]
    element("track").hidden = marks.length === 0
    for (const { kind, time } of shown) {
      const tick = document.createElement("i")
      tick.className = kind
      tick.style.left = `${(100 * time) / endTime}%`
      element("track").append(tick)
    }
  }

  #addMarks(): void {
    const { marks } = this.#file.index
    const from = this.#markButtons.length
    for (const mark of marks.slice(from, from + LIST_STEP)) {
      const label = mark.kind === "command" ? "" : `${mark.kind}: `
      const parts = [
        withText("span", "", clock(mark.time)),
        withText("span", mark.kind === "gap" ? "what gap" : "what", `${label}${mark.text}`)
      ]
      if (mark.kind === "command") {
        const outcome = mark.outcome ?? "how it ended is not known"
        parts.push(
          withText("span", mark.isGood === true ? "" : "bad", outcome.split(", then in ")[0]!.replace(/, \d+ ms$/, ""))
        )
        if (mark.durationMicros !== undefined) parts.push(withText("span", "", duration(mark.durationMicros)))
      }
      const one = item(parts, () => {
        this.#playback.pause()
        void this.#playback.seekMark(mark)
      })
      element("marks").append(one)
      this.#markButtons.push(one.firstElementChild as HTMLElement)
    }
    element("more").hidden = this.#markButtons.length >= marks.length
  }

  #nextTheme(): void {
    this.#theme = (this.#theme + 1) % THEMES.length
    const theme = THEMES[this.#theme]!
    document.documentElement.dataset.theme = theme
    element("theme").textContent = `Theme: ${theme}`
  }

  #full(): void {
    if (document.fullscreenElement !== null) void document.exitFullscreen()
    else
      element("player")
        .requestFullscreen()
        .catch(() => undefined)
  }

  #copy(): void {
    const text = `${this.#emulator.lines().join("\n").trimEnd()}\n`
    const done = () => {
      element("hits").textContent = "the screen's text is copied"
    }
    // A page from a file may not have the clipboard: then the way of old.
    const select = () => {
      const range = document.createRange()
      range.selectNodeContents(element("screen"))
      const selection = getSelection()
      selection?.removeAllRanges()
      selection?.addRange(range)
      if (document.execCommand("copy")) done()
    }
    if (navigator.clipboard === undefined) select()
    else navigator.clipboard.writeText(text).then(done, select)
  }

  #view(isPlayer: boolean): void {
    if (!isPlayer) this.#playback.pause()
    element("player").hidden = !isPlayer
    element("transcript").hidden = isPlayer
    for (const [id, isSelected] of [
      ["tab-player", isPlayer],
      ["tab-transcript", !isPlayer]
    ] as const) {
      element(id).setAttribute("aria-selected", String(isSelected))
      element(id).tabIndex = isSelected ? 0 : -1
    }
    if (isPlayer) this.#fit()
  }

  /** The largest font in which all columns are seen, within reason. */
  #fit(): void {
    const screen = element("screen")
    const stage = element("stage")
    if (stage.clientWidth === 0) return
    screen.style.fontSize = `${FONT_PIXELS_MAX}px`
    this.#cols = this.#emulator.size.cols
    screen.style.width = `${this.#cols}ch`
    const available = stage.clientWidth - 12
    const pixels = Math.floor(((FONT_PIXELS_MAX * available) / screen.offsetWidth) * 10) / 10
    screen.style.fontSize = `${Math.min(FONT_PIXELS_MAX, Math.max(FONT_PIXELS_MIN, pixels))}px`
  }

  #show(): void {
    const { endTime, isPlaying, record, sequence, time } = this.#playback
    const { records } = this.#file.index
    if (this.#emulator.size.cols !== this.#cols) this.#fit()
    this.#rows.draw()
    const seek = element<HTMLInputElement>("seek")
    seek.value = String(Math.round(time / 1000))
    seek.setAttribute("aria-valuetext", `${clock(time)} of ${clock(endTime)}`)
    const play = element("play")
    const label = isPlaying ? "Pause" : "Play"
    if (play.getAttribute("aria-label") !== label) {
      play.textContent = isPlaying ? "❚❚" : "▶"
      play.setAttribute("aria-label", label)
      play.title = label
    }
    const { cols, rows } = this.#emulator.size
    element("status").textContent =
      `${clock(time)} of ${clock(endTime)} · event ${sequence} · output ${record} of ${records} · ${cols}x${rows}`
    this.#showGap(record, time)
    this.#showCurrent(record, time)
    // For whoever waits for it: this much is on the screen.
    if (this.#isStarted) element("screen").dataset.record = String(record)
  }

  /** What is missing just here: until the output that comes after it. */
  #showGap(record: number, time: number): void {
    const at = lastAtMost(this.#gaps, record, (mark) => mark.record)
    const gap = this.#gaps[at]
    const isHere = gap !== undefined && gap.record <= record && record <= gap.record + 1 && gap.time <= time
    element("gap").hidden = !isHere
    element("gap").textContent = isHere ? gap.text : ""
  }

  #showCurrent(record: number, time: number): void {
    const { marks } = this.#file.index
    let at = lastAtMost(marks, record, (mark) => mark.record)
    while (at > 0 && marks[at]!.time > time) at--
    const mark = marks[at]
    const current = mark !== undefined && mark.record <= record && mark.time <= time ? this.#markButtons[at] : undefined
    if (current === this.#current) return
    if (this.#current !== undefined) setCurrent(this.#current, false)
    if (current !== undefined) setCurrent(current, true)
    this.#current = current
  }
}

/** Where there is something to see: at the first output, not before it. */
const firstScreen = ({ index }: PlayerFile): number => Math.min(1, index.records)

const setCurrent = (one: HTMLElement, isCurrent: boolean): void => {
  if (isCurrent) one.setAttribute("aria-current", "true")
  else one.removeAttribute("aria-current")
}

const withText = (name: string, className: string, text: string): HTMLElement => {
  const one = document.createElement(name)
  one.textContent = text
  if (className !== "") one.className = className
  return one
}

const item = (parts: ReadonlyArray<HTMLElement>, run: () => void): HTMLElement => {
  const one = document.createElement("li")
  const button = document.createElement("button")
  button.type = "button"
  button.append(...parts)
  button.addEventListener("click", run)
  one.append(button)
  return one
}

/** The transcript is still there to read. */
const fail = (error: unknown): void => {
  const failed = element("failed")
  failed.textContent = `The player cannot go on in this browser: ${error instanceof Error ? error.message : String(error)}`
  failed.hidden = false
  element("transcript").hidden = false
}

PlayerFile.open(document)
  .then((file) => new Page(file).start())
  .catch(fail)
