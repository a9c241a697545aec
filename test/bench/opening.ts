/**
 * Opening a store with a long history and looking at one session of it, beside a store with nearly none: opening must
 * not depend on the history. As a reader (no engine) and as the engine process until it is ready.
 */
import { figure, median, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

const ROUNDS = 7
const AIM_MILLIS = 200
/** Sessions and events of each. */
const HISTORIES = [
  ["1 session x 10 events", 1, 10],
  ["1,000 sessions x 1,000 events", 1000, 1000],
  ["1 session x 1,000,000 events", 1, 1_000_000]
] as const

interface Opened {
  readonly name: string
  readonly store: Store
  readonly session: string
  readonly looks: Array<Steps>
  readonly starts: Array<number>
}

interface Steps {
  readonly open: number
  readonly get: number
  readonly show: number
  readonly list: number
  readonly screen: string
}

export const opening = async (workspace: Workspace): Promise<Report> => {
  const histories: Array<Opened> = []
  for (const [name, sessions, events] of HISTORIES) {
    const store = new Store(workspace, workspace.newFolder("opening"))
    const { middle } = await workspace.program<{ middle: string }>("buildStore", [
      store.paths.store,
      String(sessions),
      String(events)
    ])
    histories.push({ name, store, session: middle, looks: [], starts: [] })
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { looks, session, starts, store } of histories) {
      looks.push(await workspace.program<Steps>("openStore", [store.paths.store, session]))
      starts.push(await store.start())
      await store.stop()
    }
  }
  const middle = (samples: ReadonlyArray<number>) => figure(median(samples))
  const of = (looks: ReadonlyArray<Steps>, step: "open" | "get" | "show" | "list") => looks.map((look) => look[step])
  const aims = histories.flatMap(({ looks, name, starts }) => {
    const opened = median(of(looks, "open"))
    const started = median(starts)
    return [
      {
        aim: `${name}: opening takes less than ${AIM_MILLIS} ms`,
        measured: `${figure(opened)} ms`,
        holds: opened < AIM_MILLIS
      },
      {
        aim: `${name}: an engine is ready within ${AIM_MILLIS} ms of what the smallest store takes`,
        measured: `${figure(started - median(histories[0]!.starts))} ms more`,
        holds: started - median(histories[0]!.starts) < AIM_MILLIS
      }
    ]
  })
  return {
    tables: [
      {
        title: "Opening a store, milliseconds",
        columns: ["history", "open", "get one", "show one, first", "show one, later", "list", "engine ready"],
        rows: histories.map(({ looks, name, starts }) => [
          name,
          middle(of(looks, "open")),
          middle(of(looks, "get")),
          figure(looks[0]!.show),
          middle(of(looks.slice(1), "show")),
          middle(of(looks, "list")),
          middle(starts)
        ])
      }
    ],
    aims,
    notes: [
      `median of ${ROUNDS} rounds, each in a new process; the first look at a session's screen leaves a snapshot`,
      `screens: ${[...new Set(histories.flatMap(({ looks }) => looks.map(({ screen }) => screen)))].join(", ")}`
    ]
  }
}
