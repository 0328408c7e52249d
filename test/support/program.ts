// A program of bin/ as a process: what it prints, and what it exits with.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'vitest';
import { PROGRAM_ENVIRONMENT } from '../../local/program-environment.ts';

const ROOT = join(import.meta.dirname, '../..');

export interface Ended {
  /** A signal that ended it. */
  readonly code: number | NodeJS.Signals;
  readonly out: string;
  readonly err: string;
}

/** How one ends that fails, and prints nothing but such a sentence. */
export const failedWith = (sentence: RegExp) => ({ code: 1, out: '', err: expect.stringMatching(sentence) });

export interface Program {
  readonly child: ChildProcess;
  readonly out: string;
  readonly err: string;
  readonly ended: Promise<Ended>;
}

/**
 * With these arguments, and nothing of our own environment but the path.
 * @param file from the root, such as bin/tail.ts
 */
export function start(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  node = process.execPath,
  flags: readonly string[] = [],
): Program {
  const child = spawn(node, [...flags, file, ...args], {
    cwd: ROOT,
    env: { ...PROGRAM_ENVIRONMENT, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const program = { child, out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (program.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (program.err += chunk.toString()));
  const ended = once(child, 'close').then(([code, signal]: (number | NodeJS.Signals)[]) => ({
    code: signal ?? code ?? 1,
    out: program.out,
    err: program.err,
  }));
  return Object.assign(program, { ended });
}
