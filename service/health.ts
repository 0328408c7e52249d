// Whether the task is healthy, and whether it is live. Unhealthy: a person or an alarm should look (Discord or the broker
// may be away). Only a task that is not live is killed by ECS. Pure.

import { errorMessage } from './errors.ts';
import type { Shard } from './gateway/shard.ts';
import type { Publisher } from './publisher/publisher.ts';
import { redact } from './redact.ts';

type OfShard = Pick<Shard, 'id' | 'connected' | 'latencyMs' | 'problem' | 'heardAt' | 'identifyingSince'>;
type OfPublisher = Pick<
  Publisher,
  'channelOpen' | 'publishCount' | 'errorCount' | 'oldestUnconfirmedMs' | 'nothingConfirmedMs' | 'stuck' | 'refusing'
>;

export interface HealthSnapshot {
  readonly now: number;
  readonly environment: string;
  readonly shardCount: number | undefined;
  readonly group: number | undefined;
  readonly role: 'owner' | 'standby' | 'draining';
  readonly shards: readonly (OfShard & {
    readonly state: string;
    /** When its last event came, Unix ms. */
    readonly lastEventAt?: number | undefined;
    readonly confirmedSequence: number | undefined;
    readonly receivedSequence: number | undefined;
  })[];
  readonly receiving: boolean;
  /** What keeps all shards from Discord (token, budget), one sentence each. */
  readonly discordProblems: readonly string[];
  readonly discord: {
    readonly tokenMissing: boolean;
    /** Discord's REST API answered with a rate limit. */
    readonly restLimited: boolean;
    /** Discord refuses every IDENTIFY until a person changes something. */
    readonly identifyClosed: boolean;
    readonly maxConcurrency: number;
  };
  readonly broker: OfPublisher & {
    readonly connected: boolean;
    readonly blocked: boolean;
    /** For how long this owner of a group has had no proof that it is one; 0 otherwise. */
    readonly unprovenMs: number;
  };
  readonly outbox: { readonly events: number; readonly bytes: number; readonly usedPercent: number };
  readonly identifies: {
    readonly remaining: number | undefined;
    readonly total?: number | undefined;
    /** When Discord gives them back, Unix ms. */
    readonly resetAt?: number | undefined;
    readonly spentUntil: number | undefined;
  };
  readonly lease: Readonly<Record<string, unknown>>;
  /** Of workers. Without them events flow: their `problem` makes no task unhealthy. */
  readonly commands: { readonly consuming: boolean; readonly waiting: number; readonly problem?: string | undefined };
  readonly memory: Pick<NodeJS.MemoryUsage, 'heapUsed' | 'heapTotal' | 'rss'> & { readonly heapLimit: number };
  readonly memoryThreshold: number;
}

/** Sentences come from others, of any number and length; a page of them helps no reader. */
const MOST_PROBLEMS = 10;
const LONGEST_PROBLEM = 400;
/** The broker's own fail-over takes up to 11 s, and the sentences are true meanwhile. */
const LONGEST_SILENCE_MS = 10_000;
/** Discord asks for a heartbeat each 41.25 s, and one without an answer ends the connection at the next. */
const SHARD_SILENT_MS = 120_000;
/** Past 100 % the shards are closed. */
const OUTBOX_PERCENT = 80;

/** What cannot be read is null in JSON; `problem` has the reason. */
const UNKNOWN = {
  rabbitmq: {
    ...{ connected: false, channelOpen: false, blocked: false, publishCount: Number.NaN, errorCount: Number.NaN },
    oldestUnconfirmedMs: Number.NaN,
  },
  memory: {
    heapUsed: Number.NaN,
    heapTotal: Number.NaN,
    rss: Number.NaN,
    heapLimit: Number.NaN,
    belowThreshold: false,
  },
  outbox: { events: Number.NaN, bytes: Number.NaN, usedPercent: Number.NaN, receiving: false },
  commands: { consuming: false, waiting: Number.NaN },
  shard: { state: 'unknown', latency: null, confirmed: null, received: null },
};

/** A section that cannot be read is reported so and makes the task unhealthy; the others stand. */
export function healthReport(snapshot: HealthSnapshot) {
  let complete = true;
  const section = <T extends object>(
    what: string,
    unknown: NoInfer<T>,
    read: () => T,
  ): T & { readonly problem?: string } => {
    try {
      return read();
    } catch (error) {
      complete = false;
      return { ...unknown, problem: bounded(`cannot read ${what}: ${errorMessage(error)}`) };
    }
  };
  // A role that cannot be read has its sentence in the state of Discord, which depends on it.
  const { role } = section<{ role: HealthSnapshot['role'] | 'unknown' }>('the role', { role: 'unknown' }, () => ({
    role: snapshot.role,
  }));
  const shard = section('the shards', { count: null, group: null, assigned: [], connected: 0 }, () =>
    shardsOf(snapshot),
  );
  const discord = section('the state of Discord', { connected: false, latency: null }, () => discordOf(snapshot));
  const rabbitmq = section('the state of RabbitMQ', UNKNOWN.rabbitmq, () => brokerOf(snapshot.broker));
  const memory = section('the memory', UNKNOWN.memory, () => {
    const { heapUsed, heapLimit } = snapshot.memory;
    const belowThreshold = heapUsed < heapLimit * snapshot.memoryThreshold;
    const share = `${percent((100 * heapUsed) / heapLimit)} of V8's limit`;
    return { ...snapshot.memory, belowThreshold, ...listed(belowThreshold ? [] : [`the heap is full: ${share}`]) };
  });
  const outbox = section('the outbox', UNKNOWN.outbox, () => outboxOf(role, snapshot));
  const identifies = section('the IDENTIFYs left', { remaining: null, spentUntil: null }, () => identifiesOf(snapshot));
  const lease = section<HealthSnapshot['lease'] & Listed>('the lease', {}, () => leaseOf(role, snapshot.lease));
  const commands = section('the commands', UNKNOWN.commands, () => snapshot.commands);
  // That the list cannot be read is the sentence of `shard`.
  const shards = shard.assigned.map((id, index) =>
    section(`shard ${id}`, { id, ...UNKNOWN.shard }, () => shardOf(snapshot.shards[index])),
  );
  const others = [rabbitmq, memory, outbox, lease];
  const healthy = discord.connected && others.every(({ problems }) => problems === undefined) && complete;
  const checks = { discord, rabbitmq, memory };
  const sections = { shard, checks, outbox, identifies, lease, commands, shards };
  return {
    status: healthy ? ('healthy' as const) : ('unhealthy' as const),
    timestamp: new Date(snapshot.now).toISOString(),
    environment: snapshot.environment,
    role,
    /** Why it is unhealthy, and what keeps the bot from working. */
    problems: problemsOf(sections).map(({ text }) => text),
    ...sections,
  };
}

export type HealthReport = ReturnType<typeof healthReport>;

interface Listed {
  readonly problems?: readonly string[];
}

interface Section extends Listed {
  readonly problem?: string | undefined;
}

interface Sections extends Readonly<Record<'shard' | 'outbox' | 'identifies' | 'lease' | 'commands', Section>> {
  readonly checks: Readonly<Record<'discord' | 'rabbitmq' | 'memory', Section>>;
  readonly shards: readonly (Section & { readonly state: string })[];
}

/** Each sentence with the part that it is about. */
export function problemsOf({ checks, commands, identifies, lease, outbox, shard, shards }: Sections) {
  const parts = [
    ['other', shard],
    ['discord', checks.discord],
    ['rabbitmq', checks.rabbitmq],
    ['memory', checks.memory],
    ['outbox', outbox],
    ['lease', lease],
    ['other', identifies],
    ['commands', commands],
    // The sentence of a shard that can be read is among those of Discord.
    ...shards.filter(({ state }) => state === 'unknown').map((each) => ['other', each] as const),
  ] as const;
  return parts.flatMap(([part, { problem = [], problems = [] }]) =>
    [...problems, problem].flat().map((text) => ({ part, text })),
  );
}

const listed = (problems: readonly string[]): Listed => (problems.length > 0 ? { problems: fewOf(problems) } : {});
const percent = (value: number): string => `${value.toFixed(1)} %`;
const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;

function shardsOf(snapshot: HealthSnapshot) {
  const { shards, shardCount = null, group = null } = snapshot;
  const connected = shards.filter((shard) => shard.connected).length;
  return { count: shardCount, group, assigned: shards.map(({ id }) => id), connected };
}

function discordOf({ now, role, shards, discordProblems }: HealthSnapshot) {
  const missing = shards.filter(({ connected }) => !connected);
  const silent = shards.flatMap(({ id, connected, heardAt }) =>
    connected && heardAt !== undefined && now - heardAt >= SHARD_SILENT_MS
      ? `shard ${id} has had neither a dispatch nor the answer to a heartbeat for ${seconds(now - heardAt)}`
      : [],
  );
  const problems = [...discordProblems, ...shards.flatMap(({ problem }) => problem ?? []), ...silent];
  const connected =
    role === 'owner' ? shards.length > 0 && missing.length + silent.length === 0 : problems.length === 0;
  if (!connected && problems.length === 0) problems.push(missingShards(missing));
  return { connected, latency: latencyOf(shards) ?? null, ...listed(problems) };
}

/** Of the slowest heartbeat, in milliseconds; undefined without any. */
export function latencyOf(shards: HealthSnapshot['shards']): number | undefined {
  const latencies = shards.flatMap(({ latencyMs }) => latencyMs ?? []);
  return latencies.length > 0 ? Math.max(...latencies) : undefined;
}

/** Unhealthy is never without a sentence. */
function missingShards(missing: HealthSnapshot['shards']): string {
  if (missing.length === 0) return 'this task owns a shard group and has no shards';
  return `shards not connected: ${missing.map(({ id, state }) => `${id} (${state})`).join(', ')}`;
}

/** Each sentence once. */
function fewOf(problems: readonly string[]): string[] {
  const all = [...new Set(problems.map(bounded))];
  if (all.length <= MOST_PROBLEMS) return all;
  return [...all.slice(0, MOST_PROBLEMS), `and ${all.length - MOST_PROBLEMS} more`];
}

function bounded(sentence: string): string {
  const text = redact(sentence, []);
  return text.length <= LONGEST_PROBLEM ? text : `${text.slice(0, LONGEST_PROBLEM)}… (${text.length} characters)`;
}

function identifiesOf(snapshot: HealthSnapshot) {
  const { remaining = null, spentUntil } = snapshot.identifies;
  return { remaining, spentUntil: spentUntil === undefined ? null : new Date(spentUntil).toISOString() };
}

function shardOf(shard: HealthSnapshot['shards'][number] | undefined) {
  if (shard === undefined) throw new Error('it is gone');
  const { id, state, latencyMs, problem, confirmedSequence, receivedSequence } = shard;
  return {
    id,
    state,
    latency: latencyMs ?? null,
    confirmed: confirmedSequence ?? null,
    received: receivedSequence ?? null,
    ...(problem !== undefined && { problem: bounded(problem) }),
  };
}

/** A broker that blocks publishers, or confirms nothing, is as unusable as one that is away. */
function brokerOf({ stuck, refusing, nothingConfirmedMs, unprovenMs, ...broker }: HealthSnapshot['broker']) {
  const problems = confirmProblems({ stuck, refusing, nothingConfirmedMs });
  if (!broker.connected) problems.unshift('not connected to RabbitMQ: the log has the reason, and it is retried');
  else if (!broker.channelOpen)
    problems.unshift('a channel to RabbitMQ is closed: the log has the reason, and it is retried');
  if (broker.blocked) problems.unshift('RabbitMQ takes no messages: it is short of memory or disk');
  if (unprovenMs >= LONGEST_SILENCE_MS)
    problems.push(`the group's lease queue has given no record back for ${seconds(unprovenMs)}`);
  return { ...broker, ...listed(problems) };
}

/** Why events are not confirmed although the broker is there. */
export function confirmProblems({
  stuck,
  refusing,
  nothingConfirmedMs,
}: Pick<HealthSnapshot['broker'], 'stuck' | 'refusing' | 'nothingConfirmedMs'>): string[] {
  const problems = [
    ...stuck.map((queue) => `the queue ${queue} confirms nothing: it has no majority, or is full`),
    ...refusing
      .filter((queue) => !stuck.includes(queue))
      .map((queue) => `RabbitMQ refuses messages for the queue ${queue}: the log has the reason, and they are retried`),
  ];
  if (problems.length > 0 || nothingConfirmedMs < LONGEST_SILENCE_MS) return problems;
  return [`RabbitMQ has confirmed nothing for ${seconds(nothingConfirmedMs)}`];
}

function outboxOf(role: string, { outbox, receiving }: HealthSnapshot) {
  const full = `the outbox is ${percent(outbox.usedPercent)} full`;
  const isStopped = role === 'owner' && !receiving;
  const problem = isStopped
    ? `the shards are closed until the outbox is half empty and RabbitMQ takes messages: ${full}`
    : `${full}: past 100 % the shards are closed`;
  return { ...outbox, receiving, ...listed(isStopped || outbox.usedPercent > OUTBOX_PERCENT ? [problem] : []) };
}

function leaseOf(role: string, lease: HealthSnapshot['lease']) {
  if (role !== 'standby' || lease.ready === true) return lease;
  const { waitsFor } = lease;
  const some = Array.isArray(waitsFor) && waitsFor.length > 0;
  const problem = some
    ? `this standby consumes the lease queues of the groups ${waitsFor.join(', ')} only: it could take over no other`
    : 'this standby consumes no lease queue: it could take over no group';
  return { ...lease, ...listed([problem]) };
}

/** The longest pause of a connection's loop is 30 s, its longest handshake 20 s: after this time it is stuck. */
const STUCK_MS = 180_000;

/**
 * An answer proves that the event loop runs; the loops of the broker's connections can be stuck all the same.
 * @param lastAttemptAt when the slower of the two connections last began or had an attempt, Unix ms
 */
export function isLive(now: number, lastAttemptAt: number): boolean {
  return now - lastAttemptAt < STUCK_MS;
}
