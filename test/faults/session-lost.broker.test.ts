// Discord itself gives the session up: op 9 that says it is not resumable. What was received is delivered, what was not is
// announced by one gateway.gap event, and the events of the new session are all there.

import { expect } from 'vitest';
import { METRICS } from '../../service/contract/metrics.ts';
import { QUEUES } from '../../service/contract/names.ts';
import { DiscordEventPayload } from '../../service/events/payload.ts';
import { disaster } from './disaster.ts';

const gaps: unknown[] = [];

disaster('an invalidated session is announced once, and another one begins', {
  rate: 400,
  gapsExpected: true,
  async prepare({ reader }) {
    reader.onMessage = (queue, { content }) => {
      if (queue === QUEUES.gatewayEvents) gaps.push(JSON.parse(content.toString()));
    };
  },
  async happens(stage) {
    const { simulator } = stage;
    const [session] = simulator?.sessions ?? [];
    simulator?.invalidate(0, { resumable: false });
    await simulator?.waitFor('ready', 2, 60_000);
    const figures = await stage.living[0]?.metrics();
    const told = figures?.get(METRICS.gatewayGaps.prometheus) ?? 0;
    const inHandOver = figures?.get(METRICS.gapsInHandOver.prometheus) ?? -1;
    return { sessionId: session?.id ?? '', told, inHandOver };
  },
  bounds({ gaps: announcedSessions, repeated, lost }, { sessionId, told, inHandOver }) {
    expect(inHandOver, 'no release did this').toBe(0);
    expect(announcedSessions).toBe(1);
    expect(repeated).toBe(0);
    expect(lost).toBe(0);
    expect(told).toBe(1);
    expect(gaps).toHaveLength(1);
    const gap = DiscordEventPayload.parse(gaps[0]);
    expect(gap).toMatchObject({ eventType: 'gateway.gap', shardId: 0, data: { sessionId } });
  },
});
