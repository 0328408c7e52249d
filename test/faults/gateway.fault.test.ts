// Discord ends the connection, and mostly keeps the session: it asks for another (op 7), it sends op 9 with d true, it stops
// answering heartbeats, goes silent, the network breaks, or neither gateway nor REST can be reached.
// Each time the session is resumed from the last received sequence, and nothing is repeated, because the rest is in the
// outbox. Where the session is gone, one gap event reports it, and another session starts.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect } from 'vitest';
import { ENV, QUEUES } from '../../service/contract/names.ts';
import { DiscordEventPayload } from '../../service/events/payload.ts';
import { type FaultStage, faultsOn, read } from './fault.ts';
import { leadsTo, metric, resumes } from './tasks.ts';

/** Discord's REST, which can be away while the gateway is there. */
const rest = { away: false, behind: '' };
const server = createServer(async (request, response) => {
  if (rest.away) return void response.writeHead(503).end('upstream connect error');
  const { authorization = '' } = request.headers;
  try {
    const answer = await fetch(`${rest.behind}${request.url?.replace(/^\/api/, '')}`, { headers: { authorization } });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  } catch {
    request.socket.destroy();
  }
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const SHARDS = 2;
const { everyRun, everyReading, fullRun } = faultsOn(
  { shards: SHARDS, simulator: { heartbeatIntervalMs: 1_500 } },
  async (stage) => {
    rest.behind = stage.simulator.apiUrl;
    await stage.startTask({ [ENV.discordApiUrl]: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api` });
  },
);

const RESUMED = { trafficAfterMs: 500, mostRepeats: 0 };
const allResume = (done: (stage: FaultStage) => unknown) => ({
  ...RESUMED,
  inject: (stage: FaultStage) => resumes(stage, SHARDS, () => done(stage)),
});

/** Discord keeps 2,048 events of each shard: those of 40 s. */
const SLOW = { rate: 50 * SHARDS };

/** No connection is accepted until so many were tried. */
async function unreachable(stage: FaultStage, tries: number): Promise<void> {
  const tried = () => stage.tasks[0]?.output.split('"verdict":"unreachable"').length ?? 0;
  const before = tried();
  stage.simulator.refuseConnections(true);
  stage.simulator.dropConnections();
  await stage.until(`${tries} connections were refused`, 60_000, () => tried() >= before + tries);
  stage.simulator.refuseConnections(false);
}

everyRun(
  'op 7: the session goes on over another connection',
  allResume(({ simulator }) => simulator.reconnect()),
);

fullRun(
  'op 9 with d true: the session goes on',
  allResume(({ simulator }) => simulator.invalidate(undefined, { resumable: true })),
);

fullRun(
  'a zombie that acknowledges no heartbeat is left, and its session goes on',
  allResume(({ simulator }) => simulator.freeze()),
);

fullRun(
  'a connection that falls silent is left, and its session goes on',
  allResume(({ simulator }) => simulator.freeze(undefined, { silent: true })),
);

fullRun('a storm of resets, each as soon as the session is resumed, loses nothing and is not waited out', {
  ...RESUMED,
  async inject(stage) {
    for (let round = 1; round <= 4; round += 1) {
      const startedAt = Date.now();
      await resumes(stage, SHARDS, () => stage.simulator.dropConnections());
      // A pause of two seconds at most, however many connections came before; the rest is for a busy machine.
      expect(Date.now() - startedAt).toBeLessThan(8_000);
    }
  },
});

everyReading('a storm of op 7 under load: each time all is confirmed and stored before the RESUME', {
  ...RESUMED,
  // A RESUME takes some 300 ms, on a busy machine seconds, and the smallest buffer has a hundred events.
  rate: 10 * SHARDS,
  async inject(stage) {
    for (let round = 1; round <= 5; round += 1) {
      await resumes(stage, SHARDS, () => stage.simulator.reconnect());
      await read(stage, 20);
    }
  },
});

const AWAY_MS = 45_000;

// 75 events/s are 3,375 in this time, and the buffer has 2,048. A shard waits 5 s for the broker, so 375.
fullRun('the broker is away for 45 s with 75 events/s of each shard, and Discord ends the connections in it', {
  rate: 75 * SHARDS,
  async inject(stage) {
    await stage.broker.rememberQueues();
    await stage.broker.kill();
    const backAt = Date.now() + AWAY_MS;
    await resumes(stage, SHARDS, () => stage.simulator.reconnect());
    expect(Date.now(), 'the broker is still away').toBeLessThan(backAt);
    await sleep(backAt - Date.now());
    await stage.broker.start();
    await stage.ready();
  },
});

fullRun('a reset in the middle of a replay loses nothing', {
  ...RESUMED,
  async inject(stage) {
    const { simulator } = stage;
    simulator.refuseConnections(true);
    simulator.dropConnections();
    simulator.burst(2_000);
    // RESUME has come, and thousands of replayed dispatches are on the way.
    await leadsTo(stage, SHARDS, 'resume', () => simulator.refuseConnections(false));
    await resumes(stage, SHARDS, () => simulator.dropConnections());
  },
});

fullRun('a gateway that cannot be reached for a while costs no session', {
  ...SLOW,
  ...allResume((stage) => unreachable(stage, 2 * SHARDS)),
});

fullRun("a gateway that comes back before Discord's REST does is resumed all the same", {
  ...RESUMED,
  ...SLOW,
  async inject(stage) {
    rest.away = true;
    await resumes(stage, SHARDS, () => unreachable(stage, 2 * SHARDS));
    rest.away = false;
  },
});

// By https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes, with 1006 for
// no close frame at all and 4200 for a code of the client's own.
// What each code means is tested beside `close-code.ts`.
for (const code of [1000, 1001, 1006, 4000, 4200])
  fullRun(
    `closed with ${code}, the session is resumed`,
    allResume(({ simulator }) => (code === 1006 ? simulator.dropConnections() : simulator.close(undefined, code))),
  );

for (const code of [4007, 4009])
  (code === 4009 ? everyRun : fullRun)(`closed with ${code}, the lost session is reported, and another starts`, {
    trafficAfterMs: 500,
    gaps: SHARDS,
    async inject(stage) {
      const { reader, simulator } = stage;
      const sessions = simulator.sessions.map(({ id }) => id);
      await leadsTo(stage, SHARDS, 'ready', () => simulator.close(undefined, code));
      await stage.until('the gaps name the sessions', 30_000, () => sessions.every((id) => reader.gaps.has(id)));
    },
  });

fullRun('op 9 with d false: the session is reported once, as a gap event that follows the schema', {
  gaps: 1,
  mostRepeats: 0,
  async inject(stage) {
    const { simulator, reader } = stage;
    const reported: unknown[] = [];
    reader.onMessage = (queue, { content, fields }) => {
      const { routingKey } = fields;
      if (queue === QUEUES.gatewayEvents && routingKey !== 'gateway.ready') reported.push(JSON.parse(String(content)));
    };
    const [task] = stage.living;
    const before = await metric(task, 'gatewayGaps');
    const sessionId = simulator.sessions.find(({ shardId }) => shardId === 0)?.id;
    await leadsTo(stage, 1, 'ready', () => simulator.invalidate(0, { resumable: false }));
    await stage.until('the gap is read', 30_000, () => reported.length > 0);
    expect(reported.map((gap) => DiscordEventPayload.parse(gap))).toMatchObject([
      { eventType: 'gateway.gap', shardId: 0, data: { sessionId } },
    ]);
    expect((await metric(task, 'gatewayGaps')) - before).toBe(1);
    expect(await metric(task, 'gapsInHandOver'), 'no release did this').toBe(0);
  },
});
