// Looks at what this machine has that leads to a RabbitMQ node. Every look has a deadline and changes nothing.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { DEBIAN_ROOT, unpackedSuites } from './unpacked.ts';
import { type Machine, PRODUCTION_SUITE } from './ways.ts';

const run = promisify(execFile);
/** Debian's own, which does not change user; its wrapper in /usr/sbin does. */
const DEBIAN_SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';

export async function lookAround(env: NodeJS.ProcessEnv): Promise<Machine> {
  const wanted = env.RABBITMQ_FROM || undefined;
  const ownSuite = readOwnSuite();
  const unpacked = unpackedSuites();
  const sought = new Set(wanted ? [wanted] : [PRODUCTION_SUITE, ownSuite]);
  const [docker, ...offered] = await Promise.all([
    answers('docker', ['version', '--format', '{{.Server.Version}}']),
    ...[...sought].map(async (suite) => suite && !unpacked.includes(suite) && (await aptOffers(suite)) && suite),
  ]);
  return {
    givenUrl: env.RABBITMQ_URL || undefined,
    givenManagementUrl: env.RABBITMQ_MANAGEMENT_URL || undefined,
    wanted,
    unpackedSuites: unpacked,
    aptSuites: offered.filter((suite) => typeof suite === 'string'),
    ownSuite,
    installedServer: existsSync(DEBIAN_SERVER) ? DEBIAN_SERVER : onPath('rabbitmq-server', env),
    docker,
  };
}

export function onPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}

function readOwnSuite(): string | undefined {
  if (process.platform !== 'linux' || !existsSync('/etc/os-release')) return undefined;
  return /^VERSION_CODENAME="?(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
}

async function aptOffers(suite: string): Promise<boolean> {
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg-deb')) return false;
  return await answers(DEBIAN_ROOT, ['--source', suite]);
}

async function answers(program: string, args: string[]): Promise<boolean> {
  return await run(program, args, { timeout: 10_000 }).then(
    () => true,
    () => false,
  );
}
