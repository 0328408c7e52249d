// What builds and runs images: Docker, Podman or Buildah, whichever works here. Buildah only builds. Podman and Buildah
// keep everything in the rehearsal's folder.
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from '../run.ts';
import type { ImageAsset } from './assembly.ts';
import type { Task } from './template.ts';

export type Architecture = 'amd64' | 'arm64';
export const OWN: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

export interface Engine {
  readonly kind: 'docker' | 'podman' | 'buildah';
  /** Before every command: where images and containers are kept. */
  readonly store: readonly string[];
}

/** The build arguments of service/Dockerfile. */
export type Bases = Readonly<Record<'BUILD_IMAGE' | 'RUNTIME_IMAGE', string>>;

/** The first that works. @param folder for images and containers, of Podman and Buildah */
export async function findEngine(folder: string): Promise<Engine | undefined> {
  const store = ['--root', join(folder, 'images'), '--runroot', join(folder, 'containers')];
  for (const kind of ['docker', 'podman', 'buildah'] as const) {
    const engine = { kind, store: kind === 'docker' ? [] : store };
    // Docker's client prints a version and fails where its daemon is away.
    const works = await engineRun(engine, [kind === 'docker' ? 'version' : 'info']).catch(() => undefined);
    if (works !== undefined) return engine;
  }
  return undefined;
}

/** @returns what it prints @throws with its last lines */
export async function engineRun({ kind, store }: Engine, args: readonly string[], cwd?: string): Promise<string> {
  return await run(kind, [...store, ...args], cwd === undefined ? {} : { cwd });
}

/** The same as the CDK's CLI runs in the asset's folder. @param bases instead of the Dockerfile's own */
export function buildArguments(
  { kind }: Engine,
  { dockerFile }: Pick<ImageAsset, 'dockerFile'>,
  { tag, platform, bases = {}, secrets = {} }: { tag: string; platform: string; bases?: object; secrets?: object },
): string[] {
  // Nothing else is to be installed than the engine: no daemon, no helper for the network.
  const free = kind === 'docker' ? [] : ['--isolation', 'chroot', '--format', 'docker', '--layers'];
  const given = kind === 'docker' ? bases : { ...bases, BUILDPLATFORM: `linux/${OWN}` };
  return [
    ...['build', '--tag', tag, '--file', dockerFile, '--platform', platform, ...free],
    ...Object.entries(given).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    ...Object.entries(secrets).flatMap(([id, file]) => ['--secret', `id=${id},src=${file}`]),
    '.',
  ];
}

/** The properties with which Fargate runs the task; the network is this machine's, where the broker listens. */
export function runArguments(
  { kind }: Engine,
  { user, readOnly, dropped, init, memoryMiB }: Pick<Task, 'user' | 'readOnly' | 'dropped' | 'init' | 'memoryMiB'>,
  { name, environment = {}, mounts = {} }: { name: string; environment?: object; mounts?: object },
): string[] {
  return [
    ...['run', '--rm', '--name', name, '--pull', 'never', '--network', 'host'],
    ...['--user', user, '--memory', `${memoryMiB}m`, ...(init ? ['--init'] : [])],
    ...(readOnly ? ['--read-only', ...(kind === 'podman' ? ['--read-only-tmpfs=false'] : [])] : []),
    ...dropped.flatMap((capability) => ['--cap-drop', capability]),
    // Rootless users and sandboxes may not raise limits, which is what podman's defaults try.
    ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
    ...Object.entries(mounts).flatMap(([file, target]) => ['--volume', `${file}:${target}:ro`]),
    ...Object.entries(environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ];
}

/** What npm needs of this machine to reach its registry, for the build stage only: no layer holds it. */
export async function npmSecrets(): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {};
  for (const [id, file] of Object.entries({ npmrc: join(homedir(), '.npmrc'), ca: process.env.NODE_EXTRA_CA_CERTS }))
    if (file && (await stat(file).catch(() => undefined))?.isFile()) secrets[id] = file;
  return secrets;
}
