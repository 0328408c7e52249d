// Which container engine the rehearsal uses, and how it runs a task.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { type Engine, findEngine, runArguments } from '../../../local/rehearsal/engine.ts';

const DOCKER: Engine = { kind: 'docker', store: [] };
const PODMAN: Engine = { kind: 'podman', store: ['--root', '/r'] };
const TASK = { user: '65532:65532', readOnly: true, dropped: ['ALL'], init: true, memoryMiB: 512 };

it.each([DOCKER, PODMAN])('$kind runs a task as its definition says', (engine) => {
  const options = { name: 'n', environment: { PORT: '0' }, mounts: { '/ca.pem': '/run/ca.pem' } };
  // Fargate does not have Podman's own writable folders.
  const readOnly = engine === PODMAN ? '--read-only --read-only-tmpfs=false' : '--read-only';
  expect(runArguments(engine, TASK, options).join(' ')).toBe(
    `run --rm --name n --pull never --network host --user 65532:65532 --memory 512m --init ${readOnly} --cap-drop ALL ` +
      '--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --volume /ca.pem:/run/ca.pem:ro --env PORT=0',
  );
});

const folder = mkdtempSync(join(tmpdir(), 'ingestor-engines-'));
afterEach(() => vi.unstubAllEnvs());

it.each<[Record<string, 0 | 1>, string | undefined]>([
  [{ docker: 0, podman: 0, buildah: 0 }, 'docker'],
  // A client without its daemon.
  [{ docker: 1, podman: 0, buildah: 0 }, 'podman'],
  [{ docker: 1, podman: 1, buildah: 0 }, 'buildah'],
  [{ docker: 1, podman: 1, buildah: 1 }, undefined],
])('of engines that exit with %j, the first that works is used: %s', async (exits, expected) => {
  vi.stubEnv('PATH', folder);
  for (const [name, code] of Object.entries(exits))
    writeFileSync(join(folder, name), `#!/bin/sh\nexit ${code}\n`, { mode: 0o755 });
  expect((await findEngine(folder))?.kind).toBe(expected);
});
