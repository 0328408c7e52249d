// A worker that sends commands, and reads the dead letters.

import { type ConfirmChannel, connect, type GetMessage, type Options } from 'amqplib';
import { onTestFinished } from 'vitest';
import { asAdministrator } from '../../local/rabbitmq/administrator.ts';
import type { Stage } from '../../local/stage.ts';
import { commandKey, commandQueue, EXCHANGES, HEADERS, QUEUES, USERS } from '../../service/contract/names.ts';

/** A guild of this shard. https://discord.com/developers/docs/events/gateway#sharding */
export function guildOfShard(
  { guildIds }: { readonly guildIds: readonly string[] },
  shard: number,
  shards: number,
): string {
  return guildIds.find((id) => Number((BigInt(id) >> 22n) % BigInt(shards)) === shard) ?? '';
}

export class CommandWorker {
  readonly #channel: ConfirmChannel;

  private constructor(channel: ConfirmChannel) {
    this.#channel = channel;
  }

  static async start(stage: Stage): Promise<CommandWorker> {
    const connection = await connect(stage.url(USERS.worker));
    connection.on('error', () => undefined);
    onTestFinished(async () => await connection.close().catch(() => undefined));
    return new CommandWorker(await connection.createConfirmChannel());
  }

  /** Resolves when the broker has it. */
  async send(shard: number | 'all', body: object | string, options: Options.Publish & { key?: string } = {}) {
    const { key = commandKey(shard), ...properties } = options;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    this.#channel.publish(EXCHANGES.commands, key, Buffer.from(text), { persistent: true, ...properties });
    await this.#channel.waitForConfirms();
  }
}

/** A header's value of so many lists, one in the other: amqplib reads and writes them by calling itself, and cannot. */
export function nestedLists(levels: number): Buffer {
  const bytes = Buffer.alloc(5 * levels);
  for (let at = 0; at < bytes.length; at += 5) {
    bytes.write('A', at);
    bytes.writeUInt32BE(bytes.length - at - 5, at + 1);
  }
  return Object.assign(bytes, {
    // It writes a buffer as type, length and bytes: a list has another type.
    copy: (target: Buffer, at: number) => {
      target.write('A', at - 5);
      target.set(bytes, at);
      return bytes.length;
    },
  });
}

export interface DeadLetter {
  readonly message: GetMessage;
  readonly body: string;
  /** Why the ingestor did not send it. */
  readonly reason: string | undefined;
  readonly key: unknown;
}

/** Takes so many dead letters, in order. @throws when they do not come */
export async function deadLetters(stage: Stage, count: number, deadlineMs = 30_000): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = [];
  await asAdministrator(stage.broker, async (channel) => {
    await stage.until(`${count} dead letters`, deadlineMs, async () => {
      const message = await channel.get(QUEUES.deadLetters, { noAck: true });
      if (message === false) return letters.length >= count;
      const { headers = {} } = message.properties;
      const [reason, key] = [headers[HEADERS.refused] as string | undefined, headers[HEADERS.refusedKey]];
      letters.push({ message, body: message.content.toString(), reason, key });
      return letters.length >= count;
    });
  });
  return letters;
}

/** Resolves when no command waits in the queue of a group, and none with its owner. */
export async function settled(stage: Stage, group = 0): Promise<void> {
  await stage.until('no command waits', 60_000, async () => {
    const { messageCount } = await asAdministrator(stage.broker, (channel) => channel.checkQueue(commandQueue(group)));
    const report = (await stage.reports()).find(({ role, shard }) => role === 'owner' && shard.group === group);
    return messageCount === 0 && report?.commands.consuming === true && report.commands.waiting === 0;
  });
}
