// A node of our own: child processes (the node and its epmd) with everything they have in one temporary folder.
// running: it answers. stopped: it ended by stop(), kill() or by itself; data and ports are kept, start() leads back.
// removed: nothing of it is left, only remove() may be called again.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RabbitMqNode, RabbitMqOptions } from '../rabbitmq.ts';
import { amqpUrl } from './amqp-url.ts';
import { makeCertificates } from './certificates.ts';
import { childrenIn } from './children.ts';
import { type Ctl, ctlVerbs } from './ctl.ts';
import { ask } from './deadline.ts';
import { excerpt } from './log-excerpt.ts';
import {
  configFile,
  DEFAULT_MEMORY_HIGH_WATERMARK,
  ENABLED_PLUGINS,
  environment,
  type NodeLayout,
} from './node-files.ts';
import type { NodePorts } from './ports.ts';
import { endpointsOf, untilReady } from './readiness.ts';
import { deleteFolder, watch } from './watchdog.ts';

const run = promisify(execFile);

/** Where RabbitMQ's programs are and what they need to run. */
export interface Installation {
  readonly origin: string;
  readonly server: string;
  readonly ctl: string;
  readonly epmd: string;
  /** PATH on which the programs find each other and the system's. */
  readonly path: string;
}

const CTL_WITHIN_MS = 60_000;
const EPMD_WITHIN_MS = 30_000;
const EPMD_LISTENS = /entering the main select\(\) loop/;

/** @throws with what the node's log says when it does not start; nothing of it is left then */
export async function startPrivateNode(
  installation: Installation,
  ports: NodePorts,
  options: RabbitMqOptions,
): Promise<RabbitMqNode> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'ingestor-rabbitmq-')));
  const layout: NodeLayout = {
    name: `${options.name ?? 'rabbit'}-${randomBytes(4).toString('hex')}@localhost`,
    folder,
    ports,
    tls: options.tls ?? false,
    username: 'administrator',
    password: randomBytes(16).toString('hex'),
    memoryHighWatermark: options.memoryHighWatermark ?? DEFAULT_MEMORY_HIGH_WATERMARK,
  };
  const env = environment(layout, installation.path);
  const children = childrenIn(folder, env);
  const watchdog = watch({ folder, endNow: children.killAll });
  const managementUrl = `http://127.0.0.1:${ports.management}`;
  let caFile: string | undefined;
  let removal: Promise<void> | undefined;

  const ctl: Ctl = async (...args) => {
    const options = { env, cwd: folder, timeout: CTL_WITHIN_MS };
    const { stdout } = await run(installation.ctl, ['--node', layout.name, ...args], options);
    return stdout;
  };

  async function start(): Promise<string> {
    if (removal) throw new Error(`${layout.name} was removed: start another node.`);
    if (children.ended('server') === undefined) throw new Error(`${layout.name} is running already.`);
    await startEpmd();
    children.launch('server', installation.server);
    try {
      return await untilReady({
        name: layout.name,
        endpoints: endpointsOf(ports.amqp, ports.amqps, caFile),
        managementUrl,
        administrator: layout,
        ended: async () => children.ended('server'),
        log: async () => excerpt(children.log('server')),
      });
    } catch (error) {
      await children.end('server', 'SIGKILL');
      throw error;
    }
  }

  async function stop(): Promise<void> {
    await children.end('server', 'SIGTERM');
  }

  function signal(signal: NodeJS.Signals): void {
    if (!children.signal('server', signal)) throw new Error(`${layout.name} is not running: start() it first.`);
  }

  async function remove(): Promise<void> {
    await children.end('server', 'SIGKILL');
    await children.end('epmd', 'SIGKILL');
    deleteFolder(folder);
    watchdog.dismiss();
  }

  async function startEpmd(): Promise<void> {
    if (children.ended('epmd') === undefined) return;
    // It says when it listens. An answer on the port would prove nothing: it may be another's epmd, about to be ended.
    children.launch('epmd', installation.epmd, '-d', '-d');
    const up = async () => {
      const end = children.ended('epmd');
      const log = children.log('epmd');
      if (end !== undefined) throw new Error(`epmd ended while starting (${end}). Its log:\n${excerpt(log)}`);
      return EPMD_LISTENS.test(log) || undefined;
    };
    await ask(EPMD_WITHIN_MS, up, () => new Error(`epmd does not start. Its log:\n${excerpt(children.log('epmd'))}`));
  }

  try {
    writeFileSync(join(folder, 'rabbitmq.conf'), configFile(layout));
    writeFileSync(join(folder, 'enabled_plugins'), ENABLED_PLUGINS);
    // Erlang takes a cookie only from a file that nobody else can read.
    writeFileSync(join(folder, '.erlang.cookie'), randomBytes(16).toString('hex'), { mode: 0o400 });
    if (layout.tls) caFile = await makeCertificates(folder);
    return {
      version: await start(),
      origin: installation.origin,
      username: layout.username,
      password: layout.password,
      amqpPort: ports.amqp,
      amqpsPort: layout.tls ? ports.amqps : undefined,
      caFile,
      managementUrl,
      managementTlsUrl: layout.tls ? `https://127.0.0.1:${ports.managementTls}` : undefined,
      amqpUrl: (login = layout) => amqpUrl({ tls: false, host: '127.0.0.1', port: ports.amqp }, login),
      start: async () => void (await start()),
      stop,
      async restart() {
        await stop();
        await start();
      },
      kill: async () => await children.end('server', 'SIGKILL'),
      freeze: () => signal('SIGSTOP'),
      thaw: () => signal('SIGCONT'),
      ...ctlVerbs(ctl, layout.memoryHighWatermark),
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
