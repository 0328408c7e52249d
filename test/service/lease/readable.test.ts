// What is stored of a group record: what its next owner can read, and the broker takes.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_MESSAGE_BYTES } from '../../../service/contract/limits.ts';
import { formatGroupRecord, type GroupRecord, parseGroupRecord } from '../../../service/lease/group-record.ts';
import { readable } from '../../../service/lease/readable.ts';
import { GAP, groupRecord, resumeState } from './records.ts';

const read = (text: string) => parseGroupRecord(Buffer.from(text), 0) as GroupRecord;
const gaps = (count: number) =>
  Array.from({ length: count }, (_, id) => ({ ...GAP, sessionId: `gone-${id}`, reason: 'x'.repeat(1_000) }));
const joins = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, id) => [`1${String(id).padStart(18, '0')}`, 1]));

const presences = (count: number) =>
  Array.from({ length: count }, (_, id) => ({ data: { x: 'x'.repeat(3_000) }, shards: [id] }));

it('presences have 256 KiB at most: the largest are left out, so that a broker that takes 512 KiB has the record', () => {
  const some = presences(80);
  expect(readable(groupRecord({ presences: some })).faults).toEqual([]);
  const [small, large] = ['small', 'y'.repeat(3_050)].map((x, at) => ({ data: { x }, shards: [300 + at] }));
  const { text, faults } = readable(groupRecord({ presences: [large, ...presences(256), small] as never }));
  const left = read(text).presences ?? [];
  expect(Buffer.byteLength(JSON.stringify(left))).toBeLessThanOrEqual(256 * 1_024);
  expect(Buffer.byteLength(JSON.stringify(left))).toBeGreaterThan(250 * 1_024);
  expect(left).toContainEqual(small);
  expect(left).not.toContainEqual(large);
  const reason = `presences: 262144 bytes are stored, and ${258 - left.length} of 258 do not fit`;
  expect(faults).toEqual([{ reason }]);
});

it.each([
  [256 * 1_024, []],
  [256 * 1_024 + 1, [{ reason: 'presences: 262144 bytes are stored, and 1 of 80 do not fit' }]],
])('presences of %d bytes', (bytes, faults) => {
  const some = presences(79);
  const rest = bytes - JSON.stringify([...some, { data: { x: '' }, shards: [79] }]).length;
  const last = { data: { x: 'x'.repeat(rest) }, shards: [79] };
  expect(readable(groupRecord({ presences: [last, ...some] })).faults).toEqual(faults);
});

it.each([
  [MAX_MESSAGE_BYTES, []],
  [MAX_MESSAGE_BYTES + 1, [{ reason: 'joins: the broker takes 1048576 bytes' }]],
])('a record of %d bytes', (bytes, faults) => {
  const of = (owner: string) => groupRecord({ owner, sessions: { '0': resumeState({ joins: joins(43_675) }) } });
  const rest = bytes - formatGroupRecord(of('')).length;
  expect(rest).toBeLessThanOrEqual(255);
  expect(readable(of('o'.repeat(rest))).faults).toEqual(faults);
});

it('a record that can be read is stored as it is', () => {
  const record = groupRecord({ unreportedGaps: gaps(1) });
  expect(readable(record)).toEqual({ text: formatGroupRecord(record), faults: [] });
});

it('a session that could not be read is left out, and the others stay', () => {
  const sessions = { '0': resumeState(), '1': resumeState({ sequence: Number.NaN }) };
  const { text, faults } = readable(groupRecord({ sessions }));
  expect(faults).toEqual([{ lostShardId: 1, reason: expect.stringMatching(/^sessions\.1\.sequence: /) }]);
  expect(read(text)).toMatchObject({ sessions: { '0': resumeState() }, faults: [] });
  expect(read(text).sessions).not.toHaveProperty('1');
});

it('whatever is in a session, what is stored can be read', () => {
  const part = fc.oneof(fc.anything(), fc.string(), fc.double(), fc.maxSafeInteger());
  const session = fc.record({ sessionId: part, resumeUrl: part, sequence: part, shardCount: part, startedAt: part });
  fc.assert(
    fc.property(session, fc.boolean(), (fields, some) => {
      const odd = { ...resumeState(), ...(some ? { resumeUrl: fields.resumeUrl } : fields) } as never;
      const record = read(readable(groupRecord({ sessions: { '0': odd, '1': resumeState() } })).text);
      expect(record).toMatchObject({ sessions: { '1': resumeState() }, faults: [] });
      if (some) expect(record.sessions).toHaveProperty('0');
    }),
  );
});

it('what the broker would not take is made smaller: first by presences, then by joins, then by gaps, never by sessions', () => {
  const sessions = Object.fromEntries(
    Array.from({ length: 256 }, (_, id) => [
      id,
      resumeState({ shardCount: 256, joins: joins(MAX_MESSAGE_BYTES / 256 / 20) }),
    ]),
  );
  const large = readable(groupRecord({ sessions, unreportedGaps: gaps(10) }));
  expect(large.faults).toEqual([{ reason: expect.stringMatching(/^joins: the broker takes \d+ bytes$/) }]);
  const larger = readable(groupRecord({ sessions, unreportedGaps: gaps(1_000) }));
  expect(larger.faults).toEqual([{ reason: expect.stringMatching(/^untoldGaps: .* and 900 of 1000 do not fit$/) }]);
  const fewer = Object.fromEntries(
    Object.entries(sessions).map(([id, session]) => [id, { ...session, joins: joins(150) }]),
  );
  const small = readable(groupRecord({ sessions: fewer, presences: presences(60) }));
  expect(small.faults).toEqual([{ reason: expect.stringMatching(/^presences: the broker takes \d+ bytes$/) }]);
  expect(read(small.text)).toMatchObject({ sessions: fewer, faults: [] });
  expect(read(small.text).presences).toBeUndefined();
  for (const [{ text }, left] of [
    [large, 10],
    [larger, 100],
  ] as const) {
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
    expect(Object.keys(read(text).sessions)).toHaveLength(256);
    expect(read(text).unreportedGaps).toHaveLength(left);
  }
});

it('what cannot be read at all is not stored', () => {
  expect(() => readable(groupRecord({ owner: '' }))).toThrow(
    /^expected a record that can be read, got one with owner: /,
  );
});
