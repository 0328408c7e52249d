// What a heartbeat carries, and how closings for heartbeats that lag come to an end.

import { beforeEach, expect, it } from 'vitest';
import { HeartbeatSequence } from '../../../service/session/heartbeat-sequence.ts';

let heartbeats: HeartbeatSequence;
beforeEach(() => {
  heartbeats = new HeartbeatSequence();
});

const STORED = 1_000;
/** A connection whose one heartbeat lags so much, and that ends. @returns what the heartbeat carried */
function connection(lag: number, { closedByDiscord = true, afterMs = 10 } = {}): number {
  const sequence = heartbeats.next({ stored: STORED, received: STORED + lag }, 5_000);
  heartbeats.ended(5_000 + afterMs, closedByDiscord);
  return sequence;
}

it('carries what is stored, however much that lags', () => {
  expect(connection(1_000_000)).toBe(STORED);
  expect(connection(0)).toBe(STORED);
});

it('carries what is received, where it would lag half as much or more, once three connections in a row were closed for it', () => {
  expect([connection(102), connection(300), connection(200)]).toEqual([STORED, STORED, STORED]);
  expect([connection(51), connection(50)]).toEqual([STORED + 51, STORED]);
});

it.each<[string, Parameters<typeof connection>]>([
  ['ended otherwise', [300, { closedByDiscord: false }]],
  ['was closed long after its heartbeat', [300, { afterMs: 1_001 }]],
  ['was closed although nothing lagged', [0]],
])('is as before when one in between %s', (_, between) => {
  for (let times = 0; times < 2; times += 1) connection(300);
  connection(...between);
  for (let times = 0; times < 2; times += 1) connection(300);
  expect(connection(300)).toBe(STORED);
});

it('counts connections beyond one that had no heartbeat, and returns what has changed once', () => {
  const closed = () => {
    heartbeats.next({ stored: STORED, received: STORED + 9 }, 0);
    return heartbeats.ended(1_000, true);
  };
  const withoutHeartbeat = () => heartbeats.ended(6_000, true);
  expect([closed(), withoutHeartbeat(), closed(), closed(), withoutHeartbeat()]).toEqual([
    ...[undefined, undefined, undefined],
    ...[4, undefined],
  ]);
});
