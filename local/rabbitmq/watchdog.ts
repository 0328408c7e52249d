// Leaves nothing behind, however the caller ends. When it exits, what runs is ended and its folders are deleted before
// it is gone. When it cannot do so itself (a signal's default, kill -9), a small shell process that holds a pipe to it
// sees the pipe end and does the same. The shell only ends a process whose environment names the folder: by then a
// pid may belong to another.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { Socket } from 'node:net';

const SCRIPT = `
trap '' HUP INT TERM
ours() { { cat "/proc/$2/environ" 2>/dev/null || ps -E -o command= -p "$2"; } | grep -qaF "HOME=$1"; }
read -r end
for file in "$1"/*.pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  for try in 1 2 3 4 5 6 7 8 9 10; do
    ours "$1" "$pid" || break
    kill -9 -- "-$pid" || kill -9 "$pid"
    sleep 0.1
  done
done
[ -z "$2" ] || { [ -d "$1" ] && docker rm --force --volumes "$2"; }
# What was just killed may still be writing.
for try in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$1" && break
  sleep 0.1
done
`;

export interface Watched {
  /** Holds everything that is to go. The processes whose pids its `*.pid` files hold run with it as their HOME. */
  readonly folder: string;
  /** A Docker container that belongs to the folder. */
  readonly container?: string;
  /** Ends what runs, at once and synchronously; the folder is deleted afterwards. */
  endNow(): void;
}

export interface Watchdog {
  /** What was watched is gone: there is nothing left to clean up. */
  dismiss(): void;
}

const atExit = new Set<() => void>();

export function watch({ folder, container = '', endNow }: Watched): Watchdog {
  const shell = startShell(folder, container);
  const clean = () => {
    endNow();
    deleteFolder(folder);
  };
  if (atExit.size === 0) process.on('exit', cleanAll);
  atExit.add(clean);
  return {
    dismiss() {
      atExit.delete(clean);
      if (atExit.size === 0) process.off('exit', cleanAll);
      shell.stdin?.end();
    },
  };
}

/** Again for a while: what was just killed may still be writing. */
export function deleteFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

function cleanAll(): void {
  for (const clean of atExit) clean();
}

function startShell(folder: string, container: string): ChildProcess {
  const shell = spawn('sh', ['-c', SCRIPT, 'watchdog', folder, container], {
    cwd: '/',
    // Its own session: the Ctrl-C that ends the caller must not end it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Where there is no sh, the exit of the caller still cleans up.
  shell.on('error', () => {});
  // Neither it nor the pipe to it keeps the caller alive.
  shell.unref();
  if (shell.stdin instanceof Socket) shell.stdin.unref();
  return shell;
}
