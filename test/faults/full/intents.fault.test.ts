// A deployment changes EVENTS, and with them the intents. A session keeps the intents of its IDENTIFY. So the new task resumes
// each session first, which loses nothing, and then ends it on purpose, one shard after another, when the shard may IDENTIFY.
// An event reports this; it is not a gap. While the day's IDENTIFYs are spent, the old sessions stay connected.

import { expect } from 'vitest';
import { parseIntents } from '../../../service/config.ts';
import { ENV, QUEUES } from '../../../service/contract/names.ts';
import { DEFAULT_EVENTS } from '../../../service/events/choice.ts';
import { DiscordEventPayload } from '../../../service/events/payload.ts';
import { type FaultStage, faultsOn, read } from '../fault.ts';
import { countOf, health, metric, replaceAll, stored } from '../tasks.ts';

const SHARDS = 3;
const MORE = 'Guilds,GuildMembers,GuildInvites,GuildMessages';
const CHANGED = { [ENV.events]: [...DEFAULT_EVENTS, 'invites'].join() };
const ENDED = 'the session was ended, to begin another';
const STARTED = 'the shard has a new session';

const intentsOf = ({ simulator }: FaultStage) => simulator.sessions.map(({ view }) => view.intents);

faultsOn({ shards: SHARDS }).fullRun(
  'changed intents: one IDENTIFY for each shard, one after another; no event of the old sessions is lost, and no gap is reported',
  {
    mostRepeats: 0,
    async inject(stage) {
      const { reader, simulator } = stage;
      const events: DiscordEventPayload[] = [];
      reader.onMessage = (queue, { content, fields }) => {
        if (queue === QUEUES.gatewayEvents && fields.routingKey !== 'gateway.ready')
          events.push(DiscordEventPayload.parse(JSON.parse(String(content))));
      };
      const [identifies, before] = [countOf(stage, 'identify'), simulator.sessions.map(({ id }) => id)];
      const task = await replaceAll(stage, CHANGED);
      await stage.until('the sessions are replaced', 60_000, () => identifies() === SHARDS && events.length === SHARDS);
      await stage.ready();
      await stored(stage);
      expect(intentsOf(stage)).toEqual(Array(SHARDS).fill(parseIntents(MORE)));
      const reason = `intents changed from Guilds, GuildMembers, GuildMessages to Guilds, GuildMembers, GuildInvites, GuildMessages`;
      const replaced = before.map((sessionId) => [
        'gateway.session-replaced',
        { sessionId, lastSequence: simulator.ledger.session(sessionId)?.lastSent, reason },
      ]);
      // In the order in which they were resumed.
      expect(events.map(({ eventType, data }) => [eventType, data])).toEqual(expect.arrayContaining(replaced));
      const steps = task.output.split('\n').flatMap((line) => [ENDED, STARTED].filter((msg) => line.includes(msg)));
      expect(steps).toEqual(Array(SHARDS).fill([ENDED, STARTED]).flat());
      expect([await metric(task, 'gatewayGaps'), await metric(task, 'identifies')]).toEqual([0, SHARDS]);
      // The record contains the new intents: the next deployment only resumes.
      await replaceAll(stage, CHANGED);
      await read(stage, 200);
      expect(identifies()).toBe(SHARDS);
    },
  },
);

// A day of 30 s, with one IDENTIFY more than the start needs.
const budget = { dailyIdentifies: SHARDS + 1, identifyBudgetWindowMs: 30_000 };

faultsOn({ shards: SHARDS, simulator: budget }).fullRun(
  'changed intents while the IDENTIFYs of the day are spent: old sessions stay connected until the reset',
  {
    mostRepeats: 0,
    async inject(stage) {
      const { reader, simulator } = stage;
      const spent = async () => (await health(stage.living[0])).identifies.spentUntil !== null;
      await stage.startTask(CHANGED);
      await stage.standing(2);
      await stage.tasks[0]?.terminate();
      await stage.until('the budget is spent', 60_000, spent);
      const old = simulator.sessions.filter(({ view }) => view.intents !== parseIntents(MORE));
      expect(old.length, 'at most one session was replaced').toBeGreaterThanOrEqual(SHARDS - 1);
      await read(stage, 200);
      expect(old.map(({ attached }) => attached)).toEqual(old.map(() => true));
      await stage.until('the sessions are replaced', 90_000, () => reader.replaced.size === SHARDS);
      await stage.ready();
      expect([intentsOf(stage), simulator.count('tokenReset')]).toEqual([Array(SHARDS).fill(parseIntents(MORE)), 0]);
    },
  },
);
