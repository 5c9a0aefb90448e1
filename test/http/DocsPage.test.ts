import { assert, describe, it } from "@effect/vitest"
import * as DocsPage from "../../src/http/DocsPage.ts"

const spec = DocsPage.openApi()

interface Node {
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null

/** Fields of objects without a description of their own; a reference has that of its target. */
const undescribed = (value: unknown, path: string): ReadonlyArray<string> => {
  if (!isNode(value)) return []
  const fields = isNode(value.properties) ? Object.entries(value.properties) : []
  const missing = fields.filter(
    ([name, field]) => name !== "_tag" && isNode(field) && field.description === undefined && field.$ref === undefined
  )
  return [
    ...missing.map(([name]) => `${path}.${name}`),
    ...Object.entries(value).flatMap(([name, child]) => undescribed(child, `${path}.${name}`))
  ]
}

const operations = Object.entries(spec.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation: operation as unknown as Node }))
)

describe("the OpenAPI document", () => {
  it("has every endpoint, with a summary, a description and the scope that it needs", () => {
    assert.deepStrictEqual(
      operations.map(({ method, operation, path }) => `${method} ${path} ${operation["x-required-scope"]}`).sort(),
      [
        "get /api/v1/access read",
        "get /api/v1/access/keys read",
        "get /api/v1/certificates read",
        "get /api/v1/config read",
        "get /api/v1/connections read",
        "get /api/v1/connections/{id} read",
        "get /api/v1/events read",
        "get /api/v1/health read",
        "get /api/v1/log/levels read",
        "get /api/v1/log/lines read",
        "get /api/v1/server read",
        "get /api/v1/stream read",
        "get /api/v1/streams read",
        "get /healthz none",
        "get /metrics read",
        "get /readyz none",
        "post /api/v1/access/keys write",
        "post /api/v1/access/keys/revoke write",
        "post /api/v1/access/sign write",
        "post /api/v1/access/unblock write",
        "post /api/v1/certificates/reload write",
        "post /api/v1/certificates/renew write",
        "post /api/v1/config/check read",
        "post /api/v1/config/reload write",
        "post /api/v1/connections/{id}/kick write",
        "post /api/v1/log/levels/reset write",
        "post /api/v1/server/drain write",
        "post /api/v1/server/resume write",
        "post /api/v1/server/shutdown write",
        "post /api/v1/streams/disable write",
        "post /api/v1/streams/enable write",
        "post /api/v1/streams/kick write",
        "put /api/v1/log/levels write"
      ]
    )
    for (const { operation, path } of operations) {
      for (const field of ["summary", "description"]) assert.isNotEmpty(operation[field], `${path}: ${field}`)
    }
  })

  it("describes every parameter, every field and every answer", () => {
    for (const { operation, path } of operations) {
      for (const parameter of operation.parameters as ReadonlyArray<Node>) {
        const schema = parameter.schema as Node
        assert.isTrue("description" in parameter || "description" in schema, `${path}: ${parameter.name}`)
      }
      for (const [status, response] of Object.entries(operation.responses as Node)) {
        const { description } = response as Node
        assert.isFalse(["", "Success", "Error"].includes(String(description)), `${path}: ${status}`)
      }
      const { content } = (operation.requestBody ?? { content: {} }) as { readonly content: Node }
      assert.deepStrictEqual(undescribed(content, path), [])
    }
    assert.deepStrictEqual(undescribed(spec.components.schemas, "schemas"), [])
    for (const [name, schema] of Object.entries(spec.components.schemas)) {
      assert.isTrue("description" in schema || name === "EventEncoded", `${name} has no description`)
    }
  })

  it("points to nothing that it does not have", () => {
    const references = [...JSON.stringify(spec).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name!)
    assert.isNotEmpty(references)
    for (const name of references) assert.isTrue(Object.hasOwn(spec.components.schemas, name), name)
  })
})

describe("the page", () => {
  const html = DocsPage.render(spec)

  it("shows every endpoint", () => {
    for (const { method, path } of operations) {
      assert.include(html, `<b class="${method.toUpperCase()}">${method.toUpperCase()}</b> <code>${path}</code>`)
    }
  })

  it("runs no script and asks nothing of another server", () => {
    assert.notMatch(html, /<script|<link|<img|<iframe| on\w+=|url\(|https?:\/\//)
    assert.include(DocsPage.contentSecurityPolicy, "default-src 'none'")
  })

  it("has a target for every link within", () => {
    const ids = new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))
    for (const [, target] of html.matchAll(/href="#([^"]+)"/g)) assert.isTrue(ids.has(target), target)
  })

  it("escapes what stands in the document", () => {
    const evil = { ...spec, info: { ...spec.info, title: `<script>"'&` } }
    assert.include(DocsPage.render(evil), "<h1>&#60;script&#62;&#34;&#39;&#38;</h1>")
  })
})
