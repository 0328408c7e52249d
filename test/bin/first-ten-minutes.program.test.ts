// Each mistake in README's table of first mistakes, made with the real program: it prints the sentence of the table, which
// says what to do, and no secret. Mistakes of a deployment: test/lib/deploy.test.ts.

import { lookup } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { applyTopology } from '../../lib/topology/apply.ts';
import { DiscordSimulator } from '../../local/discord/simulator.ts';
import { IngestorProcess } from '../../local/ingestor-process.ts';
import { EXIT_CONFIG } from '../../service/contract/limits.ts';
import { ENV } from '../../service/contract/names.ts';
import { makeVhost, sharedBroker } from '../support/broker.ts';
import { type MISTAKES, sentenceOf } from '../support/mistakes.ts';
import { type OwnVhost, ownVhost } from '../support/own-vhost.ts';
import { start } from '../support/program.ts';

type Mistake = keyof typeof MISTAKES;

/** Node's code for an unknown host. Without a network it is another one. */
const unknownHost = await lookup('no-such-host.invalid').then(String, ({ code }: NodeJS.ErrnoException) =>
  String(code),
);
const folder = await mkdtemp(join(tmpdir(), 'ingestor-mistakes-'));
const tasks: IngestorProcess[] = [];
let own: OwnVhost;
let simulator: DiscordSimulator;
let occupied: Server;
/** The correct address of the broker for the ingestor. */
let right: string;

beforeAll(async () => {
  own = await ownVhost('mistakes');
  await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  simulator = await DiscordSimulator.start({ grantedIntents: 0 });
  occupied = createServer().listen(0, '127.0.0.1');
  right = own.url('ingestor');
});
afterAll(async () => {
  await Promise.all(tasks.map((task) => task.kill()));
  occupied?.close();
  await simulator?.stop();
  await own?.remove();
  await rm(folder, { recursive: true, force: true });
});

function addressed(changed: Partial<Pick<URL, 'port' | 'hostname' | 'password' | 'pathname'>>): string {
  return Object.assign(new URL(right), changed).href;
}

/** @returns every text in the task's log lines */
function textsOf(task: IngestorProcess): string[] {
  const texts: string[] = [];
  for (const line of task.output.split('\n').filter((each) => each.startsWith('{')))
    JSON.parse(line, (_key, value: unknown) => {
      if (typeof value === 'string') texts.push(value);
      return value;
    });
  return texts;
}

function begin(env: Readonly<Record<string, string>>): IngestorProcess {
  const name = `task-${tasks.length}`;
  const all = {
    ...{ [ENV.discordBotToken]: simulator.token, [ENV.discordApiUrl]: simulator.apiUrl, [ENV.rabbitmqUrl]: right },
    ...env,
  };
  const task = new IngestorProcess({ name, logFile: join(folder, `${name}.log`), env: all });
  tasks.push(task);
  return task;
}

test.each<[Mistake, () => Record<string, string>]>([
  ['wrongToken', () => ({ [ENV.discordBotToken]: 'another.token.of-a-bot' })],
  ['intent', () => ({})],
  ['refused', () => ({ [ENV.rabbitmqUrl]: addressed({ port: '1' }) })],
  ['unknownHost', () => ({ [ENV.rabbitmqUrl]: addressed({ hostname: 'no-such-host.invalid' }) })],
  [
    'selfSigned',
    () => ({
      [ENV.rabbitmqUrl]: right.replace(/^amqp:/, 'amqps:').replace(/:\d+\//, `:${sharedBroker().amqpsPort}/`),
    }),
  ],
  ['noTls', () => ({ [ENV.rabbitmqUrl]: right.replace(/^amqp:/, 'amqps:') })],
  ['wrongPassword', () => ({ [ENV.rabbitmqUrl]: addressed({ password: 'not-the-password' }) })],
  ['wrongVhost', () => ({ [ENV.rabbitmqUrl]: addressed({ pathname: '/no-such-vhost' }) })],
  ['noVhost', () => ({ [ENV.rabbitmqUrl]: addressed({ pathname: '' }) })],
  // The worker's permissions.
  ['noTopology', () => ({ [ENV.rabbitmqUrl]: own.url('worker') })],
])('%s: the task logs it, and retries', async (mistake, env) => {
  const task = begin(env());
  const sentence = new RegExp(sentenceOf(mistake).source.replace('ENOTFOUND', unknownHost));
  await vi.waitUntil(() => textsOf(task).some((text) => sentence.test(text)) || task.ended, { timeout: 120_000 });
  expect(textsOf(task)).toContainEqual(expect.stringMatching(sentence));
  expect(await task.terminate()).toBe(0);
  for (const secret of [...Object.values(own.passwords), 'not-the-password']) expect(task.output).not.toContain(secret);
});

test('noTopology: the same without its exchanges and queues', async () => {
  const empty = await makeVhost('empty');
  const task = begin({ [ENV.rabbitmqUrl]: empty.url() });
  await vi.waitUntil(() => textsOf(task).some((text) => sentenceOf('noTopology').test(text)), { timeout: 60_000 });
  expect(textsOf(task)).toContainEqual(expect.stringContaining("NOT_FOUND - no exchange 'ingestor.leases'"));
  await task.kill();
  await empty.remove();
});

test.each<[Mistake, () => Record<string, string>]>([
  ['noToken', () => ({ [ENV.discordBotToken]: '' })],
  ['portInUse', () => ({ [ENV.port]: String((occupied.address() as { port: number }).port) })],
])('%s: the task ends with EX_CONFIG and this one sentence', async (mistake, env) => {
  const task = begin(env());
  expect(await task.exit).toBe(EXIT_CONFIG);
  const faults = textsOf(task).filter((text) => sentenceOf(mistake).test(text));
  expect(faults, task.output).toHaveLength(1);
});

const OLD_NODE = '/usr/bin/node';
const isOld =
  existsSync(OLD_NODE) && !(await start('bin/tail.ts', ['--help'], {}, OLD_NODE).ended).out.includes('Usage');

test.skipIf(!isOld)(
  `oldNode: an npm script ends with this one sentence${isOld ? '' : ' (skipped: needs an older Node in /usr/bin)'}`,
  async () => {
    const { code, out, err } = await start('service/main.ts', [], {}, OLD_NODE, ['-r', './bin/node-version.cjs']).ended;
    expect([code, out]).toEqual([1, '']);
    expect(err.trimEnd()).toMatch(sentenceOf('oldNode'));
  },
);

test('an npm script runs with this Node', async () => {
  const flags = ['-r', './bin/node-version.cjs'];
  expect(await start('bin/tail.ts', ['--help'], {}, process.execPath, flags).ended).toMatchObject({ code: 0, err: '' });
  const { scripts } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const programs = Object.values(scripts).filter((script) =>
    /^node .*(service\/main|bin\/(?!payload)|local\/demo)/.test(script),
  );
  expect(programs.length).toBeGreaterThanOrEqual(7);
  for (const script of programs) expect(script).toMatch(/^node -r \.\/bin\/node-version\.cjs /);
});

test('noRabbitMq: the demo ends with this one sentence', async () => {
  const env = { PATH: folder, HOME: folder, RABBITMQ_FROM: 'installed' };
  const { code, err } = await start('local/demo.ts', ['--seconds', '1'], env).ended;
  expect(code).toBe(1);
  expect(err.trimEnd().split('\n').at(-1)).toMatch(sentenceOf('noRabbitMq'));
  const docker = await start('local/demo.ts', ['--seconds', '1'], { ...env, RABBITMQ_FROM: 'docker' }).ended;
  expect(docker.err.trimEnd().split('\n').at(-1)).toMatch(sentenceOf('noRabbitMq'));
});
