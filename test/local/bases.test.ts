// `npm run bases`, as a person starts it, against a registry of our own that speaks the HTTP API v2.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { baseImages } from '../../local/base-images.ts';

const ROOT = join(import.meta.dirname, '../..');
const INDEX = 'application/vnd.oci.image.index.v1+json';
const LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const folder = mkdtempSync(join(tmpdir(), 'ingestor-bases-'));
const file = join(folder, 'Dockerfile');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the registry answers for a tag, by `repository:tag`. */
const tags = new Map<string, { type: string; body: string; digest?: string }>();
const asked: string[] = [];
/** How anonymous readers are treated. */
let door: 'open' | 'token' | 'access_token' | 'basic' | 'no token';
let host: string;

const registry = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', `http://${host}`);
  asked.push(`${request.method} ${pathname} ${request.headers.authorization ?? 'no login'}`);
  if (pathname === '/token') {
    const right =
      searchParams.get('service') === 'ours' && /^repository:.+:pull$/.test(searchParams.get('scope') ?? '');
    const answer = door === 'no token' || !right ? {} : { [door]: `for-${searchParams.get('scope')}` };
    return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }
  const [, repository, tag] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(pathname) ?? [];
  const scope = `repository:${repository}:pull`;
  if (door !== 'open' && request.headers.authorization !== `Bearer for-${scope}`) {
    const challenge =
      door === 'basic' ? 'Basic realm="ours"' : `Bearer realm="http://${host}/token",service="ours",scope="${scope}"`;
    return void response.writeHead(401, { 'www-authenticate': challenge }).end();
  }
  const found = tags.get(`${repository}:${tag}`);
  if (!found || !String(request.headers.accept).includes(found.type)) return void response.writeHead(404).end();
  const digest = found.digest ?? digestOf(found.body);
  response.writeHead(200, { 'content-type': found.type, 'docker-content-digest': digest }).end(found.body);
});

beforeAll(async () => {
  registry.listen(0, '127.0.0.1');
  await once(registry, 'listening');
  host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
});
afterAll(() => {
  registry.close();
  registry.closeAllConnections();
});
beforeEach(() => {
  tags.clear();
  asked.length = 0;
  door = 'token';
  tags.set('library/node:24', { type: INDEX, body: index('amd64', 'arm64', 's390x') });
  tags.set('distroless/node:nonroot', { type: LIST, body: index('arm64', 'amd64') });
  writeFileSync(file, dockerfile(OLD));
});

const OLD = `sha256:${'0'.repeat(64)}`;
const digestOf = (body: string) => `sha256:${createHash('sha256').update(body).digest('hex')}`;
const digest = (tag: string) => digestOf(tags.get(tag)?.body ?? '');
const index = (...architectures: string[]) =>
  JSON.stringify({ manifests: architectures.map((architecture) => ({ platform: { os: 'linux', architecture } })) });

function dockerfile(build: string | undefined, runtime = build): string {
  const at = (pin: string | undefined) => (pin === undefined ? '' : `@${pin}`);
  return `# Two bases.
ARG BUILD_IMAGE=${host}/library/node:24${at(build)}
ARG RUNTIME_IMAGE=${host}/distroless/node:nonroot${at(runtime)}
FROM --platform=$BUILDPLATFORM \${BUILD_IMAGE} AS build
RUN make
FROM --platform=$TARGETPLATFORM \${RUNTIME_IMAGE}
COPY --from=build /app/dist ./
`;
}

async function bases(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = [join(ROOT, 'local/bases.ts'), '--file', file, ...args];
  return await promisify(execFile)(process.execPath, command).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  );
}

const unchanged = () => expect(readFileSync(file, 'utf8')).toBe(dockerfile(OLD));

describe('npm run bases', () => {
  it.each(['open', 'token', 'access_token'] as const)('pins every base to the index of its tag (%s)', async (way) => {
    door = way;
    const { code, stdout, stderr } = await bases();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [build, runtime] = [digest('library/node:24'), digest('distroless/node:nonroot')];
    expect(readFileSync(file, 'utf8')).toBe(dockerfile(build, runtime));
    expect(stdout).toBe(
      `BUILD_IMAGE ${host}/library/node:24\n  ${OLD} → ${build}\nRUNTIME_IMAGE ${host}/distroless/node:nonroot\n  ${OLD} → ${runtime}\n`,
    );
  });

  it('asks for a token of each repository, and shows it to the registry', async () => {
    await bases();
    expect(asked).toContain('GET /v2/library/node/manifests/24 Bearer for-repository:library/node:pull');
    expect(asked).toContain('GET /v2/distroless/node/manifests/nonroot Bearer for-repository:distroless/node:pull');
  });

  it('pins what was not pinned', async () => {
    writeFileSync(file, dockerfile(undefined));
    expect((await bases()).stdout).toContain('not pinned → sha256:');
    expect(readFileSync(file, 'utf8')).toBe(dockerfile(digest('library/node:24'), digest('distroless/node:nonroot')));
  });

  it('leaves the file as it is when all is new', async () => {
    const now = dockerfile(digest('library/node:24'), digest('distroless/node:nonroot'));
    writeFileSync(file, now);
    const { code, stdout } = await bases();
    expect(code).toBe(0);
    expect(stdout).not.toContain('→');
    expect(readFileSync(file, 'utf8')).toBe(now);
  });

  it('with --check says what is not the newest, by its exit code too, and changes nothing', async () => {
    const { code, stdout } = await bases('--check');
    expect(code).toBe(2);
    expect(stdout).toContain(`${OLD} → ${digest('library/node:24')}`);
    unchanged();
    await bases();
    expect((await bases('--check')).code).toBe(0);
  });
});

describe('one sentence, and no change of any base, for', () => {
  it.each<[string, () => void, RegExp]>([
    [
      'a tag that is not there',
      () => tags.delete('library/node:24'),
      /^127\.0\.0\.1:\d+\/library\/node:24: expected a tag of this name, got HTTP 404/,
    ],
    [
      'an image of one architecture',
      () => tags.set('library/node:24', { type: 'application/vnd.oci.image.manifest.v1+json', body: '{}' }),
      /library\/node:24: expected an index of several architectures, got application\/vnd\.oci\.image\.manifest\.v1\+json/,
    ],
    [
      'an index without ARM64',
      () => tags.set('distroless/node:nonroot', { type: INDEX, body: index('amd64', 'riscv64') }),
      /nonroot: expected linux\/amd64 and linux\/arm64, got none for arm64/,
    ],
    [
      'an index that is none',
      () => tags.set('library/node:24', { type: INDEX, body: '<html>' }),
      /expected an index with a list of manifests/,
    ],
    [
      'an index that is not what it is said to be',
      () => tags.set('library/node:24', { type: INDEX, body: index('amd64', 'arm64'), digest: OLD }),
      new RegExp(`expected an index with the digest ${OLD}, got sha256:`),
    ],
    [
      'a registry that wants a password',
      () => (door = 'basic'),
      /expected to be asked for an anonymous token, got 'Basic realm="ours"'/,
    ],
    [
      'a registry that gives no token',
      () => (door = 'no token'),
      /expected an anonymous token from 127\.0\.0\.1:\d+, got HTTP 200 without one/,
    ],
  ])('%s', async (_, happens, sentence) => {
    happens();
    const { code, stdout, stderr } = await bases();
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(sentence);
    expect(stderr.trimEnd().split('\n').at(-1)).toBe('Nothing was changed.');
    expect(stderr).not.toMatch(/\n\s+at /);
    unchanged();
  });

  it('a registry that cannot be reached', async () => {
    const gone = createTcpServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    gone.close();
    writeFileSync(file, dockerfile(OLD).replace(`${host}/library`, `127.0.0.1:${port}/library`));
    const { code, stderr } = await bases();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(
        `^127\\.0\\.0\\.1:${port}/library/node:24: cannot reach 127\\.0\\.0\\.1:${port}: .*ECONNREFUSED.*\\nNothing was changed\\.\\n$`,
      ),
    );
  });

  it.each([
    ['a base that is no argument', 'FROM node:24\n', /^FROM node:24: expected an argument such as/],
    [
      'a base without its registry',
      `ARG X=node:24\nFROM \${X}\n`,
      /^ARG X: expected <registry>\/<repository>:<tag>, got 'node:24'/,
    ],
    [
      'a base without a tag',
      `ARG X=gcr.io/node\nFROM \${X}\n`,
      /^ARG X: expected <registry>\/<repository>:<tag>, got 'gcr.io\/node'/,
    ],
    [
      'an argument that has no default',
      `ARG X\nFROM \${X}\n`,
      /^ARG X: expected <registry>\/<repository>:<tag>, got ''/,
    ],
  ])('%s', async (_, text, sentence) => {
    writeFileSync(file, text);
    const { code, stderr } = await bases();
    expect(code).toBe(1);
    expect(stderr).toMatch(sentence);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

it("the project's own bases are found, pinned", () => {
  const found = baseImages(readFileSync(join(ROOT, 'service/Dockerfile'), 'utf8'));
  expect(found.map(({ argument, registry }) => `${argument} ${registry}`)).toEqual([
    'BUILD_IMAGE public.ecr.aws',
    'RUNTIME_IMAGE gcr.io',
  ]);
  for (const { digest } of found) expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
});
