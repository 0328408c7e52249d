// The page of real tasks while the broker takes no messages, and after an owner was killed.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { IngestorProcess } from '../../../local/ingestor-process.ts';
import { Stage } from '../../../local/stage.ts';
import { bodyOf, idOf, shows, taskWithRole } from '../../support/status-page.ts';

let stage: Stage;
let standby: IngestorProcess;

beforeAll(async () => {
  stage = await Stage.start({ shards: 4, shardsPerTask: 2, tasks: 3, simulator: { maxConcurrency: 16 } });
  await stage.standing(3);
  standby = await taskWithRole(stage, 'standby');
  stage.simulator?.startTraffic(50);
  await shows(standby, 'All is well: 4 shards connected, 2 groups owned, 1 task stands by.');
});
afterAll(() => stage?.stop());

test('a broker that takes no messages is what is wrong, and all is well soon after', async () => {
  await stage.broker.memoryAlarm(true);
  const alarm = 'RabbitMQ takes no messages: it is short of memory or disk (';
  await shows(standby, alarm);
  // No report came for three periods.
  const text = await shows(standby, alarm, / [2-9]\d s ago/);
  expect(text).not.toMatch(/do not arrive|(has|have) (no|an) owner| gone/);
  await stage.broker.memoryAlarm(false);
  expect(await shows(standby, 'All is well: ')).not.toMatch(/gone|reported again/);
});

test('an owner that is killed is shown as gone, and who took over; the new task knows what was before it', async () => {
  const owner = (await stage.owner(0)) as IngestorProcess;
  await owner.kill();
  await stage.ready();
  const handOver = `group 0: ${idOf(owner)} → ${idOf(standby)}`;
  await shows(
    standby,
    `Task ${idOf(owner)} is gone: it did not drain`,
    'Task lost',
    `1 task gone without draining (${idOf(owner)})`,
    handOver,
  );
  const young = await stage.startTask();
  await shows(young, handOver, `Group 0 shards 0–1 · ${idOf(standby)}`);
  // What was measured before its start.
  expect(await bodyOf(young)).toMatch(/<polyline class="first" points="\S+ \S+ \S+ \S+/);
});
