// Commands of workers: more than Discord accepts in a minute; the task that has them is killed with kill -9; Discord asks
// their shard to reconnect. Each command reaches Discord or is dead-lettered. Events go on meanwhile.

import { expect } from 'vitest';
import { poll } from '../../../local/poll.ts';
import type { DiscordCommand } from '../../../service/commands/command.ts';
import { ENV } from '../../../service/contract/names.ts';
import { CommandWorker, deadLetters, guildOfShard, settled } from '../../support/commands.ts';
import { type FaultStage, faultsOn } from '../fault.ts';
import { countOf, kill, metric, ownerOf, stored } from '../tasks.ts';

const SHARDS = 4;
const { fullRun } = faultsOn({
  tasks: 2,
  shards: SHARDS,
  env: { [ENV.gatewayIntents]: 'Guilds,GuildMembers,GuildMessages' },
});

/** Once the owner consumes commands. */
async function worker(stage: FaultStage): Promise<CommandWorker> {
  await settled(stage);
  return await CommandWorker.start(stage);
}

/** Requests for one member, with a number as nonce, in turn for guilds of these shards. */
function requests(stage: FaultStage, count: number, shards: readonly number[]) {
  const guilds = shards.map((shard) => guildOfShard(stage.simulator, shard, SHARDS));
  return Array.from({ length: count }, (_, index) => {
    const [guild_id = '', nonce] = [guilds[index % guilds.length], `n${index}`];
    const body: DiscordCommand = { command: 'request_guild_members', data: { guild_id, user_ids: '1', nonce } };
    return { shard: shards[index % shards.length] ?? 0, nonce, body };
  });
}

const noncesAt = ({ simulator }: FaultStage) => simulator.sends.flatMap(({ d }) => (d.nonce ? [String(d.nonce)] : []));

/** Waits until Discord has each of these, for a minute, and none is sent again. @param before how many nonces it had */
async function awaitSent(stage: FaultStage, before: number, commands: readonly { readonly nonce: string }[]) {
  const hasAll = () => {
    const sent = new Set(noncesAt(stage).slice(before));
    return commands.every(({ nonce }) => sent.has(nonce));
  };
  // One that the broker has delivered, and the task has not read, is in no count of `settled`.
  await poll(60_000, hasAll);
  await settled(stage);
}

fullRun('500 commands at once for one shard: at most 120 are sent in a minute, and the others are dead-lettered', {
  rate: 100,
  async inject(stage) {
    const sender = await worker(stage);
    const before = noncesAt(stage).length;
    const heartbeats = countOf(stage, 'heartbeat');
    const all = requests(stage, 500, [1]);
    await Promise.all(all.map(({ shard, body }) => sender.send(shard, body)));
    await stage.until('Discord has the first 80', 10_000, () => noncesAt(stage).length >= before + 80);
    const letters = await deadLetters(stage, 500 - 110, 60_000);
    await settled(stage);
    const sent = noncesAt(stage).slice(before);
    letters.push(...(await deadLetters(stage, 500 - sent.length - letters.length, 20_000)));
    const expired = letters.map(({ body }) => (JSON.parse(body) as { data: { nonce: string } }).data.nonce);
    // The first ones are sent, in order and once. The others are refused at once, or expire.
    expect(sent).toEqual(all.slice(0, sent.length).map(({ nonce }) => nonce));
    expect([...sent, ...expired].toSorted()).toEqual(all.map(({ nonce }) => nonce).toSorted());
    const reason = /^shard 1: (expired: )?more commands wait for the shard than Discord takes \(120 sends in 60 s\)$/;
    expect(letters.filter((letter) => !reason.test(letter.reason ?? ''))).toEqual([]);
    expect(sent.length).toBeGreaterThan(80);
    expect(heartbeats()).toBeGreaterThan(3 * SHARDS);
    // The simulator closes with 4008 after more: that is a violation, which fails the test.
    const owner = await ownerOf(stage);
    expect(await metric(owner, 'commandsSent')).toBe(sent.length);
    expect(await metric(owner, 'commandsRefused')).toBe(letters.length);
    return { sent: sent.length, expired: letters.length };
  },
});

fullRun('the owner is killed with kill -9 between commands: the next owner sends them, and the presence is kept', {
  async inject(stage) {
    const sender = await worker(stage);
    const all = requests(stage, 240, [0, 1, 2, 3]);
    const owner = await ownerOf(stage);
    await sender.send('all', { command: 'update_presence', data: { status: 'dnd' } });
    const status = () => stage.simulator.sessions.map(({ presence }) => (presence as { status?: string })?.status);
    // Shard 1 waits: it has sent the maximum of this minute.
    await stage.until('every shard has the presence', 80_000, () => status().every((each) => each === 'dnd'));
    await stored(stage);
    const before = noncesAt(stage).length;
    const half = all.splice(0, 120);
    for (const { shard, body } of half) await sender.send(shard, body);
    await stage.until('Discord has some', 10_000, () => noncesAt(stage).length > before);
    const killed = kill(stage, owner);
    for (const { shard, body } of all) await sender.send(shard, body);
    await killed;
    await awaitSent(stage, before, [...half, ...all]);
    const sent = noncesAt(stage).slice(before);
    const distinct = new Set(sent);
    expect([...half, ...all].filter(({ nonce }) => !distinct.has(nonce))).toEqual([]);
    // Commands of the last second, sent and not acknowledged.
    const repeated = sent.length - distinct.size;
    expect(repeated).toBeLessThanOrEqual(120);
    expect(status()).toEqual(Array.from({ length: SHARDS }, () => 'dnd'));
    return { sent: distinct.size, repeated };
  },
});

fullRun('op 7 between commands: they wait for RESUMED, and each arrives', {
  async inject(stage) {
    const sender = await worker(stage);
    const all = requests(stage, 60, [2]);
    const [before, resumed] = [noncesAt(stage).length, stage.simulator.count('resumed')];
    for (const [index, { shard, body }] of all.entries()) {
      if (index === 20) stage.simulator.reconnect(2);
      await sender.send(shard, body);
    }
    await stage.simulator.waitFor('resumed', resumed + 1);
    await awaitSent(stage, before, all);
    const sent = noncesAt(stage).slice(before);
    expect(new Set(sent).size).toBe(all.length);
    // Only commands of the last second before the connection ended are sent again.
    expect(sent.length - all.length).toBeLessThanOrEqual(20 + 20);
    return { repeated: sent.length - all.length };
  },
});
