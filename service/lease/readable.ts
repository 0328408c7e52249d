// What is stored of a group record: nothing that its next owner could not read, nor more than the broker takes. Pure.

import { Buffer } from 'node:buffer';
import { MAX_MESSAGE_BYTES } from '../contract/limits.ts';
import { type Fault, formatGroupRecord, type GroupRecord, parseGroupRecord } from './group-record.ts';

/** So many gap events at most wait for the broker, and are repeated by the next owner. */
const GAPS_WHEN_TOO_LARGE = 100;
/** 256 shards may have 3 KiB each. With all of them the record would be larger than some brokers take: 512 KiB. */
const MOST_PRESENCE_BYTES = 256 * 1_024;

/**
 * @returns the record as text, and what had to be left out of it
 * @throws Error when it cannot be read at all
 */
export function readable(record: GroupRecord): { readonly text: string; readonly faults: readonly Fault[] } {
  const few = fewPresences(record);
  const small = withinBounds(few.record);
  const text = formatGroupRecord(small.record);
  const parsed = parseGroupRecord(Buffer.from(text), record.group);
  if (typeof parsed === 'string') throw new Error(`expected a record that can be read, got one with ${parsed}`);
  const faults = [...few.faults, ...small.faults, ...(parsed.faults ?? [])];
  return { text: faults.length === 0 ? text : formatGroupRecord(parsed), faults };
}

/** Keeps the smallest ones, which leaves out the fewest. */
function fewPresences(record: GroupRecord): { readonly record: GroupRecord; readonly faults: readonly Fault[] } {
  const { presences: all = [] } = record;
  // With the comma, or a bracket.
  const sized = all.map((each) => ({ each, bytes: Buffer.byteLength(JSON.stringify(each)) + 1 }));
  let free = MOST_PRESENCE_BYTES - 1;
  const kept = sized
    .toSorted((a, b) => a.bytes - b.bytes)
    .filter(({ bytes }) => {
      free -= bytes;
      return free >= 0;
    });
  if (kept.length === all.length) return { record, faults: [] };
  const presences = kept.map(({ each }) => each);
  const left = all.length - presences.length;
  const reason = `presences: ${MOST_PRESENCE_BYTES} bytes are stored, and ${left} of ${all.length} do not fit`;
  return { record: { ...record, presences }, faults: [{ reason }] };
}

/** Sessions are what it is for: first goes what they can do without, then gaps. */
function withinBounds(record: GroupRecord): { readonly record: GroupRecord; readonly faults: readonly Fault[] } {
  if (fits(record)) return { record, faults: [] };
  const { presences: _, ...withoutPresences } = record;
  const limit = `the broker takes ${MAX_MESSAGE_BYTES} bytes`;
  if (fits(withoutPresences)) return { record: withoutPresences, faults: [{ reason: `presences: ${limit}` }] };
  const bare = Object.entries(record.sessions).map(([id, { joins: __, ...session }]) => [id, session] as const);
  const without = { ...withoutPresences, sessions: Object.fromEntries(bare) };
  if (fits(without)) return { record: without, faults: [{ reason: `joins: ${limit}` }] };
  const gaps = record.unreportedGaps.length;
  const unreportedGaps = record.unreportedGaps.slice(0, GAPS_WHEN_TOO_LARGE);
  const reason = `untoldGaps: ${limit}, and ${gaps - unreportedGaps.length} of ${gaps} do not fit`;
  return { record: { ...without, unreportedGaps }, faults: [{ reason }] };
}

const fits = (record: GroupRecord): boolean => Buffer.byteLength(formatGroupRecord(record)) <= MAX_MESSAGE_BYTES;
