// The gateway connection ends, and in most cases Discord keeps the session: op 7, op 9 with d true, no heartbeat ACK, no data at
// all, a broken network, or neither gateway nor REST is reachable. Each time the shard resumes the session from the last received
// sequence, and nothing is repeated, because the outbox has the rest. When the session is lost, one gap event reports it, and a
// new session starts.

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect } from 'vitest';
import { ENV } from '../../service/contract/names.ts';
import { type FakeServer, refusing } from '../support/fake-servers.ts';
import { type FaultStage, faultsOn, read } from './fault.ts';
import { leadsTo, metric, resumes } from './tasks.ts';

/** Discord's REST, behind a proxy: it can fail while the gateway works. */
const rest = { away: false };
let proxy: FakeServer | undefined;
afterAll(async () => await proxy?.close());

const SHARDS = 2;
const { everyRun, everyReading, fullRun } = faultsOn(
  { shards: SHARDS, simulator: { heartbeatIntervalMs: 1_500 } },
  async (stage) => {
    proxy = await refusing(stage.simulator.apiUrl, { test: () => rest.away }, 503, 'upstream connect error');
    await stage.startTask({ [ENV.discordApiUrl]: `http://127.0.0.1:${proxy.port}/api` });
  },
);

const RESUMED = { trafficAfterMs: 500, mostRepeats: 0 };
const allResume = (done: (stage: FaultStage) => unknown) => ({
  ...RESUMED,
  inject: (stage: FaultStage) => resumes(stage, SHARDS, () => done(stage)),
});

/** Discord keeps 2,048 events for each shard: those of 40 s. */
const SLOW = { rate: 50 * SHARDS };

/** Discord refuses connections until so many attempts have failed. */
async function unreachable(stage: FaultStage, tries: number): Promise<void> {
  const tried = () => stage.tasks[0]?.output.split('"verdict":"unreachable"').length ?? 0;
  const before = tried();
  stage.simulator.refuseConnections(true);
  stage.simulator.dropConnections();
  await stage.until(`${tries} connections were refused`, 60_000, () => tried() >= before + tries);
  stage.simulator.refuseConnections(false);
}

everyRun(
  'op 7: the session is resumed over another connection',
  allResume(({ simulator }) => simulator.reconnect()),
);

fullRun(
  'op 9 with d true: the session is resumed',
  allResume(({ simulator }) => simulator.invalidate(undefined, { resumable: true })),
);

fullRun(
  'a connection without heartbeat ACKs is closed, and its session is resumed',
  allResume(({ simulator }) => simulator.freeze()),
);

fullRun(
  'a connection without any data is closed, and its session is resumed',
  allResume(({ simulator }) => simulator.freeze(undefined, { silent: true })),
);

fullRun('connections are reset again and again after RESUMED: nothing is lost, and the pauses stay short', {
  ...RESUMED,
  async inject(stage) {
    for (let round = 1; round <= 4; round += 1) {
      const startedAt = Date.now();
      await resumes(stage, SHARDS, () => stage.simulator.dropConnections());
      // The pause is at most two seconds after any number of connections; the rest is for a slow machine.
      expect(Date.now() - startedAt).toBeLessThan(8_000);
    }
  },
});

everyReading('op 7 again and again under load: each time everything is confirmed and stored before the RESUME', {
  ...RESUMED,
  // A RESUME takes about 300 ms, on a slow machine seconds, and the smallest buffer has 100 events.
  rate: 10 * SHARDS,
  async inject(stage) {
    for (let round = 1; round <= 5; round += 1) {
      await resumes(stage, SHARDS, () => stage.simulator.reconnect());
      await read(stage, 20);
    }
  },
});

const AWAY_MS = 45_000;

// 75 events/s are 3,375 in this time, and the buffer has 2,048. A shard waits for the broker only 5 s, or 375 events.
fullRun('the broker is down for 45 s with 75 events/s for each shard, and Discord sends op 7 meanwhile', {
  rate: 75 * SHARDS,
  async inject(stage) {
    await stage.broker.rememberQueues();
    await stage.broker.kill();
    const backAt = Date.now() + AWAY_MS;
    await resumes(stage, SHARDS, () => stage.simulator.reconnect());
    expect(Date.now(), 'the broker is still down').toBeLessThan(backAt);
    await sleep(backAt - Date.now());
    await stage.broker.start();
    await stage.ready();
  },
});

fullRun('a reset during a replay loses nothing', {
  ...RESUMED,
  async inject(stage) {
    const { simulator } = stage;
    simulator.refuseConnections(true);
    simulator.dropConnections();
    simulator.burst(2_000);
    // Discord has received RESUME, and is sending thousands of dispatches.
    await leadsTo(stage, SHARDS, 'resume', () => simulator.refuseConnections(false));
    await resumes(stage, SHARDS, () => simulator.dropConnections());
  },
});

fullRun('no session is lost while the gateway is unreachable for a short time', {
  ...SLOW,
  ...allResume((stage) => unreachable(stage, 2 * SHARDS)),
});

fullRun("sessions are resumed when the gateway is reachable again and Discord's REST is not", {
  ...RESUMED,
  ...SLOW,
  async inject(stage) {
    rest.away = true;
    await resumes(stage, SHARDS, () => unreachable(stage, 2 * SHARDS));
    rest.away = false;
  },
});

// https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes. No
// close frame (1006): above. 4200: a code that Discord does not document. All codes: test/service/gateway/close-code.test.ts.
for (const code of [1000, 1001, 4000, 4200])
  fullRun(
    `closed with ${code}, the session is resumed`,
    allResume(({ simulator }) => simulator.close(undefined, code)),
  );

for (const code of [4007, 4009])
  (code === 4009 ? everyRun : fullRun)(`closed with ${code}, the lost session is reported, and a new one starts`, {
    trafficAfterMs: 500,
    gaps: SHARDS,
    async inject(stage) {
      const { reader, simulator } = stage;
      const sessions = simulator.sessions.map(({ id }) => id);
      await leadsTo(stage, SHARDS, 'ready', () => simulator.close(undefined, code));
      await stage.until('the gaps name the sessions', 30_000, () => sessions.every((id) => reader.gaps.has(id)));
    },
  });

// What the event contains: test/service/main-path.broker.test.ts.
fullRun('op 9 with d false: one gap event reports the session, and is counted', {
  gaps: 1,
  mostRepeats: 0,
  async inject(stage) {
    const { simulator, reader } = stage;
    const [task] = stage.living;
    const before = await metric(task, 'gatewayGaps');
    const sessionId = simulator.sessions.find(({ shardId }) => shardId === 0)?.id ?? '';
    await leadsTo(stage, 1, 'ready', () => simulator.invalidate(0, { resumable: false }));
    await stage.until('the gap is read', 30_000, () => reader.gaps.has(sessionId));
    expect(reader.gaps.get(sessionId)?.shardId).toBe(0);
    expect((await metric(task, 'gatewayGaps')) - before).toBe(1);
    expect(await metric(task, 'gapsInHandOver'), 'the gap is not from a hand-over').toBe(0);
  },
});
