// `npm run image`: builds the service's image where there is no Docker and no registry to take bases from, with
// buildah (Debian: apt-get install --no-install-recommends buildah podman runc). The two base images are assembled
// first, of Debian's packages and the Node that npm brought; then service/Dockerfile is built as it is. The runtime
// base has what the Dockerfile's default has that matters: libc, libstdc++, Node in /nodejs/bin, a user, no shell.
// Prints what the image weighs. With `--arch arm64` on x86 the image of production is built, without an emulator; with
// `--run` the image is tried as Fargate runs it (image-trial.ts).
import { type ExecFileException, execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

const ROOT = dirname(import.meta.dirname);
const SUITE = 'bookworm';
/** One layer on another, built by root without a daemon. */
const BUILD = ['bud', '--isolation', 'chroot', '--format', 'docker'] as const;

type Architecture = 'amd64' | 'arm64';

export interface BuiltImage {
  readonly tag: string;
  /** Bytes of its files. */
  readonly size: number;
  /** Bytes of the files that the last stage adds to its base. */
  readonly added: number;
  readonly seconds: number;
}

const { values } = parseArgs({
  options: { arch: { type: 'string' }, tag: { type: 'string' }, run: { type: 'boolean', default: false } },
});
const own: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
const arch = values.arch ?? own;
if (arch !== 'amd64' && arch !== 'arm64') {
  console.error(`--arch: expected amd64 or arm64, got '${arch}'`);
  process.exit(1);
}
const tag = values.tag ?? `localhost/discord-ingestor:${arch}`;
const folder = await mkdtemp(join(tmpdir(), 'ingestor-image-'));
try {
  const image = await build(folder, arch, tag);
  const mb = (bytes: number) => `${(bytes / 1_000_000).toFixed(1)} MB`;
  console.log(`${image.tag}: ${mb(image.size)}, of which the service ${mb(image.added)}; built in ${image.seconds} s`);
  if (values.run) {
    // Only then: it brings RabbitMQ and the simulator with it.
    const { tryImage } = await import('./image-trial.ts');
    const { verdict, ...figures } = await tryImage(tag);
    console.log(JSON.stringify({ ...figures, ...verdict }, undefined, 2));
    const right =
      figures.liveExitCode === 0 && figures.exitCodes.every((code) => code === 0) && figures.identifies === 1;
    if (!right || verdict.lost > 0 || verdict.gaps > 0) process.exitCode = 1;
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function build(work: string, architecture: Architecture, name: string): Promise<BuiltImage> {
  const before = Date.now();
  await run(
    'buildah',
    ['--version'],
    'buildah is missing: apt-get install --no-install-recommends buildah podman runc',
  );
  const [buildBase, runtimeBase] = [`${name}-build-base`, `${name}-runtime-base`];
  await baseImage(join(work, 'build'), own, buildBase, { tools: true });
  await baseImage(join(work, 'runtime'), architecture, runtimeBase, { tools: false });
  const arguments_ = [`BUILD_IMAGE=${buildBase}`, `RUNTIME_IMAGE=${runtimeBase}`, `BUILDPLATFORM=linux/${own}`];
  await run('buildah', [
    ...BUILD,
    ...['--platform', `linux/${architecture}`, '--pull-never'],
    ...['--file', join(ROOT, 'service/Dockerfile'), '--ignorefile', join(ROOT, '.dockerignore'), '--tag', name],
    ...arguments_.flatMap((argument) => ['--build-arg', argument]),
    ...(await secrets()),
    ROOT,
  ]);
  const [size, base] = [await sizeOf(name), await sizeOf(runtimeBase)];
  return { tag: name, size, added: size - base, seconds: Math.round((Date.now() - before) / 1000) };
}

/** What npm needs of this machine to reach its registry, for the build stage only: no layer holds it. */
async function secrets(): Promise<string[]> {
  const files = { npmrc: join(homedir(), '.npmrc'), ca: process.env.NODE_EXTRA_CA_CERTS ?? '' };
  const there = await Promise.all(
    Object.entries(files).map(async ([id, src]) => ((await exists(src)) ? ['--secret', `id=${id},src=${src}`] : [])),
  );
  return there.flat();
}

/** A base of Debian's packages and Node: for the build with npm and a shell, for the task with neither. */
async function baseImage(root: string, architecture: Architecture, name: string, { tools }: { tools: boolean }) {
  const packages = ['libc6', 'libstdc++6', ...(tools ? ['base-files', 'dash', 'coreutils', 'sed', 'grep'] : [])];
  const apt = `${root}.apt.conf`;
  await writeFile(apt, `APT::Architecture "${architecture}"; APT::Architectures { "${architecture}"; };\n`);
  await run('bash', [join(ROOT, 'local/debian-root.sh'), SUITE, root, ...packages], undefined, { APT_CONFIG: apt });

  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n',
  );
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  const node = await nodeBinary(dirname(root), architecture);
  await mkdir(join(root, 'nodejs/bin'), { recursive: true });
  await copyFile(node, join(root, 'nodejs/bin/node'));
  if (tools) await addTools(root);

  const context = `${root}.context`;
  await mkdir(context, { recursive: true });
  await run('tar', ['-C', root, '-cf', join(context, 'root.tar'), '.']);
  const path = 'PATH=/nodejs/bin:/usr/local/bin:/usr/bin:/bin';
  await writeFile(join(context, 'Dockerfile'), `FROM scratch\nADD root.tar /\nENV ${path}\n`);
  await run('buildah', [...BUILD, '--platform', `linux/${architecture}`, '--tag', name, context]);
}

async function addTools(root: string): Promise<void> {
  const cli = process.env.npm_execpath;
  if (!cli) throw new Error('The npm to put into the build base is not known: start this by `npm run image`.');
  await mkdir(join(root, 'usr/local/lib'), { recursive: true });
  await mkdir(join(root, 'usr/local/bin'), { recursive: true });
  await mkdir(join(root, 'root'), { recursive: true });
  await cp(dirname(dirname(cli)), join(root, 'usr/local/lib/npm'), { recursive: true, dereference: true });
  for (const command of ['npm', 'npx']) {
    await symlink(`../lib/npm/bin/${command}-cli.js`, join(root, 'usr/local/bin', command));
  }
  await mkdir(join(root, 'tmp'), { recursive: true });
  await symlink('dash', join(root, 'bin/sh')).catch(() => undefined);
  await mkdir(join(root, 'usr/bin'), { recursive: true });
}

/** The Node of the lockfile, which the tests ran on; for another processor the same version, fetched by npm. */
async function nodeBinary(work: string, architecture: Architecture): Promise<string> {
  const name = `node-linux-${architecture === 'amd64' ? 'x64' : 'arm64'}`;
  const installed = join(ROOT, 'node_modules', name, 'bin/node');
  if (await exists(installed)) return installed;
  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; integrity: string } | undefined>;
  };
  const locked = lock.packages[`node_modules/${name}`];
  if (!locked)
    throw new Error(`package-lock.json: expected ${name}, which brings Node for ${architecture}, got nothing.`);
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', work, `${name}@${locked.version}`]);
  const archive = join(work, packed.trim().split('\n').at(-1) ?? '');
  const digest = `sha512-${createHash('sha512')
    .update(await readFile(archive))
    .digest('base64')}`;
  if (digest !== locked.integrity) throw new Error(`${name}: expected ${locked.integrity}, got ${digest}.`);
  await run('tar', ['-C', work, '-xf', archive]);
  return join(work, 'package/bin/node');
}

async function sizeOf(name: string): Promise<number> {
  const answer = await run('buildah', ['images', '--json', name]);
  const [image] = JSON.parse(answer) as [{ id: string }];
  const inspected = await run('podman', ['image', 'inspect', '--format', '{{.Size}}', image.id]);
  return Number(inspected);
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function run(
  command: string,
  args: readonly string[],
  problem?: string,
  env?: NodeJS.ProcessEnv,
): Promise<string> {
  try {
    const options = { maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...env } };
    const { stdout } = await promisify(execFile)(command, [...args], options);
    return stdout;
  } catch (error) {
    const { stderr = '', message } = error as ExecFileException & { stderr?: string };
    const last = stderr.trim().split('\n').slice(-12).join('\n');
    throw new Error(problem ?? `${command} ${args[0] ?? ''} failed: ${last || message}`, { cause: error });
  }
}
