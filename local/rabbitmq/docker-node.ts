// A node in a Docker container, with its ports published on loopback only. Its data live as long as the container:
// over stop, kill and start, until remove().

import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RabbitMqNode, RabbitMqOptions } from '../rabbitmq.ts';
import { amqpUrl } from './amqp-url.ts';
import { makeCertificates } from './certificates.ts';
import { ctlVerbs } from './ctl.ts';
import { excerpt } from './log-excerpt.ts';
import { brokerSettings, DEFAULT_MEMORY_HIGH_WATERMARK, tlsSettings } from './node-files.ts';
import type { NodePorts } from './ports.ts';
import { endpointsOf, untilReady } from './readiness.ts';
import { deleteFolder, watch } from './watchdog.ts';

const run = promisify(execFile);

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

/** Brings the image, if it is not there. */
export async function pullImage(log?: (line: string) => void): Promise<void> {
  const there = await docker('image', 'inspect', IMAGE).catch(() => undefined);
  if (there !== undefined) return;
  log?.(`Pulling ${IMAGE}`);
  await run('docker', ['pull', '--quiet', IMAGE], { timeout: PULL_WITHIN_MS }).catch((error) => {
    throw new Error(`Docker is here, but could not pull ${IMAGE}: ${saidBy(error)}`, { cause: error });
  });
}

/** @throws with what the node's log says when it does not start; nothing of it is left then */
export async function startDockerNode(ports: NodePorts, options: RabbitMqOptions): Promise<RabbitMqNode> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'ingestor-rabbitmq-')));
  const name = `${options.name ?? 'rabbit'}-${randomBytes(4).toString('hex')}`;
  const administrator = { username: 'administrator', password: randomBytes(16).toString('hex') };
  const memoryHighWatermark = options.memoryHighWatermark ?? DEFAULT_MEMORY_HIGH_WATERMARK;
  const managementUrl = `http://127.0.0.1:${ports.management}`;
  const watchdog = watch({
    folder,
    container: name,
    endNow: () => void spawnSync('docker', ['rm', '--force', '--volumes', name], { stdio: 'ignore' }),
  });
  let caFile: string | undefined;
  let removal: Promise<void> | undefined;

  async function create(): Promise<void> {
    const config = join(folder, 'conf.d');
    mkdirSync(config);
    if (options.tls) caFile = await makeCertificates(folder);
    for (const file of options.tls ? ['ca.pem', 'server.pem', 'server.key'] : []) {
      copyFileSync(join(folder, file), join(config, file));
      // The broker is another user in there. Whoever reads the key can only pretend to be this node.
      chmodSync(join(config, file), 0o644);
    }
    const settings = [
      'management.tcp.port = 15672',
      ...brokerSettings({ ...administrator, memoryHighWatermark }),
      ...(options.tls ? tlsSettings('5671', { ip: '0.0.0.0', port: 15671 }, CONFIG_FOLDER) : []),
    ];
    writeFileSync(join(config, '90-private.conf'), `${settings.join('\n')}\n`);
    const published = [
      `${ports.amqp}:5672`,
      `${ports.management}:15672`,
      ...(options.tls ? [`${ports.amqps}:5671`, `${ports.managementTls}:15671`] : []),
    ];
    const publish = published.flatMap((port) => ['--publish', `127.0.0.1:${port}`]);
    // The host's name is part of the node's, which is part of its data's path.
    await docker('create', '--name', name, '--hostname', name, ...publish, IMAGE);
    // Copied, not mounted: the daemon may be on another machine, or in a virtual one.
    await docker('cp', `${config}/.`, `${name}:${CONFIG_FOLDER}`);
  }

  async function ended(): Promise<string | undefined> {
    const state = await docker('inspect', '--format', '{{.State.Running}} {{.State.ExitCode}}', name);
    return state.startsWith('true') ? undefined : `exit code ${state.trim().split(' ')[1]}`;
  }

  async function start(): Promise<string> {
    if (removal) throw new Error(`${name} was removed: start another node.`);
    if ((await ended()) === undefined) throw new Error(`${name} is running already.`);
    await docker('start', name);
    return await untilReady({
      name,
      endpoints: endpointsOf(ports.amqp, ports.amqps, caFile),
      managementUrl,
      administrator,
      ended,
      log: async () => {
        const { stdout, stderr } = await run('docker', ['logs', name], { timeout: DOCKER_WITHIN_MS });
        return excerpt(`${stdout}${stderr}`);
      },
    });
  }

  async function stop(): Promise<void> {
    await docker('stop', '-t', `${STOP_WITHIN_SECONDS}`, name);
  }

  async function kill(): Promise<void> {
    await docker('kill', '--signal', 'KILL', name);
    await docker('wait', name);
  }

  function pause(verb: 'pause' | 'unpause'): void {
    const { status, stderr } = spawnSync('docker', [verb, name], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${name} is not running: start() it first. (docker ${verb}: ${stderr.trim()})`);
  }

  async function remove(): Promise<void> {
    await docker('rm', '--force', '--volumes', name).catch((error) => {
      if (!/no such container/i.test(error.message)) throw error;
    });
    deleteFolder(folder);
    watchdog.dismiss();
  }

  try {
    await create();
    return {
      version: await start(),
      origin: `Docker, ${IMAGE}`,
      ...administrator,
      amqpPort: ports.amqp,
      amqpsPort: options.tls ? ports.amqps : undefined,
      caFile,
      managementUrl,
      managementTlsUrl: options.tls ? `https://127.0.0.1:${ports.managementTls}` : undefined,
      amqpUrl: (login = administrator) => amqpUrl({ tls: false, host: '127.0.0.1', port: ports.amqp }, login),
      start: async () => void (await start()),
      stop,
      async restart() {
        await stop();
        await start();
      },
      kill,
      freeze: () => pause('pause'),
      thaw: () => pause('unpause'),
      ...ctlVerbs(async (...args) => await docker('exec', name, 'rabbitmqctl', ...args), memoryHighWatermark),
      remove() {
        removal ??= remove();
        return removal;
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function docker(...args: string[]): Promise<string> {
  const { stdout } = await run('docker', args, { timeout: DOCKER_WITHIN_MS }).catch((error) => {
    throw new Error(`docker ${args[0]} failed: ${saidBy(error)}`, { cause: error });
  });
  return stdout;
}

function saidBy(error: { stderr?: unknown; message: string }): string {
  return String(error.stderr ?? '').trim() || error.message;
}
