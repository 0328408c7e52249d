// The arguments of the engines: how the image is built, and how a task is run.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { buildArguments, type Engine, findEngine, OWN, runArguments } from '../../../local/rehearsal/engine.ts';

const DOCKER: Engine = { kind: 'docker', store: [] };
const PODMAN: Engine = { kind: 'podman', store: ['--root', '/r'] };
const ASSET = { dockerFile: 'service/Dockerfile' };
const TASK = { user: '65532:65532', readOnly: true, dropped: ['ALL'], init: true, memoryMiB: 512 };
const BUILT = 'build --tag t --file service/Dockerfile --platform linux/arm64';

it("Docker builds as the CDK's CLI does, Podman without a daemon", () => {
  expect(buildArguments(DOCKER, ASSET, { tag: 't', platform: 'linux/arm64' }).join(' ')).toBe(`${BUILT} .`);
  const options = { tag: 't', platform: 'linux/arm64', bases: { RUNTIME_IMAGE: 'b' }, secrets: { ca: '/ca.pem' } };
  expect(buildArguments(PODMAN, ASSET, options).join(' ')).toBe(
    `${BUILT} --isolation chroot --format docker --layers --build-arg RUNTIME_IMAGE=b --build-arg BUILDPLATFORM=linux/${OWN} --secret id=ca,src=/ca.pem .`,
  );
});

it.each([DOCKER, PODMAN])('$kind runs a task as its definition says', (engine) => {
  const options = { name: 'n', environment: { PORT: '0' }, mounts: { '/ca.pem': '/run/ca.pem' } };
  // Podman's own writable folders are not there on Fargate.
  const readOnly = engine === PODMAN ? '--read-only --read-only-tmpfs=false' : '--read-only';
  expect(runArguments(engine, TASK, options).join(' ')).toBe(
    `run --rm --name n --pull never --network host --user 65532:65532 --memory 512m --init ${readOnly} --cap-drop ALL ` +
      '--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --volume /ca.pem:/run/ca.pem:ro --env PORT=0',
  );
});

const folder = mkdtempSync(join(tmpdir(), 'ingestor-engines-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

it.each<[Record<string, 0 | 1>, string | undefined]>([
  [{ docker: 0, podman: 0, buildah: 0 }, 'docker'],
  // A client without its daemon.
  [{ docker: 1, podman: 0, buildah: 0 }, 'podman'],
  [{ docker: 1, podman: 1, buildah: 0 }, 'buildah'],
  [{ docker: 1, podman: 1, buildah: 1 }, undefined],
])('of engines that exit with %j, the first that works is taken: %s', async (exits, expected) => {
  vi.stubEnv('PATH', folder);
  for (const [name, code] of Object.entries(exits))
    writeFileSync(join(folder, name), `#!/bin/sh\nexit ${code}\n`, { mode: 0o755 });
  expect((await findEngine(folder))?.kind).toBe(expected);
});
