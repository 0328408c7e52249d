// Workers are away and the queue of interactions is full: the broker refuses publishes. The events wait in the outbox, in
// order; a task that dies meanwhile leaves them to the standby, which has them replayed and is refused as well. When the
// workers are back everything leaves.

import { expect } from 'vitest';
import { METRICS } from '../../service/contract/metrics.ts';
import { disaster } from './disaster.ts';
import { health, ownerOf, stored } from './tasks.ts';

disaster('a full queue refuses, a task dies, the queue is emptied: nothing is lost and the order is kept', {
  tasks: 2,
  shards: 2,
  rate: 300,
  limits: { interactionsMaxMessages: 100 },
  simulator: { mix: { 'command.plain': 1, 'button.plain': 1, 'message.text': 1 } },
  async happens(stage) {
    const refused = async () => {
      const owner = await stage.owner();
      return ((await owner?.metrics())?.get(METRICS.publishErrors.prometheus) ?? 0) > 0;
    };
    await stored(stage);
    stage.reader.pause();
    await stage.until('the owner is refused', 60_000, refused);
    // Longer than it takes to store a record, which must not run ahead of what is refused.
    await stage.until('500 events wait', 60_000, async () => (await health(await ownerOf(stage))).outbox.events > 500);
    await (await ownerOf(stage)).kill();
    await stage.until('the next owner is refused', 60_000, refused);
    const waiting = (await (await ownerOf(stage)).health())?.outbox.events ?? 0;
    stage.reader.resume();
    return { waiting };
  },
  bounds(_, { waiting }) {
    expect(waiting).toBeGreaterThan(0);
  },
});
