// Looks at each message that is in a queue once, in order, and takes out only what its caller chooses. The others are held
// unacknowledged, and come back in their order when the channel closes or the process ends. A quorum queue puts what comes
// back before what it has never delivered, but behind what came back earlier: so a walk always goes to the end of the queue,
// and only a kill in the middle of it changes the order. Each return counts as a delivery, so that the queue must have no
// delivery limit: the topology's `dead-letters` has none.

import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { lostConnection } from './connect.ts';

export interface WalkOptions {
  readonly queue: string;
  /** Whether the message is to leave the queue. The next ones come meanwhile, up to WINDOW. */
  readonly leaves: (message: ConsumeMessage) => Promise<boolean> | boolean;
  /** Whether the message came after the beginning: it is not looked at. */
  readonly isNew?: (message: ConsumeMessage) => boolean;
  readonly onProgress?: (looked: number, total: number) => void;
  /** A sentence on what is not looked at. */
  readonly note?: (sentence: string) => void;
  /** What is left is only held. */
  readonly signal: AbortSignal;
}

/** Bodies in memory at once. Where a consumer holds as many messages, another one begins with the next. */
export const WINDOW = 200;
const IDLE_MS = 1_000;
const LONGEST_SILENCE_MS = 30_000;

/** @throws Error when another consumer has all, or when the channel or the queue is lost: what was not acknowledged is in the queue again */
export async function walk(model: ChannelModel, options: WalkOptions): Promise<void> {
  const { queue, leaves, isNew = () => false, onProgress, note, signal } = options;
  const channel = await model.createChannel();
  const failed = Promise.withResolvers<never>();
  const unlessFailed = <T>(asked: PromiseLike<T>): Promise<T> => Promise.race([asked, failed.promise]);
  channel.on('error', failed.reject);
  channel.on('close', () => failed.reject(lostConnection()));
  const { messageCount: total, consumerCount } = await unlessFailed(channel.checkQueue(queue));
  if (consumerCount > 0) {
    const sentence = `queue ${queue}: another consumer holds messages of it, which are missing here: end it, and start again`;
    if (total === 0) throw new Error(sentence);
    note?.(sentence);
  }
  let looked = 0;
  const over = () => looked >= total;

  /** One consumer. @returns whether there may be more for another one */
  const nextWindow = async (): Promise<boolean> => {
    const ended = Promise.withResolvers<boolean>();
    let hasEnded = false;
    let came = 0;
    let held = 0;
    let open = 0;
    const end = (more: boolean) => {
      hasEnded = true;
      ended.resolve(more);
    };
    const settle = () => {
      if (open === 0 && (over() || held === WINDOW)) end(!over());
    };
    const take = async (message: ConsumeMessage | null) => {
      if (message === null) return failed.reject(new Error(`queue ${queue}: the broker ended the consumer`));
      came += 1;
      const isDue = !(hasEnded || over() || isNew(message));
      if (isDue) looked += 1;
      open += 1;
      if (isDue && !signal.aborted && (await leaves(message))) channel.ack(message);
      else held += 1;
      open -= 1;
      onProgress?.(looked, total);
      settle();
    };
    let before = -1;
    let silentMs = 0;
    const look = async () => {
      const isIdle = came === before && open === 0;
      before = came;
      silentMs = isIdle ? silentMs + IDLE_MS : 0;
      if (!isIdle) return;
      // Fewer than there were: some expired, or another consumer has them.
      if ((await channel.checkQueue(queue)).messageCount === 0 && came === before) end(false);
      if (silentMs > LONGEST_SILENCE_MS) throw new Error(`queue ${queue}: the broker delivers none of its messages`);
    };
    await channel.prefetch(WINDOW);
    const { consumerTag } = await channel.consume(queue, (message) => void take(message).catch(failed.reject));
    const idle = setInterval(() => void look().catch(failed.reject), IDLE_MS);
    const more = await unlessFailed(ended.promise).finally(() => clearInterval(idle));
    await channel.cancel(consumerTag);
    return more;
  };

  while (!over() && (await unlessFailed(nextWindow())));
  channel.removeAllListeners('close');
  // The acknowledgements stand before it.
  await unlessFailed(channel.close());
}
