/**
 * The thread that draws: one for all sessions of a process, started and watched by ScreenService.ts, which decides what
 * it holds and ends it when it does not answer. It owns emulators and nothing else: no journal, no file, no terminal.
 * It runs from its source and as `screen-worker.js` beside the bundled program.
 */
// First: loading the rest gives way too.
import "./BackgroundThread.ts"
import { parentPort } from "node:worker_threads"
import type { TerminalSize } from "../journal/Event.ts"
import { Screen, type ScreenContent, type ScreenRedraw, type ScreenRedrawOptions } from "./Screen.ts"
import type { PictureArea, ScreenPicture } from "./ScreenPicture.ts"

/** What is drawn in order: bytes, or a new size. */
export type ScreenStep = Uint8Array | TerminalSize

export type ScreenRequest =
  | { readonly _tag: "Open"; readonly key: string; readonly size: TerminalSize }
  | { readonly _tag: "Restore"; readonly key: string; readonly snapshot: Uint8Array }
  | { readonly _tag: "Draw"; readonly key: string; readonly steps: ReadonlyArray<ScreenStep> }
  /** What `Screen.jump` takes. */
  | { readonly _tag: "Jump"; readonly key: string; readonly end: Uint8Array }
  | { readonly _tag: "View"; readonly key: string }
  | { readonly _tag: "Picture"; readonly key: string; readonly area: PictureArea | undefined }
  | { readonly _tag: "Redraw"; readonly key: string; readonly options: ScreenRedrawOptions }
  | { readonly _tag: "Serialize"; readonly key: string }
  | { readonly _tag: "Close"; readonly key: string }

export type ScreenAnswer =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Done"; readonly size: TerminalSize | null }
  | { readonly _tag: "Jumped"; readonly jumped: boolean }
  | { readonly _tag: "Content"; readonly content: ScreenContent }
  | { readonly _tag: "Pictured"; readonly picture: ScreenPicture }
  | { readonly _tag: "Redrawn"; readonly redraw: ScreenRedraw }
  | { readonly _tag: "Snapshot"; readonly snapshot: Uint8Array | undefined }
  /** No emulator of that key is here. */
  | { readonly _tag: "Missing" }
  /** The emulator or the snapshot threw. */
  | { readonly _tag: "Failed"; readonly reason: string }

const screens = new Map<string, Screen>()

/** Answers one request. Exported for tests that need no thread. */
export const answer = (request: ScreenRequest): ScreenAnswer => {
  try {
    if (request._tag === "Open") return put(request.key, new Screen(request.size))
    if (request._tag === "Restore") return put(request.key, Screen.restore(request.snapshot))
    const screen = screens.get(request.key)
    if (request._tag === "Close") {
      screen?.dispose()
      screens.delete(request.key)
      return { _tag: "Done", size: null }
    }
    if (screen === undefined) return { _tag: "Missing" }
    switch (request._tag) {
      case "Draw":
        for (const step of request.steps) {
          if (step instanceof Uint8Array) screen.feed(step)
          else screen.resize(step)
        }
        return { _tag: "Done", size: screen.size }
      case "Jump":
        return { _tag: "Jumped", jumped: screen.jump(request.end) }
      case "View":
        return { _tag: "Content", content: screen.view() }
      case "Picture":
        return { _tag: "Pictured", picture: screen.picture(request.area) }
      case "Redraw":
        return { _tag: "Redrawn", redraw: screen.redraw(request.options) }
      case "Serialize":
        return { _tag: "Snapshot", snapshot: screen.serialize() }
    }
  } catch (error) {
    return { _tag: "Failed", reason: error instanceof Error ? error.message : String(error) }
  }
}

const put = (key: string, screen: Screen): ScreenAnswer => {
  screens.get(key)?.dispose()
  screens.set(key, screen)
  return { _tag: "Done", size: screen.size }
}

if (parentPort !== null) {
  const port = parentPort
  port.on("message", (request: ScreenRequest) => {
    port.postMessage(answer(request))
  })
  port.postMessage({ _tag: "Ready" } satisfies ScreenAnswer)
}
