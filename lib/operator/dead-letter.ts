// A message of the queue `dead-letters`: why it is there, whether a filter matches it, and what is published when it is replayed.
// The reason is RabbitMQ's own (https://www.rabbitmq.com/docs/dlx#effects), or `refused`: the ingestor's, of a command. Pure.

import type { ConsumeMessage, Options } from 'amqplib';
import { z } from 'zod';
import { INTERACTION_TOKEN_MS } from '../../service/contract/limits.ts';
import { EXCHANGES, HEADERS, QUEUES } from '../../service/contract/names.ts';
import { family, ROUTING_KEY_FAMILIES } from '../../service/events/routing.ts';
import { topicMatches } from '../topology/rules.ts';

export const REASONS = ['rejected', 'expired', 'maxlen', 'delivery_limit', 'refused'] as const;

export interface DeadLetter {
  /** One of REASONS; `unknown` where no header has it. */
  readonly reason: string;
  /** The queue that it was in before. */
  readonly queue: string;
  readonly exchange: string | undefined;
  /** The routing key that it was published with: an event's type. */
  readonly type: string;
  readonly id: string | undefined;
  /** When it became a dead letter, Unix ms. Of a command that was refused: when it was published, at most 30 s before. */
  readonly since: number | undefined;
  /** When it can no longer be answered, Unix ms. @default - it has no end */
  readonly answerableUntil: number | undefined;
  /** Why the ingestor refused it. */
  readonly refusal: string | undefined;
  /** By which run it was replayed before. */
  readonly run: string | undefined;
}

/** Unix s. Beyond JavaScript's last date, as with another unit, it is unknown. */
const SECONDS = z.number().positive().max(8.64e12).optional().catch(undefined);
/** The client writes a header of this type so. */
const TIME = z.object({ value: SECONDS }).optional().catch(undefined);
const DEATH = z.object({
  reason: z.string(),
  queue: z.string(),
  exchange: z.string().optional(),
  time: TIME,
  'routing-keys': z.array(z.string()).optional(),
});
/** Whoever may publish a command may write any header. */
const DEATHS = z.array(DEATH).catch([]);
const TEXT = z.string().optional().catch(undefined);

type Delivered = Pick<ConsumeMessage, 'fields' | 'properties'>;

export function deadLetterOf({ fields, properties }: Delivered): DeadLetter {
  const { headers = {}, timestamp, messageId, type } = properties as ConsumeMessage['properties'];
  const published = SECONDS.parse(timestamp);
  const refusal = TEXT.parse(headers[HEADERS.refused]);
  // The oldest stands last.
  const death = refusal === undefined ? DEATHS.parse(headers['x-death']).at(-1) : undefined;
  const key = TEXT.parse(headers[HEADERS.refusedKey]) ?? death?.['routing-keys']?.[0] ?? TEXT.parse(type);
  const life = ROUTING_KEY_FAMILIES.find((route) => route.family === family(key ?? ''))?.expirationMs;
  const since = death?.time?.value ?? (refusal === undefined ? undefined : published);
  return {
    reason: refusal === undefined ? (death?.reason ?? 'unknown') : 'refused',
    queue: death?.queue ?? (refusal === undefined ? 'unknown' : EXCHANGES.commands),
    exchange: refusal === undefined ? death?.exchange : EXCHANGES.commands,
    type: key ?? fields.routingKey,
    id: TEXT.parse(messageId),
    since: since && since * 1_000,
    // AMQP's time has whole seconds.
    answerableUntil: life && published && (published + 1) * 1_000 + life,
    refusal,
    run: TEXT.parse(headers[HEADERS.replayed]),
  };
}

export interface Filter {
  /** None: each. Also of the others. */
  readonly reasons: readonly string[];
  /** Topics, such as `member.*`. */
  readonly types: readonly string[];
  /** Ids of events: those of a message in parts too. */
  readonly ids: readonly string[];
  readonly olderThanMs?: number | undefined;
  readonly youngerThanMs?: number | undefined;
}

export function matches(
  { reasons, types, ids, olderThanMs, youngerThanMs }: Filter,
  letter: DeadLetter,
  now: number,
): boolean {
  const { id = '', since } = letter;
  // No age matches one whose age is unknown.
  const age = since === undefined ? Number.NaN : now - since;
  return (
    (reasons.length === 0 || reasons.includes(letter.reason)) &&
    (types.length === 0 || types.some((topic) => topicMatches(topic.split('.'), letter.type.split('.')))) &&
    (ids.length === 0 || ids.some((each) => id === each || id.startsWith(`${each}:`))) &&
    (olderThanMs === undefined || age >= olderThanMs) &&
    (youngerThanMs === undefined || age < youngerThanMs)
  );
}

/** Why it is not replayed; undefined for one that is. */
export function reasonToSkip(
  { exchange, answerableUntil }: DeadLetter,
  now: number,
): 'noEvent' | 'expired' | undefined {
  if (exchange !== EXCHANGES.events) return 'noEvent';
  return answerableUntil !== undefined && answerableUntil <= now ? 'expired' : undefined;
}

/** What RabbitMQ writes when a message dies or is delivered again, and what only the first publisher may set. */
const NOT_COPIED = /^(x-(first-|last-)?death(-.*)?|x-(delivery|acquired)-count|CC|BCC)$/;

/**
 * The same message, as its first publisher sent it: its id lets workers recognise it.
 * @param run of the tool: a message that is dead-lettered again during it is not replayed twice
 */
export function copyOf(
  { properties }: Delivered,
  { answerableUntil }: DeadLetter,
  run: string,
  now: number,
): Options.Publish {
  const { headers = {}, expiration: _, userId: __, ...rest } = properties as ConsumeMessage['properties'];
  const kept = Object.entries(headers).filter(([name]) => !NOT_COPIED.test(name));
  return {
    ...rest,
    // RabbitMQ refuses one of 50 days, which a time in the future would make.
    ...(answerableUntil !== undefined &&
      answerableUntil > now && { expiration: Math.min(answerableUntil - now, INTERACTION_TOKEN_MS) }),
    persistent: true,
    mandatory: true,
    headers: { ...Object.fromEntries(kept), [HEADERS.replayed]: run },
  };
}

/** What is counted of a queue: in all, and by reason, queue and type. */
export interface Counts {
  readonly all: Row;
  readonly rows: Map<string, Row>;
}

const MOST_ROWS = 10_000;

interface Row extends Pick<DeadLetter, 'reason' | 'queue' | 'type'> {
  messages: number;
  oldest: number | undefined;
  newest: number | undefined;
}

const rowOf = ({ reason, queue, type }: Pick<DeadLetter, 'reason' | 'queue' | 'type'>): Row => ({
  ...{ reason, queue, type, messages: 0, oldest: undefined, newest: undefined },
});

export const emptyCounts = (): Counts => ({ all: rowOf({ reason: '', queue: '', type: '' }), rows: new Map() });

export function count(letter: DeadLetter, { all, rows }: Counts): void {
  const key = JSON.stringify([letter.reason, letter.queue, letter.type]);
  // A type may hold the name of a command: what a hostile sender makes of it must not fill the memory.
  if (!rows.has(key) && rows.size < MOST_ROWS) rows.set(key, rowOf(letter));
  for (const row of [all, rows.get(key)]) {
    if (row === undefined) continue;
    row.messages += 1;
    if (letter.since === undefined) continue;
    row.oldest = Math.min(row.oldest ?? letter.since, letter.since);
    row.newest = Math.max(row.newest ?? letter.since, letter.since);
  }
}

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90s`, `30m`, `2h`, `7d`. @returns milliseconds; undefined for anything else */
export function durationMs(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * UNITS_MS[unit as keyof typeof UNITS_MS];
}

/** In its two largest units: `2h 5m`. */
export function inUnits(ms: number): string {
  let left = Math.max(0, ms);
  const parts = Object.entries(UNITS_MS)
    .toReversed()
    .flatMap(([unit, size]) => {
      const count = Math.floor(left / size);
      left -= count * size;
      return count > 0 ? `${count}${unit}` : [];
    });
  return parts.slice(0, 2).join(' ') || '0s';
}

/** Where dead letters are. */
export const QUEUE = QUEUES.deadLetters;
