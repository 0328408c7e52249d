// Base images where those of service/Dockerfile cannot be pulled, made of Debian's packages and the Node that npm
// brought. The runtime's has what the pinned one has that matters: libc, libstdc++, Node in /nodejs/bin, a user, no
// shell; the build's has npm and a shell beside it.
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Architecture, type Bases, buildArguments, type Engine, OWN, run, tell } from './engine.ts';

const PROJECT = dirname(dirname(import.meta.dirname));
const SUITE = 'bookworm';

/** @param work a folder for what is unpacked */
export async function assembledBases(engine: Engine, work: string, architecture: Architecture): Promise<Bases> {
  await mkdir(work, { recursive: true });
  const bases = { BUILD_IMAGE: 'localhost/rehearsal-build-base', RUNTIME_IMAGE: 'localhost/rehearsal-runtime-base' };
  await baseImage(engine, join(work, 'build'), OWN, bases.BUILD_IMAGE, { tools: true });
  await baseImage(engine, join(work, 'runtime'), architecture, bases.RUNTIME_IMAGE, { tools: false });
  return bases;
}

async function baseImage(
  engine: Engine,
  root: string,
  architecture: Architecture,
  tag: string,
  { tools }: { tools: boolean },
): Promise<void> {
  const packages = ['libc6', 'libstdc++6', ...(tools ? ['base-files', 'dash', 'coreutils', 'sed', 'grep'] : [])];
  const apt = `${root}.apt.conf`;
  await writeFile(apt, `APT::Architecture "${architecture}"; APT::Architectures { "${architecture}"; };\n`);
  const script = join(PROJECT, 'local/debian-root.sh');
  await run('bash', [script, SUITE, root, ...packages], { env: { APT_CONFIG: apt } });

  await mkdir(join(root, 'etc'), { recursive: true });
  const users = ['root:x:0:0:root:/root:/sbin/nologin', 'nonroot:x:65532:65532::/:/sbin/nologin'];
  await writeFile(join(root, 'etc/passwd'), `${users.join('\n')}\n`);
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  await mkdir(join(root, 'nodejs/bin'), { recursive: true });
  await copyFile(await nodeBinary(dirname(root), architecture), join(root, 'nodejs/bin/node'));
  if (tools) await addTools(root);

  const context = `${root}.context`;
  await mkdir(context, { recursive: true });
  await run('tar', ['-C', root, '-cf', join(context, 'root.tar'), '.']);
  const path = 'PATH=/nodejs/bin:/usr/local/bin:/usr/bin:/bin';
  await writeFile(join(context, 'Dockerfile'), `FROM scratch\nADD root.tar /\nENV ${path}\n`);
  const asset = { dockerFile: 'Dockerfile' };
  await tell(engine, buildArguments(engine, asset, { tag, platform: `linux/${architecture}` }), context);
}

async function addTools(root: string): Promise<void> {
  const cli = process.env.npm_execpath;
  if (!cli) throw new Error('The npm to put into the build base is not known: start this by `npm run rehearse`.');
  for (const folder of ['usr/local/lib', 'usr/local/bin', 'usr/bin', 'root', 'tmp'])
    await mkdir(join(root, folder), { recursive: true });
  await cp(dirname(dirname(cli)), join(root, 'usr/local/lib/npm'), { recursive: true, dereference: true });
  for (const command of ['npm', 'npx'])
    await symlink(`../lib/npm/bin/${command}-cli.js`, join(root, 'usr/local/bin', command));
  await symlink('dash', join(root, 'bin/sh')).catch(() => undefined);
}

/** The Node of the lockfile, which the tests ran on; for another processor the same version, fetched by npm. */
async function nodeBinary(work: string, architecture: Architecture): Promise<string> {
  const name = `node-linux-${architecture === 'amd64' ? 'x64' : 'arm64'}`;
  const installed = join(PROJECT, 'node_modules', name, 'bin/node');
  if (await stat(installed).catch(() => undefined)) return installed;
  const lock = JSON.parse(await readFile(join(PROJECT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; integrity: string } | undefined>;
  };
  const locked = lock.packages[`node_modules/${name}`];
  if (!locked)
    throw new Error(`package-lock.json: expected ${name}, which brings Node for ${architecture}, got nothing.`);
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', work, `${name}@${locked.version}`]);
  const archive = join(work, packed.trim().split('\n').at(-1) ?? '');
  const hash = createHash('sha512').update(await readFile(archive));
  const digest = `sha512-${hash.digest('base64')}`;
  if (digest !== locked.integrity) throw new Error(`${name}: expected ${locked.integrity}, got ${digest}.`);
  await run('tar', ['-C', work, '-xf', archive]);
  return join(work, 'package/bin/node');
}
