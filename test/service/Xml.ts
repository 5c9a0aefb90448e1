/**
 * A strict reader for the small XML documents of services: elements, attributes, text, comments and the five entities.
 * Whatever else it meets, and whatever is not closed, is an error.
 */

/** An element. `text` is that of an element without children. */
export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: ReadonlyArray<Element>
  readonly text: string
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }

const unescape = (text: string): string => {
  if (/[<]|&(?!(?:amp|lt|gt|quot|apos);)/.test(text)) throw new Error(`not escaped: ${text}`)
  return text.replace(/&(\w+);/g, (_, name: string) => entities[name]!)
}

/** Reads a document, and throws where it is not well-formed. */
export const parse = (document: string): Element => {
  let rest = document
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    const match = pattern.exec(rest)
    if (match === null || match.index !== 0) return undefined
    rest = rest.slice(match[0].length)
    return match
  }
  const skip = (): void => {
    while (take(/^\s+/) ?? take(/^<!--(?:(?!--)[\s\S])*-->/)) {
      // Until there is nothing more of the kind.
    }
  }
  const element = (): Element => {
    const open = take(/^<([A-Za-z][\w.-]*)((?:\s+[\w:.-]+="[^"]*")*)\s*(\/?)>/)
    if (open === undefined) throw new Error(`no element: ${rest.slice(0, 60)}`)
    const name = open[1]!
    const attributes = Object.fromEntries(
      [...open[2]!.matchAll(/([\w:.-]+)="([^"]*)"/g)].map((match) => [match[1]!, unescape(match[2]!)])
    )
    if (open[3] === "/") return { name, attributes, children: [], text: "" }
    const children: Array<Element> = []
    const text = take(/^[^<]*(?=<\/)/)
    if (text === undefined) {
      skip()
      while (!rest.startsWith("</")) {
        children.push(element())
        skip()
      }
    }
    if (take(/^<\/([A-Za-z][\w.-]*)>/)?.[1] !== name) throw new Error(`${name} is not closed: ${rest.slice(0, 60)}`)
    return { name, attributes, children, text: text === undefined ? "" : unescape(text[0]) }
  }
  if (take(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n/) === undefined) throw new Error("no declaration")
  skip()
  take(/^<!DOCTYPE [^>[]*>/)
  skip()
  const root = element()
  skip()
  if (rest !== "") throw new Error(`something behind the end: ${rest.slice(0, 60)}`)
  return root
}

/** The entries of a `dict` of a property list, and throws where keys and values do not alternate. */
export const dictionary = (dict: Element): Readonly<Record<string, Element>> => {
  if (dict.name !== "dict" || dict.children.length % 2 !== 0) throw new Error("not a dictionary")
  const entries: Record<string, Element> = {}
  for (let index = 0; index < dict.children.length; index += 2) {
    const key = dict.children[index]!
    if (key.name !== "key" || Object.hasOwn(entries, key.text)) throw new Error(`not a new key: ${key.text}`)
    entries[key.text] = dict.children[index + 1]!
  }
  return entries
}
