/**
 * The image of the server as text: how it is built, and what is left out of the build.
 */

/** What the image is made of. Ports are TCP. */
export interface DockerfileSettings {
  /** The image of Node that everything is based on; it is Debian. */
  readonly base: string
  readonly rtmpPort: number
  readonly httpPort: number
}

/** The image that `config/docker/Dockerfile` makes. */
export const defaults: DockerfileSettings = { base: "node:24-slim", rtmpPort: 1935, httpPort: 8080 }

/** The Dockerfile. Its context is the root of the project. */
export const dockerfile = ({
  base,
  httpPort,
  rtmpPort
}: DockerfileSettings): string => `# effect-rtmp as an image. Written by src/node/Dockerfile.ts.
#
#   docker build -f config/docker/Dockerfile -t effect-rtmp .
#   docker run --rm -p ${rtmpPort}:${rtmpPort} --stop-timeout 45 effect-rtmp
#
# A configuration goes to /config, which is also where certificates can stand; state goes to /data:
#
#   docker run -v ./effect-rtmp.yaml:/config/effect-rtmp.yaml:ro -v rtmp-data:/data \\
#     -e RTMP_CONFIG=/config/effect-rtmp.yaml -p ${rtmpPort}:${rtmpPort} --stop-timeout 45 effect-rtmp

FROM ${base} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM ${base} AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force

FROM ${base}
# npm and yarn have no business in a running server.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \\
    /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn* \\
  && mkdir -p /config /data && chown node:node /data
WORKDIR /app
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
ENV NODE_ENV=production RTMP_LOG_FORMAT=json
USER node
WORKDIR /data
VOLUME /data
# RTMP; the API on ${httpPort} listens on the container's loopback only, until it is given an address and a token.
EXPOSE ${rtmpPort}
# The server ends in order on it. Docker kills after 10 s: --stop-timeout is to be more than shutdown.grace.
STOPSIGNAL SIGTERM
# Not the command line of the server, which loads much more than this takes.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.RTMP_HTTP_PORT || ${httpPort}) + '/healthz', { signal: AbortSignal.timeout(4000) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "/app/dist/main.js"]
`

/** What does not go into the build: everything but what the Dockerfile copies. BuildKit finds it by its name. */
export const dockerignore: string = `# Read by BuildKit for the Dockerfile beside it. Written by src/node/Dockerfile.ts.
*
!package.json
!package-lock.json
!tsconfig.json
!LICENSE
!src
`
