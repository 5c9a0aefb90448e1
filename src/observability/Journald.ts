/**
 * Lines for the journal of systemd: the priority of each in front of it, as sd-daemon(3) has it.
 *
 * The journal knows the time, the unit and the process by itself; what it cannot know of a line on standard output or
 * standard error is how loud it is. `<4>` in front of a line says so (syslog's numbers). This module knows the prefix and how
 * to tell that a stream is connected to the journal; it opens nothing.
 */
import type { LineLevel } from "./LogLevels.ts"
import type { LogSink } from "./LogSink.ts"

/** A file as its device and inode, in decimal digits. */
export interface FileIdentity {
  readonly device: string
  readonly inode: string
}

/**
 * The priorities of syslog for each level: `fatal` is 2 (critical), `error` 3, `warn` 4, `info` 6, `debug` and `trace` 7.
 *
 * 0 and 1 would be shown on every terminal of the machine, and 5 (notice) has no counterpart.
 */
export const priorities: Readonly<Record<LineLevel, number>> = {
  fatal: 2,
  error: 3,
  warn: 4,
  info: 6,
  debug: 7,
  trace: 7
}

/**
 * Reads the environment variable `JOURNAL_STREAM` (systemd.exec(5)): the device and inode of the stream that systemd
 * connected to the journal. `undefined` where it is missing or is not two numbers.
 */
export const parseStream = (value: string | undefined): FileIdentity | undefined => {
  const match = /^(\d{1,20}):(\d{1,20})$/.exec(value ?? "")
  return match === null ? undefined : { device: match[1]!, inode: match[2]! }
}

/**
 * Tells whether an open file is the stream that systemd connected to the journal. A child with redirected output inherits
 * the variable but not the file.
 */
export const isJournal = (stream: FileIdentity | undefined, file: FileIdentity | undefined): boolean =>
  stream !== undefined && file !== undefined && stream.device === file.device && stream.inode === file.inode

/** A line with its priority in front. What would be further lines is written in the same one. */
export const withPriority = (line: string, level: LineLevel): string =>
  `<${priorities[level]}>${line.includes("\n") ? line.replaceAll("\n", "\\n") : line}`

/** Makes a sink that writes each line with its priority to another sink. */
export const sink = (stream: LogSink): LogSink => ({
  ...stream,
  write: (line, level) => stream.write(withPriority(line, level), level)
})
