/**
 * This package, as npm knows it.
 */
import * as Fs from "node:fs"

/** The version of this package. */
export const version = (): string => {
  const text = Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
  return (JSON.parse(text) as { readonly version: string }).version
}
