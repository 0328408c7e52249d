// Discord sends GUILD_CREATE for a join, for every guild of the READY list, and for each that is back from an outage; and
// GUILD_DELETE for a removal and for an outage. Only joins and leaves are published, also by the next task, which has not
// received what the one before it received.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { METRICS } from '../../service/contract/metrics.ts';
import { Inbox } from '../support/inbox.ts';
import { type SharedStage, startSharedStage } from '../support/shared-stage.ts';

const GUILDS = 12;
let stage: SharedStage;
let inbox: Inbox;

beforeAll(async () => {
  stage = await startSharedStage({ simulator: { guilds: GUILDS } });
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

/** What is published of guilds because of this. */
async function published(happens: () => void): Promise<string[]> {
  const before = inbox.all.length;
  happens();
  await inbox.upToNow();
  const news = inbox.all.slice(before).filter(({ routingKey }) => routingKey.startsWith('guild.'));
  return news.map(({ routingKey, body }) => `${routingKey} ${String(body.guildId)}`);
}

test('no guild of the READY list is published as a join', async () => {
  expect(await published(() => undefined)).toEqual([]);
  expect(inbox.all.filter(({ routingKey }) => routingKey.startsWith('guild.'))).toEqual([]);
  const metrics = await stage.living[0]?.metrics();
  expect(metrics?.get(METRICS.eventsReceived.prometheus), 'READY, its guilds, and two more').toBe(1 + GUILDS + 2);
});

describe.each([
  ['the task that began the session', async () => undefined],
  ['the task that took it over', handOver],
])('%s', (_, before) => {
  // Both have joined, and are in an outage, before the task changes.
  let old: string;
  let joined: string;
  beforeAll(async () => {
    old = stage.simulator.guildIds[3] ?? '';
    await published(() => {
      stage.simulator.outage(old);
      joined = stage.simulator.joinGuild().id;
      stage.simulator.outage(joined);
    });
    await before();
  });

  test('publishes a join and a leave', async () => {
    let guild = '';
    const join = () => {
      guild = stage.simulator.joinGuild().id;
    };
    expect(await published(join)).toEqual([`guild.join ${guild}`]);
    expect(await published(() => stage.simulator.leaveGuild(guild))).toEqual([`guild.leave ${guild}`]);
  });

  test('publishes nothing of the end of an outage that began before, not even of a guild that had joined just then', async () => {
    expect(await published(() => stage.simulator.restore(old))).toEqual([]);
    expect(await published(() => stage.simulator.restore(joined))).toEqual([]);
  });
});

async function handOver(): Promise<void> {
  const [old] = stage.living;
  await stage.startTask();
  expect(await old?.terminate()).toBe(0);
  await stage.ready();
  expect(stage.simulator.count('identify'), 'the session goes on').toBe(1);
}
