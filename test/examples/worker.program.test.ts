// The worker of examples/worker as its users run it: a process, on a RabbitMQ of its own, between the ingestor and the
// simulated Discord. What it did is seen at Discord's REST and in the queues.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConsumeMessage } from 'amqplib';
import { InteractionResponseType as Answer, type APIInteraction } from 'discord-api-types/v10';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { once, pauseMs } from '../../examples/worker/worker.ts';
import type { DiscordSimulator, Emitted } from '../../local/discord/simulator.ts';
import { IngestorProcess } from '../../local/ingestor-process.ts';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import { EXAMPLE_WORKER, Stage } from '../../local/stage.ts';
import { QUEUES, USERS, VHOST } from '../../service/contract/names.ts';
import { manage } from '../support/broker.ts';
import { permit } from '../support/broker-faults.ts';
import { deadLetters } from '../support/commands.ts';
import { Inbox, type Received } from '../support/inbox.ts';

const { ChannelMessageWithSource, DeferredChannelMessageWithSource } = Answer;
const { ApplicationCommandAutocompleteResult } = Answer;
const WITHIN_MS = 60_000;

let stage: Stage;
let simulator: DiscordSimulator;
let inbox: Inbox;

beforeAll(async () => {
  stage = await Stage.start({ worker: EXAMPLE_WORKER });
  if (stage.simulator === undefined) throw new Error('this test needs the simulator');
  simulator = stage.simulator;
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

const interactionOf = (emitted: Emitted) => emitted.dispatch.d as APIInteraction;
const answersTo = (emitted: Emitted) => simulator.callbacks.sent(interactionOf(emitted).token).map(({ what }) => what);
const answered = (emitted: Emitted, times = 1) =>
  stage.until('an answer', WITHIN_MS, () => answersTo(emitted).length >= times);

const command = (name: string) =>
  simulator.emit('command.plain', { change: (d) => ({ ...d, data: { ...Object(d.data), name } }) });

/** What the worker has logged, of one event unless it is not given. */
function logged(message: string, eventId?: unknown): Record<string, unknown>[] {
  const lines = stage.worker?.output.split('\n').filter((line) => line.startsWith('{')) ?? [];
  const all = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return all.filter((each) => each.message === message && (eventId === undefined || each.eventId === eventId));
}
const hasLogged = (message: string, eventId?: unknown, times = 1) =>
  stage.until(`'${message}' in the log of the worker`, WITHIN_MS, () => logged(message, eventId).length >= times);

/** A message that the ingestor has published, with another body. Only the worker gets it. */
async function publishAgain({ properties }: ConsumeMessage, body: object | string): Promise<void> {
  const content = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  await asAdministrator(stage.broker, (channel) => {
    channel.sendToQueue(QUEUES.interactions, content, properties);
  });
}

/** A copy of this event with another id and token; the simulator waits for its answer. @param more fields of its data */
function unanswered({ body }: Received, token: string, id: string, more: object = {}) {
  const data = { ...Object(body.data), id, ...more };
  simulator.callbacks.open({ ...data, token });
  return { ...body, eventId: token, interactionToken: token, data, timestamp: Date.now() };
}

const deadLetter = async () => (await deadLetters(stage, 1, WITHIN_MS))[0] ?? expect.fail('there is none');
const waiting = async (queue: string) =>
  (await asAdministrator(stage.broker, (channel) => channel.checkQueue(queue))).messageCount;

describe('it answers', () => {
  it.each([
    ['command.plain', ChannelMessageWithSource],
    ['button.plain', ChannelMessageWithSource],
    ['modal.labels', ChannelMessageWithSource],
    ['autocomplete.plain', ApplicationCommandAutocompleteResult],
  ])('%s', async (kind, answer) => {
    const emitted = simulator.emit(kind);
    await answered(emitted);
    expect(answersTo(emitted)).toEqual([answer]);
  });

  it('with a deferral first where the work takes longer than Discord waits', async () => {
    const emitted = command('slow');
    await answered(emitted, 2);
    expect(answersTo(emitted)).toEqual([DeferredChannelMessageWithSource, 'PATCH @original']);
  });

  it('within the trace that the ingestor began', async () => {
    const emitted = simulator.emit('command.plain');
    const { body, message } = await inbox.of(emitted);
    await hasLogged('answered', body.eventId);
    const [, traceId] = String(message.properties.headers?.traceparent).split('-');
    expect(logged('answered', body.eventId)[0]).toMatchObject({ traceId });
  });
});

it('sends a presence by way of the ingestor', async () => {
  const [session] = simulator.sessions;
  // With the IDENTIFY, where it comes before.
  await stage.until('a presence', WITHIN_MS, () => session?.presence !== undefined);
  expect(session?.presence).toMatchObject({ status: 'online', activities: [{ name: '/ping', type: 2 }] });
});

it('answers an event once, whatever a repeated message contains', async () => {
  const first = simulator.emit('command.plain');
  const received = await inbox.of(first);
  await answered(first);
  const other = simulator.emit('command.unicode');
  const another = await inbox.of(other);
  await answered(other);
  // Discord would refuse another answer to those above.
  const { message, body } = received;
  await publishAgain(message, { ...unanswered(received, 'repeat', '1'), eventId: body.eventId });
  // By the time that this one is answered, the repeat would be.
  const slow = { data: { ...Object(body.data).data, name: 'slow' } };
  await publishAgain(message, unanswered(another, 'no-repeat', '1', slow));
  await hasLogged('repeat', body.eventId);
  await stage.until('an answer', WITHIN_MS, () => simulator.callbacks.sent('no-repeat').length > 0);
  expect(simulator.callbacks.sent('repeat')).toEqual([]);
  expect(await waiting(QUEUES.deadLetters)).toBe(0);
});

it('remembers the newest ids only, and forgets one whose handling failed', async () => {
  const handled: string[] = [];
  const handle = (id: string, succeeds = true) => {
    const work = async () => {
      handled.push(id);
      return succeeds;
    };
    return once(id, work, 2);
  };
  expect(await Promise.all([handle('a'), handle('a'), handle('b', false), handle('b', false)])).toEqual([
    ...[true, true],
    ...[false, false],
  ]);
  expect(handled).toEqual(['a', 'b']);
  for (const id of ['b', 'a', 'c', 'b', 'a']) await handle(id);
  expect(handled).toEqual(['a', 'b', 'b', 'c', 'a']);
  // A handler with a store of its own may throw.
  await expect(once('d', () => Promise.reject(new Error('no store')))).rejects.toThrow('no store');
  expect(await handle('d')).toBe(true);
});

it('logs which variable it expects when the login is missing', async () => {
  const { worker } = anotherWorker({});
  expect(await worker.exit).toBe(1);
  expect(worker.output).toMatch(/^RABBITMQ_URL, or .*: expected amqps:.*\n$/);
});

it('takes so many messages at once', async () => {
  const consumers = await manage('GET', `/api/consumers/${VHOST}`, undefined, stage.broker);
  const ofInteractions = { queue: expect.objectContaining({ name: QUEUES.interactions }), ack_required: true };
  expect(consumers).toContainEqual(expect.objectContaining({ ...ofInteractions, prefetch_count: 50 }));
});

it('waits longer after each failure to connect, half a minute at most, each worker otherwise', () => {
  expect([0, 1, 5, 6, 100].map((failures) => pauseMs(failures, 1))).toEqual([500, 1_000, 16_000, 30_000, 30_000]);
  expect(pauseMs(2, 0)).toBe(1_000);
});

it('acknowledges what another worker had answered before it ended', async () => {
  const emitted = simulator.emit('command.plain');
  const { message, body } = await inbox.of(emitted);
  await answered(emitted);
  await publishAgain(message, { ...body, eventId: 'unknown to this worker', timestamp: Date.now() });
  await hasLogged('answered', 'unknown to this worker');
  expect(answersTo(emitted)).toHaveLength(1);
  expect(logged('try failed', 'unknown to this worker')).toEqual([]);
  expect(await waiting(QUEUES.deadLetters)).toBe(0);
});

it('tries three times, then the message is a dead letter, and handled when it is published again', async () => {
  const received = await inbox.of(simulator.emit('command.plain'));
  const event = unanswered(received, 'poison', '2');
  await publishAgain(received.message, { ...event, data: { ...event.data, entitlements: null } });
  const { message: letter } = await deadLetter();
  expect(letter.properties.headers?.['x-death']).toMatchObject([{ queue: QUEUES.interactions, reason: 'rejected' }]);
  expect(logged('try failed', 'poison').map(({ tries }) => tries)).toEqual([1, 2, 3]);
  await publishAgain(received.message, { ...event, timestamp: Date.now() });
  await stage.until('an answer', WITHIN_MS, () => simulator.callbacks.sent('poison').length > 0);
});

it('tries again when Discord cannot be reached', async () => {
  simulator.refuseConnections(true);
  const emitted = simulator.emit('command.plain');
  const { body } = await inbox.of(emitted);
  await hasLogged('try failed', body.eventId);
  simulator.refuseConnections(false);
  await answered(emitted);
  expect(answersTo(emitted)).toEqual([ChannelMessageWithSource]);
});

it('puts what is no JSON to the dead letters', async () => {
  const { message } = await inbox.of(simulator.emit('command.plain'));
  await publishAgain(message, 'no JSON');
  expect((await deadLetter()).body).toBe('no JSON');
});

it('answers none that is too old', async () => {
  const received = await inbox.of(simulator.emit('command.plain'));
  const published = async (eventId: string, ageMs: number) => {
    const event = unanswered(received, eventId, String(Math.abs(ageMs)));
    await publishAgain(received.message, { ...event, timestamp: Date.now() - ageMs });
  };
  await published('too old', 3_000);
  expect(JSON.parse((await deadLetter()).body)).toMatchObject({ eventId: 'too old' });
  expect(simulator.callbacks.sent('too old')).toEqual([]);
  expect(logged('try failed', 'too old')).toEqual([]);
  expect(logged('to dead-letters', 'too old')).toMatchObject([{ failure: expect.stringContaining('NTP') }]);
  const future = 'from the future: is the clock synchronised (NTP)?';
  await published('future', -60_000);
  await hasLogged('answered', 'future');
  await published('old', 1_000);
  await stage.until('an answer', WITHIN_MS, () => simulator.callbacks.sent('old').length > 0);
  expect(logged(future).map(({ eventId }) => eventId)).toEqual(['future']);
});

it('loses nothing when the broker restarts and the password has changed', async () => {
  const password = 'changed-and-not-yet-known';
  const before = [command('slow'), simulator.emit('button.plain')];
  await stage.until('a deferral', WITHIN_MS, () => before.every((each) => answersTo(each).length > 0));
  await manage('PUT', `/api/users/${USERS.worker}`, { password, tags: '' }, stage.broker);
  const restarted = stage.broker.restart();
  await hasLogged('no connection');
  const meanwhile = ['command.plain', 'button.plain', 'modal.labels'].map((kind) => simulator.emit(kind));
  await restarted;
  await stage.until('the old password is refused', WITHIN_MS, () =>
    logged('no connection').some(({ error }) => String(error).includes('ACCESS_REFUSED')),
  );
  const consumed = logged('consuming').length;
  writeFileSync(stage.loginFile, readFileSync(stage.loginFile, 'utf8').replace(/:[^:@]+@/, `:${password}@`));
  await hasLogged('consuming', undefined, consumed + 1);
  await stage.ready();
  const after = simulator.emit('command.plain');
  await answered(after);
  // They are too old by now: Discord takes no answer, and none is lost.
  for (const each of meanwhile) if (answersTo(each).length === 0) await deadLetter();
  await answered(before[0] as Emitted, 2);
  expect(before.map((each) => answersTo(each))).toEqual([
    [DeferredChannelMessageWithSource, 'PATCH @original'],
    [ChannelMessageWithSource],
  ]);
  await stage.until('nothing waits', WITHIN_MS, async () => (await waiting(QUEUES.interactions)) === 0);
  expect(await waiting(QUEUES.deadLetters)).toBe(0);
});

/** Another one, with its own log. */
const anotherWorker = (env: Readonly<Record<string, string>> = { RABBITMQ_URL_FILE: stage.loginFile }) => {
  const worker = new IngestorProcess({
    ...{ name: 'worker', logFile: join(stage.folder, 'another.log'), env, program: EXAMPLE_WORKER },
  });
  onTestFinished(() => worker.kill());
  const times = (text: string) => worker.output.split(text).length - 1;
  const until = (text: string) => stage.until(`'${text}'`, WITHIN_MS, () => worker.ended || times(text) > 0);
  return { worker, times, until };
};

it('consumes where it may not send a presence', async () => {
  onTestFinished(await permit(stage.broker, USERS.worker, { write: '' }));
  const { worker, times, until } = anotherWorker();
  await until('"no presence"');
  worker.signal('SIGTERM');
  expect(await worker.exit).toBe(0);
  expect(worker.output).toContain('ACCESS_REFUSED');
  expect(worker.output).toContain('"reason":"stopping"');
  expect(['"consuming"', '"no presence"', '"no connection"'].map(times)).toEqual([1, 1, 0]);
});

it('ends while a memory alarm holds its presence back', async () => {
  await stage.broker.memoryAlarm(true);
  onTestFinished(() => stage.broker.memoryAlarm(false));
  const { worker, times, until } = anotherWorker();
  await until('"consuming"');
  await stage.until('the presence is held back', WITHIN_MS, async () => {
    const connections = (await manage('GET', '/api/connections', undefined, stage.broker)) as Record<string, string>[];
    return connections.some(({ user, state }) => user === USERS.worker && state === 'blocked');
  });
  worker.signal('SIGTERM');
  expect(await worker.exit).toBe(0);
  expect(times('"stopping"')).toBe(1);
});

it('finishes on SIGTERM what it has begun, and takes nothing more', async () => {
  const worker = stage.worker;
  const emitted = command('slow');
  await answered(emitted);
  const before = logged('consuming no more').length;
  worker?.signal('SIGTERM');
  await hasLogged('consuming no more', undefined, before + 1);
  const later = simulator.emit('command.plain');
  expect(await worker?.exit).toBe(0);
  expect(answersTo(emitted)).toEqual([DeferredChannelMessageWithSource, 'PATCH @original']);
  expect(answersTo(later)).toEqual([]);
  // Only the one that it did not take: what it had is acknowledged.
  expect(await waiting(QUEUES.interactions)).toBe(1);
  const log = readFileSync(join(stage.folder, 'worker.log'), 'utf8');
  expect(log).not.toContain(new URL(stage.url(USERS.worker)).password);
  for (const { body } of inbox.all)
    if (typeof body.interactionToken === 'string') expect(log).not.toContain(body.interactionToken);
});
