/**
 * What commands print: lines for people, or JSON for programs, on standard output.
 */

import * as Console from "effect/Console"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Terminal from "effect/Terminal"
import { escapeJson } from "../../observability/LogText.ts"
import type { Style } from "./Table.ts"

/** How tables are drawn: as wide as the terminal, or of any width where output goes elsewhere, and coloured if it can be. */
export const style: Effect.Effect<Style, never, Terminal.Terminal> = Effect.gen(function* () {
  const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
  const terminal = yield* Terminal.Terminal
  return { columns: yield* terminal.columns, colors: canColor }
})

/** Prints lines. Nothing is printed for none. */
export const lines = (text: ReadonlyArray<string>): Effect.Effect<void> =>
  text.length === 0 ? Effect.void : Console.log(text.join("\n"))

/** Prints one value as JSON with two blanks of indentation, in which no character moves or hides anything. */
export const json = (value: unknown): Effect.Effect<void> => Console.log(jsonText(value, 2))

/** Prints one value as JSON on one line. */
export const jsonLine = (value: unknown): Effect.Effect<void> => Console.log(jsonText(value, 0))

/** Prints a value as JSON where that is asked for, and draws it for people otherwise. */
export const either = (
  asJson: boolean,
  value: unknown,
  draw: (style: Style) => ReadonlyArray<string>
): Effect.Effect<void, never, Terminal.Terminal> =>
  asJson ? json(value) : Effect.flatMap(style, (style) => lines(draw(style)))

const jsonText = (value: unknown, indent: number): string =>
  // Line by line, because the line feeds between them are to stay.
  JSON.stringify(value, null, indent).split("\n").map(escapeJson).join("\n")
