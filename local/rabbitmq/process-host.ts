// A node as processes of this machine: the node and its epmd, which maps the names of Erlang nodes to ports.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { poll } from '../poll.ts';
import { run } from '../run.ts';
import { ENABLED_PLUGINS, environment, nodeConfiguration } from './configuration.ts';
import { type Host, type Layout, nodeName } from './types.ts';

/** Where RabbitMQ's programs are, and the PATH on which they find each other and the system's. */
export interface Programs {
  readonly origin: string;
  readonly server: string;
  readonly ctl: string;
  readonly epmd: string;
  readonly path: string;
}

/** On a busy machine its Erlang alone takes a minute to start. */
const CTL_WITHIN_MS = 180_000;
const EPMD_WITHIN_MS = 30_000;
const END_WITHIN_MS = 60_000;

/** By address and port: nodes at one address share it. */
const epmds = new Map<string, Promise<ChildProcess>>();

export function processHost(programs: Programs, layout: Layout): Host {
  const { cookie, enter, folder, host, name, ports } = layout;
  const env = environment(layout, programs.path);
  let server: ChildProcess | undefined;

  writeFileSync(join(folder, 'rabbitmq.conf'), nodeConfiguration(layout));
  writeFileSync(join(folder, 'enabled_plugins'), ENABLED_PLUGINS);
  // Erlang takes a cookie only from a file that no other user can read.
  writeFileSync(join(folder, '.erlang.cookie'), cookie, { mode: 0o400 });

  /** @param program its output goes to a file, over all launches */
  function launch(program: string, log: string, ...args: string[]): ChildProcess {
    const output = openSync(join(folder, log), 'a');
    // Its own process group: a Ctrl-C in the terminal is for the caller, who may want to drain into this node.
    const [command = program, ...rest] = [...enter, program, ...args];
    const child = spawn(command, rest, { cwd: folder, env, detached: true, stdio: ['ignore', output, output] });
    closeSync(output);
    return child;
  }
  const read = (log: string) => (existsSync(join(folder, log)) ? readFileSync(join(folder, log), 'utf8') : '');

  async function haveEpmd(): Promise<void> {
    const address = `${host}:${ports.epmd}`;
    const shared = epmds.get(address);
    if (shared !== undefined && endOf(await shared) === undefined) return;
    const starting = startEpmd();
    epmds.set(address, starting);
    starting.catch(() => epmds.delete(address));
    await starting;
  }

  async function startEpmd(): Promise<ChildProcess> {
    const child = launch(programs.epmd, 'epmd.log', '-d', '-d');
    // An answer on its port would prove nothing: it may be the epmd of another node, about to end.
    const ready = () => read('epmd.log').includes('entering the main select() loop');
    await poll(EPMD_WITHIN_MS, () => ready() || endOf(child) !== undefined);
    if (!ready() || endOf(child) !== undefined) throw new Error(`epmd does not start. Its log:\n${read('epmd.log')}`);
    return child;
  }

  return {
    origin: programs.origin,
    async launch() {
      await haveEpmd();
      server = launch(programs.server, 'server.log');
    },
    ended: async () => endOf(server),
    log: async () => read('server.log'),
    async end(signal) {
      const child = server;
      if (child === undefined || endOf(child) !== undefined) return;
      const ended = once(child, 'exit', { signal: AbortSignal.timeout(END_WITHIN_MS) });
      send(child, signal);
      // A frozen process takes no other signal than SIGKILL.
      child.kill('SIGCONT');
      await ended.catch(() => {
        send(child, 'SIGKILL');
        throw new Error(`${name} did not end within ${END_WITHIN_MS / 1000} s of ${signal}, and was killed.`);
      });
    },
    pause(paused) {
      if (endOf(server) !== undefined) throw new Error(`${name} is not running: start() it first.`);
      server?.kill(paused ? 'SIGSTOP' : 'SIGCONT');
    },
    async ctl(args) {
      const [command = '', ...rest] = [...enter, programs.ctl, '--longnames', '--node', nodeName(layout), ...args];
      return await run(command, rest, { env, cwd: folder, timeoutMs: CTL_WITHIN_MS });
    },
    // The watchdog ends the processes.
    remove: async () => undefined,
  };
}

/** Undefined while it runs. */
function endOf(child: ChildProcess | undefined): string | undefined {
  if (child === undefined) return 'never started';
  return child.signalCode ?? (child.exitCode === null ? undefined : `exit code ${child.exitCode}`);
}

/** SIGKILL takes the children of the process along. */
function send(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (signal === 'SIGKILL' && child.pid !== undefined) process.kill(-child.pid, signal);
  else child.kill(signal);
}
