/**
 * Closes a test run with one plain line of numbers, `N passed, N failed`, for whoever reads a log by machine; vitest's own
 * summary stands above it. In CI (the variable `CI`) nothing may be skipped: a test that is, because its program is not
 * installed or a mount is not allowed, is named and counts as failed there. It changes no test.
 */
import type { Reporter, SerializedError, TestModule } from "vitest/node"

/** `CI=false` and `CI=` mean no, as elsewhere. */
const isCi = !["", "0", "false"].includes(process.env.CI ?? "")

export default class CountingReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): void {
    let passed = 0
    let failed = unhandled.length
    const skipped: Array<string> = []
    for (const module of modules) {
      let failedHere = 0
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === "passed") passed += 1
        else if (state === "failed") failedHere += 1
        else skipped.push(`${module.relativeModuleId}: ${test.fullName}`)
      }
      // A file that could not be loaded, or a hook that failed, has no failed test to show for it.
      failed += failedHere === 0 && !module.ok() ? 1 : failedHere
    }
    if (isCi && skipped.length > 0) {
      console.log(`\nSkipped, which in CI is a failure:\n${skipped.map((name) => `  ${name}`).join("\n")}`)
      failed += skipped.length
      process.exitCode = 1
    }
    console.log(
      `\n${passed} passed, ${failed} failed${!isCi && skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`
    )
  }
}
