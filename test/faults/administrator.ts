// What an administrator can do on the broker by hand, over AMQP.

import { connect } from 'amqplib';
import type { Stage } from '../../local/stage.ts';
import { VHOST } from '../../service/contract/names.ts';

type Channel = Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createConfirmChannel']>>;

/** Resolves when the broker has confirmed what was published. */
export async function asAdministrator(stage: Stage, work: (channel: Channel) => Promise<void>): Promise<void> {
  const { username, password } = stage.broker;
  const model = await connect(stage.broker.amqpUrl({ username, password, vhost: VHOST }));
  try {
    const channel = await model.createConfirmChannel();
    await work(channel);
    await channel.waitForConfirms();
  } finally {
    await model.close();
  }
}

/** Messages that are ready. */
export async function depth(stage: Stage, queue: string): Promise<number> {
  let count = 0;
  await asAdministrator(stage, async (channel) => {
    count = (await channel.checkQueue(queue)).messageCount;
  });
  return count;
}
