// Shards are taken over and given up one after the other, and what was lost is reported.

import { expect, it, vi } from 'vitest';
import { ShardHandover, type ShardRunner } from '../../../service/lease/shard-handover.ts';
import { logLines } from '../../support/log-lines.ts';
import { GAP, groupRecord, resumeState } from './records.ts';

const SHARD_LAYOUT = { shardCount: 4, shardsPerTask: 2 };

function handover() {
  const runner = {
    ...{ sessions: {}, connected: 0, untaken: 0, unreachableSince: undefined },
    own: vi.fn(),
    stepDown: vi.fn(async () => undefined),
    stored: () => undefined,
  } satisfies ShardRunner;
  const report = vi.fn(async () => undefined);
  const { log, lines } = logLines();
  const gaps = { unreportedGaps: [GAP], report };
  return { tested: new ShardHandover({ shardLayout: SHARD_LAYOUT, shards: runner, gaps, log }), runner, report, lines };
}

const found = (record = groupRecord()) => ({ group: 0, record, unreadable: undefined, claim: undefined });

it('one is under way until all that was asked for is done, also where one of them fails', async () => {
  const { tested, runner, lines } = handover();
  expect([tested.underWay, tested.takenOverAt]).toEqual([false, 0]);
  const closed = Promise.withResolvers<undefined>();
  runner.stepDown.mockReturnValueOnce(closed.promise);
  tested.stepDown(groupRecord());
  expect(tested.underWay).toBe(true);
  const asked = Date.now();
  tested.takeOver(found());
  expect(tested.takenOverAt).toBeGreaterThanOrEqual(asked);
  await new Promise(setImmediate);
  expect(tested.underWay).toBe(true);
  expect(runner.stepDown).toHaveBeenCalledExactlyOnceWith(groupRecord().sessions);
  expect(runner.own).not.toHaveBeenCalled();
  closed.reject(new Error('it fails'));
  await tested.done;
  expect([tested.underWay, runner.own.mock.calls.length]).toEqual([false, 1]);
  expect(lines).toMatchObject([{ level: 'error', err: { message: 'it fails' } }]);
});

it('what was lost with the record is counted, and what another task has counted is only reported', async () => {
  const { tested, report } = handover();
  const sessions = { '0': resumeState(), '1': resumeState({ shardCount: 5 }) };
  tested.takeOver(found(groupRecord({ sessions, unreportedGaps: [GAP] })));
  await tested.done;
  expect(report).toHaveBeenCalledExactlyOnceWith([expect.objectContaining({ shardId: 1 })], [GAP]);
  expect(tested.contents).toMatchObject({ shardLayout: SHARD_LAYOUT, unreportedGaps: [GAP], presences: [] });
});

it('a former group is abandoned when the broker has its gap events', async () => {
  const { tested, report } = handover();
  const confirmed = Promise.withResolvers<undefined>();
  report.mockReturnValueOnce(confirmed.promise);
  let abandoned = false;
  const abandoning = tested.abandon(groupRecord({ unreportedGaps: [GAP] })).then(() => {
    abandoned = true;
  });
  await new Promise(setImmediate);
  expect(abandoned).toBe(false);
  const lost = [0, 1].map((shardId) => expect.objectContaining({ shardId }));
  expect(report).toHaveBeenCalledExactlyOnceWith(lost, [GAP]);
  confirmed.resolve(undefined);
  await abandoning;
});
