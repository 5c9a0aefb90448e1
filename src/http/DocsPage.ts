/**
 * The pages about the API: the OpenAPI document, and the same for people as one page of HTML without a script, which asks
 * nothing of any other server.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as OpenApi from "effect/http-api/OpenApi"
import { AdminApi, scopeOf } from "./AdminApi.ts"

/** What a page may do in a browser: show its own style, and nothing else. */
export const contentSecurityPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Makes the OpenAPI document. Each operation says in `x-required-scope` what its token must be allowed to do. */
export const openApi = (): OpenApi.OpenAPISpec => {
  const scopes = new Map<string, string>()
  HttpApi.reflect(AdminApi, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, group, middleware }) => {
      scopes.set(`${group.identifier}.${endpoint.identifier}`, middleware.size === 0 ? "none" : scopeOf(endpoint))
    }
  })
  const spec = rename(OpenApi.fromApi(AdminApi))
  for (const { operation } of operationsOf(spec)) {
    Object.assign(operation, { "x-required-scope": scopes.get(operation.operationId) })
    for (const response of Object.values(operation.responses)) describeResponse(spec, response)
  }
  return spec
}

/** Errors are named after what they are, not after how they are sent. */
const rename = (spec: OpenApi.OpenAPISpec): OpenApi.OpenAPISpec => {
  const names = Object.keys(spec.components.schemas).filter(
    (name) => name.endsWith("Encoded") && !Object.hasOwn(spec.components.schemas, name.slice(0, -"Encoded".length))
  )
  const text = names.reduce(
    (text, name) => text.replaceAll(`${name}"`, `${name.slice(0, -"Encoded".length)}"`),
    JSON.stringify(spec)
  )
  return JSON.parse(text)
}

const describeResponse = (spec: OpenApi.OpenAPISpec, response: OpenApi.OpenApiSpecResponse): void => {
  const content = response.content ?? {}
  if ("text/event-stream" in content) response.description = "Events, until the server or the client ends it."
  const reference = (content["application/json"]?.schema as Shape | undefined)?.$ref
  const shape = reference === undefined ? undefined : spec.components.schemas[nameOf(reference)]
  if (shape !== undefined && !("description" in shape)) Object.assign(shape, { description: response.description })
}

/** Renders a document as a page. */
export const render = (spec: OpenApi.OpenAPISpec): string => {
  const operations = operationsOf(spec)
  const tags = spec.tags.map((tag) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(tag.name))
    const articles = own.map((operation) => renderOperation(spec, operation))
    return `<section><h2 id="${slug(tag.name)}">${escape(tag.name)}</h2><p>${prose(tag.description)}</p>${articles.join("")}</section>`
  })
  const schemas = Object.entries(spec.components.schemas).sort(([left], [right]) => (left < right ? -1 : 1))
  const common = commonErrors
    .map(
      ([status, name]) =>
        `<tr><td><code>${status}</code></td><td>${link(name)}</td><td>${prose(descriptionOf(spec.components.schemas[name] as Shape))}</td></tr>`
    )
    .join("")
  const contents = ["Errors", ...spec.tags.map(({ name }) => name), "Values"]
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(spec.info.title)}</title>`,
    `<meta name="viewport" content="width=device-width, initial-scale=1"><style>${style}</style></head><body>`,
    `<header><h1>${escape(spec.info.title)}</h1><p>${prose(spec.info.description)}</p>`,
    `<p>For machines: <a href="/openapi.json">/openapi.json</a></p>`,
    `<nav>${contents.map((name) => `<a href="#${slug(name)}">${escape(name)}</a>`).join(" ")}</nav></header><main>`,
    `<section><h2 id="errors">Errors</h2><p>What asks for a token may be answered with any of these; only others are named below.</p><table>${common}</table></section>`,
    ...tags,
    `<section><h2 id="values">Values</h2>${schemas.map(renderSchema).join("")}</section></main></body></html>`
  ].join("")
}

interface Operation {
  readonly method: string
  readonly path: string
  readonly operation: OpenApi.OpenAPISpecOperation & { readonly "x-required-scope"?: string }
}

const commonErrors = [
  ["400", "BadRequest"],
  ["401", "Unauthorized"],
  ["403", "Forbidden"],
  ["415", "UnsupportedMediaType"],
  ["429", "TooManyRequests"]
] as const

const isCommon = (status: string): boolean => commonErrors.some(([common]) => common === status)

const methods = ["get", "put", "post", "patch", "delete"] as const

const operationsOf = (spec: OpenApi.OpenAPISpec): ReadonlyArray<Operation> =>
  Object.entries(spec.paths).flatMap(([path, item]) =>
    methods.flatMap((method): ReadonlyArray<Operation> => {
      const operation = item[method]
      return operation === undefined ? [] : [{ method: method.toUpperCase(), path, operation }]
    })
  )

// JSON Schema as it comes, of which only what a reader wants to know is looked at.
interface Shape {
  readonly $ref?: string
  readonly type?: string | ReadonlyArray<string>
  readonly description?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly items?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: ReadonlyArray<string>
  readonly anyOf?: ReadonlyArray<Shape>
  readonly allOf?: ReadonlyArray<Shape>
  readonly additionalProperties?: Shape | boolean
}

const renderOperation = (spec: OpenApi.OpenAPISpec, { method, operation, path }: Operation): string => {
  const scope = operation["x-required-scope"] ?? "read"
  const rows = operation.parameters.map(
    ({ description, in: place, name, required, schema }) =>
      `<tr><td><code>${escape(name)}</code></td><td>${place}${required ? "" : ", optional"}</td><td>${prose(description ?? descriptionOf(schema))}</td></tr>`
  )
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema as Shape | undefined
  const fields = body?.$ref === undefined ? body : (spec.components.schemas[nameOf(body.$ref)] as Shape)
  const responses = Object.entries(operation.responses)
    .filter(([status]) => !isCommon(status))
    .map(([status, response]) => {
      const contents = Object.entries(response.content ?? {})
      const what = contents.map(
        ([type, { schema }]) => `${type === "application/json" ? "" : `${escape(type)} `}${typeOf(schema)}`
      )
      return `<tr><td><code>${status}</code></td><td>${what.join("<br>")}</td><td>${prose(response.description)}</td></tr>`
    })
  return [
    `<article id="${slug(operation.operationId)}"><h3><b class="${method}">${method}</b> <code>${escape(path)}</code> ${escape(operation.summary ?? "")}</h3>`,
    `<p>${prose(operation.description)}</p><p class="scope">Token: ${scope === "none" ? "none needed" : `may ${scope}`}</p>`,
    rows.length === 0 ? "" : `<table>${rows.join("")}</table>`,
    fields === undefined
      ? ""
      : `<h4>Body</h4>${fields.properties === undefined ? prose(descriptionOf(fields)) : renderFields(fields)}`,
    `<h4>Answers</h4><table>${responses.join("")}</table></article>`
  ].join("")
}

const renderSchema = ([name, schema]: readonly [string, unknown]): string => {
  const shape = schema as Shape
  return `<article><h3 id="${slug(`value-${name}`)}">${escape(name)}</h3><p>${prose(descriptionOf(shape))}</p>${renderFields(shape)}</article>`
}

const renderFields = (shape: Shape): string => {
  const fields = Object.entries(shape.properties ?? {})
  if (fields.length === 0) {
    const type = typeOf(shape)
    return type === "object" ? "" : `<p>${type}</p>`
  }
  const required = new Set(shape.required ?? [])
  const rows = fields.map(
    ([name, field]) =>
      `<tr><td><code>${escape(name)}</code></td><td>${typeOf(field)}${required.has(name) ? "" : ", optional"}</td><td>${prose(descriptionOf(field))}</td></tr>`
  )
  return `<table>${rows.join("")}</table>`
}

const descriptionOf = (shape: Shape): string =>
  shape.description ?? shape.allOf?.find(({ description }) => description !== undefined)?.description ?? ""

const nameOf = (reference: string): string => reference.slice(reference.lastIndexOf("/") + 1)

const link = (name: string): string => `<a href="#${slug(`value-${name}`)}">${escape(name)}</a>`

const typeOf = (schema: unknown): string => {
  const shape = schema as Shape
  if (shape.$ref !== undefined) return link(nameOf(shape.$ref))
  if (shape.enum !== undefined) return shape.enum.map((value) => `<code>${escape(String(value))}</code>`).join(" ")
  if (shape.anyOf !== undefined) return [...new Set(shape.anyOf.map(typeOf))].join(" or ")
  if (shape.allOf !== undefined && shape.type === undefined) return [...new Set(shape.allOf.map(typeOf))].join(" ")
  if (shape.items !== undefined) return `list of ${typeOf(shape.items)}`
  if (shape.properties !== undefined) {
    const fields = Object.entries(shape.properties).map(
      ([name, field]) => `<code>${escape(name)}</code>: ${typeOf(field)}`
    )
    return `{ ${fields.join(", ")} }`
  }
  return escape(String(shape.type ?? "any JSON value"))
}

const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`)

const prose = (text: string | undefined): string => escape(text ?? "").replaceAll(/`([^`]*)`/g, "<code>$1</code>")

const slug = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")

const style =
  ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem}" +
  "h2{border-bottom:1px solid;margin-top:2.5rem}h3{margin-bottom:.25rem}h4{margin:.75rem 0 .25rem}p{margin:.25rem 0}" +
  "code{font-family:ui-monospace,monospace;font-size:.92em}table{border-collapse:collapse;width:100%}" +
  "td{border-top:1px solid #8886;padding:.2rem .5rem .2rem 0;vertical-align:top}.scope{opacity:.75}" +
  "article{margin:1.25rem 0}nav a{margin-right:.75rem}b{padding:.1rem .4rem;border-radius:.25rem;color:#fff;background:#555}" +
  "b.GET{background:#1668b8}b.POST{background:#2a7d3f}b.PUT{background:#96610d}"
