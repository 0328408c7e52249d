// The group record as it lies in the queue: what is written can be read, by tasks of other versions too, and what cannot
// be read gives a sentence.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatGroupRecord, isNewer, parseGroupRecord } from '../../../service/lease/group-record.ts';
import { groupRecord, resumeState } from './records.ts';

const GAP = { shardId: 1, sessionId: 'gone', lastSequence: 5, lastReceivedAt: 1, lostAt: 2, reason: 'op 9' };
const FULL = groupRecord({
  shardLayout: { shardCount: 4, shardsPerTask: 2 },
  sessions: { '0': resumeState({ aliveUntil: 3, joins: { '19': 4 } }) },
  unreportedGaps: [GAP],
});
/** As every version stores it. */
const STORED = {
  version: 1,
  group: 0,
  owner: 'task-1',
  epoch: 3,
  commit: 17,
  storedAt: 1_763_900_100_000,
  sessions: { '0': { ...resumeState(), aliveUntil: 3, joins: { '19': 4 } } },
  division: { shardCount: 4, shardsPerTask: 2 },
  untoldGaps: [GAP],
};
const written = (value: unknown) => Buffer.from(JSON.stringify(value));

it('is written and read under the names that tasks of other versions use', () => {
  expect(JSON.parse(formatGroupRecord(FULL))).toEqual(STORED);
  expect(parseGroupRecord(written(STORED))).toEqual(FULL);
});

it('is read as well from a version that stores less, and from one that stores more', () => {
  const { division: _, ...less } = { ...STORED, sessions: { '0': resumeState() } };
  expect(parseGroupRecord(written(less))).toEqual({ ...FULL, shardLayout: undefined, sessions: less.sessions });
  const more = { ...STORED, later: 1, untoldGaps: [{ ...GAP, inHandOver: true }] };
  expect(parseGroupRecord(written(more))).toEqual(FULL);
});

const session = (fields: object) => written({ ...STORED, sessions: { '0': { ...resumeState(), ...fields } } });
it.each<[string, Buffer, RegExp]>([
  ['half a record', written(STORED).subarray(0, 80), /it is no JSON/],
  ['a later version', written({ ...STORED, version: 2 }), /version/],
  ['an empty owner', written({ ...STORED, owner: '' }), /owner/],
  ['a shard that is no number', written({ ...STORED, sessions: { zero: resumeState() } }), /sessions/],
  ['a session without an id', session({ sessionId: '' }), /sessionId/],
  ['no address to resume at', session({ resumeUrl: 'x' }), /resumeUrl/],
])('%s gives one sentence', (_name, body, sentence) => {
  const result = parseGroupRecord(body);
  expect(result).toMatch(sentence);
  expect(result).not.toContain('\n');
});

it('never throws, whatever the bytes', () => {
  const bytes = fc.oneof(
    fc.uint8Array().map((each) => Buffer.from(each)),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(fc.property(bytes, (body) => void expect(parseGroupRecord(body)).toBeTypeOf('string')));
});

it.each([
  [{ epoch: 2, commit: 0 }, { epoch: 1, commit: 99 }, true],
  [{ epoch: 1, commit: 99 }, { epoch: 2, commit: 0 }, false],
  [{ epoch: 2, commit: 5 }, { epoch: 2, commit: 4 }, true],
  [{ epoch: 2, commit: 5 }, { epoch: 2, commit: 5 }, false],
])('%j is newer than %j: %s', (a, b, newer) => expect(isNewer(a, b)).toBe(newer));
