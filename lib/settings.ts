// What a deployer may choose: every setting with its default, its reason and its bounds, and the contradictions between
// settings. Pure: `bin/app.ts` passes what was chosen and gets the faults by name, before anything is created. Bounds of
// settings that the service has too come from `service/contract/limits.ts`.
import { GatewayIntentBits } from 'discord-api-types/v10';
import { z } from 'zod';
import { parsePresence } from '../service/commands/command.ts';
import {
  BOUNDS,
  COMPRESSIONS,
  DEFAULT_LOG_LEVEL,
  INTERACTION_TOKEN_MS,
  LOG_LEVELS,
} from '../service/contract/limits.ts';
import { QUEUES } from '../service/contract/names.ts';
import { type Choice, DEFAULT_EVENTS, intentsFor, intentsOf, parseEvents } from '../service/events/choice.ts';
import { BROKER_SIZES, brokerLimits, nodeLimits, storageGb } from './broker-limits.ts';
import {
  byName,
  expected,
  flag,
  group,
  id,
  integer,
  isTimeZone,
  keyArn,
  keys,
  list,
  merged,
  oneOf,
  parsedBy,
  readBy,
  SettingsError,
  secretArn,
  show,
  text,
} from './setting-values.ts';
import { furtherFaults } from './topology/further-queues.ts';
import { CONNECTIONS_OF_A_TASK, DEFAULT_LIMITS, groupsOf, type Limits } from './topology/topology.ts';

export const ENVIRONMENTS = ['staging', 'production'] as const;
export type Environment = (typeof ENVIRONMENTS)[number];

/** What a deployer writes: everything is optional. */
export type Choices = z.input<ReturnType<typeof schemaFor>>;
type Parsed = z.output<ReturnType<typeof schemaFor>>;

export type Settings = Omit<Parsed, 'natGateways' | 'network'> & {
  readonly environment: Environment;
  /** What holds data outlives its stack, and the stacks refuse to be destroyed. */
  readonly keepsData: boolean;
  readonly natGateways: number;
  readonly network: Parsed['network'] & { readonly zones: number };
  /** Shard groups: each is one lease. */
  readonly groups: number;
  /** One per group, and the standbys. */
  readonly tasks: number;
};

/**
 * @param environment `staging` or `production`
 * @param choices what differs from the defaults
 * @throws SettingsError with every fault; contradictions are looked for once each setting is valid by itself
 */
export function settingsFor(environment: unknown, choices: unknown = {}): Settings {
  const known = ENVIRONMENTS.find((name) => name === environment);
  if (known === undefined) {
    throw new SettingsError('an environment', [
      `environment: expected ${ENVIRONMENTS.join(' or ')}, got ${show(environment)}. Add -c environment=staging`,
    ]);
  }
  const production = known === 'production';
  const chosen = readBy(schemaFor(production), choices, known);
  const groups = groupsOf(chosen.shards);
  const settings: Settings = {
    ...chosen,
    network: { ...chosen.network, zones: zonesOf(chosen, production) },
    natGateways: chosen.natGateways ?? (chosen.egress === 'nat' ? 2 : 0),
    environment: known,
    // The queues hold events that workers have not read yet, and people have copied the names of the secrets.
    keepsData: production,
    groups,
    tasks: groups + chosen.shards.standbys,
  };
  const faults = contradictions(settings, chosen.network.zones);
  if (faults.length > 0) throw new SettingsError(known, faults);
  return settings;
}

/** The choices that lead to these settings whatever the defaults are: a template carries them. */
export function choicesOf({ environment, keepsData, groups, tasks, ...choices }: Settings): Choices {
  return choices;
}

/**
 * The settings of the topology alone, from JSON of the command line.
 * @throws SettingsError with every fault
 */
export function topologySettings(json: string) {
  const settings = readBy(z.strictObject(topologyShape()), merged({}, json), 'this topology');
  const faults = furtherFaults(settings);
  if (faults.length > 0) throw new SettingsError('this topology', faults);
  return settings;
}

/** What was chosen to be published. */
export function choiceOf({ events }: Pick<Settings, 'events'>): Choice {
  return parseEvents((events ?? DEFAULT_EVENTS).join(','));
}

/** V8's heap limit of a task: the rest is for buffers, code and the init process. */
export function heapLimitMiB(memoryMiB: number): number {
  return Math.floor(memoryMiB * 0.6);
}

export function schemaFor(production: boolean) {
  return z.strictObject({
    // Without them, the stacks go to the account and region of the CLI's login. With them, a wrong login cannot deploy.
    account: text(/^\d{12}$/, 'the 12 digits of an AWS account, quoted').optional(),
    region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, "a region such as 'eu-central-1'").optional(),

    network: group({
      // Away from 10.0.0.0/16 and 172.31.0.0/16, which default networks use, so that a peering stays possible.
      cidr: z
        .cidrv4({ ...expected(CIDR), abort: true })
        .regex(/\/(1[6-9]|20)$/, expected(CIDR))
        .default('10.73.0.0/16'),
      // Omitted: three for production and for three nodes, otherwise two, which every region has.
      zones: z.literal([2, 3], expected('2 or 3 zones')).optional(),
      // Omitted: the first ones of the region. Name them where one of these has no Amazon MQ.
      availabilityZones: list(
        z.string(expected("a zone such as 'eu-central-1a'")),
        'two or three zones',
        2,
        3,
      ).optional(),
      // By id, not by a search: a search may find others next year, and a broker's subnets cannot change.
      existing: z
        .strictObject({
          vpcId: id('vpc'),
          /** One per node, each in another zone, without a route to the internet. */
          brokerSubnetIds: subnetIds(),
          /** Public ones with egress `public-ip`, private ones with a NAT with `nat`. */
          serviceSubnetIds: subnetIds(),
        })
        .optional(),
    }),

    // How tasks reach Discord. `public-ip`: $3.65 a month per task, no inbound rule, and nothing that can fail between.
    // `nat`: $33 a month per gateway, where a policy forbids public addresses or one fixed address is wanted.
    egress: oneOf(['public-ip', 'nat']).default(production ? 'nat' : 'public-ip'),
    // Omitted: two with egress `nat` (when a zone fails with its gateway, the tasks of the other zone still reach
    // Discord), otherwise none. With egress `public-ip` only for the one deployment in which the tasks move out.
    natGateways: integer(0, 3, 'NAT gateways').optional(),

    broker: group({
      // The medium size is Amazon's "evaluation" size (1.8 GiB for messages); large is the first one meant to last.
      size: oneOf(keys(BROKER_SIZES)).default(production ? 'mq.m7g.large' : 'mq.m7g.medium'),
      // Three nodes in three zones survive the loss of one, and maintenance takes them one by one.
      nodes: z.literal([1, 3], expected('1 (one node) or 3 (one in each of three zones)')).default(production ? 3 : 1),
      // 4.3: strict priorities on quorum queues. 4.2 has two levels; 3.13 has queues without them.
      engineVersion: text(/^4\.([2-9]|\d\d)$/, "RabbitMQ '4.2' or newer, as major.minor").default('4.3'),
      // Only a cluster's disk has a size. Twice what the queues may hold, or the disk alarm blocks publishers first.
      storageGb: integer(5, 500, 'GB').optional(),
      // Two hours, weekly: the broker restarts node by node (one node: it is away for minutes). Before Monday's work.
      maintenanceWindow: group({
        day: oneOf(['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY']).default('SUNDAY'),
        time: text(/^([01]\d|2[0-3]):[0-5]\d$/, "a time of day such as '03:00'").default('03:00'),
        timeZone: z
          .string()
          .refine(isTimeZone, expected("a time zone such as 'UTC' or 'Europe/Berlin'"))
          .default('UTC'),
      }),
      existing: z
        .strictObject({
          // The dimension of its metrics.
          name: text(/^[A-Za-z0-9_-]{1,50}$/, "the broker's name, not its id"),
          host: text(/^[a-z0-9.-]+$/i, 'a host name, without amqps:// and without port'),
          // `username` and `password` of a user with the tag `administrator`.
          administratorSecretArn: secretArn(),
          administratorKeyArn: keyArn().optional(),
          // Gets the rules for 5671 and 443.
          securityGroupId: id('sg'),
        })
        .optional(),
    }),

    shards: group({
      // A number, never `auto`: tasks, lease queues and alarms depend on it. An alarm is on when Discord recommends more.
      count: within(BOUNDS.shardCount, 'shards'),
      perTask: within(BOUNDS.shardsPerTask, 'shards'),
      // Tasks beyond one per group, which take a lease at once. Without one, a crash costs the start of a task (30–60 s).
      standbys: integer(0, 10, 'standbys').default(production ? 1 : 0),
    }),

    // What is published: Discord's names of dispatches, or groups of them (docs/workers.md). Omitted: the seven of the default.
    events: list(z.string(expected(EVENT)).superRefine(parsedBy(parseEvents)), `a list of ${EVENT}`, 1).optional(),

    // What is private by default. Content needs an intent that Discord must allow, and workers that may see it.
    forward: group({
      messageContent: flag(),
      botMessages: flag(),
      // Messages and interactions outside of guilds.
      directMessages: flag(),
    }),

    gateway: group({
      // Omitted: those that `events` needs. Only where fewer or others are wanted; a missing one is refused.
      intents: list(
        z.enum(INTENTS, expected("the name of one of Discord's intents")),
        "names of Discord's intents",
        1,
      ).optional(),
      // Discord's presence, until a command sets another one. Omitted: online, without an activity.
      initialPresence: z
        .record(z.string(), z.unknown(), expected('Discord\'s presence such as {"status":"online"}'))
        .superRefine((presence, context) => parsedBy(parsePresence)(JSON.stringify(presence), context))
        .optional(),
      // Traffic from Discord is free of charge; inflating it costs CPU.
      compression: oneOf(COMPRESSIONS).default('none'),
    }),

    // Omitted: a person stores the token in the secret of the broker stack. Named, it may exist before the first deploy.
    discordTokenSecretArn: secretArn().optional(),
    // As `administratorKeyArn`: only where the secret is encrypted with a key of your own.
    discordTokenKeyArn: keyArn().optional(),

    task: group({
      // A quarter core carries about 2,000 events a second; twice that for the bursts of production.
      cpu: integer(256, 4096, 'CPU units').default(production ? 512 : 256),
      // 60 % of it is the heap; the outbox needs room in addition to 100 MB of the process itself.
      memoryMiB: integer(512, 30_720, 'MiB').default(production ? 1024 : 512),
      outboxMaxEvents: within(BOUNDS.outboxMaxEvents, 'events'),
      outboxMaxBytes: within(BOUNDS.outboxMaxBytes, 'bytes'),
      logLevel: oneOf(LOG_LEVELS).default(DEFAULT_LOG_LEVEL),
      // ECS Exec needs a writable root file system: only for an investigation. The image has no shell.
      execEnabled: flag(),
    }),

    // Long enough to look back at an incident; logs cost $0.03 per GB and month, and hold no content of messages.
    logRetentionDays: z
      .number(expected('a number of days'))
      .refine((days) => RETENTIONS.includes(days), expected(`one of ${RETENTIONS.join(', ')}`))
      .default(production ? 90 : 14),

    // One address, or a list. Without it alarms reach the topic only: subscribe a chat or a pager to it.
    alarmEmail: z
      .union([EMAIL, z.array(EMAIL)], expected('an e-mail address, or a list of them'))
      .transform((given): string[] => [...new Set([given].flat())])
      .optional(),

    ...topologyShape(),

    // Another number applies the topology again although nothing in it changed: after a change by hand.
    topologyRevision: integer(0, 1_000_000, 'times').default(0),

    // New passwords for the service and the workers, by alternating users. 0: no rotation.
    rotationDays: integer(0, 365, 'days').default(30),

    // Thresholds of alarms. The reasons for the other defaults are with the alarms (alarms.ts).
    budgets: group({
      // A fifth of a day's budget is enough for a day's incidents, and soon enough to stop a restart loop.
      identifiesLeft: integer(1, 100_000, 'IDENTIFYs').default(200),
      outboxPercent: integer(1, 100, 'percent').default(50),
      interactionsWaiting: integer(1, 10_000_000, 'messages').default(100),
      guildEventsWaiting: integer(1, 100_000_000, 'messages').default(500_000),
      gatewayEventsWaiting: integer(1, 10_000_000, 'messages').default(100),
      dispatchesWaiting: integer(1, 100_000_000, 'messages').default(500_000),
      deadLetters: integer(1, 10_000_000, 'messages').default(100),
      // 95th percentile: loopback takes 5 ms, three zones some 20.
      frameToConfirmMs: integer(1, 600_000, 'milliseconds').default(1000),
    }),
  });
}

/** What the topology command takes too. */
export function topologyShape() {
  return {
    // Further queues by name: each gets a copy of what its keys reach, and beyond a limit dead-letters its oldest.
    queues: byName('{"events.analytics":{"keys":["member.#"]}}', {
      keys: list(z.string(expected(KEY)), `a list of at most ${MOST_KEYS} ${KEY}`, 1, MOST_KEYS),
      maxMessages: integer(1, MOST_MESSAGES, 'messages').default(1_000_000),
      // One such queue, and the product's own, twice over fit on the disk of a cluster (broker.storageGb).
      maxBytes: integer(MIB, MOST_QUEUE_BYTES, 'bytes').default(512 * MIB),
      // Omitted: a message waits until one of the limits is reached.
      ttlMs: integer(1_000, MOST_TTL_MS, 'milliseconds').optional(),
      overflow: z.literal('drop-head', { error: NO_OVERFLOW }).optional(),
      priority: z.undefined({ error: NO_PRIORITY }).optional(),
    }),
    // Further users of the broker by name, each with a secret of its own, who may read these queues only.
    workers: byName('{"analytics":{"queues":["events.analytics"]}}', {
      queues: list(z.string(expected('the name of a queue')), 'a list of queues', 1),
      // Whether it may also send commands to Discord.
      commands: flag(),
    }),
    // Of the product's queues. The reasons for the defaults, and what is beyond each: topology.ts.
    limits: group(
      Object.fromEntries(keys(DEFAULT_LIMITS).map((name) => [name, limit(name)])) as Record<
        keyof Limits,
        ReturnType<typeof limit>
      >,
    ),
  };
}

function limit(name: keyof Limits) {
  const value = DEFAULT_LIMITS[name];
  if (name.endsWith('Bytes')) return integer(MIB, MOST_QUEUE_BYTES, 'bytes').default(value);
  if (name.endsWith('Messages')) return integer(1, MOST_MESSAGES, 'messages').default(value);
  if (name === 'deliveryLimit') return integer(1, 1_000, 'deliveries').default(value);
  return integer(1_000, name === 'interactionsTtlMs' ? INTERACTION_TOKEN_MS : MOST_TTL_MS, 'milliseconds').default(
    value,
  );
}

const MIB = 1024 * 1024;
const MOST_MESSAGES = 100_000_000;
const MOST_QUEUE_BYTES = 200 * 1024 * MIB;
const MOST_TTL_MS = 90 * 24 * 60 * 60_000;
// Each key stands in the template, and twice in the event of an update.
const MOST_KEYS = 20;
const MOST_QUEUES = 20;
const EVENT = "Discord's names of dispatches, or of groups of them";
const KEY = "binding keys such as 'member.#'";
const NO_OVERFLOW =
  "expected 'drop-head' or nothing: the ingestor waits for the confirms of all queues of a key, so that reject-publish on this one would hold up the product's. Remove it";
const NO_PRIORITY =
  'RabbitMQ gives no queue a priority: a quorum queue delivers by that of each message, which the ingestor sets by event. Remove it';

/** A setting that the service has too. */
function within({ least, most, default: value }: (typeof BOUNDS)[keyof typeof BOUNDS], what: string) {
  return integer(least, most, what).default(value);
}

function zonesOf({ network, broker }: Parsed, production: boolean): 2 | 3 {
  const chosen = network.availabilityZones?.length ?? network.zones;
  return (chosen ?? (production ? 3 : broker.nodes)) === 3 ? 3 : 2;
}

function subnetIds() {
  return list(id('subnet'), "a list of ids such as 'subnet-0123456789abcdef0'", 1);
}

/** Amazon takes /16 at the widest, and nine subnets need /20. */
const CIDR = "an address range from /16 to /20 such as '10.73.0.0/16'";
const EMAIL = z.email(expected('an e-mail address'));
const INTENTS = keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)));
/** What CloudWatch Logs accepts. */
const RETENTIONS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** @param zones their number, where it was chosen */
function contradictions(settings: Settings, zones: number | undefined): string[] {
  const choice = choiceOf(settings);
  const faults = [
    ...networkFaults(settings, zones),
    ...brokerFaults(settings),
    ...furtherFaults(settings, choice),
    ...queueFaults(settings),
    ...intentFaults(settings, choice),
    ...groupFaults(settings),
    ...taskFaults(settings),
  ];
  return faults.filter((fault) => fault !== false);
}

/** `false` where there is none. */
type Fault = string | false;

function networkFaults({ network, broker, region, egress, natGateways }: Settings, zones: number | undefined): Fault[] {
  const { existing, availabilityZones: named = [] } = network;
  const foreign = named.filter((zone) => region !== undefined && !zone.startsWith(region));
  return [
    foreign.length > 0 && `network.availabilityZones: expected zones of ${region}, got ${foreign.join(', ')}`,
    new Set(named).size < named.length &&
      `network.availabilityZones: expected different zones, got ${named.join(', ')}`,
    named.length > 0 &&
      zones !== undefined &&
      named.length !== zones &&
      `network.zones: expected ${named.length}, the number of zones named, got ${zones}`,
    !existing &&
      broker.nodes > network.zones &&
      `broker.nodes: expected 1 in ${network.zones} zones, got ${broker.nodes}: each node needs a zone of its own`,
    egress === 'nat' &&
      natGateways === 0 &&
      "natGateways: expected at least 1 with egress 'nat', got 0. Raise it, or set egress to 'public-ip'",
    !existing &&
      natGateways > network.zones &&
      `natGateways: expected at most one for each of ${network.zones} zones, got ${natGateways}`,
  ];
}

function brokerFaults({ network, broker, discordTokenKeyArn, discordTokenSecretArn }: Settings): Fault[] {
  const subnets = network.existing?.brokerSubnetIds.length ?? broker.nodes;
  const { leastGb, mostGb } = BROKER_SIZES[broker.size];
  const disk = broker.storageGb ?? leastGb;
  return [
    discordTokenKeyArn !== undefined &&
      discordTokenSecretArn === undefined &&
      'discordTokenKeyArn: expected discordTokenSecretArn too, got nothing: the secret of the stack has no key of your own',
    broker.existing === undefined &&
      subnets !== broker.nodes &&
      `network.existing.brokerSubnetIds: expected one subnet per node (broker.nodes is ${broker.nodes}), got ${subnets}. They cannot change after the first deploy`,
    broker.existing !== undefined &&
      network.existing === undefined &&
      'broker.existing: expected network.existing too, got a new network, which has no route to that broker. Name its VPC and subnets',
    broker.storageGb !== undefined &&
      broker.nodes === 1 &&
      `broker.storageGb: a single node always has ${SINGLE_NODE_GB} GB. Remove it, or set broker.nodes to 3`,
    broker.nodes === 3 &&
      (disk < leastGb || disk > mostGb || disk % 5 !== 0) &&
      `broker.storageGb: expected a multiple of 5 from ${leastGb} to ${mostGb} for ${broker.size}, got ${disk}`,
  ];
}

function queueFaults({ broker, limits, queues, workers, budgets }: Settings): Fault[] {
  const [queueCount, workerCount] = [queues, workers].map((each) => Object.keys(each).length) as [number, number];
  const held = (of: Limits) =>
    of.interactionsMaxBytes + of.guildEventsMaxBytes + of.dispatchesMaxBytes + 2 * of.deadLettersMaxBytes;
  const full = held(limits) + Object.values(queues).reduce((sum, { maxBytes }) => sum + maxBytes, 0);
  const free = nodeLimits(broker).diskFreeBytes;
  const room = ((storageGb(broker) ?? SINGLE_NODE_GB) * 1e9 - free) / 2;
  return [
    workerCount > MOST_WORKERS &&
      `workers: expected at most ${MOST_WORKERS}, as the functions that manage the broker have a list of their secrets, got ${workerCount}`,
    queueCount > MOST_QUEUES &&
      `queues: expected at most ${MOST_QUEUES}, as each is written out in the template, got ${queueCount}`,
    ...keys(WATCHED).map(
      (budget) =>
        budgets[budget] >= limits[WATCHED[budget]] &&
        `budgets.${budget}: expected less than limits.${WATCHED[budget]} (${limits[WATCHED[budget]]}), or the alarm is never on, got ${budgets[budget]}`,
    ),
    broker.existing === undefined &&
      full > held(DEFAULT_LIMITS) &&
      full > room &&
      `limits, queues: expected queues that hold at most half of the disk of a node less ${Math.floor(free / 1e9)} GB (${Math.floor(room / 1e9)} GB), got ${Math.ceil(full / 1e9)} GB. Lower them, or raise broker.storageGb`,
  ];
}

function intentFaults({ gateway, forward }: Settings, choice: Choice): Fault[] {
  const intents: readonly string[] = gateway.intents ?? intentsFor(choice, forward);
  const missingFor = (name: Parameters<typeof intentsOf>[0]) =>
    intentsOf(name, forward).filter((each) => !intents.includes(each));
  const dispatches = [...choice.dispatches].filter((name) => missingFor(name).length > 0);
  const missing = [...new Set(dispatches.flatMap(missingFor))];
  return [
    dispatches.length > 0 &&
      `gateway.intents: expected ${missing.join(', ')} too, without which Discord does not send all that is chosen of ${dispatches.join(', ')}, got ${intents.join(', ')}. Add them, or leave gateway.intents out`,
    intents.includes('MessageContent') !== forward.messageContent &&
      'gateway.intents: expected MessageContent together with forward.messageContent, got one without the other. Leave gateway.intents out, and it follows',
  ];
}

function groupFaults({ broker, shards, queues, groups, tasks }: Settings): Fault[] {
  const limits = brokerLimits(broker);
  const others = Object.keys({ ...QUEUES, ...queues }).length + Math.min(shards.count, MOST_IDENTIFY_QUEUES);
  // Old and new tasks of a deployment.
  const connections = 2 * tasks * CONNECTIONS_OF_A_TASK;
  if (groups > MOST_GROUPS) {
    return [
      `shards.perTask: expected at most ${MOST_GROUPS} groups, because each is written out in the template, got ${groups}. Raise it to at least ${Math.ceil(shards.count / MOST_GROUPS)}`,
    ];
  }
  if (limits === undefined) return [];
  return [
    2 * groups + others > limits.queues &&
      `shards.perTask: expected at most ${Math.floor((limits.queues - others) / 2)} groups with two queues each on ${broker.size} (${limits.queues} queues, of which ${others} are for events and IDENTIFYs), got ${groups}. Raise it, or broker.size`,
    connections > limits.connectionsPerNode / 2 &&
      `shards.perTask: expected tasks that need at most half of the ${limits.connectionsPerNode} connections of a ${broker.size} node while they are replaced, got ${connections} connections of ${tasks} tasks. Raise it, or broker.size`,
  ];
}

function taskFaults({ task }: Settings): Fault[] {
  const memories = TASK_SIZES[task.cpu];
  const heapMiB = heapLimitMiB(task.memoryMiB);
  const outboxMiB = task.outboxMaxBytes / MIB;
  return [
    memories === undefined && `task.cpu: expected one of ${Object.keys(TASK_SIZES).join(', ')}, got ${task.cpu}`,
    memories?.includes(task.memoryMiB) === false &&
      `task.memoryMiB: expected one of ${memories.join(', ')} with task.cpu ${task.cpu}, got ${task.memoryMiB}`,
    // An event costs about three times its size on the wire while it is an object, a buffer and an entry.
    outboxMiB > heapMiB / 3 &&
      `task.outboxMaxBytes: expected at most a third of the heap (${Math.floor(heapMiB / 3)} of ${heapMiB} MiB), got ${Math.ceil(outboxMiB)} MiB. Lower it, or raise task.memoryMiB`,
  ];
}

/** Memory in MiB that Fargate sells with a number of CPU units. Source: AWS, Fargate task sizes. */
const TASK_SIZES: Readonly<Record<number, readonly number[]>> = {
  256: [512, 1024, 2048],
  512: [1024, 2048, 3072, 4096],
  1024: [2048, 3072, 4096, 5120, 6144, 7168, 8192],
  2048: [4096, 5120, 6144, 7168, 8192, 10240, 12288, 14336, 16384],
  4096: [8192, 10240, 12288, 14336, 16384, 20480, 24576, 28672, 30720],
};

/** The limits of which a budget warns before they are reached. */
const WATCHED = {
  interactionsWaiting: 'interactionsMaxMessages',
  guildEventsWaiting: 'guildEventsMaxMessages',
  gatewayEventsWaiting: 'gatewayEventsMaxMessages',
  dispatchesWaiting: 'dispatchesMaxMessages',
} as const satisfies Partial<Record<string, keyof Limits>>;

/**
 * Each group is a queue and a binding in the broker's template, whose limit is 1,000,000 bytes, and twice (old and new)
 * in the event of an update, whose limit is the same. Source: CloudFormation quotas; Lambda quotas, asynchronous invocation.
 */
export const MOST_GROUPS = 1000;

/** A function's environment has 4 KB, and an ARN some 120 bytes. */
const MOST_WORKERS = 12;

/** Amazon MQ gives each single node this disk. */
const SINGLE_NODE_GB = 200;

/** One for each of Discord's buckets (`max_concurrency`), which has not been seen above 64, and never more than shards. */
const MOST_IDENTIFY_QUEUES = 64;
