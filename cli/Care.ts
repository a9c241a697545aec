/** What the commands that look after a whole store load when they are used: no other command pays for it. */

export { parseVerifierKey } from "../journal/SignedNote.ts"
export { createKeyFile } from "../journal/StoreKey.ts"
export { backup } from "../src/care/Backup.ts"
export { doctor } from "../src/care/Doctor.ts"
export { importBackup } from "../src/care/Import.ts"
export { planRepair, repair } from "../src/care/Repair.ts"
export { checkBundles } from "../src/evidence/BundleCheck.ts"
export { storeKey } from "../src/evidence/Keys.ts"
export { readAnchor, verifyStore } from "../src/evidence/Verify.ts"
export { importRecording } from "../src/import/RecordingImporter.ts"
