// RabbitMQ as installed on this machine by a package manager: where its programs are.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onPath } from './machine.ts';
import type { Installation } from './private-node.ts';

export function installedAt(server: string): Installation {
  const folder = dirname(realpathSync(server));
  const ctl = [join(folder, 'rabbitmqctl'), join(dirname(server), 'rabbitmqctl')].find((file) => existsSync(file));
  const epmd = onPath('epmd', process.env);
  if (ctl === undefined || epmd === undefined) {
    const missing = ctl === undefined ? 'rabbitmqctl beside it' : 'epmd of Erlang on the PATH';
    throw new Error(`${server} is there, but not ${missing}: install RabbitMQ again.`);
  }
  return { origin: `installed, ${server}`, server, ctl, epmd, path: process.env.PATH ?? '/usr/bin:/bin' };
}
