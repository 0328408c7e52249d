// The group record as it lies in the queue: what is written can be read, by tasks of other versions too, and what cannot
// be read gives a sentence.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyRecord } from '../../../service/contract/lease-record.ts';
import { BOUNDS } from '../../../service/contract/limits.ts';
import {
  epochAfter,
  formatGroupRecord,
  isLater,
  isNewer,
  parseGroupRecord,
} from '../../../service/lease/group-record.ts';
import { takeOver } from '../../../service/lease/take-over.ts';
import { GAP, groupRecord, resumeState } from './records.ts';

const PRESENCE = { data: { status: 'idle' }, shards: [0, 1] };
const FULL = groupRecord({
  shardLayout: { shardCount: 4, shardsPerTask: 2 },
  sessions: { '0': resumeState({ aliveUntil: 3, joins: { '19': 4 }, resumes: 2 }) },
  unreportedGaps: [GAP],
  presences: [PRESENCE],
});
/** As every version stores it. */
const STORED = {
  version: 1,
  group: 0,
  owner: 'task-1',
  epoch: 3,
  commit: 17,
  storedAt: 1_763_900_100_000,
  released: true,
  sessions: { '0': { ...resumeState(), aliveUntil: 3, joins: { '19': 4 }, resumes: 2 } },
  division: { shardCount: 4, shardsPerTask: 2 },
  untoldGaps: [GAP],
  presences: [PRESENCE],
};
const written = (value: unknown) => Buffer.from(JSON.stringify(value));
const parse = (value: unknown) => parseGroupRecord(Buffer.isBuffer(value) ? value : written(value), 0);
/** What is left of a record. */
const read = (value: unknown) => {
  const record = parse(value);
  if (typeof record === 'string') throw new Error(record);
  return record;
};

it('is written and read under the names that tasks of other versions use', () => {
  expect(JSON.parse(formatGroupRecord(FULL))).toEqual(STORED);
  expect(parse(STORED)).toEqual({ ...FULL, faults: [] });
});

it('is read as well from a version that stores less, and from one that stores more', () => {
  const { division: _, presences: __, ...less } = { ...STORED, sessions: { '0': resumeState() } };
  expect(parse(less)).toMatchObject({ shardLayout: undefined, sessions: less.sessions, faults: [] });
  expect(parse(less)).not.toHaveProperty('presences');
  const more = { ...STORED, later: 1, untoldGaps: [{ ...GAP, inHandOver: true }] };
  expect(parse(more)).toEqual({ ...FULL, faults: [] });
});

const LARGE = 'x'.repeat(1_000_000);
/** Deeper than `JSON.stringify` could write it. */
const DEEP = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`;

it.each<[string, unknown, RegExp]>([
  ['half a record', written(STORED).subarray(0, 80), /it is no JSON/],
  ['no object', null, /^it: .*expected object/],
  ['a later version', { ...STORED, version: 2 }, /version/],
  ['an empty owner', { ...STORED, owner: '' }, /owner/],
  ['an owner of 1 MB', { ...STORED, owner: LARGE }, /^owner: /],
  ['an owner of 256 characters', { ...STORED, owner: 'o'.repeat(256) }, /^owner: /],
  ['the record of another group', { ...STORED, group: 3 }, /^group: expected 0, as this is its queue, got 3$/],
  ['an epoch before the first', { ...STORED, epoch: -1 }, /^epoch: /],
  ['a commit beyond counting', { ...STORED, commit: 2 ** 53 }, /^commit: /],
  ['a time that no clock has', { ...STORED, storedAt: 8.64e15 + 1 }, /^storedAt: /],
  ['a shard layout without bounds', { ...STORED, division: { shardCount: 4, shardsPerTask: 1e9 } }, /^division\./],
])('%s gives one short sentence', (_name, body, sentence) => {
  const result = parse(body);
  expect(result).toMatch(sentence);
  expect(result).not.toContain('\n');
  expect(String(result).length).toBeLessThan(200);
});

it.each<[string, unknown]>([
  ['sessionId', { sessionId: LARGE }],
  ['sequence', { sequence: Number.NaN }],
  ['sequence', { sequence: -1 }],
  ['shardCount', { shardCount: undefined }],
  ['startedAt', { startedAt: 1e300 }],
])('one session with a bad %s is left out, and is lost for its shard only', (field, bad) => {
  const sessions = { '0': resumeState(), '1': { ...resumeState(), ...(bad as object) } };
  const record = read({ ...STORED, sessions });
  expect(Object.keys(record.sessions)).toEqual(['0']);
  expect(record.unreportedGaps).toEqual([GAP]);
  const reason = expect.stringMatching(new RegExp(`^sessions\\.1\\.${field}: .{1,200}$`));
  expect(record.faults).toEqual([{ lostShardId: 1, reason }]);
});

it.each(['zero', '-1', '00000001', '4', LARGE])('a session of the shard %.20s is left out', (id) => {
  const record = read({ ...STORED, sessions: { '0': resumeState(), [id]: resumeState() } });
  expect(Object.keys(record.sessions)).toEqual(['0']);
  const reason = expect.stringMatching(/^sessions: expected a shard's number, got ".{1,20}"$/);
  expect(record.faults).toEqual([{ reason }]);
});

it.each([
  ['joins', { joins: { '19': 'x' } }],
  ['aliveUntil', { aliveUntil: 1e300 }],
  ['intents', { intents: -1 }],
])('a session is kept without what is wrong with its %s', (what, fields) => {
  const record = read({ ...STORED, sessions: { '0': { ...resumeState(), ...fields } } });
  expect(record.sessions).toEqual({ '0': resumeState() });
  expect(record.faults).toEqual([{ lostShardId: undefined, reason: expect.stringContaining(`sessions.0.${what}`) }]);
});

it.each([-1, 101])('a session is kept without a count of RESUMEDs that is none: %s', (resumes) => {
  const record = read({ ...STORED, sessions: { '0': { ...resumeState(), resumes } } });
  expect(record).toMatchObject({ sessions: { '0': resumeState() }, faults: [] });
  expect(record.sessions['0']?.resumes).toBeUndefined();
});

it.each([undefined, 0, 'gateway.discord.gg', `wss://${LARGE}.gg`])(
  'a session without a usable address (%.20s) is kept, and has none',
  (resumeUrl) => {
    const record = read({ ...STORED, sessions: { '0': { ...resumeState(), resumeUrl } } });
    expect(record).toMatchObject({ sessions: { '0': { resumeUrl: '' } }, faults: [] });
    // Stored again, versions can read it that know no session without an address.
    const again = formatGroupRecord(record);
    expect(JSON.parse(again).sessions['0'].resumeUrl).toBe('wss://gateway.discord.gg');
    expect(read(Buffer.from(again)).sessions['0']?.resumeUrl).toBe('');
  },
);

it('an address that gateway/ will not use is kept as it is: who refuses it names it', () => {
  const sessions = { '0': { ...resumeState(), resumeUrl: 'ws://thief' } };
  expect(read({ ...STORED, sessions }).sessions['0']?.resumeUrl).toBe('ws://thief');
});

const many = <T>(count: number, item: T) => Array.from({ length: count }, () => item);

it.each<[string, object, object, RegExp]>([
  ['a bad gap', { untoldGaps: [{ ...GAP, shardId: -1 }, GAP] }, {}, /^untoldGaps\.0\.shardId: /],
  ['gaps that are no list', { untoldGaps: 'x' }, { unreportedGaps: [] }, /^untoldGaps: expected a list/],
  ['1,001 gaps', { untoldGaps: many(1_001, GAP) }, { unreportedGaps: many(1_000, GAP) }, /^untoldGaps: 1001 /],
  ['a bad presence', { presences: [{ data: {} }, PRESENCE] }, {}, /^presences\.0\.shards: /],
  ['257 presences', { presences: many(257, PRESENCE) }, { presences: many(256, PRESENCE) }, /^presences: 257 /],
])('of %s the rest is read, and no session is lost', (_name, stored, left, reason) => {
  const record = read({ ...STORED, ...stored });
  expect(record).toMatchObject({ ...FULL, ...left, faults: [{ reason: expect.stringMatching(reason) }] });
});

it('is read with each field at its bounds', () => {
  const shardId = BOUNDS.shardCount.most;
  const resumeUrl = `wss://${'x'.repeat(2_042)}`;
  for (const [sessionId, owner] of [
    ['s', 'o'],
    ['s'.repeat(1_000), 'o'.repeat(255)],
  ] as const) {
    const session = { ...resumeState({ sessionId, resumeUrl, startedAt: 0, shardCount: shardId }), resumes: 100 };
    const gap = { ...GAP, sessionId, shardId: owner === 'o' ? 0 : shardId };
    const stored = { ...STORED, storedAt: 0, owner, sessions: { [shardId - 1]: session }, untoldGaps: [gap] };
    expect(read(stored)).toMatchObject({ owner, sessions: stored.sessions, unreportedGaps: [gap], faults: [] });
  }
  const lists = { untoldGaps: many(1_000, GAP), presences: many(256, { data: {}, shards: [0, shardId] }) };
  expect(read({ ...STORED, ...lists }).faults).toEqual([]);
});

it.each<[string, object, object]>([
  ['session', { sessions: { '0': resumeState({ sessionId: 's'.repeat(1_001) }) } }, { sessions: {} }],
  ['gap', { untoldGaps: [{ ...GAP, shardId: BOUNDS.shardCount.most + 1 }] }, { unreportedGaps: [] }],
  ['presence', { presences: [{ data: {}, shards: [BOUNDS.shardCount.most + 1] }] }, { presences: [] }],
  ['presence of a group', { presences: [{ data: {}, shards: many(257, 0) }] }, { presences: [] }],
])('a %s that is one beyond its bounds is left out', (_, stored, left) => {
  expect(read({ ...STORED, ...stored })).toMatchObject({ ...left, faults: [{}] });
});

it('an address that is one character too long is none', () => {
  const session = resumeState({ resumeUrl: `wss://${'x'.repeat(2_043)}` });
  expect(read({ ...STORED, sessions: { '0': session } }).sessions['0']?.resumeUrl).toBe('');
});

it('the reason of a gap is shortened', () => {
  const [gap] = read({ ...STORED, untoldGaps: [{ ...GAP, reason: LARGE }] }).unreportedGaps;
  expect(gap?.reason).toHaveLength(1_000);
});

it('the largest group can be read, and one shard more cannot', () => {
  const sessions = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, id) => [id, resumeState({ shardCount: 1_000 })]));
  const most = BOUNDS.shardsPerTask.most;
  expect(Object.keys(read({ ...STORED, sessions: sessions(most) }).sessions)).toHaveLength(most);
  expect(parse({ ...STORED, sessions: sessions(most + 1) })).toMatch(/^sessions: /);
});

it('the empty record of a new group is read as one without sessions, and is the oldest of all', () => {
  const record = read(emptyRecord(0, 'the topology', 5));
  expect(record).toMatchObject({ epoch: 0, commit: 0, sessions: {}, unreportedGaps: [], faults: [] });
  expect(takeOver({ group: 0, shardLayout: { shardCount: 4, shardsPerTask: 4 }, record }).lost).toEqual([]);
  expect(isNewer({ epoch: 0, commit: 17 }, { epoch: 0, commit: 0 })).toBe(false);
  expect(isNewer({ epoch: 0, commit: 0 }, { epoch: 2 ** 31 + 1, commit: 0 })).toBe(false);
});

it.each(['"version"', '"later":%,"version"', '"joins"', '"sequence"'])('never overflows, however deep: %s', (name) => {
  const text = JSON.stringify({ ...STORED, sessions: { '1': { ...resumeState(), joins: {} } } });
  const deep = name.includes('%')
    ? text.replace('"version"', name.replace('%', DEEP))
    : text.replace(`${name}:`, `${name}:${DEEP},"x":`);
  const result = parse(Buffer.from(deep));
  if (typeof result === 'string') expect(result.length).toBeLessThan(200);
  else expect(result.owner).toBe('task-1');
});

it('never throws, whatever the bytes', () => {
  const bytes = fc.oneof(
    fc.uint8Array().map((each) => Buffer.from(each)),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(fc.property(bytes, (body) => void expect(parse(body)).toBeTypeOf('string')));
});

it.each([
  [{ epoch: 2, commit: 0 }, { epoch: 1, commit: 99 }, true],
  [{ epoch: 1, commit: 99 }, { epoch: 2, commit: 0 }, false],
  [{ epoch: 2, commit: 5 }, { epoch: 2, commit: 4 }, true],
  [{ epoch: 2, commit: 5 }, { epoch: 2, commit: 5 }, false],
])('%j is newer than %j: %s', (a, b, newer) => expect(isNewer(a, b)).toBe(newer));

describe('no epoch is the last:', () => {
  const GREATEST = 2 ** 32 - 1;
  it('after the greatest comes the first of an owner', () => {
    expect([epochAfter(0), epochAfter(3), epochAfter(GREATEST)]).toEqual([1, 4, 1]);
    expect(read({ ...STORED, epoch: GREATEST }).epoch).toBe(GREATEST);
    expect(parse({ ...STORED, epoch: GREATEST + 1 })).toMatch(/^epoch: /);
  });

  it('whatever is in the queue, what its owner stores is newer', () => {
    const epochs = fc.oneof(
      fc.integer({ min: 0, max: GREATEST }),
      fc.constantFrom(0, 1, 2 ** 31, GREATEST - 1, GREATEST),
    );
    fc.assert(
      fc.property(epochs, (epoch) => {
        expect(isNewer({ epoch: epochAfter(epoch), commit: 0 }, { epoch, commit: Number.MAX_SAFE_INTEGER })).toBe(true);
        expect(isNewer({ epoch, commit: 9 }, { epoch: epochAfter(epoch), commit: 0 })).toBe(false);
      }),
    );
  });

  it('the greatest is an old one to an owner of today', () => {
    expect([isLater(GREATEST, 7), isLater(7, GREATEST), isLater(7, 7)]).toEqual([false, true, false]);
    expect([isLater(2 ** 31 - 1, 0), isLater(2 ** 31, 0)]).toEqual([true, false]);
  });
});
