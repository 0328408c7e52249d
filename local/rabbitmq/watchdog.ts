// Cleans up after a caller that could not do so itself, even one that was killed with -9: a small shell process holds
// a pipe to the caller, and when the pipe ends it ends what the folder's *.pid files name and deletes the folder.
// It only ever ends a process whose environment or arguments name the folder: a pid may belong to another by now.

import { spawn } from 'node:child_process';
import { Socket } from 'node:net';

const SCRIPT = `
trap '' HUP INT TERM
read -r end
for file in "$1"/*.pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  { cat "/proc/$pid/environ" 2>/dev/null || ps -E -o command= -p "$pid"; } | grep -qaF "$1" || continue
  kill -9 "$pid"
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
done
rm -rf "$1"
`;

export interface Watchdog {
  /** Its work is done: there is nothing left to clean up. */
  dismiss(): void;
}

export function watch(folder: string): Watchdog {
  // Its own session: the Ctrl-C that ends the caller must not end it.
  const shell = spawn('sh', ['-c', SCRIPT, 'watchdog', folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Neither it nor the pipe to it keeps the caller alive.
  shell.unref();
  if (shell.stdin instanceof Socket) shell.stdin.unref();
  return { dismiss: () => void shell.stdin?.end() };
}
