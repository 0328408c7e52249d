// RabbitMQ of a Debian or Ubuntu suite, unpacked into the user's cache folder and made to run from there.
// Needs no privileges and changes nothing on the system: no chroot, no namespace. Erlang's programs are started
// through the suite's own dynamic loader, so that they find the suite's libraries and not the machine's.
// A folder in the cache is whole or absent: it is made beside its place and renamed into it.

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
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childrenIn } from './children.ts';
import { ask } from './deadline.ts';
import type { Installation } from './private-node.ts';
import { deleteFolder, watch } from './watchdog.ts';

export const DEBIAN_ROOT = fileURLToPath(new URL('../debian-root.sh', import.meta.url));
/** Goes up when what `relocate` does changes, so that an older folder is not taken. */
const LAYOUT = 1;
/** First part of the name of a folder that is being made. */
const MAKING = '.making-';
/** In a whole folder: its own place, since one that was moved would start programs of where it was. */
const MARKER = '.unpacked-in';
const UNPACK_WITHIN_MS = 10 * 60_000;

/** The installation of a suite, from the cache or brought by apt. */
export async function unpack(suite: string, log?: (line: string) => void): Promise<Installation> {
  const folder = folderOf(suite);
  // RabbitMQ's scripts do not quote the paths they find themselves in.
  if (/[\s'"`$*?:\\[\]]/.test(folder)) {
    throw new Error(
      `RabbitMQ cannot run from ${folder}: set XDG_CACHE_HOME to a path without spaces, quotes and $*?:[].`,
    );
  }
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

function isWhole(folder: string): boolean {
  const marker = join(folder, MARKER);
  return existsSync(marker) && readFileSync(marker, 'utf8') === folder;
}

async function make(suite: string, folder: string): Promise<void> {
  mkdirSync(cacheFolder(), { recursive: true });
  const work = mkdtempSync(join(cacheFolder(), MAKING));
  const children = childrenIn(work, process.env);
  const watchdog = watch({ folder: work, endNow: children.killAll });
  try {
    const root = join(work, 'root');
    children.launch('unpack', DEBIAN_ROOT, suite, root, 'rabbitmq-server');
    const ended = async () => children.ended('unpack');
    const end = await ask(UNPACK_WITHIN_MS, ended, () => new Error(`RabbitMQ of ${suite} was not unpacked in time.`));
    if (end !== 'exit code 0') {
      throw new Error(`RabbitMQ of ${suite} could not be unpacked (${end}): ${children.log('unpack').trim()}`);
    }
    relocate(root, folder);
    writeFileSync(join(root, MARKER), folder);
    putInPlace(root, folder, work);
  } finally {
    await children.end('unpack', 'SIGKILL');
    deleteFolder(work);
    watchdog.dismiss();
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
