/**
 * Escaping for the XML that services are described in. It is no XML library: the documents are written out where they
 * belong.
 */

/** Makes a text safe between tags and inside of double quotes (XML 1.0 §2.4). */
export const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
