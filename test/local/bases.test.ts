// `npm run bases`, as a person starts it, against a local registry with the HTTP API v2.
import { hash } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { baseImages } from '../../local/base-images.ts';
import { indexDigest } from '../../local/registry.ts';
import { type FakeServer, listening } from '../support/fake-servers.ts';
import { start } from '../support/program.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const OLD = `sha256:${'0'.repeat(64)}`;
const file = join(mkdtempSync(join(tmpdir(), 'ingestor-bases-')), 'Dockerfile');

/** What the registry answers for a tag, by `repository:tag`. */
const tags = new Map<string, { type: string; body: string }>();
/** How a client without a login reads: at once, with an anonymous token, or never. */
let access: 'open' | 'token' | 'basic';
let registry: FakeServer;
let host: string;

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', `http://${host}`);
  if (pathname === '/token') {
    const asked = searchParams.get('service') === 'ours';
    return void response.end(JSON.stringify(asked ? { token: `for-${searchParams.get('scope')}` } : {}));
  }
  const [, repository, tag] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(pathname) ?? [];
  const scope = `repository:${repository}:pull`;
  if (access !== 'open' && request.headers.authorization !== `Bearer for-${scope}`) {
    const bearer = `Bearer realm="http://${host}/token",service="ours",scope="${scope}"`;
    const challenge = access === 'basic' ? 'Basic realm="ours"' : bearer;
    return void response.writeHead(401, { 'www-authenticate': challenge }).end();
  }
  const found = tags.get(`${repository}:${tag}`);
  response.writeHead(found ? 200 : 404, { 'content-type': found?.type ?? 'text/plain' }).end(found?.body);
});

beforeAll(async () => {
  registry = await listening(server);
  host = `127.0.0.1:${registry.port}`;
});
afterAll(() => registry.close());
beforeEach(() => {
  access = 'token';
  tags.set('library/node:24', { type: INDEX, body: index('amd64', 'arm64', 's390x') });
  tags.set('distroless/node:nonroot', { type: LIST, body: index('arm64', 'amd64') });
  writeFileSync(file, dockerfile(OLD, OLD));
});

const index = (...architectures: string[]) =>
  JSON.stringify({
    manifests: [{}, ...architectures.map((architecture) => ({ platform: { os: 'linux', architecture } }))],
  });
const digest = (tag: string) => `sha256:${hash('sha256', tags.get(tag)?.body ?? '')}`;
const newest = () => [digest('library/node:24'), digest('distroless/node:nonroot')] as const;

function dockerfile(build: string, runtime: string): string {
  return `# Two bases.
ARG BUILD_IMAGE=${host}/library/node:24@${build}
ARG RUNTIME_IMAGE=${host}/distroless/node:nonroot@${runtime}
FROM --platform=$BUILDPLATFORM \${BUILD_IMAGE} AS build
RUN make
FROM --platform=$TARGETPLATFORM \${RUNTIME_IMAGE}
COPY --from=build /app/dist ./
`;
}

const bases = (...args: string[]) => start('local/bases.ts', ['--file', file, ...args]).ended;

it.each(['open', 'token'] as const)('pins every base to the index of its tag (%s)', async (way) => {
  access = way;
  const [build, runtime] = newest();
  expect(await bases()).toEqual({
    code: 0,
    out: `BUILD_IMAGE ${host}/library/node:24\n  ${OLD} → ${build}\nRUNTIME_IMAGE ${host}/distroless/node:nonroot\n  ${OLD} → ${runtime}\n`,
    err: '',
  });
  expect(readFileSync(file, 'utf8')).toBe(dockerfile(build, runtime));
});

it('with --check exits with 2 when a base is not the newest, and changes nothing', async () => {
  expect((await bases('--check')).code).toBe(2);
  expect(readFileSync(file, 'utf8')).toBe(dockerfile(OLD, OLD));
  writeFileSync(file, dockerfile(...newest()));
  expect((await bases('--check')).code).toBe(0);
});

it('changes no base when one is not found', async () => {
  tags.delete('distroless/node:nonroot');
  const { code, err } = await bases();
  expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/HTTP 404 .*\nNothing was changed\.\n$/) });
  expect(readFileSync(file, 'utf8')).toBe(dockerfile(OLD, OLD));
});

it.each<[string, object, RegExp]>([
  ['one architecture', { type: 'application/vnd.oci.image.manifest.v1+json' }, /of several architectures, got app/],
  ['no ARM64', { body: index('amd64', 'riscv64') }, /expected .*, got none for linux\/arm64/],
  ['no index', { body: '<html>' }, /expected an index with a list of manifests/],
  ['a password', { access: 'basic' }, /anonymous token, got 'Basic realm="ours"'/],
  ['no registry', { registry: '127.0.0.1:4' }, /cannot reach 127\.0\.0\.1:4: .*REFUSED/],
])('refuses a tag in one sentence: %s', async (_, changes, sentence) => {
  const image = { argument: 'X', registry: host, repository: 'library/node', tag: '24', digest: undefined, ...changes };
  access = { access, ...changes }.access;
  tags.set('library/node:24', { type: INDEX, body: index('amd64', 'arm64'), ...changes });
  await expect(indexDigest(image)).rejects.toThrow(sentence);
});

it('refuses a Dockerfile in one sentence', () => {
  expect(() => baseImages('FROM node:24\n')).toThrow(/^FROM node:24: expected an argument such as/);
  expect(() => baseImages(`ARG X\nFROM \${X}\n`)).toThrow(/^ARG X: expected <registry>.*, got ''/);
});
