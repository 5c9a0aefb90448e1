/**
 * What the architecture rules need to know of a TypeScript file, taken out of its syntax tree.
 *
 * The tree comes from the compiler itself, over the API that TypeScript 7 offers to JavaScript. Only the syntax is read:
 * the files are handed over in memory, without libraries and without resolving an import.
 */
import * as Ast from "typescript/unstable/ast"
import { createVirtualFileSystem } from "typescript/unstable/fs"
import { API } from "typescript/unstable/sync"

/** A module that a file names: in an import or export declaration, an `import()` or an import type. */
export interface Import {
  readonly specifier: string
  readonly line: number
}

/** Something that a file exports, or a public member of an exported class (`name` is `Class.member` then). */
export interface Export {
  readonly name: string
  readonly line: number
  /** The text of its docstring; empty without one. */
  readonly doc: string
}

/** A name of the global scope of Node that a file uses. */
export interface Global {
  readonly name: string
  readonly line: number
}

/** A parsed file; `path` is relative to the root of the project, with forward slashes. */
export interface Source {
  readonly path: string
  readonly text: string
  /** Tells whether the file begins with a comment for the module, apart from the docstring of its first statement. */
  readonly hasHeader: boolean
  readonly imports: ReadonlyArray<Import>
  readonly exports: ReadonlyArray<Export>
  readonly globals: ReadonlyArray<Global>
  /** The names of default exports and of `export =`, which this project does not use. */
  readonly defaultExportLines: ReadonlyArray<number>
}

// One compiler process serves all calls, each in a folder of its own. It ends when this process ends.
const fileSystem = createVirtualFileSystem({})
let api: API | undefined
let calls = 0

/** Parses files, given by their path relative to the root of the project. */
export const parse = (files: Readonly<Record<string, string>>): ReadonlyArray<Source> => {
  api ??= new API({ cwd: "/", fs: fileSystem })
  calls++
  const root = `/project${calls}`
  const paths = Object.keys(files)
  const write = (path: string, text: string): void => fileSystem.writeFile?.(`${root}/${path}`, text)
  for (const path of paths) write(path, files[path]!)
  write("tsconfig.json", JSON.stringify({ files: paths, compilerOptions }))
  const config = `${root}/tsconfig.json`
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config)
  if (project === undefined) throw new Error("TypeScript did not open the project")
  return paths.map((path) => {
    const file = project.program.getSourceFile(`${root}/${path}`)
    if (file === undefined) throw new Error(`TypeScript did not read ${path}`)
    return sourceOf(path, file)
  })
}

const compilerOptions = {
  noLib: true,
  noResolve: true,
  types: [],
  module: "NodeNext",
  target: "ES2024",
  allowImportingTsExtensions: true,
  noEmit: true
}

const sourceOf = (path: string, file: Ast.SourceFile): Source => {
  const lineOf = (node: Ast.Node): number => file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1
  const imports: Array<Import> = []
  const globals: Array<Global> = []
  const visit = (node: Ast.Node): void => {
    const specifier = specifierOf(node)
    if (specifier !== undefined) imports.push({ specifier, line: lineOf(node) })
    const name = globalOf(node)
    if (name !== undefined) globals.push({ name, line: lineOf(node) })
    node.forEachChild(visit)
  }
  visit(file)

  const exports: Array<Export> = []
  const defaultExportLines: Array<number> = []
  const first = file.statements[0]
  file.statements.forEach((statement) => {
    if (Ast.isExportAssignment(statement) || hasModifier(statement, Ast.SyntaxKind.DefaultKeyword)) {
      defaultExportLines.push(lineOf(statement))
    }
    const docs = docsOf(file, statement)
    // The comment at the top of the file belongs to the module, even where only a blank line follows it.
    const own = statement === first ? docs.slice(1) : docs
    for (const found of exportsOf(statement)) {
      exports.push({ name: found.name, line: lineOf(found.node), doc: own.at(-1) ?? "" })
      if (Ast.isClassDeclaration(found.node)) {
        for (const member of publicMembers(found.node)) {
          const doc = docsOf(file, member.node).at(-1) ?? ""
          exports.push({ name: `${found.name}.${member.name}`, line: lineOf(member.node), doc })
        }
      }
    }
  })
  return {
    path,
    text: file.text,
    hasHeader: first === undefined || docsOf(file, first).length > 0,
    imports,
    exports: mergeOverloads(exports),
    globals,
    defaultExportLines
  }
}

const specifierOf = (node: Ast.Node): string | undefined => {
  if (Ast.isImportDeclaration(node) || Ast.isExportDeclaration(node)) return stringOf(node.moduleSpecifier)
  if (Ast.isCallExpression(node) && node.expression.kind === Ast.SyntaxKind.ImportKeyword)
    return stringOf(node.arguments[0])
  if (Ast.isImportTypeNode(node) && Ast.isLiteralTypeNode(node.argument)) return stringOf(node.argument.literal)
  return undefined
}

const stringOf = (node: Ast.Node | undefined): string | undefined =>
  node !== undefined && (Ast.isStringLiteral(node) || Ast.isNoSubstitutionTemplateLiteral(node)) ? node.text : undefined

const nodeGlobals: ReadonlySet<string> = new Set([
  "Buffer",
  "process",
  "require",
  "NodeJS",
  "global",
  "__dirname",
  "__filename"
])

/** A use of a Node global: as a value, as a type, or as a member of `globalThis`; not a member or key of that name. */
const globalOf = (node: Ast.Node): string | undefined => {
  if (!Ast.isIdentifier(node) || !nodeGlobals.has(node.text)) return undefined
  const parent = node.parent
  if (Ast.isPropertyAccessExpression(parent) && parent.name === node) {
    return Ast.isIdentifier(parent.expression) && parent.expression.text === "globalThis" ? node.text : undefined
  }
  const isName = "name" in parent && parent.name === node && !Ast.isShorthandPropertyAssignment(parent)
  const isQualified = Ast.isQualifiedName(parent) && parent.right === node
  const isAlias = "propertyName" in parent && parent.propertyName === node
  return isName || isQualified || isAlias ? undefined : node.text
}

const hasModifier = (node: Ast.Node, kind: Ast.SyntaxKind): boolean =>
  "modifiers" in node && ((node.modifiers as ReadonlyArray<Ast.Node> | undefined) ?? []).some((it) => it.kind === kind)

/** The declarations that a statement exports. Names that come from another module are documented there. */
const exportsOf = (statement: Ast.Statement): ReadonlyArray<{ readonly name: string; readonly node: Ast.Node }> => {
  if (!hasModifier(statement, Ast.SyntaxKind.ExportKeyword)) return []
  if (Ast.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map((node) => ({ name: nameOf(node.name), node: statement }))
  }
  if ("name" in statement) return [{ name: nameOf(statement.name as Ast.Node | undefined), node: statement }]
  return []
}

const nameOf = (node: Ast.Node | undefined): string => {
  if (node === undefined) return "default"
  return Ast.isIdentifier(node) ? node.text : node.getText()
}

/** Constructors are described by their class, and overriding members by what they override. */
const publicMembers = (node: Ast.ClassDeclaration): ReadonlyArray<{ readonly name: string; readonly node: Ast.Node }> =>
  node.members.flatMap((member) => {
    const name = "name" in member ? (member.name as Ast.Node | undefined) : undefined
    const hidden =
      name === undefined ||
      Ast.isPrivateIdentifier(name) ||
      hasModifier(member, Ast.SyntaxKind.PrivateKeyword) ||
      hasModifier(member, Ast.SyntaxKind.ProtectedKeyword) ||
      hasModifier(member, Ast.SyntaxKind.OverrideKeyword)
    return hidden ? [] : [{ name: nameOf(name), node: member }]
  })

/** The docstrings in front of a node, in order, without their stars. */
const docsOf = (file: Ast.SourceFile, node: Ast.Node): ReadonlyArray<string> =>
  (node.jsDoc ?? []).map((doc) =>
    file.text
      .slice(doc.pos, doc.end)
      .trim()
      .replace(/^\/\*\*|\*\/$/g, "")
      .replace(/^\s*\* ?/gm, "")
      .trim()
  )

/** One docstring is enough for all overloads of a function, and for a getter with its setter. */
const mergeOverloads = (exports: ReadonlyArray<Export>): ReadonlyArray<Export> => {
  const merged = new Map<string, Export>()
  for (const found of exports) {
    const before = merged.get(found.name)
    if (before === undefined || (before.doc === "" && found.doc !== "")) merged.set(found.name, found)
  }
  return [...merged.values()]
}
