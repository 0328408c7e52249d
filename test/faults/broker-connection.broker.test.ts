// The broker lives, and what leads to it does not: an operator closes a connection, the broker closes the channel because
// of a message that it does not take, and a memory alarm makes it read no publisher any more.

import { expect } from 'vitest';
import { METRICS } from '../../service/contract/metrics.ts';
import { closeConnections } from '../support/connections.ts';
import { disastersOn, read } from './disaster.ts';

const strikes = disastersOn({});

strikes('a publishing connection that an operator closes is opened again, and what was on the way goes again', {
  rate: 400,
  async happens({ broker }) {
    return { closed: await closeConnections(broker, / publisher$/) };
  },
  bounds(verdict, { closed }) {
    expect(closed).toBe(1);
    expect(verdict.repeated).toBeLessThan(2_048);
  },
});

strikes('an owner whose connections are all closed, three times, stays the owner and loses nothing', {
  rate: 400,
  async happens(stage) {
    for (let round = 1; round <= 3; round += 1) {
      await closeConnections(stage.broker, / (publisher|lease)$/);
      await read(stage, 50);
    }
    await stage.ready();
    return undefined;
  },
});

// The management API could delete the exchange just as well, but what arrives between the exchange and its bindings, when
// the topology is applied again, goes to the queue of the unrouted by rights.
strikes('a channel that the broker closes, again and again, is opened again when the cause is gone', {
  rate: 400,
  async happens(stage) {
    const [task] = stage.living;
    const { broker } = stage;
    const limit = async (bytes: number) =>
      await broker.ctl(
        'eval',
        `application:set_env(rabbit, max_message_size, ${bytes}), persistent_term:put(max_message_size, ${bytes}).`,
      );
    await limit(1_000);
    const refusals = () => task?.output.split('PRECONDITION_FAILED - message size').length ?? 0;
    await stage.until('the broker has closed three channels', 60_000, () => refusals() > 3);
    const report = await task?.health();
    await limit(16_777_216);
    return { errors: report?.checks.rabbitmq.errorCount ?? 0, connected: String(report?.checks.rabbitmq.connected) };
  },
  bounds(_, { errors, connected }) {
    expect(errors).toBeGreaterThanOrEqual(3);
    expect(connected, 'the connection itself was never lost').toBe('true');
  },
});

strikes('while a memory alarm blocks publishers the events wait, and none is sent twice though Discord replays them', {
  rate: 400,
  async happens(stage) {
    const [task] = stage.living;
    await stage.broker.memoryAlarm(true);
    const figure = async (name: 'eventsConfirmed' | 'eventsReplayed') =>
      (await task?.metrics())?.get(METRICS[name].prometheus) ?? Number.NaN;
    await stage.until('the task is told of the alarm', 30_000, async () => {
      const report = await task?.health();
      return report?.checks.rabbitmq.blocked === true;
    });
    const before = await figure('eventsConfirmed');
    await stage.until('500 events wait', 60_000, async () => ((await task?.health())?.outbox.events ?? 0) > 500);
    const meanwhile = (await figure('eventsConfirmed')) - before;
    const live = await fetch(`${task?.url}/live`);
    const resumed = stage.simulator?.count('resumed') ?? 0;
    stage.simulator?.reconnect();
    await stage.simulator?.waitFor('resumed', resumed + 1);
    await stage.until('the replay is known', 30_000, async () => (await figure('eventsReplayed')) > 400);
    await stage.broker.memoryAlarm(false);
    return { meanwhile, live: live.status };
  },
  bounds({ repeated }, { meanwhile, live }) {
    // What was written before the task was told may be answered before the broker stops reading.
    expect(meanwhile).toBeLessThan(200);
    expect(live).toBe(200);
    expect(repeated).toBe(0);
  },
});
