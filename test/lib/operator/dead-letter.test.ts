import { describe, expect, it } from 'vitest';
import {
  copyOf,
  count,
  deadLetterOf,
  durationMs,
  emptyCounts,
  inUnits,
  matches,
  reasonToSkip,
} from '../../../lib/operator/dead-letter.ts';
import { EXCHANGES, HEADERS } from '../../../service/contract/names.ts';

const NOW = 1_795_500_000_000;
const SECONDS = NOW / 1_000;

const death = (reason: string, queue: string, key: string, time = SECONDS) => ({
  ...{ reason, queue, exchange: EXCHANGES.events, count: 1, 'routing-keys': [key] },
  time: { '!': 'timestamp', value: time },
});

function message(headers: object, properties: object = {}) {
  const fields = { deliveryTag: 1, redelivered: false, exchange: EXCHANGES.deadLetter, routingKey: 'dead-letters' };
  const all = { messageId: 'id', type: 'member.join', timestamp: SECONDS, headers, ...properties };
  return { fields, properties: all } as unknown as Parameters<typeof deadLetterOf>[0];
}

describe('a dead letter', () => {
  it('has the key and the queue of its first death', () => {
    const deaths = [death('expired', 'later', 'dead-letters'), death('rejected', 'events.guild', 'member.leave')];
    expect(deadLetterOf(message({ 'x-death': deaths }))).toMatchObject({
      ...{ reason: 'rejected', queue: 'events.guild', type: 'member.leave', since: NOW, answerableUntil: undefined },
    });
  });

  it('of a command that the ingestor refused is from the exchange for commands, of the time when it was published', () => {
    const headers = {
      [HEADERS.refused]: 'why',
      [HEADERS.refusedKey]: 'presence.0',
      'x-death': [death('expired', 'q', 'k')],
    };
    expect(deadLetterOf(message(headers))).toEqual({
      ...{
        reason: 'refused',
        refusal: 'why',
        type: 'presence.0',
        queue: EXCHANGES.commands,
        exchange: EXCHANGES.commands,
      },
      ...{ id: 'id', since: NOW, answerableUntil: undefined, run: undefined },
    });
  });

  it('is replayed with the rest of the time in which it can be answered, and with no end when that is over', () => {
    const original = message({ 'x-death': [death('rejected', 'interactions', 'interaction.button')] });
    const letter = { ...deadLetterOf(original), answerableUntil: NOW + 1 };
    expect(copyOf(original, letter, 'run', NOW)).toMatchObject({ expiration: 1 });
    expect(copyOf(original, letter, 'run', NOW + 1)).not.toHaveProperty('expiration');
  });

  // A worker may publish a command with any header.
  it.each<[object, object?]>([
    [{ 'x-death': 'rejected' }],
    [{ 'x-death': [{}] }],
    [{ 'x-death': [{ ...death('rejected', 'q', 'k'), reason: 7 }] }],
    [{ 'x-death': [{ ...death('rejected', 'q', 'k'), 'routing-keys': 'k' }] }],
    [{}, { headers: undefined, timestamp: 'never', messageId: 7, type: {} }],
    [{ [HEADERS.refused]: [], [HEADERS.refusedKey]: 3, [HEADERS.replayed]: {} }],
  ])('is unknown where its headers are odd: %j', (headers, properties) => {
    const letter = deadLetterOf(message(headers, properties));
    expect(letter).toMatchObject({ reason: 'unknown', queue: 'unknown', since: undefined, refusal: undefined });
    expect(reasonToSkip(letter, NOW)).toBe('noEvent');
    for (const age of ['olderThanMs', 'youngerThanMs'])
      expect(matches({ reasons: [], types: [], ids: [], [age]: 0 }, letter, NOW)).toBe(false);
  });

  it.each([-1, 0, Number.NaN, Number.POSITIVE_INFINITY, 8.64e12 + 1, 1.79e18, 'never'])('%s is no time', (time) => {
    const dead = { ...death('rejected', 'interactions', 'interaction.button'), time: { value: time } };
    expect(deadLetterOf(message({ 'x-death': [dead] }, { timestamp: time }))).toMatchObject({
      ...{ reason: 'rejected', since: undefined, answerableUntil: undefined },
    });
    const refused = deadLetterOf(message({ [HEADERS.refused]: 'why' }, { timestamp: time }));
    expect(refused).toMatchObject({ reason: 'refused', since: undefined });
  });

  it('of a time to come is replayed with an expiration that RabbitMQ takes', () => {
    const dead = { 'x-death': [death('rejected', 'interactions', 'interaction.button', 8.64e12)] };
    const original = message(dead, { timestamp: 8.64e12 });
    const letter = deadLetterOf(original);
    expect(new Date(letter.since ?? Number.NaN).toISOString()).toBe('+275760-09-13T00:00:00.000Z');
    expect(copyOf(original, letter, 'run', NOW).expiration).toBe(15 * 60_000);
  });

  it.each([
    ['interaction.command.ban', 15 * 60_000],
    ['interaction.unknown', 15 * 60_000],
    ['interaction.autocomplete.ban', 3_000],
  ])('%s can be answered for %i ms, to the second', (type, life) => {
    const letter = deadLetterOf(message({ 'x-death': [death('rejected', 'interactions', type)] }));
    expect(reasonToSkip(letter, NOW + life + 999)).toBeUndefined();
    expect(reasonToSkip(letter, NOW + life + 1_000)).toBe('expired');
  });

  it('of an age is older from there on, and younger before', () => {
    const letter = deadLetterOf(message({ 'x-death': [death('maxlen', 'q', 'member.join')] }));
    const all = { reasons: [], types: [], ids: [] };
    for (const [age, older] of [
      [59_999, false],
      [60_000, true],
    ] as const) {
      expect(matches({ ...all, olderThanMs: 60_000 }, letter, NOW + age)).toBe(older);
      expect(matches({ ...all, youngerThanMs: 60_000 }, letter, NOW + age)).toBe(!older);
    }
    expect(matches({ ...all, ids: ['id'] }, { ...letter, id: 'id:2' }, NOW)).toBe(true);
    expect(matches({ ...all, ids: ['id'] }, { ...letter, id: 'id2' }, NOW)).toBe(false);
  });
});

it('a copy is what its first publisher sent, less what only the broker or a first publisher may write', () => {
  const written = ['x-death', 'x-first-death-queue', 'x-last-death-reason', 'x-delivery-count', 'x-acquired-count'];
  const headers = Object.fromEntries([...written, 'CC', 'BCC', HEADERS.session, HEADERS.part].map((name) => [name, 1]));
  const original = message(headers, { userId: 'ingestor', expiration: '5', priority: 10, contentEncoding: 'gzip' });
  expect(copyOf(original, deadLetterOf(original), 'run', NOW)).toEqual({
    ...{ messageId: 'id', type: 'member.join', timestamp: SECONDS, priority: 10, contentEncoding: 'gzip' },
    ...{ persistent: true, mandatory: true },
    headers: { [HEADERS.session]: 1, [HEADERS.part]: 1, [HEADERS.replayed]: 'run' },
  });
});

it('more kinds than can be kept are counted, and nothing more', () => {
  const counts = emptyCounts();
  const letter = deadLetterOf(message({ 'x-death': [death('rejected', 'q', 'k')] }));
  for (let kind = 0; kind < 10_100; kind += 1) count({ ...letter, type: `interaction.command.${kind}` }, counts);
  expect(counts.rows.size).toBe(10_000);
  expect(counts.all.messages).toBe(10_100);
});

it('the oldest and the newest of a kind are counted, also beside one of an unknown time', () => {
  const counts = emptyCounts();
  const letter = deadLetterOf(message({ 'x-death': [death('rejected', 'q', 'k')] }));
  for (const since of [undefined, NOW, NOW - 5, NOW + 5, NOW, undefined]) count({ ...letter, since }, counts);
  expect(counts.rows.size).toBe(1);
  for (const row of [counts.all, ...counts.rows.values()])
    expect(row).toMatchObject({ messages: 6, oldest: NOW - 5, newest: NOW + 5 });
});

it.each<[string[], boolean]>([
  [['member.leave', 'member.*'], true],
  [['#'], true],
  [['member'], false],
  [['*'], false],
])('of the type member.join is among %j: %j', (types, expected) => {
  const letter = deadLetterOf(message({ 'x-death': [death('rejected', 'q', 'member.join')] }));
  expect(matches({ reasons: [], types, ids: [] }, letter, NOW)).toBe(expected);
});

it('a time is shown in two units, and one to come as 0s', () => {
  expect([inUnits(90_061_000), inUnits(-5_000)]).toEqual(['1d 1h', '0s']);
});

it.each([
  ['90s', 90_000, '1m 30s'],
  ['120m', 7_200_000, '2h'],
  ['25h', 90_000_000, '1d 1h'],
  ['7d', 604_800_000, '7d'],
  ['0s', 0, '0s'],
])('%s is %i ms, and is shown as %s', (text, ms, shown) => {
  expect(durationMs(text)).toBe(ms);
  expect(inUnits(ms)).toBe(shown);
});

it.each(['', '2', 'h', '2 h', '-2h', '1.5h', '2hours', '9999999999d'])('%j is no time', (text) => {
  expect(durationMs(text)).toBeUndefined();
});
