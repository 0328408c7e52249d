// What is done with the queues of shard groups that the shard layout no longer has, with channels that deliver when the test
// has them do so.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { emptyRecord } from '../../../service/contract/lease-record.ts';
import { formatGroupRecord, type GroupRecord, parseGroupRecord } from '../../../service/lease/group-record.ts';
import type { LeaseChannels, QueueMessage } from '../../../service/lease/lease-channels.ts';
import { LeftoverGroups } from '../../../service/lease/leftover-groups.ts';
import { type LogLines, logLines } from '../../support/log-lines.ts';
import { GAP, groupRecord, resumeState } from './records.ts';

const HOUR = 3_600_000;
const NOW = 1_763_900_200_000;
const startedAt = NOW - HOUR;
const QUEUE = 'ingestor.lease.2';

let existing: string[];
let deliver: Map<string, (message: QueueMessage) => void>;
let published: { readonly queue: string; readonly body: Buffer; readonly properties: object }[];
let cancelled: string[];
let abandoned: GroupRecord[];
let abandon: (record: GroupRecord) => Promise<void>;
let channels: LeaseChannels;
let lines: LogLines;
let groups: LeftoverGroups;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW });
  existing = [QUEUE, 'ingestor.lease.3'];
  [deliver, published, cancelled, abandoned] = [new Map(), [], [], []];
  abandon = async (record) => void abandoned.push(record);
  channels = {
    ended: false,
    consumeExisting: async (queue: string, onMessage: (message: QueueMessage) => void) => {
      if (!existing.includes(queue)) return false;
      deliver.set(queue, onMessage);
      return true;
    },
    cancel: (queue: string) => void cancelled.push(queue),
    publish: async (queue: string, body: Buffer, properties: object) =>
      void published.push({ queue, body, properties }),
  } as unknown as LeaseChannels;
  lines = logLines();
  groups = new LeftoverGroups({ from: 2, startedAt, me: 'me', abandon: (record) => abandon(record), log: lines.log });
});

afterEach(() => void vi.useRealTimers());

/** Delivers it. @returns what it was answered with */
async function delivered(body: string, properties: Partial<QueueMessage> = {}): Promise<string[]> {
  const answers: string[] = [];
  const answer = (how: string) => () => void answers.push(how);
  const answerable = { ack: answer('ack'), requeue: answer('requeue'), deadLetter: answer('deadLetter') };
  const common = { type: 'record', appId: 'task', headers: {}, timestamp: 5 };
  deliver.get(QUEUE)?.({ ...common, body: Buffer.from(body), ...answerable, ...properties });
  await new Promise(setImmediate);
  return answers;
}

const record = (fields: Partial<GroupRecord> = {}) =>
  formatGroupRecord(groupRecord({ group: 2, epoch: 7, sessions: {}, ...fields }));
const sessions = { '2': resumeState() };

it('consumes the queues behind the shard layout, up to the first that does not exist', async () => {
  existing.push('ingestor.lease.1', 'ingestor.lease.5');
  await groups.consume(channels);
  expect([...deliver.keys()]).toEqual([QUEUE, 'ingestor.lease.3']);
});

it.each<[string, Partial<GroupRecord>]>([
  ['sessions', { sessions }],
  ['gaps', { unreportedGaps: [GAP] }],
])('a record with %s is reported, acknowledged, and followed by an empty one of the next epoch', async (_, fields) => {
  await groups.consume(channels);
  const order: string[] = [];
  abandon = async (each) => {
    order.push(`abandoned after ${published.length}`);
    abandoned.push(each);
  };
  expect(await delivered(record(fields))).toEqual(['ack']);
  expect([order, abandoned]).toMatchObject([['abandoned after 1'], [{ group: 2, ...fields }]]);
  expect(published).toMatchObject([{ queue: QUEUE, properties: { type: 'record', appId: 'me', headers: {} } }]);
  const stored = parseGroupRecord(published[0]?.body ?? Buffer.alloc(0), 2) as GroupRecord;
  expect(stored).toMatchObject({ epoch: 8, owner: 'me', sessions: {}, unreportedGaps: [] });
  expect(published[0]?.properties).toHaveProperty('timestamp', Math.floor(stored.storedAt / 1_000));
  expect(lines.lines).toMatchObject([{ level: 'warn', group: 2, sessions: Object.keys(fields.sessions ?? {}).length }]);
});

it('an empty record is held until it consumes again, a claim is acknowledged, what is unreadable is dead-lettered', async () => {
  await groups.consume(channels);
  const held = await delivered(JSON.stringify(emptyRecord(2, 'the topology', 5)));
  const alsoHeld = await delivered(record());
  expect(await delivered('{}', { type: 'claim' })).toEqual(['ack']);
  expect(await delivered('?')).toEqual(['deadLetter']);
  expect([held, alsoHeld, published, abandoned]).toEqual([[], [], [], []]);
  await groups.consume(channels);
  expect([held, alsoHeld]).toEqual([['requeue'], ['requeue']]);
  await groups.consume(channels);
  expect(held).toEqual(['requeue']);
});

it.each([
  [startedAt, false],
  [startedAt + 1, true],
  [NOW + HOUR, true],
  [NOW + HOUR + 1, false],
])('a queue is left to a task that started later, at %d: %s', async (at, isLeft) => {
  await groups.consume(channels);
  const held = await delivered(record());
  const answers = await delivered(record({ sessions }), { headers: { 'x-started-at': at } });
  expect([answers, held, cancelled]).toEqual(isLeft ? [['requeue'], ['requeue'], [QUEUE]] : [['ack'], [], []]);
  expect(abandoned).toHaveLength(isLeft ? 0 : 1);
});

it('a record whose end cannot be stored is held and logged, unless its channels have ended', async () => {
  await groups.consume(channels);
  const failing = vi.spyOn(channels, 'publish').mockRejectedValue(new Error('a fault'));
  const held = await delivered(record({ sessions }));
  expect([held, lines.lines.at(-1)]).toMatchObject([[], { group: 2, err: { message: 'a fault' } }]);
  Object.assign(channels, { ended: true });
  expect(await delivered(record({ sessions }))).toEqual([]);
  expect(failing).toHaveBeenCalledTimes(2);
  const logged = () => lines.lines.filter(({ err }) => err !== undefined);
  expect([abandoned, logged()]).toMatchObject([[], [{ group: 2, err: { message: 'a fault' } }]]);
  vi.spyOn(channels, 'consumeExisting').mockRejectedValue(new Error('another'));
  await groups.consume(channels);
  expect([held, logged().length]).toEqual([['requeue'], 1]);
  Object.assign(channels, { ended: false });
  await groups.consume(channels);
  expect(logged()).toMatchObject([{}, { level: 'warn', err: { message: 'another' } }]);
});
