// The simulator's dispatches, whose makers wrote down what a worker is due for each without asking this room.

import { describe, expect, test } from 'vitest';
import { samplePayloads } from '../../../local/discord/payloads/samples.ts';
import { GuildPresence } from '../../../service/events/guild-presence.ts';
import type { Outcome } from '../../../service/events/outcome.ts';
import { DiscordEventPayload } from '../../../service/events/payload.ts';
import { toPayload } from '../../../service/events/to-payload.ts';

const MARKER = 'MARKER-5e8c';
const SEEDS = [1, 2, 3, 42, 2026];

/** One session, in order. */
function session(seed: number): { name: string; routingKey: string | null; outcome: Outcome }[] {
  const guilds = new GuildPresence(Date.now());
  return samplePayloads(seed, { marker: MARKER }).map(({ name, dispatch, routingKey }, index) => ({
    name,
    routingKey,
    outcome: toPayload(
      { t: dispatch.t, d: JSON.parse(JSON.stringify(dispatch.d)) },
      { sessionId: 's', shardId: 0, sequence: index + 1, receivedAt: Date.now(), guilds },
    ),
  }));
}

/** What a user typed or handed over to the bot: options, the fields of a modal, files. That is meant for the worker. */
const INPUT = new Set(['options', 'components', 'attachments']);

describe.each(SEEDS)('of seed %i', (seed) => {
  const taken = session(seed);

  test('each becomes what a worker is due', () => {
    const got = taken.map(({ name, outcome }) => [name, outcome.kind === 'event' ? outcome.routingKey : null]);
    expect(got).toEqual(taken.map(({ name, routingKey }) => [name, routingKey]));
    expect(taken.filter(({ outcome }) => outcome.kind === 'event').length).toBeGreaterThan(30);
  });

  test('none is malformed, and one has never been heard of', () => {
    const unknown = taken.filter(({ outcome }) => outcome.kind === 'unknown').map(({ name }) => name);
    expect(unknown).toEqual(['undocumented']);
  });

  test('every event keeps to the contract', () => {
    for (const { name, outcome } of taken) {
      if (outcome.kind !== 'event') continue;
      const read = DiscordEventPayload.safeParse(JSON.parse(JSON.stringify(outcome.payload)));
      expect(read.success, name).toBe(true);
    }
  });

  test('no event has words of a message, nor anything written but to the bot', () => {
    for (const { name, outcome } of taken) {
      if (outcome.kind !== 'event') continue;
      const told = JSON.stringify(outcome.payload, (key, value: unknown) => (INPUT.has(key) ? undefined : value));
      expect(told, name).not.toContain(MARKER);
    }
    const whole = JSON.stringify(taken.filter(({ name }) => /^(message|button|select|member|guild)\./.test(name)));
    expect(whole).not.toContain(MARKER);
    expect(JSON.stringify(samplePayloads(seed, { marker: MARKER })).split(MARKER).length).toBeGreaterThan(50);
  });
});
