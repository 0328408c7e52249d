// Standard output without a reader: a slow reader, one that never reads, and one that has ended. With the real process.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENV, PATHS } from '../../service/contract/names.ts';
import { Output } from '../../service/output.ts';
import { closedPort } from '../support/fake-servers.ts';
import { eventually } from '../support/log-lines.ts';

const MIB = 1024 * 1024;

describe('a reader', () => {
  it('that is slow costs lines, which are counted, and no memory', () => {
    let release: () => void = () => undefined;
    let text = '';
    const stream = new Writable({
      write(chunk, _, done) {
        text += chunk;
        release = done;
      },
    });
    const output = new Output(stream);
    const line = `${'x'.repeat(MIB - 1)}\n`;
    for (let times = 0; times < 20; times += 1) output.write(line);
    expect(stream.writableLength).toBeLessThanOrEqual(5 * MIB);
    while (stream.writableLength > 0) release();
    output.write('the next line\n');
    while (stream.writableLength > 0) release();
    const [report = '', next] = text.split('\n').slice(-3);
    expect(JSON.parse(report)).toMatchObject({
      level: 'warn',
      lines: 15,
      msg: expect.stringContaining('lines are missing'),
    });
    expect(next).toBe('the next line');
  });

  it('that has 4 MiB to read costs the next line: one is counted, and once', () => {
    const stdout = Object.assign(new EventEmitter(), {
      writableLength: 4 * MIB + 1,
      write: (line: string) => lines.push(line),
    });
    const lines: string[] = [];
    const output = new Output(stdout as unknown as Writable);
    output.write('lost\n');
    stdout.writableLength = 4 * MIB;
    output.write('kept\n');
    output.write('also kept\n');
    expect(lines).toEqual([expect.stringContaining('"lines":1,'), 'kept\n', 'also kept\n']);
  });

  it('that is gone is reported once, and nothing is written any more', async () => {
    let writes = 0;
    // Standard output cannot be destroyed: each write fails again.
    const stdout = Object.assign(new EventEmitter(), {
      writableLength: 0,
      write() {
        writes += 1;
        stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const output = new Output(stdout as unknown as Writable);
    for (let times = 0; times < 100; times += 1) output.write('a line\n');
    expect(await output.gone).toMatchObject({ code: 'EPIPE' });
    expect(writes).toBe(1);
  });
});

describe('the process', () => {
  const MAIN = fileURLToPath(new URL('../../service/main.ts', import.meta.url));
  /** Of a pipe on Linux. */
  const CAPACITY = 64 * 1024;
  let folder: string;
  let reader: number;
  let child: ChildProcess;
  let url: string;
  let errors = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ingestor-output-'));
    const pipe = join(folder, 'stdout');
    execFileSync('mkfifo', [pipe]);
    reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(pipe, constants.O_WRONLY);
    writeSync(writer, Buffer.alloc(CAPACITY));
    const port = await closedPort();
    url = `http://127.0.0.1:${port}`;
    child = spawn(process.execPath, [MAIN], {
      env: {
        [ENV.port]: String(port),
        [ENV.host]: '127.0.0.1',
        [ENV.discordBotToken]: 'a.bot.token',
        // It has to drain while it asks for the number, too.
        [ENV.shardCount]: 'auto',
        // Nothing listens there: each failed attempt is a line.
        [ENV.discordApiUrl]: 'http://127.0.0.1:1/api',
        [ENV.rabbitmqUrl]: 'amqp://user:password@127.0.0.1:1/v',
      },
      stdio: ['ignore', writer, 'pipe'],
    });
    child.stderr?.on('data', (chunk) => {
      errors += chunk;
    });
    closeSync(writer);
    await eventually('it answers', async () => (await fetch(url + PATHS.live).catch(() => undefined))?.ok);
  });
  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    await rm(folder, { recursive: true });
    expect(errors).toBe('');
  });

  const exit = async () => (child.exitCode === null ? (await once(child, 'exit'))[0] : child.exitCode);

  it('works on while its pipe is full and never read, and drains', async () => {
    expect((await fetch(url + PATHS.health)).status).toBe(503);
    child.kill('SIGTERM');
    expect(await exit()).toBe(0);
    closeSync(reader);
  });

  it('drains when its reader is gone, and exits with 1', async () => {
    const all = Buffer.alloc(CAPACITY);
    readSync(reader, all);
    closeSync(reader);
    expect(await exit()).toBe(1);
  });
});
