// One task: the service as it runs in production, as a process of its own. Its output goes to a file and is kept for
// tests to search; its state is read over HTTP, as an operator would.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from '../service/contract/limits.ts';
import { ENV, PATHS } from '../service/contract/names.ts';
import type { HealthReport } from '../service/health.ts';
import { PROGRAM_ENVIRONMENT } from './program-environment.ts';

const MAIN = fileURLToPath(new URL('../service/main.ts', import.meta.url));
const LISTENING_WITHIN_MS = 60_000;
const ANSWER_WITHIN_MS = 5_000;

export interface IngestorSettings {
  readonly name: string;
  readonly logFile: string;
  /** Without the environment of this process, which the service must not see. */
  readonly env: Readonly<Record<string, string>>;
  /** Flags for node, such as a heap limit. */
  readonly nodeFlags?: readonly string[];
  /** What is run in the service's place, with its arguments. @default - the service, from its sources */
  readonly program?: readonly [command: string, ...args: string[]];
  /** So many of the last characters of its output are kept for tests. @default - all */
  readonly keep?: number;
}

export class IngestorProcess {
  readonly name: string;
  /** Exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>;
  /** What it has written. */
  output = '';
  ended = false;
  readonly #child: ChildProcess;
  #port: number | undefined;

  constructor({ name, logFile, env, nodeFlags = [], program, keep = Number.POSITIVE_INFINITY }: IngestorSettings) {
    this.name = name;
    const [command, ...args] = program ?? [process.execPath, ...NODE_FLAGS, ...nodeFlags, MAIN];
    this.#child = spawn(command, args, {
      env: { ...PROGRAM_ENVIRONMENT, [ENV.port]: '0', [ENV.host]: '127.0.0.1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const file = createWriteStream(logFile, { flags: 'a' });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.output = (this.output + chunk.toString()).slice(-keep);
        file.write(chunk);
      });
    this.exit = once(this.#child, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
      this.ended = true;
      file.end();
      return signal ?? code ?? 1;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get url(): string {
    if (this.#port === undefined) throw new Error(`${this.name} is not listening yet`);
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Resolves when it listens. @throws with its last lines when it ends before, or takes too long */
  async listening(): Promise<this> {
    const deadline = Date.now() + LISTENING_WITHIN_MS;
    for (;;) {
      this.#port = Number(/"port":(\d+)/.exec(this.output)?.[1]) || undefined;
      if (this.#port !== undefined) return this;
      if (this.ended || Date.now() > deadline)
        throw new Error(`${this.name} ${this.ended ? 'ended' : 'does not listen'}:\n${this.output.slice(-2_000)}`);
      await sleep(10);
    }
  }

  /** The report of /health; undefined while it cannot be reached. */
  async health(): Promise<HealthReport | undefined> {
    const text = await this.#get(PATHS.health);
    return text === undefined ? undefined : (JSON.parse(text) as HealthReport);
  }

  /** Values of /metrics by name and labels as printed; empty while it cannot be reached. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const lines = ((await this.#get(PATHS.metrics)) ?? '').split('\n');
    const samples = lines.flatMap((line) => (/^[^#]/.test(line) ? [/^(.*) (\S+)$/.exec(line) ?? []] : []));
    return new Map(samples.map(([, name = '', value]) => [name, Number(value)]));
  }

  async #get(path: string): Promise<string | undefined> {
    try {
      return await (await fetch(this.url + path, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) })).text();
    } catch {
      return undefined;
    }
  }

  /** SIGTERM, and waits for the end. @returns exit code or signal */
  async terminate(): Promise<number | NodeJS.Signals> {
    this.#child.kill('SIGTERM');
    return await this.exit;
  }

  /** kill -9, and waits for the end. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exit;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
