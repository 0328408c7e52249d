// The session record as it lies in the queue: what is written can be read, and what cannot be read is said in a sentence.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GroupRecord, isNewer, parseGroupRecord } from '../../../service/lease/group-record.ts';
import { groupRecord, sessionRecord } from './records.ts';

const written = (value: unknown) => Buffer.from(JSON.stringify(value));

const id = fc.string({ minLength: 1, maxLength: 40 });
const sequence = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const anyRecord: fc.Arbitrary<GroupRecord> = fc.record({
  version: fc.constant(1 as const),
  group: fc.nat({ max: 1_000 }),
  owner: id,
  epoch: fc.integer({ min: 1 }),
  commit: sequence,
  storedAt: sequence,
  division: fc.record({ shardCount: fc.integer({ min: 1 }), shardsPerTask: fc.integer({ min: 1 }) }),
  sessions: fc.dictionary(
    fc.nat({ max: 10_000 }).map(String),
    fc.record({
      sessionId: id,
      resumeUrl: fc.webUrl().map((url) => url.replace(/^http/, 'ws')),
      sequence,
      shardCount: fc.integer({ min: 1, max: 10_000 }),
      startedAt: sequence,
      aliveUntil: fc.option(sequence, { nil: undefined }),
      joins: fc.dictionary(sequence.map(String), sequence, { noNullPrototype: true }),
    }),
    { noNullPrototype: true },
  ),
  untoldGaps: fc.array(
    fc.record({
      shardId: fc.nat({ max: 10_000 }),
      sessionId: id,
      lastSequence: sequence,
      lastReceivedAt: sequence,
      lostAt: sequence,
      reason: fc.string(),
    }),
    { maxLength: 3 },
  ),
});

it('reads what it wrote, whatever the names in it', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      expect(parseGroupRecord(written(record))).toEqual(record);
    }),
  );
});

it('is read by a version that does not know all that a later one writes', () => {
  const session = { ...sessionRecord(), later: 1 };
  const record = groupRecord({ sessions: { '0': session } });
  expect(parseGroupRecord(written({ ...record, later: 1 }))).toEqual(
    groupRecord({ sessions: { '0': sessionRecord() } }),
  );
});

it('fits a message of the broker with room to spare for the largest group', () => {
  const sessions = Object.fromEntries(Array.from({ length: 256 }, (_, shard) => [String(shard), sessionRecord()]));
  const record = groupRecord({ sessions });
  expect(parseGroupRecord(written(record))).toEqual(record);
  expect(written(record).length).toBeLessThan(128 * 1024);
});

describe('what cannot be read is said in one sentence', () => {
  const { owner: _, ...withoutOwner } = groupRecord();
  const session = sessionRecord();
  it.each<[string, Buffer, RegExp]>([
    ['nothing', Buffer.alloc(0), /it is no JSON/],
    ['a text', Buffer.from('hello'), /it is no JSON/],
    ['half a record', written(groupRecord()).subarray(0, 80), /it is no JSON/],
    ['bytes', Buffer.from([0xff, 0x00, 0xfe]), /it is no JSON/],
    ['null', written(null), /expected object/],
    ['a list', written([groupRecord()]), /expected object/],
    ['a later version', written({ ...groupRecord(), version: 2 }), /version/],
    ['no owner', written(withoutOwner), /owner/],
    ['an empty owner', written(groupRecord({ owner: '' })), /owner/],
    ['epoch 0', written(groupRecord({ epoch: 0 })), /epoch/],
    ['half an epoch', written(groupRecord({ epoch: 1.5 })), /epoch/],
    ['a negative commit', written(groupRecord({ commit: -1 })), /commit/],
    ['a shard that is no number', written(groupRecord({ sessions: { zero: session } })), /sessions/],
    [
      'a session without an id',
      written(groupRecord({ sessions: { '0': { ...session, sessionId: '' } } })),
      /sessionId/,
    ],
    [
      'no address to resume at',
      written(groupRecord({ sessions: { '0': { ...session, resumeUrl: 'x' } } })),
      /resumeUrl/,
    ],
    ['a sequence as text', written({ ...groupRecord(), sessions: { '0': { ...session, sequence: '5' } } }), /sequence/],
    ['gaps missing', written({ ...groupRecord(), untoldGaps: undefined }), /untoldGaps/],
  ])('%s', (_name, body, sentence) => {
    const result = parseGroupRecord(body);
    expect(result).toMatch(sentence);
    expect(result).not.toContain('\n');
  });

  it('whatever the bytes: it never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(parseGroupRecord(Buffer.from(bytes))).toBeTypeOf('string');
        },
      ),
    );
  });
});

describe('the newer of two records', () => {
  it.each([
    [{ epoch: 2, commit: 0 }, { epoch: 1, commit: 99 }, true],
    [{ epoch: 1, commit: 99 }, { epoch: 2, commit: 0 }, false],
    [{ epoch: 2, commit: 5 }, { epoch: 2, commit: 4 }, true],
    [{ epoch: 2, commit: 4 }, { epoch: 2, commit: 5 }, false],
    [{ epoch: 2, commit: 5 }, { epoch: 2, commit: 5 }, false],
  ])('%j than %j: %s', (a, b, newer) => expect(isNewer(a, b)).toBe(newer));
});
