// Runs a program to its end.

import { type ExecFileException, execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface RunOptions {
  readonly cwd?: string;
  /** @default - that of this process */
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

const LAST_LINES = 15;

/** @returns its standard output @throws with the last lines that it printed, when it fails or takes too long */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { timeoutMs: timeout = 0, ...rest } = options;
  try {
    return (await promisify(execFile)(command, args, { ...rest, timeout, maxBuffer: 2 ** 26 })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '', killed, message } = error as ExecFileException;
    const last = `${stdout}${stderr}`.trim().split('\n').slice(-LAST_LINES).join('\n');
    const what = killed && timeout > 0 ? `did not end within ${timeout / 1_000} s` : 'failed';
    throw new Error(`${command} ${args[0]} ${what}: ${last || message}`, { cause: error });
  }
}
