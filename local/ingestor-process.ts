// One task: the service as it runs in production, as a process of its own. Its output goes to a file and is kept for
// tests to search; its figures are read over HTTP, as an operator would.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from '../service/contract/limits.ts';
import { ENV, PATHS } from '../service/contract/names.ts';
import type { HealthReport } from '../service/health.ts';

const MAIN = fileURLToPath(new URL('../service/main.ts', import.meta.url));
const START_DEADLINE_MS = 60_000;

export interface IngestorSettings {
  readonly name: string;
  readonly logFile: string;
  /** Beside the environment of this process, which the service must not see. */
  readonly env: Readonly<Record<string, string>>;
  /** Flags for node, such as a heap limit. */
  readonly nodeFlags?: readonly string[];
  /** What is run in the service's place, with its arguments. @default - the service, from its sources */
  readonly program?: readonly [command: string, ...args: string[]];
}

export class IngestorProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | NodeJS.Signals>;
  #output = '';
  #port: number | undefined;
  #ended = false;

  constructor({ name, logFile, env, nodeFlags = [], program }: IngestorSettings) {
    this.name = name;
    const [command, ...args] = program ?? [process.execPath, ...NODE_FLAGS, ...nodeFlags, MAIN];
    this.#child = spawn(command, args, {
      env: { PATH: process.env.PATH, [ENV.port]: '0', [ENV.host]: '127.0.0.1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const file = createWriteStream(logFile, { flags: 'a' });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
        file.write(chunk);
      });
    this.#exit = once(this.#child, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
      this.#ended = true;
      file.end();
      return signal ?? code ?? 1;
    }) as Promise<number | NodeJS.Signals>;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Everything it has written. */
  get output(): string {
    return this.#output;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Exit code, or the signal that ended it. */
  get exit(): Promise<number | NodeJS.Signals> {
    return this.#exit;
  }

  get url(): string {
    if (this.#port === undefined) throw new Error(`${this.name} is not listening yet`);
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Resolves when it listens. @throws with its last lines when it ends before, or takes too long */
  async listening(): Promise<this> {
    const deadline = Date.now() + START_DEADLINE_MS;
    while (this.#port === undefined) {
      this.#port = Number(/"port":(\d+)/.exec(this.#output)?.[1]) || undefined;
      if (this.#port !== undefined) break;
      if (this.#ended || Date.now() > deadline)
        throw new Error(`${this.name} ${this.#ended ? 'ended' : 'does not listen'}:\n${this.#output.slice(-2_000)}`);
      await sleep(10);
    }
    return this;
  }

  /** The report of /health; none while it cannot be reached. */
  async health(): Promise<HealthReport | undefined> {
    try {
      const response = await fetch(`${this.url}${PATHS.health}`, { signal: AbortSignal.timeout(5_000) });
      return (await response.json()) as HealthReport;
    } catch {
      return undefined;
    }
  }

  /** Figures of /metrics by name and labels as printed; empty while it cannot be reached. */
  async figures(): Promise<ReadonlyMap<string, number>> {
    try {
      const response = await fetch(`${this.url}${PATHS.metrics}`, { signal: AbortSignal.timeout(5_000) });
      const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      return new Map(
        lines.map((line) => {
          const space = line.lastIndexOf(' ');
          return [line.slice(0, space), Number(line.slice(space + 1))];
        }),
      );
    } catch {
      return new Map();
    }
  }

  /** SIGTERM, and waits for the end. @returns exit code or signal */
  async terminate(): Promise<number | NodeJS.Signals> {
    this.#child.kill('SIGTERM');
    return this.#exit;
  }

  /** kill -9, and waits for the end. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
