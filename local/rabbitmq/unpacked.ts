// RabbitMQ of a Debian or Ubuntu suite, unpacked into the user's cache folder and made to run from there.
// Needs no privileges and changes nothing on the system: no chroot, no namespace. Erlang's programs are started
// through the suite's own dynamic loader, so that they find the suite's libraries and not the machine's.
// A folder in the cache is complete or absent: it is made under another name, then renamed.

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
import { run } from '../run.ts';
import type { Programs } from './process-host.ts';
import type { Log } from './types.ts';
import { watch } from './watchdog.ts';

const DEBIAN_ROOT = join(import.meta.dirname, '../debian-root.sh');
/** Goes up when what `relocate` does changes, so that an older folder is not taken. */
const LAYOUT = 2;
const UNPACK_WITHIN_MS = 10 * 60_000;

/** The programs of a suite, from the cache or brought by apt. @throws with one sentence where no apt source offers it */
export async function unpack(suite: string, log?: Log): Promise<Programs> {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'discord-gateway-ingestor');
  const folder = join(cache, `rabbitmq-${suite}-${LAYOUT}`);
  // RabbitMQ's scripts do not quote the paths they find themselves in.
  if (/[\s'"`$*?:\\[\]]/.test(folder))
    throw new Error(`RabbitMQ cannot run from ${folder}: set XDG_CACHE_HOME to a path without spaces and $*?:[]'".`);
  if (!existsSync(folder)) await make(suite, cache, folder, log);
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

async function make(suite: string, cache: string, folder: string, log?: Log): Promise<void> {
  await run(DEBIAN_ROOT, ['--source', suite]);
  log?.(`Unpacking RabbitMQ of ${suite} into ${folder}`);
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, '.making-'));
  const watchdog = watch(work);
  try {
    const root = join(work, 'root');
    const env = { ...process.env, HOME: work };
    await run(DEBIAN_ROOT, [suite, root, 'rabbitmq-server'], { env, timeoutMs: UNPACK_WITHIN_MS });
    relocate(root, folder);
    try {
      renameSync(root, folder);
    } catch (error) {
      // Another process may have made it meanwhile, which is as good.
      if (!existsSync(folder)) throw error;
    }
  } finally {
    await watchdog.clean();
  }
}

/** Makes the Erlang in `root` run after the move to `folder`. */
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
  // Both: RabbitMQ starts `erl` from the path, and Erlang its own peers (cluster formation) from erts-*/bin.
  const runtime = readdirSync(join(root, erlang)).filter((name) => name.startsWith('erts-'));
  for (const bin of ['bin', ...runtime.map((name) => join(name, 'bin'))])
    for (const script of ['erl', 'start', 'start_erl']) {
      const path = join(root, erlang, bin, script);
      if (!existsSync(path)) continue;
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replaceAll(/=\/usr\/lib\/erlang$/gm, `='${join(folder, erlang)}'`));
    }
}

function findLoader(root: string): { file: string; libraries: string[] } {
  const libraries = ['usr/lib', 'lib']
    .filter((lib) => existsSync(join(root, lib)))
    .flatMap((lib) => readdirSync(join(root, lib)).map((name) => join(lib, name)))
    .filter((folder) => folder.endsWith('-linux-gnu'));
  const files = libraries.flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(folder, name)));
  const file = files.find((name) => /\/ld-linux-[^/]*\.so\.\d+$/.test(name));
  if (file === undefined) throw new Error(`No dynamic loader (ld-linux-*.so) among the unpacked packages in ${root}.`);
  return { file, libraries };
}

function isProgram(path: string): boolean {
  const stat = lstatSync(path);
  if (!stat.isFile() || (stat.mode & 0o100) === 0) return false;
  const file = openSync(path, 'r');
  const magic = Buffer.alloc(4);
  readSync(file, magic, 0, 4, 0);
  closeSync(file);
  return magic.toString('latin1') === '\x7fELF';
}
