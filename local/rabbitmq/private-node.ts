// A node of our own: a child process with everything it has in one temporary folder.
// running: the child lives. stopped: it ended by stop(), kill() or itself; data and ports are kept, start() runs it again.
// removed: nothing of it is left; only remove() may be called.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RabbitMqNode, RabbitMqOptions } from '../rabbitmq.ts';
import { amqpUrl } from './amqp-url.ts';
import { makeCertificates } from './certificates.ts';
import { configFile, ENABLED_PLUGINS, environment, type NodeLayout } from './node-files.ts';
import { freePorts } from './ports.ts';
import { greets, versionOf } from './readiness.ts';
import { watch } from './watchdog.ts';

const run = promisify(execFile);

/** Where RabbitMQ's programs are and what they need to run. */
export interface Installation {
  readonly origin: string;
  readonly server: string;
  readonly ctl: string;
  readonly epmd: string;
  readonly path: string;
}

export const DEFAULT_MEMORY_HIGH_WATERMARK = `${1024 ** 3}`;
export const START_WITHIN_MS = 90_000;
const STOP_WITHIN_MS = 60_000;
const CTL_WITHIN_MS = 60_000;
const POLL_MS = 50;
const LOG_LINES_IN_ERROR = 20;
const PORT_CLASH = /eaddrinuse|address already in use/i;
const TRIES_ON_PORT_CLASH = 5;

export async function startPrivateNode(installation: Installation, options: RabbitMqOptions): Promise<RabbitMqNode> {
  for (let tries = 1; ; tries++) {
    const node = await makeNode(installation, options);
    try {
      const version = await node.start();
      return { ...node, version, start: async () => void (await node.start()) };
    } catch (error) {
      await node.remove();
      const clash = error instanceof Error && PORT_CLASH.test(error.message);
      if (!clash || tries === TRIES_ON_PORT_CLASH) throw error;
      options.log?.('Another process took a port meanwhile: trying others');
    }
  }
}

type UnstartedNode = Omit<RabbitMqNode, 'version' | 'start'> & { start(): Promise<string> };

async function makeNode(installation: Installation, options: RabbitMqOptions): Promise<UnstartedNode> {
  const ports = await freePorts(5);
  const [amqp = 0, management = 0, distribution = 0, epmd = 0, amqps = 0] = ports;
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'ingestor-rabbitmq-')));
  const layout: NodeLayout = {
    nodeName: `${options.name ?? 'rabbit'}-${randomBytes(4).toString('hex')}@localhost`,
    folder,
    ports: { amqp, management, distribution, epmd, amqps: options.tls ? amqps : undefined },
    username: 'administrator',
    password: randomBytes(16).toString('hex'),
    memoryHighWatermark: options.memoryHighWatermark ?? DEFAULT_MEMORY_HIGH_WATERMARK,
  };
  const env = environment(layout, installation);
  const managementUrl = `http://127.0.0.1:${management}`;
  const logFile = join(folder, 'node.log');
  const children = new Map<string, ChildProcess>();
  let removed = false;

  const watchdog = watch(folder);
  const onExit = () => {
    for (const child of children.values()) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  process.on('exit', onExit);

  function alive(name: string): ChildProcess | undefined {
    const child = children.get(name);
    return child && child.exitCode === null && child.signalCode === null ? child : undefined;
  }

  function server(verb: string): ChildProcess {
    const child = alive('server');
    if (child === undefined) throw new Error(`${layout.nodeName} is not running: start() it before ${verb}().`);
    return child;
  }

  function launch(name: string, command: string[]): ChildProcess {
    const log = openSync(logFile, 'a');
    // The shell leaves its pid, which is the program's, where the watchdog finds it. Its own session: a Ctrl-C in the
    // terminal is for the caller, who may want to drain into this node.
    const child = spawn('sh', ['-c', 'echo $$ >"$0" && exec "$@"', join(folder, `${name}.pid`), ...command], {
      cwd: folder,
      env,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.once('exit', () => rmSync(join(folder, `${name}.pid`), { force: true }));
    children.set(name, child);
    return child;
  }

  async function end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = alive(name);
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGCONT');
    child.kill(signal);
    const inTime = await within(STOP_WITHIN_MS, ended);
    if (inTime) return;
    child.kill('SIGKILL');
    await ended;
    throw new Error(
      `${layout.nodeName} did not end within ${STOP_WITHIN_MS / 1000} s of ${signal}.\n${tailOf(logFile)}`,
    );
  }

  async function start(): Promise<string> {
    if (removed) throw new Error(`${layout.nodeName} was removed: start another one.`);
    if (alive('server')) throw new Error(`${layout.nodeName} is running already.`);
    if (!alive('epmd')) await launchEpmd();
    const child = launch('server', [installation.server]);
    const deadline = Date.now() + START_WITHIN_MS;
    for (;;) {
      if (alive('server') === undefined) {
        throw new Error(
          `${layout.nodeName} ended while starting (${child.exitCode ?? child.signalCode}).\n${tailOf(logFile)}`,
        );
      }
      try {
        await greets({ host: '127.0.0.1', port: amqp, tls: false });
        return await versionOf(managementUrl, layout);
      } catch (error) {
        if (Date.now() > deadline) {
          await end('server', 'SIGKILL');
          const limit = `${START_WITHIN_MS / 1000} s`;
          throw new Error(`${layout.nodeName} was not ready within ${limit}.\n${tailOf(logFile)}`, { cause: error });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The node registers with it as soon as it starts. */
  async function launchEpmd(): Promise<void> {
    launch('epmd', [installation.epmd]);
    const deadline = Date.now() + START_WITHIN_MS;
    while (!(await accepts(epmd))) {
      if (alive('epmd') === undefined || Date.now() > deadline) {
        throw new Error(`epmd did not start on port ${epmd}.\n${tailOf(logFile)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async function stop(): Promise<void> {
    await end('server', 'SIGTERM');
  }

  async function ctl(...args: string[]): Promise<string> {
    const command = [installation.ctl, '--node', layout.nodeName, ...args];
    const [program = '', ...rest] = command;
    const { stdout } = await run(program, rest, { env, cwd: folder, timeout: CTL_WITHIN_MS }).catch((error) => {
      const said = `${error.stdout ?? ''}${error.stderr ?? ''}`.trim() || error.message;
      throw new Error(`rabbitmqctl ${args.join(' ')} failed: ${said}`, { cause: error });
    });
    return stdout;
  }

  async function remove(): Promise<void> {
    if (removed) return;
    removed = true;
    await end('server', 'SIGKILL');
    await end('epmd', 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    process.off('exit', onExit);
    watchdog.dismiss();
  }

  try {
    writeFileSync(join(folder, 'rabbitmq.conf'), configFile(layout));
    writeFileSync(join(folder, 'enabled_plugins'), ENABLED_PLUGINS);
    writeFileSync(join(folder, '.erlang.cookie'), randomBytes(16).toString('hex'));
    chmodSync(join(folder, '.erlang.cookie'), 0o400);
    const caFile = options.tls ? await makeCertificates(folder) : undefined;
    return {
      origin: installation.origin,
      username: layout.username,
      password: layout.password,
      amqpPort: amqp,
      amqpsPort: layout.ports.amqps,
      caFile,
      managementUrl,
      amqpUrl: (login = layout) => amqpUrl({ tls: false, host: '127.0.0.1', port: amqp }, login),
      start,
      stop,
      async restart() {
        await stop();
        await start();
      },
      kill: async () => await end('server', 'SIGKILL'),
      freeze: () => void server('freeze').kill('SIGSTOP'),
      thaw: () => void server('thaw').kill('SIGCONT'),
      ctl,
      rememberQueues: async () => void (await ctl('eval', '[{T, dets:sync(T)} || T <- dets:all()].')),
      async memoryAlarm(on) {
        await ctl('set_vm_memory_high_watermark', 'absolute', on ? '1' : layout.memoryHighWatermark);
        await waitForAlarm(ctl, on);
      },
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

export async function waitForAlarm(ctl: RabbitMqNode['ctl'], on: boolean): Promise<void> {
  const deadline = Date.now() + CTL_WITHIN_MS;
  for (;;) {
    const alarms = await ctl('eval', 'rabbit_alarm:get_alarms().');
    if (alarms.includes('memory') === on) return;
    if (Date.now() > deadline)
      throw new Error(`The memory alarm is not ${on ? 'on' : 'off'} after a minute: ${alarms}`);
  }
}

async function accepts(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Whether the promise settled in time. */
async function within(milliseconds: number, promise: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  try {
    return await Promise.race([promise.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}

function tailOf(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_IN_ERROR).join('\n');
}
