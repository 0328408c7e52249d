// `npm run dead-letters`, with its own user, and with the topology on a real broker. Messages are dead-lettered as in production:
// rejected by a worker, expired, dropped from a full queue, or beyond the delivery limit.

import { randomUUID } from 'node:crypto';
import type { ChannelModel, GetMessage, Options } from 'amqplib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { run } from '../../bin/dead-letters.ts';
import { WINDOW } from '../../lib/operator/walk.ts';
import { applyTopology } from '../../lib/topology/apply.ts';
import { DEFAULT_LIMITS } from '../../lib/topology/topology.ts';
import { commandQueue, EXCHANGES, HEADERS, leaseQueue, QUEUES } from '../../service/contract/names.ts';
import { makeVhost, manage, sharedBroker } from '../support/broker.ts';
import { type OwnVhost, ownVhost } from '../support/own-vhost.ts';
import { failedWith, type Program, start } from '../support/program.ts';

const UNROUTED = 'what no queue is bound to goes to the queue unrouted\n';
const TOKEN = 'an-interaction-token-which-is-secret';

let own: OwnVhost;
let admin: ChannelModel;
let url: string;
let programs: Program[];

beforeEach(async () => {
  programs = [];
  own = await ownVhost('letters');
  const limits = { gatewayEventsMaxMessages: 1, deliveryLimit: 1 };
  await applyTopology(own.api, own.topology({ limits }), { passwords: own.passwords });
  admin = await own.connect();
  url = own.url('deadLetters');
});
afterEach(async () => {
  for (const { child } of programs) child.kill('SIGKILL');
  vi.unstubAllEnvs();
  await own.remove();
});

function begin(...args: string[]): Program {
  const program = start('bin/dead-letters.ts', args, { DEAD_LETTERS_URL: url });
  programs.push(program);
  return program;
}

/** Runs in this process, and waits for its end: a quorum queue requeues the messages of a closed channel a moment later. */
async function letters(...args: string[]) {
  vi.stubEnv('DEAD_LETTERS_URL', url);
  const before = await consumers();
  const [out, err]: [string[], string[]] = [[], []];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => out.push(String(text)) > 0);
  vi.spyOn(console, 'log').mockImplementation((text) => void out.push(`${text}\n`));
  vi.spyOn(console, 'error').mockImplementation((text) => void err.push(`${text}\n`));
  const code = await run(args).finally(() => vi.restoreAllMocks());
  await vi.waitFor(async () => expect(await consumers()).toBeLessThanOrEqual(before), { timeout: 60_000 });
  const ended = { code, out: out.join(''), err: err.join('') };
  for (const secret of [TOKEN, own.passwords[own.userNames.deadLetters] ?? ''])
    expect(ended.out + ended.err).not.toContain(secret);
  return ended;
}

const jsonLines = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const seconds = (age = 0) => Math.floor((Date.now() - age) / 1_000);

interface Publishing extends Options.Publish {
  readonly exchange?: string;
  readonly body?: object | Buffer;
}

/** Publishes events as the ingestor does. @returns their ids */
async function publish(eventType: string, publishing: Publishing = {}, count = 1): Promise<string[]> {
  const { exchange = EXCHANGES.events, body = {}, ...options } = publishing;
  const channel = await admin.createConfirmChannel();
  const ids = Array.from({ length: count }, () => randomUUID());
  for (const eventId of ids) {
    const json = { eventId, eventType, interactionToken: TOKEN, data: { token: TOKEN }, ...body };
    channel.publish(exchange, eventType, body instanceof Buffer ? body : Buffer.from(JSON.stringify(json)), {
      ...{ persistent: true, messageId: eventId, type: eventType, timestamp: seconds(), appId: 'test', priority: 5 },
      ...options,
      headers: { [HEADERS.shard]: 0, ...options.headers },
    });
  }
  await channel.waitForConfirms();
  await channel.close();
  return ids;
}

/** Rejects messages, as a worker that cannot handle them. */
async function reject(queue: string, count = 1): Promise<void> {
  const channel = await admin.createChannel();
  const all = Promise.withResolvers<void>();
  let left = count;
  await channel.consume(queue, (message) => {
    if (message === null) return;
    channel.nack(message, false, false);
    left -= 1;
    if (left === 0) all.resolve();
  });
  await all.promise;
  await channel.close();
}

async function check(queue: string) {
  const channel = await admin.createChannel();
  const counts = await channel.checkQueue(queue);
  await channel.close();
  return counts;
}

const depth = async (queue: string) => (await check(queue)).messageCount;
/** Counts closed consumers too, until their messages are requeued. */
const consumers = async () => (await check(QUEUES.deadLetters)).consumerCount;

/** Resolves when the queue has so many messages. */
const holds = async (queue: string, count: number) =>
  await vi.waitFor(async () => expect(await depth(queue)).toBe(count), { timeout: 60_000, interval: 100 });

/** Takes all messages out of the queue, in order. */
async function taken(queue: string): Promise<GetMessage[]> {
  const channel = await admin.createChannel();
  const messages: GetMessage[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (!message) break;
    messages.push(message);
  }
  await channel.close();
  return messages;
}

const idsIn = async (queue: string) => (await taken(queue)).map(({ properties }) => String(properties.messageId));

async function someRejected(eventType: string, count: number, publishing?: Publishing): Promise<string[]> {
  const [word] = eventType.split('.');
  const queue = word === 'interaction' ? QUEUES.interactions : QUEUES.guildEvents;
  const before = await depth(QUEUES.deadLetters);
  const ids = await publish(eventType, publishing, count);
  await reject(queue, count);
  await holds(QUEUES.deadLetters, before + count);
  return ids;
}

describe('list', () => {
  test('counts dead letters by reason, queue and type, with their ages; each filter selects', async () => {
    const [rejected = ''] = await someRejected('member.join', 2);
    // Delivered twice: once more than the delivery limit.
    const channel = await admin.createChannel();
    await publish('guild.join');
    for (let delivery = 0; delivery < 2; delivery += 1) {
      const failing = await own.connect();
      const failed = await failing.createChannel();
      const got = Promise.withResolvers<void>();
      await failed.consume(QUEUES.guildEvents, () => got.resolve());
      await got.promise;
      await failed.close();
    }
    await holds(QUEUES.deadLetters, 3);
    await publish('gateway.gap', {}, 2);
    await publish('interaction.autocomplete.ban', { expiration: 1 });
    await publish('shard.0', { exchange: EXCHANGES.commands, expiration: 1, type: undefined });
    await publish(leaseQueue(0), { exchange: EXCHANGES.leases, type: undefined });
    await reject(leaseQueue(0), 2);
    const refused = { [HEADERS.refused]: 'expected a command as JSON, got no JSON', [HEADERS.refusedKey]: 'shard.0' };
    channel.publish(EXCHANGES.deadLetter, QUEUES.deadLetters, Buffer.from('no JSON'), {
      ...{ headers: refused, timestamp: seconds(7_200_000), persistent: true },
    });
    await holds(QUEUES.deadLetters, 9);

    const { code, out, err } = await letters('list', '--json');
    expect([code, err]).toEqual([0, '']);
    const listed = JSON.parse(out) as { looked: number; messages: number; groups: Record<string, unknown>[] };
    expect([listed.looked, listed.messages]).toEqual([9, 9]);
    const groups = listed.groups.map(({ reason, queue, type, messages }) => [reason, queue, type, messages]);
    expect(groups.toSorted()).toEqual([
      ['delivery_limit', QUEUES.guildEvents, 'guild.join', 1],
      ['expired', commandQueue(0), 'shard.0', 1],
      ['expired', QUEUES.interactions, 'interaction.autocomplete.ban', 1],
      ['maxlen', QUEUES.gatewayEvents, 'gateway.gap', 1],
      ['refused', EXCHANGES.commands, 'shard.0', 1],
      ['rejected', QUEUES.guildEvents, 'member.join', 2],
      ['rejected', leaseQueue(0), leaseQueue(0), 2],
    ]);
    const table = await letters('list');
    expect(table.out).toMatch(
      /^dead-letters: 9 messages, of which 9 match\n\nreason +from +type +messages +oldest +newest\n/,
    );
    expect(table.out).toMatch(/^rejected +events\.guild +member\.join +2 +\d+s +\d+s$/m);
    expect(table.out).toMatch(/^refused +discord\.commands +shard\.0 +1 +2h( \d+s)? +2h( \d+s)?$/m);

    for (const [filter, count] of [
      [['--reason', 'rejected'], 4],
      [['--reason', 'expired', '--reason', 'maxlen'], 3],
      [['--type', 'member.*'], 2],
      [['--type', 'interaction.#', '--type', '*.join'], 4],
      [['--id', rejected], 1],
      [['--older-than', '2h'], 1],
      [['--younger-than', '1h'], 8],
      [['--reason', 'refused', '--younger-than', '1h'], 0],
    ] as const)
      expect(JSON.parse((await letters('list', '--json', ...filter)).out), filter.join(' ')).toMatchObject({
        messages: count,
      });
    expect((await letters('list', '--reason', 'maxlen', '--type', 'member.*')).out).toBe(
      'dead-letters: 9 messages, of which 0 match\n',
    );
  });

  test('reports that another consumer holds messages; when it holds all, with exit code 1', async () => {
    await someRejected('member.join', 3);
    const other = await admin.createChannel();
    const hold = async (count: number) => {
      await other.prefetch(count);
      await other.consume(QUEUES.deadLetters, () => undefined);
    };
    await hold(2);
    await holds(QUEUES.deadLetters, 1);
    const sentence = 'queue dead-letters: another consumer holds messages of it, which are missing here: ';
    expect(await letters('list')).toMatchObject({
      ...{ code: 0, out: expect.stringMatching(/^dead-letters: 1 messages/), err: expect.stringContaining(sentence) },
    });
    await hold(1);
    await holds(QUEUES.deadLetters, 0);
    expect(await letters('list')).toMatchObject({ code: 1, out: '', err: expect.stringContaining(sentence) });
    await other.close();
    await holds(QUEUES.deadLetters, 3);
    expect(await letters('list')).toMatchObject({ code: 0, err: '' });
  });

  test('drops nothing and keeps the order, however often it runs, and loses nothing when it is killed', async () => {
    const ids = await someRejected('member.join', 3 * WINDOW);
    const shown = async () => jsonLines((await letters('show', '--json')).out).map(({ id }) => id);
    for (let time = 0; time <= DEFAULT_LIMITS.deliveryLimit; time += 1) expect(await shown()).toEqual(ids);
    const program = begin('list');
    const hasStarted = async () => (await depth(QUEUES.deadLetters)) < ids.length || program.child.exitCode !== null;
    await vi.waitUntil(hasStarted, { timeout: 30_000, interval: 5 });
    program.child.kill('SIGKILL');
    await program.ended;
    await holds(QUEUES.deadLetters, ids.length);
    expect((await shown()).toSorted()).toEqual(ids.toSorted());
  });
});

test('show prints matching messages, without tokens and control characters, and leaves them in the queue', async () => {
  const evil = 'red \u001b[31m \u009b2J \u202e';
  await someRejected('interaction.button', 1, { body: { interactionToken: TOKEN, note: evil } });
  const spelled = Buffer.from(`{"interaction\\u0054oken":"${TOKEN}"}`);
  await publish('interaction.button', { body: spelled });
  await publish('interaction.button', { body: Buffer.from('not compressed'), contentEncoding: 'gzip' });
  await reject(QUEUES.interactions, 2);
  await holds(QUEUES.deadLetters, 3);
  const json = await letters('show', '--json');
  expect([json.code, json.err]).toEqual([0, '']);
  const shown = jsonLines(json.out);
  expect(shown[0]).toMatchObject({
    ...{ reason: 'rejected', queue: QUEUES.interactions, type: 'interaction.button', since: expect.any(String) },
    body: { interactionToken: '[redacted]', data: { token: '[redacted]' }, note: evil },
  });
  expect(shown[2]).toMatchObject({ body: '14 bytes that cannot be decompressed' });
  const text = await letters('show');
  for (const each of [json.out, text.out]) expect(each.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  expect(text.out).toMatch(
    /^rejected interaction\.button from interactions, \d+s ago, id [\w-]{36}\n\{\n {2}"eventId"/,
  );
  await holds(QUEUES.deadLetters, 3);
});

test('other messages are shown and published beside malformed ones', async () => {
  const refused = { [HEADERS.refused]: 'no such shard', [HEADERS.refusedKey]: 'shard.9' };
  const toDeadLetters = { exchange: EXCHANGES.deadLetter };
  const odd = (options: object) => publish(QUEUES.deadLetters, { ...toDeadLetters, headers: refused, ...options });
  await odd({ timestamp: 1.79e18 });
  await odd({ headers: { [HEADERS.part]: { toString: 'x' }, [HEADERS.parts]: [Buffer.from('x')] } });
  await odd({ body: Buffer.from(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) });
  await odd({ body: Buffer.from([0xff, 0x00, 0x1b]), headers: { 'x-death': Buffer.from('x') } });
  await someRejected('member.join', 1, { headers: { odd: { '!': 'object', value: { '!': 'unknown' } } } });
  const [last] = await someRejected('member.join', 1);
  for (const args of [['list'], ['list', '--json'], ['show'], ['show', '--json']]) {
    const { code, out, err } = await letters(...args);
    expect([code, err], args.join(' ')).toEqual([0, '']);
    if (args[0] === 'show') expect(out).toContain(last);
  }
  const { code, out } = await letters('replay', '--yes', '--type', 'member.join');
  expect([code, out]).toEqual([1, expect.stringMatching(/^published 1 of 2 .*: 1 could not be published: /)]);
});

describe('replay', () => {
  test('changes nothing without --yes; with it, publishes matching messages unchanged, and the rest keeps its order', async () => {
    const member = await someRejected('member.join', 2);
    const other = await someRejected('member.leave', 2 * WINDOW + 3);
    const dry = await letters('replay', '--type', 'member.join');
    expect(dry).toEqual({
      ...{ code: 0, err: '' },
      out: `would publish 2 of 2 matching messages to discord.events\n${UNROUTED}nothing was changed: the same command with --yes does it\n`,
    });
    await holds(QUEUES.deadLetters, member.length + other.length);
    const done = await letters('replay', '--yes', '--type', 'member.join');
    expect(done).toEqual({
      code: 0,
      err: '',
      out: `published 2 of 2 matching messages to discord.events\n${UNROUTED}`,
    });
    const messages = await taken(QUEUES.guildEvents);
    expect(messages.map(({ properties }) => properties.messageId)).toEqual(member);
    const [{ fields, properties, content } = messages[0] as GetMessage] = messages;
    expect(fields).toMatchObject({ exchange: EXCHANGES.events, routingKey: 'member.join' });
    expect(properties).toMatchObject({ type: 'member.join', deliveryMode: 2, appId: 'test', priority: 5 });
    expect(properties.headers).toEqual({ [HEADERS.shard]: 0, [HEADERS.replayed]: expect.any(String) });
    expect(JSON.parse(content.toString())).toMatchObject({ eventId: member[0], interactionToken: TOKEN });
    expect(await idsIn(QUEUES.deadLetters)).toEqual(other);
  });

  test('skips interactions that can no longer be answered, except with --expired, and messages that are not events', async () => {
    const [late] = await someRejected('interaction.button', 1, { timestamp: seconds(16 * 60_000) });
    const [early] = await someRejected('interaction.button', 1, { timestamp: seconds(14 * 60_000) });
    await publish('interaction.autocomplete.ban', { expiration: 1, timestamp: seconds(5_000) });
    await publish('shard.0', { exchange: EXCHANGES.commands, expiration: 1 });
    await holds(QUEUES.deadLetters, 4);
    const left = 'left in the queue: 2 can no longer be answered (--expired publishes them), 1 are no events';
    const { code, out } = await letters('replay', '--yes');
    expect([code, out]).toEqual([0, `published 1 of 4 matching messages to discord.events; ${left}\n${UNROUTED}`]);
    const [message] = await taken(QUEUES.interactions);
    expect(message?.properties.messageId).toBe(early);
    // It expires when it can no longer be answered.
    expect(Number(message?.properties.expiration)).toBeGreaterThan(0);
    expect(Number(message?.properties.expiration)).toBeLessThanOrEqual(61_000);
    expect((await letters('replay', '--yes', '--expired', '--type', 'interaction.button')).out).toBe(
      `published 1 of 1 matching messages to discord.events\n${UNROUTED}`,
    );
    expect(await idsIn(QUEUES.interactions)).toEqual([late]);
  });

  test('keeps and reports messages that reach no queue or that their queue refuses', async () => {
    const unbound = await someRejected('member.join', 3);
    const ids = await someRejected('interaction.button', 3 * WINDOW);
    const { vhost } = own;
    await own.api.delete('policies', vhost, EXCHANGES.events);
    await (await admin.createChannel()).unbindQueue(QUEUES.guildEvents, EXCHANGES.events, 'member.#');
    const definition = { 'max-length': 1, overflow: 'reject-publish' };
    await own.api.put(['policies', vhost, 'full'], {
      ...{ pattern: '^interactions$', 'apply-to': 'queues', priority: 99, definition },
    });
    const { code, out } = await letters('replay', '--yes');
    expect([code, out]).toEqual([1, expect.stringContaining(': 3 would reach no queue: is the topology applied?, ')]);
    const [, published, refused] =
      /^published (\d+) of 603 .* (\d+) could not be published: is the queue full, .*\?$/m.exec(out) ?? [];
    expect(Number(published) + Number(refused)).toBe(ids.length);
    const kept = await idsIn(QUEUES.deadLetters);
    expect(kept).toHaveLength(3 + Number(refused));
    expect(kept.slice(0, 3)).toEqual(unbound);
    expect([...kept.slice(3), ...(await idsIn(QUEUES.interactions))].toSorted()).toEqual(ids.toSorted());
  });

  test('does not publish a message twice that is dead-lettered again meanwhile', async () => {
    const count = 2 * WINDOW;
    // With its priority, a message that is dead-lettered again comes before those that wait.
    for (const priority of [1, 9]) await someRejected('member.join', WINDOW, { priority });
    const worker = await admin.createChannel();
    const published: unknown[] = [];
    await worker.consume(QUEUES.guildEvents, (message) => {
      if (message === null) return;
      published.push(message.properties.messageId);
      worker.nack(message, false, false);
    });
    const { code, out } = await letters('replay', '--yes');
    expect([code, out]).toEqual([0, `published ${count} of ${count} matching messages to discord.events\n${UNROUTED}`]);
    await holds(QUEUES.deadLetters, count);
    expect([published.length, new Set(published).size]).toEqual([count, count]);
  });

  test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('loses nothing when %s ends it', async (signal) => {
    const ids = await someRejected('member.join', 3_000);
    // A requeued message comes after the others: requeue all once, so that the order stays.
    if (signal !== 'SIGKILL') await letters('list');
    const channel = await admin.createChannel();
    const copies: string[] = [];
    const program = begin('replay', '--yes');
    await channel.consume(QUEUES.guildEvents, (message) => {
      if (message === null) return;
      copies.push(String(message.properties.messageId));
      channel.ack(message);
      if (copies.length === 50) program.child.kill(signal);
    });
    const { code, out } = await program.ended;
    const rest = await vi.waitFor(
      async () => {
        const count = await depth(QUEUES.deadLetters);
        expect(count + new Set(copies).size).toBeGreaterThanOrEqual(ids.length);
        return count;
      },
      { timeout: 60_000 },
    );
    expect(rest, 'it ended before it was done').toBeGreaterThan(0);
    const kept = await idsIn(QUEUES.deadLetters);
    expect(new Set([...copies, ...kept])).toEqual(new Set(ids));
    expect(kept).toEqual(ids.filter((id) => kept.includes(id)));
    if (signal === 'SIGKILL') return expect(code).toBe('SIGKILL');
    expect([code, program.err]).toEqual([1, 'interrupted: the rest stays in the queue\n']);
    const [, reported = ''] = /^published ([\d,]+) of /.exec(out) ?? [];
    expect(Number(reported.replace(',', ''))).toBe(copies.length);
    expect(copies.length + kept.length, 'no message twice').toBe(ids.length);
  });
});

test('ends with one sentence when the broker closes the connection, and loses nothing', async () => {
  const ids = await someRejected('member.join', 3_000);
  const program = begin('replay', '--yes');
  await vi.waitUntil(async () => (await depth(QUEUES.guildEvents)) > 50, { timeout: 60_000, interval: 5 });
  // The management API lists the connection only after some time.
  await vi.waitFor(
    async () => {
      await manage('DELETE', `/api/connections/username/${own.userNames.deadLetters}`);
      expect(program.child.exitCode).not.toBeNull();
    },
    { timeout: 60_000, interval: 50 },
  );
  const { code, out, err } = await program.ended;
  expect([code, out]).toEqual([1, '']);
  expect(err).toMatch(/^the connection to the broker was lost: .* Start again\n$/);
  await vi.waitFor(async () =>
    expect((await depth(QUEUES.deadLetters)) + (await depth(QUEUES.guildEvents))).toBeGreaterThanOrEqual(3_000),
  );
  expect(new Set([...(await idsIn(QUEUES.guildEvents)), ...(await idsIn(QUEUES.deadLetters))])).toEqual(new Set(ids));
});

test('discard removes matching messages only with --yes; the rest keeps its order', async () => {
  const member = await someRejected('member.join', 3);
  await someRejected('member.leave', 2);
  const dry = await letters('discard', '--type', 'member.leave');
  expect([dry.code, dry.out.split('\n')[0]]).toEqual([0, 'would discard 2 of the 5 messages']);
  await holds(QUEUES.deadLetters, 5);
  const { code, out } = await letters('discard', '--type', 'member.leave', '--yes');
  expect([code, out]).toEqual([0, 'discarded 2 of the 5 messages\n']);
  expect(await idsIn(QUEUES.deadLetters)).toEqual(member);
});

test("accepts the secret's JSON as an address, and connects with TLS through a forwarded port", async () => {
  const { amqpsPort = 0, caFile = '' } = sharedBroker();
  const username = own.userNames.deadLetters;
  const login = { host: 'localhost', port: 5671, vhost: own.vhost, username, password: own.passwords[username] };
  const through = `127.0.0.1:${amqpsPort}`;
  url = JSON.stringify(login);
  const listed = { code: 0, out: 'dead-letters: 0 messages, of which 0 match\n', err: '' };
  expect(await letters('list', '--through', through, '--ca-file', caFile)).toEqual(listed);
  expect((await letters('list', '--through', through)).err).toMatch(
    /^no trusted TLS connection to 127\.0\.0\.1:\d+ \(DEPTH_ZERO_SELF_SIGNED_CERT\): give the certificate authority/,
  );
  url = JSON.stringify({ ...login, host: 'another.example' });
  expect((await letters('list', '--through', through, '--ca-file', caFile)).err).toMatch(
    /^no trusted TLS connection to 127\.0\.0\.1:\d+ \(ERR_TLS_CERT_ALTNAME_INVALID\): /,
  );
});

test('ends with one sentence and exit code 1 for another user, and for a vhost without the topology', async () => {
  const read =
    /^ACCESS_REFUSED - .*'dead-letters'.*: log in as the user for the dead letters, and apply the topology\n$/;
  expect(await letters('list', '--url', own.url('worker'))).toEqual(failedWith(read));
  const empty = await makeVhost('empty');
  const missing =
    /^NOT_FOUND - no queue 'dead-letters' in vhost '\S+': correct the vhost at the end of the address, or apply the topology\n$/;
  expect(await letters('list', '--url', empty.url())).toEqual(failedWith(missing));
  await empty.remove();
});
