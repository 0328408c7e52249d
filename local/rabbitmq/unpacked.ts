// RabbitMQ of a Debian or Ubuntu suite, unpacked into the user's cache folder and made to run from there.
// Needs no privileges and changes nothing on the system: no chroot, no namespace. Erlang's programs are started
// through the suite's own dynamic loader, so that they find the suite's libraries and not the machine's.
// A folder in the cache is whole or absent: it is made beside its place and renamed into it.

import { execFile } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Installation } from './private-node.ts';

const run = promisify(execFile);

export const DEBIAN_ROOT = fileURLToPath(new URL('../debian-root.sh', import.meta.url));
/** Goes up when what `relocate` does changes, so that an older folder is not taken. */
const LAYOUT = 1;
const UNPACK_DEADLINE_MS = 10 * 60_000;
/** A half-made folder older than this belongs to nobody. */
const ABANDONED_AFTER_MS = 60 * 60_000;

/** The installation of a suite, from the cache or brought by apt. */
export async function unpack(suite: string, log?: (line: string) => void): Promise<Installation> {
  const folder = folderOf(suite);
  if (!isWhole(folder)) {
    log?.(`Unpacking RabbitMQ of ${suite} into ${folder}`);
    await make(suite, folder);
  }
  const bin = join(folder, 'usr/lib/rabbitmq/bin');
  const erlang = join(folder, 'usr/lib/erlang/bin');
  return {
    origin: `${suite}'s package, unpacked in ${folder}`,
    server: join(bin, 'rabbitmq-server'),
    ctl: join(bin, 'rabbitmqctl'),
    epmd: join(erlang, 'epmd'),
    path: `${erlang}:/usr/sbin:/usr/bin:/sbin:/bin`,
  };
}

export function unpackedSuites(): string[] {
  if (!existsSync(cacheFolder())) return [];
  const suites = readdirSync(cacheFolder()).map((name) => /^rabbitmq-(\w+)-\d+$/.exec(name)?.[1]);
  return suites.filter((suite) => suite !== undefined).filter((suite) => isWhole(folderOf(suite)));
}

function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'discord-gateway-ingestor');
}

function folderOf(suite: string): string {
  return join(cacheFolder(), `rabbitmq-${suite}-${LAYOUT}`);
}

/** The folder names its own place: one that was moved would start programs of where it was. */
function isWhole(folder: string): boolean {
  const marker = join(folder, '.unpacked-in');
  return existsSync(marker) && readFileSync(marker, 'utf8') === folder;
}

async function make(suite: string, folder: string): Promise<void> {
  mkdirSync(cacheFolder(), { recursive: true });
  removeAbandoned();
  const work = mkdtempSync(join(cacheFolder(), '.making-'));
  try {
    const root = join(work, 'root');
    await run(DEBIAN_ROOT, [suite, root, 'rabbitmq-server'], { timeout: UNPACK_DEADLINE_MS }).catch((error) => {
      const reason = String(error.stderr ?? '').trim() || error.message;
      throw new Error(`RabbitMQ of ${suite} could not be unpacked by apt: ${reason}`, { cause: error });
    });
    relocate(root, folder);
    writeFileSync(join(root, '.unpacked-in'), folder);
    putInPlace(root, folder, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param work a folder of the caller's, beside `folder` */
export function putInPlace(root: string, folder: string, work: string): void {
  try {
    renameSync(root, folder);
  } catch {
    // Another process made it meanwhile: theirs is as good.
    if (isWhole(folder)) return;
    renameSync(folder, join(work, 'damaged'));
    renameSync(root, folder);
  }
}

function removeAbandoned(): void {
  for (const name of readdirSync(cacheFolder())) {
    const path = join(cacheFolder(), name);
    const age = name.startsWith('.making-')
      ? Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
      : 0;
    if (age > ABANDONED_AFTER_MS) rmSync(path, { recursive: true, force: true });
  }
}

/** Makes the Erlang in `root` run once it stands in `folder`. */
function relocate(root: string, folder: string): void {
  const loader = findLoader(root);
  const libraries = loader.libraries.map((library) => join(folder, library)).join(':');
  const erlang = 'usr/lib/erlang';
  for (const name of readdirSync(join(root, erlang), { recursive: true, encoding: 'utf8' })) {
    const file = join(erlang, name);
    if (!isProgram(join(root, file))) continue;
    renameSync(join(root, file), join(root, `${file}.elf`));
    // --argv0: escript finds out from its name what it is to run.
    const start = `exec '${join(folder, loader.file)}' --library-path '${libraries}' --argv0 "$0" '${join(folder, file)}.elf' "$@"`;
    writeFileSync(join(root, file), `#!/bin/sh\n${start}\n`);
    chmodSync(join(root, file), 0o755);
  }
  for (const script of ['erl', 'start', 'start_erl']) {
    const path = join(root, erlang, 'bin', script);
    if (!existsSync(path)) continue;
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/=\/usr\/lib\/erlang$/gm, `='${join(folder, erlang)}'`));
  }
}

function findLoader(root: string): { file: string; libraries: string[] } {
  const libraries: string[] = [];
  let file: string | undefined;
  for (const lib of ['usr/lib', 'lib']) {
    if (!existsSync(join(root, lib))) continue;
    for (const triplet of readdirSync(join(root, lib)).filter((name) => name.endsWith('-linux-gnu'))) {
      libraries.push(join(lib, triplet));
      const loader = readdirSync(join(root, lib, triplet)).find((name) => /^ld-linux-.*\.so\.\d+$/.test(name));
      if (loader) file = join(lib, triplet, loader);
    }
  }
  if (file === undefined) throw new Error(`No dynamic loader (ld-linux-*.so) among the unpacked packages in ${root}.`);
  return { file, libraries };
}

function isProgram(path: string): boolean {
  const stat = lstatSync(path);
  if (!stat.isFile() || (stat.mode & 0o100) === 0) return false;
  const file = openSync(path, 'r');
  try {
    const magic = Buffer.alloc(4);
    readSync(file, magic, 0, 4, 0);
    return magic.toString('latin1') === '\x7fELF';
  } finally {
    closeSync(file);
  }
}
