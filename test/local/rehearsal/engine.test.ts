// The arguments of the engines: how the image is built, and how a task is run.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildArguments, type Engine, findEngine, OWN, runArguments } from '../../../local/rehearsal/engine.ts';

const DOCKER: Engine = { kind: 'docker', store: [] };
const PODMAN: Engine = { kind: 'podman', store: ['--root', '/r'] };
const BUILDAH: Engine = { kind: 'buildah', store: ['--root', '/r'] };
const ASSET = { dockerFile: 'service/Dockerfile' };
const TASK = { user: '65532:65532', readOnly: true, dropped: ['ALL'], init: true, memoryMiB: 512 };

it("Docker builds as the CDK's CLI does, with nothing of ours", () => {
  expect(buildArguments(DOCKER, ASSET, { tag: 't', platform: 'linux/arm64' }).join(' ')).toBe(
    'build --tag t --file service/Dockerfile --platform linux/arm64 .',
  );
});

it.each([PODMAN, BUILDAH])('$kind builds without a daemon, and gets the platform of the builder', (engine) => {
  const bases = { BUILD_IMAGE: 'a', RUNTIME_IMAGE: 'b' };
  const built = buildArguments(engine, ASSET, { tag: 't', platform: 'linux/arm64', bases, secrets: { ca: '/ca.pem' } });
  expect(built.join(' ')).toBe(
    `build --tag t --file service/Dockerfile --platform linux/arm64 --isolation chroot --format docker --layers --build-arg BUILD_IMAGE=a --build-arg RUNTIME_IMAGE=b --build-arg BUILDPLATFORM=linux/${OWN} --secret id=ca,src=/ca.pem .`,
  );
});

it.each([DOCKER, PODMAN])('$kind runs a task as its definition says', (engine) => {
  const text = runArguments(engine, TASK, {
    name: 'n',
    environment: { PORT: '0' },
    mounts: { '/ca.pem': '/run/ca.pem' },
  }).join(' ');
  for (const part of [
    '--user 65532:65532',
    '--read-only',
    '--cap-drop ALL',
    '--init',
    '--memory 512m',
    '--env PORT=0',
    '--volume /ca.pem:/run/ca.pem:ro',
  ])
    expect(text).toContain(part);
  // Podman's own writable folders are not there on Fargate.
  expect(text.includes('--read-only-tmpfs=false')).toBe(engine.kind === 'podman');
});

it('what the definition does not say is not done', () => {
  const text = runArguments(PODMAN, { ...TASK, readOnly: false, dropped: [], init: false }, { name: 'n' }).join(' ');
  expect(text).not.toMatch(/--read-only|--cap-drop|--init/);
});

describe('of the engines that are installed', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ingestor-engines-'));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each<[Record<string, 'works' | 'fails'>, string | undefined]>([
    [{ docker: 'works', podman: 'works' }, 'docker'],
    // A client without its daemon.
    [{ docker: 'fails', podman: 'works', buildah: 'works' }, 'podman'],
    [{ podman: 'fails', buildah: 'works' }, 'buildah'],
    [{ docker: 'fails' }, undefined],
    [{}, undefined],
  ])('%j: the first that works is taken: %s', async (installed, expected) => {
    vi.stubEnv('PATH', folder);
    for (const [name, state] of Object.entries(installed))
      writeFileSync(join(folder, name), `#!/bin/sh\nexit ${state === 'works' ? 0 : 1}\n`, { mode: 0o755 });
    expect((await findEngine(folder))?.kind).toBe(expected);
  });
});
