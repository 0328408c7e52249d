// A worker that was away finds a full queue: a command comes before a pressed button, and a member who joined before a
// message. An autocomplete that waited for more than 3 s does not come at all. Quorum queues keep this order strictly since
// RabbitMQ 4.3, which production runs; on an older broker the order is not tested.

import { connect } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dueKey, VARIANTS } from '../../local/discord/payloads/variants.ts';
import type { Stage } from '../../local/stage.ts';
import { METRICS } from '../../service/contract/metrics.ts';
import { HEADERS, QUEUES, USERS } from '../../service/contract/names.ts';
import { sharedBroker } from '../support/broker.ts';
import { startSharedStage } from '../support/shared-stage.ts';

const ROUNDS = 3;
let stage: Stage;
let autocompletes = 0;
const emittedTo = { [QUEUES.interactions]: 0, [QUEUES.guildEvents]: 0 };

beforeAll(async () => {
  stage = await startSharedStage();
  await stage.reader.stop();
  const { simulator } = stage;
  const [task] = stage.living;
  const wanted = VARIANTS.filter((each) => dueKey(each) !== null);
  for (let round = 0; round < ROUNDS; round += 1) {
    // Most of them in an order that is not that of their priorities.
    for (const { name, routingKey } of wanted.toReversed()) {
      simulator?.emit(name);
      if (routingKey?.startsWith('interaction.autocomplete.')) autocompletes += 1;
      else emittedTo[routingKey?.startsWith('interaction.') ? QUEUES.interactions : QUEUES.guildEvents] += 1;
    }
    const guild = simulator?.joinGuild();
    simulator?.leaveGuild(guild?.id ?? '');
    emittedTo[QUEUES.guildEvents] += 2;
  }
  // One more is gateway.ready.
  const all = 1 + emittedTo[QUEUES.interactions] + emittedTo[QUEUES.guildEvents] + autocompletes;
  await stage.until('everything is confirmed', 30_000, async () => {
    return (await task?.metrics())?.get(METRICS.eventsConfirmed.prometheus) === all;
  });
});
afterAll(() => stage?.stop());

interface Read {
  readonly priority: number;
  readonly sequence: number;
}

/** One message at a time, as a worker with a prefetch of 1 does. */
async function consume(queue: string, messages: number, user: keyof typeof USERS = 'worker'): Promise<Read[]> {
  const model = await connect(stage.url(USERS[user]));
  try {
    const channel = await model.createChannel();
    await channel.prefetch(1);
    const reads: Read[] = [];
    const done = Promise.withResolvers<void>();
    await channel.consume(queue, (message) => {
      if (message === null) return done.reject(new Error(`the broker cancelled the consumer of ${queue}`));
      const { priority, headers } = message.properties;
      reads.push({ priority: Number(priority), sequence: Number(headers?.[HEADERS.sequence]) });
      channel.ack(message);
      if (reads.length === messages) done.resolve();
    });
    await done.promise;
    return reads;
  } finally {
    await model.close();
  }
}

test('an autocomplete that waited for 3 s is in dead-letters', async () => {
  const dead = await consume(QUEUES.deadLetters, autocompletes, 'deadLetters');
  expect(dead.map(({ priority }) => priority)).toEqual(Array.from({ length: autocompletes }, () => 6));
});

const { version } = sharedBroker();
const strict = version.localeCompare('4.3', undefined, { numeric: true }) >= 0;

for (const [queue, priorities] of [
  [QUEUES.interactions, [10, 8, 7, 5]],
  [QUEUES.guildEvents, [5, 4, 1]],
] as const)
  test.skipIf(!strict)(
    `${queue} delivers ${priorities.join(', ')} in this order, and within each the older first`,
    async () => {
      const reads = await consume(queue, emittedTo[queue]);
      expect([...new Set(reads.map(({ priority }) => priority))]).toEqual(priorities);
      const ordered = reads.toSorted((a, b) => b.priority - a.priority || a.sequence - b.sequence);
      expect(reads).toEqual(ordered);
      const arrived = reads.map(({ sequence }) => sequence);
      expect(arrived, 'they did not simply come in this order').not.toEqual(arrived.toSorted((a, b) => a - b));
    },
  );
