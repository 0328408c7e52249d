// Base images where those of service/Dockerfile cannot be pulled, made of Debian's packages and the Node that npm
// brought. The runtime's has what the pinned one has that matters: libc, libstdc++, Node in /nodejs/bin, a user, no
// shell; the build's has npm and a shell beside it.
import { copyFile, cp, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '../run.ts';
import { type Architecture, type Bases, buildArguments, type Engine, engineRun, OWN } from './engine.ts';

const PROJECT = dirname(dirname(import.meta.dirname));
const SUITE = 'bookworm';
const TOOLS = ['base-files', 'dash', 'coreutils', 'sed', 'grep'];

/** @param work a folder for what is unpacked */
export async function assembledBases(engine: Engine, work: string, architecture: Architecture): Promise<Bases> {
  const bases = { BUILD_IMAGE: 'localhost/rehearsal-build-base', RUNTIME_IMAGE: 'localhost/rehearsal-runtime-base' };
  const build = join(work, 'build');
  await unpack(build, OWN, TOOLS);
  await addNpm(build);
  await makeImage(engine, build, OWN, bases.BUILD_IMAGE);
  const runtime = join(work, 'runtime');
  await unpack(runtime, architecture, []);
  await makeImage(engine, runtime, architecture, bases.RUNTIME_IMAGE);
  return bases;
}

async function unpack(root: string, architecture: Architecture, packages: readonly string[]): Promise<void> {
  await mkdir(dirname(root), { recursive: true });
  const apt = `${root}.apt.conf`;
  await writeFile(apt, `APT::Architecture "${architecture}"; APT::Architectures { "${architecture}"; };\n`);
  const script = join(PROJECT, 'local/debian-root.sh');
  const env = { ...process.env, APT_CONFIG: apt };
  await run('bash', [script, SUITE, root, 'libc6', 'libstdc++6', ...packages], { env });
  for (const folder of ['etc', 'nodejs/bin', 'tmp']) await mkdir(join(root, folder), { recursive: true });
  const users = ['root:x:0:0:root:/root:/sbin/nologin', 'nonroot:x:65532:65532::/:/sbin/nologin'];
  await writeFile(join(root, 'etc/passwd'), `${users.join('\n')}\n`);
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  await copyFile(await nodeBinary(dirname(root), architecture), join(root, 'nodejs/bin/node'));
}

async function addNpm(root: string): Promise<void> {
  const cli = process.env.npm_execpath;
  if (!cli) throw new Error('The npm to put into the build base is not known: start this by `npm run rehearse`.');
  for (const folder of ['usr/local/lib', 'usr/local/bin', 'root']) await mkdir(join(root, folder), { recursive: true });
  await cp(dirname(dirname(cli)), join(root, 'usr/local/lib/npm'), { recursive: true, dereference: true });
  for (const command of ['npm', 'npx'])
    await symlink(`../lib/npm/bin/${command}-cli.js`, join(root, 'usr/local/bin', command));
  await symlink('dash', join(root, 'bin/sh')).catch(() => undefined);
}

async function makeImage(engine: Engine, root: string, architecture: Architecture, tag: string): Promise<void> {
  const context = `${root}.context`;
  await mkdir(context, { recursive: true });
  await run('tar', ['-C', root, '-cf', join(context, 'root.tar'), '.']);
  const path = 'PATH=/nodejs/bin:/usr/local/bin:/usr/bin:/bin';
  await writeFile(join(context, 'Dockerfile'), `FROM scratch\nADD root.tar /\nENV ${path}\n`);
  const asset = { dockerFile: 'Dockerfile' };
  await engineRun(engine, buildArguments(engine, asset, { tag, platform: `linux/${architecture}` }), context);
}

/** The Node of the lockfile, which the tests ran on; for another processor the same version, fetched by npm. */
async function nodeBinary(work: string, architecture: Architecture): Promise<string> {
  const name = `node-linux-${architecture === 'amd64' ? 'x64' : 'arm64'}`;
  const installed = join(PROJECT, 'node_modules', name, 'bin/node');
  if (await stat(installed).catch(() => undefined)) return installed;
  const { optionalDependencies } = JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8'));
  const wanted = `${name}@${optionalDependencies[name]}`;
  const archive = await run('npm', ['pack', '--silent', '--pack-destination', work, wanted]);
  await run('tar', ['-C', work, '-xf', join(work, archive.trim())]);
  return join(work, 'package/bin/node');
}
