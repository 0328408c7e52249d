// Leaves nothing behind, however the caller ends: a small shell process holds a pipe to it, sees the pipe end, and then
// ends every process whose HOME is the folder, removes the container, and deletes the folder.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { Socket } from 'node:net';

const SCRIPT = `
trap '' HUP INT TERM
read -r end
living() {
  if [ -d /proc/self ]; then grep -lsaF "HOME=$1" /proc/[0-9]*/environ | cut -d/ -f3
  else ps -axE -o pid= -o command= | awk -v folder="$1" 'index($0, "HOME=" folder) { print $1 }'; fi
}
for try in 1 2 3 4 5 6 7 8 9 10; do
  pids=$(living "$1")
  [ -n "$pids" ] || break
  kill -9 $pids
  sleep 0.1
done
[ -z "$2" ] || { [ -d "$1" ] && docker rm --force --volumes "$2"; }
rm -rf "$1"
`;

export interface Watchdog {
  /** Resolves when nothing is left. */
  clean(): Promise<void>;
}

/** @param folder the HOME of all processes that are to end with the caller @param container of Docker */
export function watch(folder: string, container = ''): Watchdog {
  const shell = spawn('sh', ['-c', SCRIPT, 'watchdog', folder, container], {
    cwd: '/',
    // Its own session: the Ctrl-C that ends the caller must not end it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Where there is no sh, clean() still deletes the folder.
  const ended = once(shell, 'exit').catch(() => undefined);
  // Neither it nor the pipe to it keeps the caller alive.
  shell.unref();
  if (shell.stdin instanceof Socket) shell.stdin.unref();
  return {
    async clean() {
      shell.ref();
      shell.stdin.end();
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
