// The processes that work in one folder. Each has a pid file there, where the watchdog finds it, a log beside it, and
// that folder as its HOME, by which the watchdog knows it.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { within } from './deadline.ts';

const END_WITHIN_MS = 60_000;

export interface Children {
  launch(name: string, program: string, ...args: string[]): void;
  /** Sent to the living; false if there is none of this name. */
  signal(name: string, signal: NodeJS.Signals): boolean;
  /** How it ended, if it has: an exit code or a signal. */
  ended(name: string): string | undefined;
  /** Sends the signal and waits for the end. @throws when it had to be killed after a minute */
  end(name: string, signal: NodeJS.Signals): Promise<void>;
  /** SIGKILL to all, without waiting. */
  killAll(): void;
  /** What it has printed, over all its launches. */
  log(name: string): string;
}

export function childrenIn(folder: string, env: NodeJS.ProcessEnv): Children {
  const children = new Map<string, ChildProcess>();

  /** SIGKILL takes its own children along; every other signal is for itself to answer. */
  const send = (child: ChildProcess, signal: NodeJS.Signals) => {
    if (signal !== 'SIGKILL' || child.pid === undefined) return child.kill(signal);
    try {
      return process.kill(-child.pid, signal);
    } catch {
      return child.kill(signal); // Its group is gone: then so is it, or nearly.
    }
  };

  const living = (name: string) => {
    const child = children.get(name);
    return child && child.exitCode === null && child.signalCode === null ? child : undefined;
  };

  const logFile = (name: string) => join(folder, `${name}.log`);

  return {
    launch(name, program, ...args) {
      const output = openSync(logFile(name), 'a');
      const pidFile = join(folder, `${name}.pid`);
      // The shell replaces itself by the program, so the pid that it leaves is the program's.
      const child = spawn('sh', ['-c', 'echo $$ >"$0" && exec "$@"', pidFile, program, ...args], {
        cwd: folder,
        env: { ...env, HOME: folder },
        // Its own session and group: a Ctrl-C in the terminal is for the caller, who may want to drain into this node.
        detached: true,
        stdio: ['ignore', output, output],
      });
      closeSync(output);
      child.once('exit', () => rmSync(pidFile, { force: true }));
      children.set(name, child);
    },
    signal(name, signal) {
      const child = living(name);
      return child !== undefined && send(child, signal);
    },
    ended(name) {
      const child = children.get(name);
      if (child === undefined) return 'never started';
      return living(name) ? undefined : `${child.signalCode ?? `exit code ${child.exitCode}`}`;
    },
    async end(name, signal) {
      const child = living(name);
      if (child === undefined) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      send(child, signal);
      // A frozen process takes no other signal than SIGKILL.
      child.kill('SIGCONT');
      if (await within(END_WITHIN_MS, ended)) return;
      send(child, 'SIGKILL');
      await ended;
      throw new Error(`The ${name} in ${folder} did not end within ${END_WITHIN_MS / 1000} s of ${signal}.`);
    },
    killAll() {
      for (const name of children.keys()) {
        const child = living(name);
        if (child) send(child, 'SIGKILL');
      }
    },
    log: (name) => readFileSync(logFile(name), 'utf8'),
  };
}
