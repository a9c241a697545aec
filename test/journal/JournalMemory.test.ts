import { JournalMemory } from "../../journal/index.ts"
import { journalContract } from "../contracts/JournalContract.ts"

journalContract("memory", () => JournalMemory.layer)
