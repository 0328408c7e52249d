// The processes of one node: each leaves its pid in the node's folder, where the watchdog finds it, and writes to one log.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { within } from './deadline.ts';

const END_WITHIN_MS = 60_000;
const LOG_LINES = 20;
/** Lines that name the cause, which a crash report buries. */
const CAUSE = /eaddrinuse|address already in use/i;

export interface Children {
  launch(name: string, command: string): void;
  /** Sent to the living; false if there is none of this name. */
  signal(name: string, signal: NodeJS.Signals): boolean;
  /** How it ended, if it has: an exit code or a signal. */
  ended(name: string): string | undefined;
  /** Sends the signal and waits for the end. @throws when it had to be killed after a minute */
  end(name: string, signal: NodeJS.Signals): Promise<void>;
  /** SIGKILL to all, without waiting. */
  killAll(): void;
  /** The last lines of the log. */
  log(): string;
}

export function childrenIn(folder: string, env: Record<string, string>): Children {
  const children = new Map<string, ChildProcess>();
  const logFile = join(folder, 'node.log');

  const living = (name: string) => {
    const child = children.get(name);
    return child && child.exitCode === null && child.signalCode === null ? child : undefined;
  };

  const log = () => {
    const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n');
    const cause = lines.slice(0, -LOG_LINES).find((line) => CAUSE.test(line));
    return [...(cause ? [cause] : []), ...lines.slice(-LOG_LINES)].join('\n');
  };

  return {
    launch(name, command) {
      const output = openSync(logFile, 'a');
      const pidFile = join(folder, `${name}.pid`);
      // The shell replaces itself by the program, so the pid that it leaves is the program's.
      const child = spawn('sh', ['-c', 'echo $$ >"$0" && exec "$1"', pidFile, command], {
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
      throw new Error(`The ${name} in ${folder} did not end within ${END_WITHIN_MS / 1000} s of ${signal}.\n${log()}`);
    },
    killAll() {
      for (const child of children.values()) child.kill('SIGKILL');
    },
    log,
  };
}
