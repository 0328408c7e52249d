// `npm run tail`: live events on the command line, as the user for the dead letters, with the topology on a real broker.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { applyTopology } from '../../lib/topology/apply.ts';
import { EXCHANGES, HEADERS, QUEUES } from '../../service/contract/names.ts';
import { makeVhost } from '../support/broker.ts';
import { type OwnVhost, ownVhost } from '../support/own-vhost.ts';
import { failedWith, type Program, start } from '../support/program.ts';

const TOKEN = 'a-token-which-is-secret';
const HEAD = (keys: string) =>
  `live events of discord.events with the keys ${keys}, tokens masked; workers miss none of them. Ctrl-C ends\n`;

let own: OwnVhost;
let admin: ChannelModel;
let channel: ConfirmChannel;
const programs: Program[] = [];

beforeAll(async () => {
  own = await ownVhost('tail');
  await applyTopology(own.api, own.topology(), { passwords: own.passwords });
  admin = await own.connect();
  channel = await admin.createConfirmChannel();
});
afterEach(() => {
  for (const { child } of programs.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => await own?.remove());

function begin(...args: string[]): Program {
  const program = start('bin/tail.ts', args, { DEAD_LETTERS_URL: own.url('deadLetters') });
  programs.push(program);
  return program;
}

/** Resolves when it shows events. */
async function live(...args: string[]): Promise<Program> {
  const program = begin(...args);
  await vi.waitUntil(() => program.err.includes('Ctrl-C ends') || program.child.exitCode !== null, { timeout: 60_000 });
  return program;
}

async function publish(eventType: string, event: object, options: Options.Publish = {}, body?: Buffer): Promise<void> {
  const json = Buffer.from(JSON.stringify({ eventType, ...event }));
  channel.publish(EXCHANGES.events, eventType, body ?? json, { persistent: true, type: eventType, ...options });
  await channel.waitForConfirms();
}

const events = ({ out }: Program) =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const tails = async () =>
  (await own.api.list('queues', own.vhost)).map(({ name }) => name).filter((name) => name.startsWith('tail.'));

test('shows the events of the keys, complete and masked, as JSON lines; workers get all of them; Ctrl-C ends it', async () => {
  const program = await live('--key', 'interaction.#', '--key', 'dispatch.*');
  expect(program.err).toBe(HEAD('interaction.#, dispatch.*'));
  await publish('interaction.button', { eventId: 'a', interactionToken: TOKEN, data: { member: { token: TOKEN } } });
  await publish('member.join', { eventId: 'b' });
  await publish('dispatch.voice_server_update', { eventId: 'c', data: { token: TOKEN, endpoint: 'x' } });
  const large = gzipSync(JSON.stringify({ eventId: 'd', data: { noise: randomBytes(400).toString('hex') } }));
  for (const [index, part] of [large.subarray(0, 300), large.subarray(300)].entries()) {
    const headers = { [HEADERS.whole]: 'w', [HEADERS.part]: index + 1, [HEADERS.parts]: 2 };
    await publish('dispatch.guild_create', {}, { headers, contentEncoding: 'gzip' }, part);
  }
  await publish('dispatch.typing_start', {}, { contentEncoding: 'gzip' }, Buffer.from('not compressed'));
  await vi.waitUntil(() => events(program).length >= 4, { timeout: 30_000 });
  expect(events(program)).toEqual([
    {
      ...{ eventType: 'interaction.button', eventId: 'a', interactionToken: '[redacted]' },
      data: { member: { token: '[redacted]' } },
    },
    { eventType: 'dispatch.voice_server_update', eventId: 'c', data: { token: '[redacted]', endpoint: 'x' } },
    { eventId: 'd', data: { noise: expect.any(String) } },
    { eventType: 'dispatch.typing_start', unreadable: '14 bytes' },
  ]);
  const depths = await Promise.all(
    [QUEUES.interactions, QUEUES.guildEvents, QUEUES.dispatches].map(async (queue) => await channel.checkQueue(queue)),
  );
  expect(depths.map(({ messageCount }) => messageCount)).toEqual([1, 1, 4]);
  expect(await tails()).toHaveLength(1);
  program.child.kill('SIGINT');
  expect((await program.ended).code).toBe(0);
  expect(await tails()).toEqual([]);
});

test('the broker deletes its queue when it ends, also by kill -9', async () => {
  const program = await live();
  expect(program.err).toBe(HEAD('#'));
  expect(await tails()).toHaveLength(1);
  program.child.kill('SIGKILL');
  await program.ended;
  await vi.waitFor(async () => expect(await tails()).toEqual([]), { timeout: 30_000 });
});

test('when the terminal does not read, the oldest events are dropped, and the queue stays within its limit', async () => {
  const program = await live('--key', 'message.#');
  program.child.stdout?.pause();
  const count = 4_000;
  const noise = 'n'.repeat(2_000);
  for (let number = 0; number < count; number += 1) {
    const body = Buffer.from(JSON.stringify({ number, noise }));
    channel.publish(EXCHANGES.events, 'message.create', body, { persistent: true });
  }
  await channel.waitForConfirms();
  const [queue = ''] = await tails();
  const waiting = await vi.waitFor(
    async () => {
      const { messages = 0 } = (await own.api.get('queues', own.vhost, queue)) ?? {};
      expect(messages).toBeGreaterThan(0);
      return messages;
    },
    { timeout: 60_000, interval: 500 },
  );
  // A thousand in the queue, and those that the program has.
  expect(waiting).toBeLessThanOrEqual(1_000 + 200);
  program.child.stdout?.resume();
  await vi.waitUntil(() => program.out.includes(`"number":${count - 1},`), { timeout: 60_000 });
  expect(events(program).length).toBeLessThan(count);
  await channel.purgeQueue(QUEUES.guildEvents);
});

test.skipIf(!existsSync('/usr/bin/script'))(
  `on a terminal it shows colours, one line for each event, and no control characters of an event${existsSync('/usr/bin/script') ? '' : ' (skipped: needs script of util-linux)'}`,
  async () => {
    const command = `${process.execPath} ${new URL('../../bin/tail.ts', import.meta.url).pathname} --key member.join`;
    const child = spawn('/usr/bin/script', ['-qfec', command, '/dev/null'], {
      env: { PATH: process.env.PATH, TERM: 'xterm-256color', DEAD_LETTERS_URL: own.url('deadLetters') },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    await vi.waitUntil(() => out.includes('Ctrl-C ends'), { timeout: 60_000 });
    const data = { nick: 'x\u001b[2J\u009b\u202e', token: TOKEN, long: 'y'.repeat(1_000) };
    await publish('member.join', { shardId: 3, guildId: '1', userId: '2', timestamp: 1_795_500_000_123, data });
    await publish('member.join', { shardId: {}, timestamp: 1e300, data: null });
    await vi.waitUntil(() => out.split('member.join').length > 3, { timeout: 30_000 });
    expect(out).not.toContain(TOKEN);
    expect(out).toContain('\u001b[');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours
    const [, first = '', second] = out.replaceAll(/\u001b\[\d+m/g, '').split('\r\n');
    expect(first).toMatch(
      /^06:00:00\.123 {2}member\.join {2}shard 3 guild 1 user 2 {2}\{"nick":"x\\u001b\[2J\\u009b\\u202e","token":"\[redacted\]","long":"y+…$/,
    );
    expect(second).toMatch(/^00:00:00\.000 {2}member\.join/);
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stdin.write('\u0003');
    await ended;
    await vi.waitFor(async () => expect(await tails()).toEqual([]), { timeout: 30_000 });
  },
);

test('ends with one sentence and exit code 1 for a worker, and for a vhost without the topology', async () => {
  expect(await begin('--url', own.url('worker')).ended).toEqual(
    failedWith(
      /^ACCESS_REFUSED - .*'tail\.[0-9a-f]{12}'.*: log in as the user for the dead letters, and apply the topology\n$/,
    ),
  );
  const empty = await makeVhost('empty');
  expect(await begin('--url', empty.url()).ended).toEqual(
    failedWith(
      /^NOT_FOUND - no exchange 'discord\.events' in vhost '\S+': correct the vhost at the end of the address, or apply the topology\n$/,
    ),
  );
  await empty.remove();
});
