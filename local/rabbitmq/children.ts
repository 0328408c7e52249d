// The processes of one node. Each has a pid file in the node's folder, where the watchdog finds it, and a log beside it.

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

export function childrenIn(folder: string, env: Record<string, string>): Children {
  const children = new Map<string, ChildProcess>();

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
        env,
        // Its own session: a Ctrl-C in the terminal is for the caller, who may want to drain into this node.
        detached: true,
        stdio: ['ignore', output, output],
      });
      closeSync(output);
      child.once('exit', () => rmSync(pidFile, { force: true }));
      children.set(name, child);
    },
    signal: (name, signal) => living(name)?.kill(signal) ?? false,
    ended(name) {
      const child = children.get(name);
      if (child === undefined) return 'never started';
      return living(name) ? undefined : `${child.signalCode ?? `exit code ${child.exitCode}`}`;
    },
    async end(name, signal) {
      const child = living(name);
      if (child === undefined) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      // A frozen process takes no other signal than SIGKILL.
      child.kill('SIGCONT');
      if (await within(END_WITHIN_MS, ended)) return;
      child.kill('SIGKILL');
      await ended;
      throw new Error(`The ${name} in ${folder} did not end within ${END_WITHIN_MS / 1000} s of ${signal}.`);
    },
    killAll() {
      for (const child of children.values()) child.kill('SIGKILL');
    },
    log: (name) => readFileSync(logFile(name), 'utf8'),
  };
}
