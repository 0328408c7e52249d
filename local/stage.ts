// Everything on one machine: a private RabbitMQ with the topology, the Discord simulator, tasks of the ingestor, and a
// worker that reads. The demo, the rehearsal, the fault tests and the benches run on it.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ManagementApi } from '../lib/management/management-api.ts';
import { applyTopology } from '../lib/topology/apply.ts';
import { type DiscordTopologyOptions, discordTopology } from '../lib/topology/topology.ts';
import { NODE_FLAGS } from '../service/contract/limits.ts';
import { ENV, QUEUES, USERS, VHOST } from '../service/contract/names.ts';
import type { HealthReport } from '../service/health.ts';
import type { SimulatorOptions } from './discord/options.ts';
import { PRIVILEGED_INTENTS } from './discord/rules.ts';
import { DiscordSimulator } from './discord/simulator.ts';
import { IngestorProcess } from './ingestor-process.ts';
import { poll } from './poll.ts';
import type { RabbitMq, RabbitMqNode } from './rabbitmq/node.ts';
import { startRabbitMq } from './rabbitmq.ts';
import { Reader } from './reader.ts';
import { type Mark, type Verdict, verdictOf } from './verdict.ts';

type StageNames = { readonly vhost: string; readonly userNames: Readonly<Record<keyof typeof USERS, string>> };

export interface StageOptions {
  readonly tasks?: number;
  readonly shards?: number;
  readonly shardsPerTask?: number;
  readonly simulator?: Partial<SimulatorOptions>;
  /** EVENTS of the tasks, from which the simulator derives what is due; it grants every privileged intent. */
  readonly events?: string | undefined;
  /** Environment variables of the tasks, in addition to those that the stage sets. */
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeFlags?: readonly string[];
  readonly limits?: DiscordTopologyOptions['limits'];
  /** The real Discord instead of the simulator. */
  readonly botToken?: string;
  readonly log?: (line: string) => void;
  /** A broker that runs already, and the names of the stage there; `remove()` removes these. @default - its own broker */
  readonly shared?: { readonly broker: RabbitMq } & StageNames;
  /** Nodes of RabbitMQ. @default 1 */
  readonly nodes?: number;
  /** The tasks reach the broker by its TLS listener only. */
  readonly tls?: boolean;
  /** Applies the topology in the stage's place, and knows the current login of each user. @default - from the sources */
  readonly topology?: (broker: RabbitMq) => Promise<(user: string) => { username: string; password: string }>;
  /** A program that reads `interactions` and answers them; the reader then reads copies. @default - none */
  readonly worker?: readonly [command: string, ...args: string[]] | undefined;
  /** Wait until every shard is connected. @default true */
  readonly untilReady?: boolean;
}

const PARTS = Object.keys(USERS) as (keyof typeof USERS)[];

/** `examples/worker`. */
export const EXAMPLE_WORKER = [
  process.execPath,
  ...NODE_FLAGS,
  fileURLToPath(new URL('../examples/worker/worker.ts', import.meta.url)),
] as const;

/** Has a copy of every interaction, for the reader: the worker leaves it none. */
const COPIES = 'interactions.copies';
const COPIED = { keys: ['interaction.#'], maxMessages: 1_000_000, maxBytes: 1024 ** 3, ttlMs: 15 * 60_000 };

export class Stage {
  readonly broker: RabbitMq;
  readonly simulator: DiscordSimulator | undefined;
  readonly reader = new Reader(
    () => this.url(USERS.worker, this.readFrom),
    (queue) => (queue === QUEUES.interactions && this.#options.worker !== undefined ? COPIES : queue),
  );
  /** The last one that was started. */
  worker: IngestorProcess | undefined;
  /** Where the worker connects. @default - the broker's one address */
  readFrom: RabbitMqNode | undefined;
  readonly folder: string;
  readonly tasks: IngestorProcess[] = [];
  readonly shardsPerTask: number;
  readonly #options: StageOptions;
  readonly #names: StageNames;
  /** By the name at the broker. */
  readonly #passwords: Readonly<Record<string, string>>;
  #login = (user: string) => {
    const part = PARTS.find((each) => USERS[each] === user);
    const username = part === undefined ? user : this.#names.userNames[part];
    return { username, password: this.#passwords[username] ?? '' };
  };
  #started = 0;

  private constructor(options: StageOptions, broker: RabbitMq, simulator: Stage['simulator'], folder: string) {
    this.#options = options;
    this.#names = options.shared ?? { vhost: VHOST, userNames: USERS };
    this.#passwords = Object.fromEntries(
      Object.values(this.#names.userNames).map((user) => [user, randomBytes(12).toString('hex')]),
    );
    this.shardsPerTask = options.shardsPerTask ?? 16;
    this.broker = broker;
    this.simulator = simulator;
    this.folder = folder;
  }

  static async start(options: StageOptions = {}): Promise<Stage> {
    const { shards = 1, tasks = 1, tls = false, nodes = 1, events, log = () => undefined } = options;
    const broker = options.shared?.broker ?? (await startRabbitMq({ tls, nodes, log }));
    const given = { shards, ...(events && { events, grantedIntents: PRIVILEGED_INTENTS }), ...options.simulator };
    const answerable = options.worker !== undefined;
    const simulator = options.botToken ? undefined : await DiscordSimulator.start({ answerable, ...given });
    const stage = new Stage(options, broker, simulator, await mkdtemp(join(tmpdir(), 'ingestor-stage-')));
    try {
      if (options.topology) stage.#login = await options.topology(broker);
      else await stage.applyTopology();
      await stage.reader.start();
      const startTasks = async () => {
        for (let index = 0; index < tasks; index += 1) await stage.startTask();
      };
      await Promise.all([startTasks(), options.worker && stage.startWorker()]);
      if (options.untilReady ?? true) await stage.ready();
    } catch (error) {
      await stage.stop();
      throw error;
    }
    return stage;
  }

  url(user: string, at: Pick<RabbitMq, 'amqpUrl'> = this.broker): string {
    return at.amqpUrl({ ...this.#login(user), vhost: this.#names.vhost });
  }

  async applyTopology(): Promise<void> {
    const { shards = 1, limits = {}, worker } = this.#options;
    const { managementUrl, username, password } = this.broker;
    const api = new ManagementApi({ url: managementUrl, username, password });
    const { vhost, userNames } = this.#names;
    const topology = discordTopology({
      ...{ vhost, userNames },
      shards: { count: shards, perTask: this.shardsPerTask },
      limits,
      ...(worker && { queues: { [COPIES]: COPIED } }),
    });
    await applyTopology(api, topology, { passwords: this.#passwords });
  }

  /** Another task, listening. */
  async startTask(env: Readonly<Record<string, string>> = {}): Promise<IngestorProcess> {
    const { shards = 1, botToken, nodeFlags = [] } = this.#options;
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
        [ENV.shardsPerTask]: String(this.shardsPerTask),
        ...(this.#options.events && { [ENV.events]: this.#options.events }),
        ...this.#options.env,
        ...env,
      },
    });
    this.tasks.push(task);
    return await task.listening();
  }

  /** Another worker, consuming. It reads its login from the file `loginFile`. */
  async startWorker(): Promise<IngestorProcess> {
    const { worker: program } = this.#options;
    if (program === undefined) throw new Error('expected a stage with a worker');
    await writeFile(this.loginFile, this.url(USERS.worker));
    const worker = new IngestorProcess({
      name: 'worker',
      logFile: join(this.folder, 'worker.log'),
      env: { RABBITMQ_URL_FILE: this.loginFile, [ENV.discordApiUrl]: this.simulator?.apiUrl ?? '' },
      program,
      // It writes a line for each interaction, and the demo may run for days.
      keep: 1024 ** 2,
    });
    this.worker = worker;
    await this.until('the worker consumes', 60_000, () => worker.ended || worker.output.includes('consuming'));
    if (worker.ended) throw new Error(`the worker ended:\n${worker.output.slice(-2_000)}`);
    return worker;
  }

  get loginFile(): string {
    return join(this.folder, 'worker-login');
  }

  /** New tasks first, then SIGTERM to the old ones, one after the other: ECS's rolling update at 100/200 %. */
  async deploy(): Promise<void> {
    const old = this.living;
    await Promise.all(old.map(() => this.startTask()));
    for (const task of old) await task.terminate();
  }

  /** Tasks that have not ended. */
  get living(): readonly IngestorProcess[] {
    return this.tasks.filter(({ ended }) => !ended);
  }

  async reports(): Promise<readonly (HealthReport & { readonly task: IngestorProcess })[]> {
    const reports = this.living.map(async (task) => {
      const report = await task.health();
      return report ? [{ ...report, task }] : [];
    });
    return (await Promise.all(reports)).flat();
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

  /** Polls a condition. @throws after the deadline, with the last lines of the tasks */
  async until(what: string, deadlineMs: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    if (await poll(deadlineMs, condition)) return;
    throw new Error([`not within ${deadlineMs / 1_000} s: ${what}`, ...this.tasks.map(lastLines)].join('\n'));
  }

  /** Resolves when everything due is read, or nothing more was read for `quietMs`. Stop the traffic before. */
  async settled(deadlineMs = 90_000, quietMs = 15_000): Promise<Verdict> {
    const deadline = Date.now() + deadlineMs;
    const since = Date.now();
    for (;;) {
      const verdict = this.verdict();
      const isQuiet = Date.now() - Math.max(since, this.reader.lastReadAt) > quietMs;
      if (verdict.lost === 0 || isQuiet || Date.now() > deadline) return verdict;
      await sleep(200);
    }
  }

  /** @param until a mark; @default - what was sent until now @throws with the real Discord, which keeps no ledger */
  verdict(until?: Mark): Verdict {
    if (this.simulator === undefined) throw new Error('expected a stage with the simulated Discord');
    return verdictOf(this.simulator, this.reader, until);
  }

  /** Ends everything and deletes what it made. */
  async stop(): Promise<void> {
    await Promise.all([...this.living, ...(this.worker ? [this.worker] : [])].map((task) => task.kill()));
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

/** The end of a task's log, without the lines of metrics. */
function lastLines({ name, output }: IngestorProcess): string {
  const lines = output.split('\n').filter((line) => !line.startsWith('{"_aws"'));
  return [`--- ${name}`, ...lines.slice(-25)].join('\n');
}
