// When the group record is stored, against channels that answer when the test says so.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { LeaseChannels } from '../../../service/lease/lease-channels.ts';
import { RecordWriter } from '../../../service/lease/record-writer.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';
import { resumeState } from './records.ts';

let published: { commit: number; epoch: number; sequence: number | undefined }[];
let answer: () => Promise<void>;
let sequence: number;
let owns: boolean;
let stored: number;
let commit: number;
let writer: RecordWriter;
let lines: LogLines;

const channels = {
  ended: false,
  publish: async (queue: string, body: Buffer, properties: object) => {
    const record = JSON.parse(body.toString());
    expect([queue, record.owner]).toEqual(['ingestor.lease.3', 'me']);
    expect(properties).toMatchObject({ type: 'record', appId: 'me', timestamp: Math.floor(record.storedAt / 1_000) });
    published.push({ commit: record.commit, epoch: record.epoch, sequence: record.sessions['0']?.sequence });
    await answer();
  },
} as unknown as LeaseChannels;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 });
  published = [];
  answer = async () => undefined;
  lines = logLines();
  [sequence, owns, stored, commit] = [1, true, 0, 0];
  writer = new RecordWriter({
    owned: () => (owns ? { channels, group: 3, epoch: 5, commit } : undefined),
    contents: () => ({ shardLayout: undefined, sessions: { '0': resumeState({ sequence }) }, unreportedGaps: [] }),
    onStoring: () => {
      commit += 1;
    },
    onStored: () => {
      stored += 1;
    },
    ...{ sender: { appId: 'me', headers: {} }, renewEveryMs: 1_000, log: lines.log },
  });
});
afterEach(() => void vi.useRealTimers());

/** A tick, and all that follows from it. */
async function tick(): Promise<number> {
  writer.tick();
  await new Promise(setImmediate);
  return published.length;
}

it('stores what has changed, and what has not after a while', async () => {
  expect([await tick(), await tick()]).toEqual([1, 1]);
  sequence = 2;
  expect(await tick()).toBe(2);
  vi.setSystemTime(1_000_999);
  expect(await tick()).toBe(2);
  vi.setSystemTime(1_001_000);
  expect(await tick()).toBe(3);
  expect(published.map((each) => each.commit)).toEqual([1, 2, 3]);
  expect(published[1]).toEqual({ commit: 2, epoch: 5, sequence: 2 });
  expect([writer.last, stored]).toMatchObject([{ storedAt: 1_001_000, sessions: 1 }, 3]);
  writer.storeNow();
  expect(await tick()).toBe(4);
});

it('stores nothing while the task may not', async () => {
  owns = false;
  expect(await tick()).toBe(0);
  expect(await writer.storeLast()).toBe(false);
});

it('stores one record at a time, and again when it was asked to meanwhile', async () => {
  const answered = Promise.withResolvers<void>();
  const open: number[] = [];
  let unanswered = 0;
  answer = async () => {
    unanswered += 1;
    open.push(unanswered);
    await answered.promise;
    await new Promise(setImmediate);
    unanswered -= 1;
  };
  writer.storeNow();
  writer.storeNow();
  const last = writer.storeLast();
  expect(await tick()).toBe(1);
  answered.resolve();
  expect(await last).toBe(true);
  expect([published.map((each) => each.commit), open]).toEqual([
    [1, 2, 3],
    [1, 1, 1],
  ]);
});

it('stores at the next tick, unchanged, what the broker did not confirm', async () => {
  answer = () => Promise.reject(new Error('refused'));
  expect(await tick()).toBe(1);
  expect([stored, writer.last, await writer.storeLast()]).toMatchObject([0, { storedAt: 0, sessions: 0 }, false]);
  expect(lines.lines).toMatchObject([{ level: 'warn', err: { message: 'refused' } }, {}]);
  answer = async () => undefined;
  expect([await tick(), await tick(), stored]).toEqual([3, 3, 1]);
});

it('stores a record without what could not be read of it, and logs that once', async () => {
  sequence = -1;
  expect([await tick(), await writer.storeLast()]).toEqual([1, true]);
  expect(published.map((each) => each.sequence)).toEqual([undefined, undefined]);
  expect(lines.lines.filter(({ level }) => level === 'error')).toMatchObject([
    { group: 3, shard: 0, reason: expect.stringContaining('sessions.0.sequence') },
  ]);
  sequence = 2;
  expect(await tick()).toBe(3);
  sequence = -1;
  await tick();
  expect(lines.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
});
