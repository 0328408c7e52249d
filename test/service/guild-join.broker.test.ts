// Discord sends GUILD_CREATE for a join, for every guild of the READY list, and for each that is back from an outage; and
// GUILD_DELETE for a removal and for an outage. Workers are told of joins and leaves only, also by the next task, which
// has not seen what the one before it saw.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import { Stage } from '../../local/stage.ts';
import { METRICS } from '../../service/contract/metrics.ts';
import { Inbox } from '../support/inbox.ts';

const GUILDS = 12;
let stage: Stage;
let simulator: DiscordSimulator;
let inbox: Inbox;

beforeAll(async () => {
  stage = await Stage.start({ simulator: { guilds: GUILDS } });
  if (stage.simulator === undefined) throw new Error('this test needs the simulator');
  simulator = stage.simulator;
  inbox = new Inbox(stage);
});
afterAll(() => stage?.stop());

/** What workers are told of guilds because of this. */
async function told(happens: () => void): Promise<string[]> {
  const before = inbox.all.length;
  happens();
  await inbox.upToNow();
  const news = inbox.all.slice(before).filter(({ routingKey }) => routingKey.startsWith('guild.'));
  return news.map(({ routingKey, body }) => `${routingKey} ${String(body.guildId)}`);
}

test('none of the guilds of the READY list is told as a join', async () => {
  expect(await told(() => undefined)).toEqual([]);
  expect(inbox.all.filter(({ routingKey }) => routingKey.startsWith('guild.'))).toEqual([]);
  const figures = await stage.living[0]?.metrics();
  expect(figures?.get(METRICS.eventsReceived.prometheus), 'READY, its guilds, and two more').toBe(1 + GUILDS + 2);
});

describe.each([
  ['the task that began the session', async () => undefined],
  ['the task that took it over', handOver],
])('%s', (_, before) => {
  // Both are joined and out of order before the task changes.
  let old: string;
  let joined: string;
  beforeAll(async () => {
    old = simulator.guildIds[3] ?? '';
    await told(() => {
      simulator.outage(old);
      joined = simulator.joinGuild().id;
      simulator.outage(joined);
    });
    await before();
  });

  test('tells a join and a leave', async () => {
    let guild = '';
    const join = () => {
      guild = simulator.joinGuild().id;
    };
    expect(await told(join)).toEqual([`guild.join ${guild}`]);
    expect(await told(() => simulator.leaveGuild(guild))).toEqual([`guild.leave ${guild}`]);
  });

  test('tells nothing of an outage and its end', async () => {
    const guild = simulator.guildIds[5] ?? '';
    expect(await told(() => simulator.outage(guild))).toEqual([]);
    expect(await told(() => simulator.restore(guild))).toEqual([]);
  });

  test('tells nothing of the end of an outage that began before, not even of a guild that had joined just then', async () => {
    expect(await told(() => simulator.restore(old))).toEqual([]);
    expect(await told(() => simulator.restore(joined))).toEqual([]);
  });

  test('tells the leave of a guild that is out of order', async () => {
    const guild = simulator.guildIds[6] ?? '';
    expect(await told(() => simulator.outage(guild))).toEqual([]);
    expect(await told(() => simulator.leaveGuild(guild))).toEqual([`guild.leave ${guild}`]);
  });
});

async function handOver(): Promise<undefined> {
  const [old] = stage.living;
  await stage.startTask();
  expect(await old?.terminate()).toBe(0);
  await stage.ready();
  expect(simulator.count('identify'), 'the session goes on').toBe(1);
  return undefined;
}
