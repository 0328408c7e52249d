// Runs a program to its end.

import { execFile } from 'node:child_process';
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
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    const last = `${stdout}${stderr}`.trim().split('\n').slice(-LAST_LINES).join('\n');
    throw new Error(`${command} ${args[0]} failed: ${last || message}`, { cause: error });
  }
}
