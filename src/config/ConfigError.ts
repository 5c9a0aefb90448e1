/**
 * What can be wrong with a configuration: all problems at once, each in words that an operator can act on.
 *
 * An unknown key in a file is an error, because the file is ours alone. An unknown variable in the environment is a warning,
 * because other programs may use the same prefix.
 */
import * as Data from "effect/Data"

/**
 * One problem.
 *
 * - `reason`: `InvalidValue` for a value that its key does not accept, `Conflict` for two keys that contradict each other,
 *   `UnknownKey` for a key in a file that does not exist, `Syntax` for a file that cannot be understood at this place.
 * - `origin`: where the value was written, such as the environment variable, or file, line and column; for a default, the
 *   variable that would set it.
 * - `path`: the key, such as `listen.port`; empty where the problem belongs to no key.
 * - `expected` and `found`: the rest of "expected …, found …".
 * - `suggestion`: what may have been meant, if anything comes near.
 */
export interface ConfigProblem {
  readonly reason: "InvalidValue" | "Conflict" | "UnknownKey" | "Syntax"
  readonly origin: string
  readonly path: string
  readonly expected: string
  readonly found: string
  readonly suggestion?: string
}

/**
 * A configuration that cannot be used. The server does not start with it.
 *
 * `reason` is `Invalid` with at least one problem, or `SourceFailed` with none when a source could not be read; `detail`
 * says why then.
 */
export class ConfigError extends Data.TaggedError("ConfigError")<{
  readonly reason: "Invalid" | "SourceFailed"
  readonly problems: ReadonlyArray<ConfigProblem>
  readonly detail?: string
}> {
  override get message(): string {
    if (this.reason === "SourceFailed") return `the configuration could not be read: ${this.detail ?? "unknown cause"}`
    const count = this.problems.length
    return [
      `the configuration has ${count} problem${count === 1 ? "" : "s"}:`,
      ...this.problems.map((problem) => `  ${describe(problem)}`)
    ].join("\n")
  }
}

/**
 * A part of a source that was not understood and has no effect.
 *
 * - `origin`: what was written, such as the name of an environment variable.
 * - `suggestion`: what may have been meant, if anything comes near.
 */
export interface ConfigWarning {
  readonly origin: string
  readonly suggestion?: string
}

/** A problem as one line: origin, path, what was expected and what was found, and what may have been meant. */
export const describe = (problem: ConfigProblem): string =>
  [
    problem.origin,
    problem.path === "" ? "" : ` (${problem.path})`,
    `: expected ${problem.expected}, found ${problem.found}`,
    problem.suggestion === undefined ? "" : `; did you mean ${problem.suggestion}?`
  ].join("")

/** A warning as one sentence. */
export const describeWarning = (warning: ConfigWarning): string =>
  `${warning.origin} is not a setting and has no effect${
    warning.suggestion === undefined ? "" : `; did you mean ${warning.suggestion}?`
  }`
