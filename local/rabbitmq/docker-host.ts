// A node in a Docker container, with its ports published on loopback only. Its data live as long as the container:
// over stop, kill and start, until remove().

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../run.ts';
import { containerConfiguration } from './configuration.ts';
import type { Host, Layout, Log } from './types.ts';

/**
 * Of production's series, with the management plugin on; reads /etc/rabbitmq/conf.d. By digest, so that everybody tests
 * on the same bytes. To renew: docker buildx imagetools inspect rabbitmq:4.3-management.
 */
export const IMAGE =
  'rabbitmq:4.3.6-management@sha256:cdf40d8cb363d145e377ed88d59696a42386ffe54b30125f10eb128b862eea95';
const CONFIG_FOLDER = '/etc/rabbitmq/conf.d';
const PULL_WITHIN_MS = 10 * 60_000;
const DOCKER_WITHIN_MS = 90_000;
const STOP_WITHIN_SECONDS = 60;

/** Pulls the image, unless it is there. @throws with one sentence where Docker does not work */
export async function pullImage(log?: Log): Promise<void> {
  await docker('version');
  if (await docker('image', 'inspect', IMAGE).catch(() => undefined)) return;
  log?.(`Pulling ${IMAGE}`);
  await run('docker', ['pull', '--quiet', IMAGE], { timeoutMs: PULL_WITHIN_MS });
}

export function dockerHost(layout: Layout): Host {
  const { folder, name, ports, tls } = layout;
  let created = false;

  async function create(): Promise<void> {
    const config = join(folder, 'conf.d');
    mkdirSync(config);
    for (const file of tls ? ['ca.pem', 'server.pem', 'server.key'] : []) {
      copyFileSync(join(folder, file), join(config, file));
      // The broker is another user in there. Who reads the key can only pretend to be this node.
      chmodSync(join(config, file), 0o644);
    }
    writeFileSync(join(config, '90-private.conf'), containerConfiguration(layout, CONFIG_FOLDER));
    const published = [`${ports.amqp}:5672`, `${ports.management}:15672`];
    if (tls) published.push(`${ports.amqps}:5671`, `${ports.managementTls}:15671`);
    const publish = published.flatMap((port) => ['--publish', `127.0.0.1:${port}`]);
    // The host's name is part of the node's, which is part of its data's path.
    await docker('create', '--name', name, '--hostname', name, ...publish, IMAGE);
    created = true;
    // Copied, not mounted: the daemon may be on another machine, or in a virtual one.
    await docker('cp', `${config}/.`, `${name}:${CONFIG_FOLDER}`);
  }

  return {
    origin: `Docker, ${IMAGE}`,
    container: name,
    async launch() {
      if (!created) await create();
      await docker('start', name);
    },
    async ended() {
      if (!created) return 'never started';
      const state = await docker('inspect', '--format', '{{.State.Running}} {{.State.ExitCode}}', name);
      return state.startsWith('true') ? undefined : `exit code ${state.trim().split(' ')[1]}`;
    },
    log: async () => await docker('logs', name),
    async end(signal) {
      if (signal === 'SIGTERM') return void (await docker('stop', '-t', `${STOP_WITHIN_SECONDS}`, name));
      await docker('kill', '--signal', 'KILL', name);
      await docker('wait', name);
    },
    pause(paused) {
      const { status, stderr } = spawnSync('docker', [paused ? 'pause' : 'unpause', name], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${name} is not running: start() it first. (${stderr.trim()})`);
    },
    ctl: async (args) => await docker('exec', name, 'rabbitmqctl', ...args),
    async remove() {
      if (created) await docker('rm', '--force', '--volumes', name);
    },
  };
}

const docker = async (...args: string[]): Promise<string> => await run('docker', args, { timeoutMs: DOCKER_WITHIN_MS });
