// Everything on one machine: a private RabbitMQ with the topology, the Discord simulator, tasks of the ingestor, and a
// worker that reads. The demo, the fault tests, the soak and the benches play on it. Its verdict compares what the
// simulator sent with what the reader read, and asks the service nothing.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ManagementApi } from '../lib/management/management-api.ts';
import { applyTopology } from '../lib/topology/apply.ts';
import { discordTopology } from '../lib/topology/topology.ts';
import { ENV, USERS, VHOST } from '../service/contract/names.ts';
import type { HealthReport } from '../service/health.ts';
import type { DueEvent } from './discord/ledger.ts';
import type { SimulatorOptions } from './discord/options.ts';
import { DiscordSimulator } from './discord/simulator.ts';
import { IngestorProcess } from './ingestor-process.ts';
import type { RabbitMqNode } from './rabbitmq/node.ts';
import { startRabbitMq } from './rabbitmq.ts';
import { Reader } from './reader.ts';

export interface StageOptions {
  readonly tasks?: number;
  readonly shards?: number;
  readonly shardsPerTask?: number;
  readonly simulator?: Partial<SimulatorOptions>;
  /** Environment of the tasks, beside what the stage sets. */
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeFlags?: readonly string[];
  readonly limits?: Parameters<typeof discordTopology>[0] extends { limits?: infer L } | undefined ? L : never;
  /** The real Discord instead of the simulator. */
  readonly botToken?: string;
  readonly log?: (line: string) => void;
  /** The tasks reach the broker by its TLS listener only. */
  readonly tls?: boolean;
  /** Applies the topology in the stage's place, and knows the current login of each user. @default - from the sources */
  readonly topology?: (broker: RabbitMqNode) => Promise<(user: string) => { username: string; password: string }>;
  /** Wait until every shard is connected. @default true */
  readonly untilReady?: boolean;
}

export interface Verdict {
  /** Events due to workers that the simulator sent, in sessions that were not lost. */
  readonly due: number;
  /** Different events read. */
  readonly read: number;
  /** Due and not read. */
  readonly lost: number;
  /** Due in sessions that were lost, not read, and announced by a gap event. */
  readonly announced: number;
  /** Read although nothing is due for it. */
  readonly unexpected: number;
  readonly repeated: number;
  /** Read twice under different ids. */
  readonly conflicts: number;
  /** Read for the first time after a later one of the same shard, queue and priority. */
  readonly disorders: number;
  readonly gaps: number;
  /** What the simulator punished, in sentences. */
  readonly violations: readonly string[];
  readonly examples: readonly string[];
}

export class Stage {
  readonly broker: RabbitMqNode;
  readonly simulator: DiscordSimulator | undefined;
  readonly reader: Reader;
  readonly folder: string;
  readonly tasks: IngestorProcess[] = [];
  readonly #options: StageOptions;
  readonly #passwords: Readonly<Record<string, string>>;
  #login = (user: string) => ({ username: user, password: this.#passwords[user] ?? '' });
  #started = 0;

  private constructor(
    options: StageOptions,
    parts: {
      broker: RabbitMqNode;
      simulator: DiscordSimulator | undefined;
      folder: string;
      passwords: Record<string, string>;
    },
  ) {
    this.#options = options;
    this.broker = parts.broker;
    this.simulator = parts.simulator;
    this.folder = parts.folder;
    this.#passwords = parts.passwords;
    this.reader = new Reader(() => this.url(USERS.worker));
  }

  static async start(options: StageOptions = {}): Promise<Stage> {
    const { shards = 1, shardsPerTask = 16, tasks = 1 } = options;
    const folder = await mkdtemp(join(tmpdir(), 'ingestor-stage-'));
    const broker = await startRabbitMq({
      ...(options.log && { log: options.log }),
      ...(options.tls && { tls: true }),
    });
    const passwords = Object.fromEntries(Object.values(USERS).map((user) => [user, randomBytes(12).toString('hex')]));
    const simulator =
      options.botToken === undefined ? await DiscordSimulator.start({ shards, ...options.simulator }) : undefined;
    const stage = new Stage(options, { broker, simulator, folder, passwords });
    try {
      if (options.topology) stage.#login = await options.topology(broker);
      else await stage.applyTopology();
      // So that a kill -9 of this one node does not lose queues declared a moment ago; a cluster needs no such thing.
      await broker.rememberQueues();
      await stage.reader.start();
      for (let index = 0; index < tasks; index += 1) await stage.startTask();
      if (options.untilReady ?? true) await stage.ready({ shards, groups: Math.ceil(shards / shardsPerTask) });
    } catch (error) {
      await stage.stop();
      throw error;
    }
    return stage;
  }

  get shardsPerTask(): number {
    return this.#options.shardsPerTask ?? 16;
  }

  url(user: string): string {
    return this.broker.amqpUrl({ ...this.#login(user), vhost: VHOST });
  }

  async applyTopology(): Promise<void> {
    const { shards = 1, shardsPerTask = 16, limits } = this.#options;
    const { managementUrl, username, password } = this.broker;
    const api = new ManagementApi({ url: managementUrl, username, password });
    const shardGroups = Math.ceil(shards / shardsPerTask);
    await applyTopology(api, discordTopology({ shardGroups, ...(limits && { limits }) }), {
      passwords: this.#passwords,
    });
  }

  /** Another task, listening. */
  async startTask(env: Readonly<Record<string, string>> = {}): Promise<IngestorProcess> {
    const { shards = 1, shardsPerTask = 16, botToken, nodeFlags = [] } = this.#options;
    this.#started += 1;
    const name = `task-${this.#started}`;
    const task = new IngestorProcess({
      name,
      logFile: join(this.folder, `${name}.log`),
      nodeFlags,
      env: {
        ...this.#brokerEnvironment(),
        [ENV.discordBotToken]: botToken ?? this.simulator?.token ?? '',
        ...(this.simulator && { [ENV.discordApiUrl]: this.simulator.apiUrl }),
        [ENV.shardCount]: String(shards),
        [ENV.shardsPerTask]: String(shardsPerTask),
        ...this.#options.env,
        ...env,
      },
    });
    this.tasks.push(task);
    return await task.listening();
  }

  /** Tasks that have not ended. */
  get living(): readonly IngestorProcess[] {
    return this.tasks.filter(({ ended }) => !ended);
  }

  async reports(): Promise<readonly (HealthReport & { readonly task: IngestorProcess })[]> {
    const reports = await Promise.all(
      this.living.map(async (task) => {
        const report = await task.health();
        return report && { ...report, task };
      }),
    );
    return reports.filter((report) => report !== undefined);
  }

  /** The task that owns this group now. */
  async owner(group = 0): Promise<IngestorProcess | undefined> {
    const reports = await this.reports();
    return reports.find(({ role, shard }) => role === 'owner' && shard.group === group)?.task;
  }

  /** Resolves when every group has an owner and every shard is connected. */
  async ready(
    { shards = this.#options.shards ?? 1, groups }: { shards?: number; groups?: number } = {},
    deadlineMs = 120_000,
  ): Promise<void> {
    const wanted = groups ?? Math.ceil(shards / this.shardsPerTask);
    await this.until(`${shards} shards connected`, deadlineMs, async () => {
      const owners = (await this.reports()).filter(({ role }) => role === 'owner');
      const connected = owners.reduce((sum, { shard }) => sum + shard.connected, 0);
      return connected === shards && owners.length === wanted;
    });
  }

  /** Resolves when so many tasks are there and each is an owner or consumes the lease queues as a standby. */
  async standing(tasks: number): Promise<void> {
    await this.until(`${tasks} tasks hold or wait for a lease`, 60_000, async () => {
      const reports = await this.reports();
      return reports.length === tasks && reports.every(({ role, lease }) => role === 'owner' || lease.ready === true);
    });
  }

  /** Waits for a condition that shows itself only by asking. @throws after the deadline, with the tasks' last lines */
  async until(what: string, deadlineMs: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    while (!(await condition())) {
      if (Date.now() > deadline)
        throw new Error(
          `not within ${deadlineMs / 1_000} s: ${what}\n${this.tasks
            .map(({ name, output }) => `--- ${name}\n${lastLines(output)}`)
            .join('\n')}`,
        );
      await sleep(50);
    }
  }

  /** Resolves when everything due is read, or nothing more was read for `quietMs`. Stop the traffic before. */
  async settled(deadlineMs = 90_000, quietMs = 15_000): Promise<Verdict> {
    const deadline = Date.now() + deadlineMs;
    let verdict = this.verdict();
    const since = Date.now();
    while (verdict.lost > 0 && Date.now() < deadline) {
      if (Date.now() - Math.max(since, this.reader.lastReadAt) > quietMs) break;
      await sleep(200);
      verdict = this.verdict();
    }
    return verdict;
  }

  /** How far each session has come in the ledger: to ask for a verdict on what was sent until now. */
  mark(): ReadonlyMap<string, number> {
    return new Map([...(this.simulator?.ledger.sessions ?? [])].map((each) => [each.sessionId, each.lastSequence]));
  }

  /** @param until only what was sent until this mark */
  verdict(until?: ReadonlyMap<string, number>): Verdict {
    const { reader, simulator } = this;
    const examples: string[] = [];
    let due = 0;
    let announced = 0;
    const newest = new Map([...(simulator?.ledger.sessions ?? [])].map((each) => [each.shardId, each.sessionId]));
    // A session of which nobody knew, because its record could not be read or was not stored: only its shard is told.
    const unnamed = new Set(
      [...reader.gaps].flatMap(([sessionId, { shardId }]) =>
        simulator?.ledger.session(sessionId) === undefined ? [shardId] : [],
      ),
    );
    const missing: DueEvent[] = [];
    for (const each of simulator?.ledger.due() ?? []) {
      const { sessionId, shardId, sequence } = each;
      if (until !== undefined && sequence > (until.get(sessionId) ?? 0)) continue;
      const read = reader.sessions.get(sessionId)?.ids[sequence];
      const gap = reader.gaps.get(sessionId);
      if (read) due += 1;
      else if (gap !== undefined && sequence > gap.lastSequence) announced += 1;
      else if (unnamed.has(shardId) && newest.get(shardId) !== sessionId) announced += 1;
      else {
        due += 1;
        missing.push(each);
      }
    }
    const elsewhere = this.#readElsewhere(missing);
    const lost = missing.filter(({ event }) => !elsewhere.has(event));
    for (const { shardId, sessionId, sequence, routingKey } of lost.slice(0, 10))
      examples.push(`lost: shard ${shardId} ${sessionId} ${sequence} ${routingKey}`);
    let unexpected = 0;
    if (simulator !== undefined)
      for (const [sessionId, { shardId, ids }] of reader.sessions)
        ids.forEach((id, sequence) => {
          if (id === 0 || typeof simulator.ledger.routingKeyOf(sessionId, sequence) === 'string') return;
          unexpected += 1;
          if (examples.length < 10) examples.push(`not due: shard ${shardId} ${sessionId} ${sequence}`);
        });
    return {
      due,
      read: reader.events,
      lost: lost.length,
      announced,
      unexpected,
      repeated: reader.repeats,
      conflicts: reader.conflicts,
      disorders: reader.disorders,
      gaps: reader.gaps.size,
      violations: simulator?.violations.map(({ rule, sentence }) => `${rule}: ${sentence}`) ?? [],
      examples: [...examples, ...reader.disorderExamples.map((text) => `disorder: ${text}`)],
    };
  }

  /** Which of these a worker has read all the same, because another session was given the same event. */
  #readElsewhere(missing: readonly DueEvent[]): ReadonlySet<number> {
    const { reader, simulator } = this;
    const sessions = [...(simulator?.ledger.sessions ?? [])];
    const shards = new Set(sessions.map(({ shardId }) => shardId));
    const read = new Set<number>();
    if (missing.length === 0 || sessions.length === shards.size) return read;
    const numbers = new Set(missing.map(({ event }) => event));
    for (const { event, sessionId, sequence } of simulator?.ledger.due() ?? [])
      if (numbers.has(event) && reader.sessions.get(sessionId)?.ids[sequence]) read.add(event);
    return read;
  }

  /** Ends everything and deletes what it made. */
  async stop(): Promise<void> {
    await Promise.all(this.living.map((task) => task.kill()));
    await this.reader.stop();
    await this.simulator?.stop();
    await this.broker.remove();
    await rm(this.folder, { recursive: true, force: true });
  }

  #brokerEnvironment(): Record<string, string> {
    const { amqpPort, amqpsPort, caFile } = this.broker;
    const url = this.url(USERS.ingestor);
    if (!this.#options.tls || amqpsPort === undefined || caFile === undefined) return { [ENV.rabbitmqUrl]: url };
    const secure = url.replace('amqp://', 'amqps://').replace(`:${amqpPort}/`, `:${amqpsPort}/`);
    return { [ENV.rabbitmqUrl]: secure, [ENV.rabbitmqCaFile]: caFile };
  }
}

/** The end of a task's log, without the metrics that stand in it. */
function lastLines(output: string): string {
  const lines = output.split('\n').filter((line) => !line.startsWith('{"_aws"'));
  return lines.slice(-25).join('\n');
}
