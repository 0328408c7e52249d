// Live events on the command line. A queue of its own gets a copy of each, so that no worker misses one. It keeps the latest
// thousand (a policy of the topology), and goes away with the program: a slow terminal costs events here, and the broker
// nothing.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { parseArgs, styleText } from 'node:util';
import type { ConsumeMessage } from 'amqplib';
import { z } from 'zod';
import {
  argumentsOf,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  connectAsOperator,
  exitCodeOf,
  lostConnection,
  UsageError,
} from '../lib/operator/connect.ts';
import { print } from '../lib/operator/print.ts';
import { jsonLine, printable } from '../lib/operator/printable.ts';
import { keyFaults } from '../lib/topology/further-queues.ts';
import { WholeBody } from '../local/whole-body.ts';
import { EXCHANGES, tailQueue } from '../service/contract/names.ts';

const HELP = `Usage: npm run tail -- [--key TOPIC …] [options]

Shows live events as the workers get them, and takes none from them. Tokens are masked.

  --key TOPIC        which: member.join, 'member.*', 'interaction.#'; may be repeated; default: '#', all
  --json             one JSON object a line, also on a terminal
${CONNECTION_HELP}
  --help

Exit code: 0 ended by Ctrl-C; 1 failed; 2 a mistake in the command`;

const PREFETCH = 100;
/** Of the data of an event on a terminal. */
const LONGEST_DATA = 400;
const COLOURS = { interaction: 'cyan', member: 'green', guild: 'magenta', message: 'blue', gateway: 'red' } as const;

const ID = z.union([z.string(), z.number()]).optional().catch(undefined);

/** What stands before the data. Whatever cannot be read is left out: a line is never missing. */
const HEAD = z.looseObject({
  eventType: z.string().catch(''),
  timestamp: z.number().min(0).max(8.64e15).catch(0),
  ...{ shardId: ID, guildId: ID, channelId: ID, userId: ID },
  data: z.unknown(),
});

const ending = new AbortController();
if (import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());
  process.stdout.on('error', () => ending.abort());
  process.exitCode = await run(process.argv.slice(2));
}

/** @returns the exit code */
export async function run(args: readonly string[]): Promise<number> {
  return await exitCodeOf(() => main(args));
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = readArguments(args);
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const { key: keys } = values;
  const [fault] = keys.flatMap((key) => keyFaults('--key', key));
  if (fault !== undefined) throw new UsageError(fault);
  const model = await connectAsOperator('tail', values);
  try {
    const channel = await model.createChannel();
    const lost = Promise.withResolvers<never>();
    lost.promise.catch(() => undefined);
    channel.on('error', lost.reject);
    channel.on('close', () => lost.reject(lostConnection()));
    const queue = tailQueue(randomBytes(6).toString('hex'));
    const declared = { exclusive: true, durable: false, arguments: { 'x-queue-type': 'classic' } };
    await channel.assertQueue(queue, declared);
    for (const key of keys) await channel.bindQueue(queue, EXCHANGES.events, key);
    await channel.prefetch(PREFETCH);
    const line = values.json || !process.stdout.isTTY ? jsonLine : coloured;
    const bodies = new WholeBody();
    await channel.consume(queue, (message) => {
      if (message === null) return lost.reject(new Error(`queue ${queue}: the broker ended the consumer`));
      const event = eventOf(bodies, message);
      // Until it is read the next ones wait at the broker.
      const read = event && print(`${line(event)}\n`, ending.signal);
      if (read === undefined) channel.ack(message);
      else void read.then(() => ending.signal.aborted || channel.ack(message));
    });
    console.error(
      `live events of ${EXCHANGES.events} with the keys ${keys.join(', ')}, tokens masked; workers miss none of them. Ctrl-C ends`,
    );
    await Promise.race([lost.promise, ended()]);
    return 0;
  } finally {
    await model.close().catch(() => undefined);
  }
}

async function ended(): Promise<void> {
  if (!ending.signal.aborted) await once(ending.signal, 'abort');
}

function readArguments(args: readonly string[]) {
  return argumentsOf(() =>
    parseArgs({
      args: [...args],
      options: {
        key: { type: 'string', multiple: true, default: ['#'] },
        json: { type: 'boolean', default: false },
        ...CONNECTION_OPTIONS,
        help: { type: 'boolean', default: false },
      },
    }),
  );
}

/** @returns none until its last part has come */
function eventOf(bodies: WholeBody, message: ConsumeMessage): object | undefined {
  const { routingKey } = message.fields;
  try {
    const body = bodies.of(message);
    return body === undefined ? undefined : (JSON.parse(body) as object);
  } catch {
    return { eventType: routingKey, unreadable: `${message.content.length} bytes` };
  }
}

function coloured(event: object): string {
  const { eventType, timestamp, shardId, guildId, channelId, userId, data } = HEAD.parse(event);
  const [word = ''] = eventType.split('.', 1);
  const dim = (text: string) => styleText('dim', text, { stream: process.stdout });
  const colour = Object.hasOwn(COLOURS, word) ? COLOURS[word as keyof typeof COLOURS] : 'yellow';
  const ids = Object.entries({ shard: shardId, guild: guildId, channel: channelId, user: userId })
    .flatMap(([name, id]) => (id === undefined ? [] : `${name} ${id}`))
    .join(' ');
  const text = jsonLine(data ?? event);
  const cut = text.length > LONGEST_DATA ? `${text.slice(0, LONGEST_DATA)}…` : text;
  return [
    dim(new Date(timestamp).toISOString().slice(11, 23)),
    styleText([colour, 'bold'], printable(eventType), { stream: process.stdout }),
    printable(ids),
    dim(cut),
  ].join('  ');
}
