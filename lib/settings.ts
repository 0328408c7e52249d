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
import { BROKER_SIZES, brokerLimits } from './broker-limits.ts';
import { furtherFaults } from './topology/further-queues.ts';
import { CONNECTIONS_OF_A_TASK, DEFAULT_LIMITS, groupsOf, type Limits } from './topology/topology.ts';

export const ENVIRONMENTS = ['staging', 'production'] as const;
export type Environment = (typeof ENVIRONMENTS)[number];

/** What a deployer writes: everything is optional. */
export type Choices = z.input<ReturnType<typeof schemaFor>>;
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

type Parsed = z.output<ReturnType<typeof schemaFor>>;

/** Every fault of the choices, one a line. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly faults: readonly string[];
  constructor(environment: string, faults: readonly string[]) {
    super(`The settings of ${environment} cannot be deployed:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.faults = faults;
  }
}

/** Memory in MiB that Fargate sells with a number of CPU units. Source: AWS, Fargate task sizes. */
const TASK_SIZES: Readonly<Record<number, readonly number[]>> = {
  256: [512, 1024, 2048],
  512: [1024, 2048, 3072, 4096],
  1024: [2048, 3072, 4096, 5120, 6144, 7168, 8192],
  2048: [4096, 5120, 6144, 7168, 8192, 10240, 12288, 14336, 16384],
  4096: [8192, 10240, 12288, 14336, 16384, 20480, 24576, 28672, 30720],
};

/** What CloudWatch Logs accepts. */
const RETENTIONS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

const MIB = 1024 * 1024;

const INTENTS = keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)));

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
  const { success, data, error } = schemaFor(known).safeParse(choices);
  if (!success) throw new SettingsError(known, error.issues.map(sentence));
  const groups = groupsOf(data.shards);
  const settings: Settings = {
    ...data,
    network: { ...data.network, zones: zonesOf(data, known) },
    natGateways: data.natGateways ?? (data.egress === 'nat' ? 2 : 0),
    environment: known,
    // The queues hold events that workers have not read yet, and people have copied the names of the secrets.
    keepsData: known === 'production',
    groups,
    tasks: groups + data.shards.standbys,
  };
  const faults = contradictions(settings, data.network.zones);
  if (faults.length > 0) throw new SettingsError(known, faults);
  return settings;
}

/** The choices that lead to these settings whatever the defaults are: a template carries them. */
export function choicesOf({ environment, keepsData, groups, tasks, ...choices }: Settings): Choices {
  return choices;
}

/**
 * What is in the file, and over it what came on the command line: an object, or its JSON. Objects are merged, all else
 * replaced.
 * @throws SettingsError where the text is no JSON, or a name would be ignored
 */
export function merged(choices: unknown, given: unknown): unknown {
  const settings = overlaid(choices ?? {}, typeof given === 'string' ? parsed(given) : given);
  const ignored = ignoredNames(settings).map((name) => `${name}: JavaScript does not allow this name. Choose another`);
  if (ignored.length > 0) throw new SettingsError('an environment', ignored);
  return settings;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new SettingsError('an environment', [
      `settings: expected JSON such as '{"shards":{"count":2}}', got: ${problem}`,
    ]);
  }
}

function overlaid(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isRecord(below) || !isRecord(above)) return above;
  const names = new Set([...Object.keys(below), ...Object.keys(above)]);
  return Object.fromEntries([...names].map((name) => [name, overlaid(below[name], above[name])]));
}

/** zod leaves `__proto__` out without a word. */
function ignoredNames(value: unknown, path: readonly string[] = []): string[] {
  if (!isRecord(value)) return [];
  return Object.keys(value).flatMap((key) => {
    const at = [...path, key];
    return key === '__proto__' ? at.join('.') : ignoredNames(value[key], at);
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function schemaFor(environment: Environment) {
  const production = environment === 'production';
  return z.strictObject({
    // Without them, the stacks go to the account and region of the CLI's login. With them, a wrong login cannot deploy.
    account: text(/^\d{12}$/, 'the 12 digits of an AWS account, quoted').optional(),
    region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, "a region such as 'eu-central-1'").optional(),

    network: z
      .strictObject({
        // Away from 10.0.0.0/16 and 172.31.0.0/16, which default networks use, so that a peering stays possible.
        cidr: z
          .cidrv4({ ...expected(CIDR), abort: true })
          .regex(/\/(1[6-9]|20)$/, expected(CIDR))
          .default('10.73.0.0/16'),
        // Left out: three for production and for three nodes, otherwise two, which every region has.
        zones: z.union([z.literal(2), z.literal(3)], expected('2 or 3 zones')).optional(),
        // Left out: the first ones of the region. Name them where one of these has no Amazon MQ.
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
      })
      .prefault({}),

    // How tasks reach Discord. `public-ip`: $3.65 a month per task, no inbound rule, and nothing that can fail between.
    // `nat`: $33 a month per gateway, where a policy forbids public addresses or one fixed address is wanted.
    egress: oneOf(['public-ip', 'nat']).default(production ? 'nat' : 'public-ip'),
    // Left out: two with egress `nat` (when a zone fails with its gateway, the tasks of the other zone still reach
    // Discord), otherwise none. With egress `public-ip` only for the one deployment in which the tasks move out.
    natGateways: whole(0, 3, 'NAT gateways').optional(),

    broker: z
      .strictObject({
        // The medium size is Amazon's "evaluation" size (1.8 GiB for messages); large is the first one meant to last.
        size: oneOf(keys(BROKER_SIZES)).default(production ? 'mq.m7g.large' : 'mq.m7g.medium'),
        // Three nodes in three zones survive the loss of one, and maintenance takes them one by one.
        nodes: z
          .union([z.literal(1), z.literal(3)], expected('1 (one node) or 3 (one in each of three zones)'))
          .default(production ? 3 : 1),
        // 4.3: strict priorities on quorum queues. 4.2 has two levels; 3.13 has queues without them.
        engineVersion: text(/^4\.([2-9]|\d\d)$/, "RabbitMQ '4.2' or newer, as major.minor").default('4.3'),
        // Only a cluster's disk has a size. Twice what the queues may hold, or the disk alarm blocks publishers first.
        storageGb: whole(5, 500, 'GB').optional(),
        // Two hours, weekly: the broker restarts node by node (one node: it is away for minutes). Before Monday's work.
        maintenanceWindow: z
          .strictObject({
            day: oneOf(['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY']).default(
              'SUNDAY',
            ),
            time: text(/^([01]\d|2[0-3]):[0-5]\d$/, "a time of day such as '03:00'").default('03:00'),
            timeZone: z
              .string()
              .refine(isTimeZone, expected("a time zone such as 'UTC' or 'Europe/Berlin'"))
              .default('UTC'),
          })
          .prefault({}),
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
      })
      .prefault({}),

    shards: z
      .strictObject({
        // A number, never `auto`: tasks, lease queues and alarms depend on it. An alarm is on when Discord recommends more.
        count: within(BOUNDS.shardCount, 'shards'),
        perTask: within(BOUNDS.shardsPerTask, 'shards'),
        // Tasks beyond one per group, which take a lease at once. Without one, a crash costs the start of a task (30–60 s).
        standbys: whole(0, 10, 'standbys').default(production ? 1 : 0),
      })
      .prefault({}),

    // What is published: Discord's names of dispatches, or groups of them (docs/workers.md). Left out: the seven of the default.
    events: list(z.string(expected(EVENT)).superRefine(parsedBy(parseEvents)), `a list of ${EVENT}`, 1).optional(),

    // What is private by default. Content needs an intent that Discord must allow, and workers that may see it.
    forward: z
      .strictObject({
        messageContent: z.boolean(expected('true or false')).default(false),
        botMessages: z.boolean(expected('true or false')).default(false),
        // Messages and interactions outside of guilds.
        directMessages: z.boolean(expected('true or false')).default(false),
      })
      .prefault({}),

    gateway: z
      .strictObject({
        // Left out, they follow from `events`. Only where fewer or others are wanted: what they lack is refused.
        intents: list(
          z.enum(INTENTS, expected("the name of one of Discord's intents")),
          "names of Discord's intents",
          1,
        ).optional(),
        // Discord's presence, until a command sets another one. Left out: online, without an activity.
        initialPresence: z
          .record(z.string(), z.unknown(), expected('Discord\'s presence such as {"status":"online"}'))
          .superRefine((presence, context) => parsedBy(parsePresence)(JSON.stringify(presence), context))
          .optional(),
        // Traffic from Discord is free of charge; inflating it costs CPU.
        compression: oneOf(COMPRESSIONS).default('none'),
      })
      .prefault({}),

    // Left out, the token belongs into the secret of the broker stack. Named, it may be there before the first deploy.
    discordTokenSecretArn: secretArn().optional(),
    // As `administratorKeyArn`: only where the secret is encrypted with a key of your own.
    discordTokenKeyArn: keyArn().optional(),

    task: z
      .strictObject({
        // A quarter core carries about 2,000 events a second; twice that for the bursts of production.
        cpu: whole(256, 4096, 'CPU units').default(production ? 512 : 256),
        // 60 % of it is the heap; the outbox needs room beside 100 MB of the process itself.
        memoryMiB: whole(512, 30_720, 'MiB').default(production ? 1024 : 512),
        outboxMaxEvents: within(BOUNDS.outboxMaxEvents, 'events'),
        outboxMaxBytes: within(BOUNDS.outboxMaxBytes, 'bytes'),
        logLevel: oneOf(LOG_LEVELS).default(DEFAULT_LOG_LEVEL),
        // ECS Exec needs a writable root file system: only for an investigation. The image has no shell.
        execEnabled: z.boolean(expected('true or false')).default(false),
      })
      .prefault({}),

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
    topologyRevision: whole(0, 1_000_000, 'times').default(0),

    // New passwords for the service and the workers, by alternating users. 0: no rotation.
    rotationDays: whole(0, 365, 'days').default(30),

    // Thresholds of alarms. The reasons for the defaults, beside those for the alarms: alarms.ts.
    budgets: z
      .strictObject({
        // A fifth of a day's budget is enough for a day's incidents, and soon enough to stop a restart loop.
        identifiesLeft: whole(1, 100_000, 'IDENTIFYs').default(200),
        outboxPercent: whole(1, 100, 'percent').default(50),
        interactionsWaiting: whole(1, 10_000_000, 'messages').default(100),
        guildEventsWaiting: whole(1, 100_000_000, 'messages').default(500_000),
        gatewayEventsWaiting: whole(1, 10_000_000, 'messages').default(100),
        dispatchesWaiting: whole(1, 100_000_000, 'messages').default(500_000),
        deadLetters: whole(1, 10_000_000, 'messages').default(100),
        // 95th percentile: loopback takes 5 ms, three zones some 20.
        frameToConfirmMs: whole(1, 600_000, 'milliseconds').default(1000),
      })
      .prefault({}),
  });
}

/** What the topology command takes too. */
export function topologyShape() {
  return {
    // Further queues by name: each gets a copy of what its keys reach, and beyond a limit dead-letters its oldest.
    queues: z
      .record(
        z.string(),
        z.strictObject({
          keys: list(z.string(expected(KEY)), `a list of at most ${MOST_KEYS} ${KEY}`, 1, MOST_KEYS),
          maxMessages: whole(1, MOST_MESSAGES, 'messages').default(1_000_000),
          // One such queue, and the product's own, twice over fit on the disk of a cluster (broker.storageGb).
          maxBytes: whole(MIB, MOST_QUEUE_BYTES, 'bytes').default(512 * MIB),
          // Left out, a message waits until one of the limits.
          ttlMs: whole(1_000, MOST_TTL_MS, 'milliseconds').optional(),
          overflow: z.literal('drop-head', { error: NO_OVERFLOW }).optional(),
          priority: z.undefined({ error: NO_PRIORITY }).optional(),
        }),
        expected('an object such as {"events.analytics":{"keys":["member.#"]}}'),
      )
      .default({}),
    // Further users of the broker by name, each with a secret of its own, who may read these queues only.
    workers: z
      .record(
        z.string(),
        z.strictObject({
          queues: list(z.string(expected('the name of a queue')), 'a list of queues', 1),
          // Whether it may also send commands to Discord.
          commands: z.boolean(expected('true or false')).default(false),
        }),
        expected('an object such as {"analytics":{"queues":["events.analytics"]}}'),
      )
      .default({}),
    // Of the product's queues. The reasons for the defaults, and what is beyond each: topology.ts.
    limits: z
      .strictObject(
        Object.fromEntries(keys(DEFAULT_LIMITS).map((name) => [name, limit(name)])) as Record<
          keyof Limits,
          ReturnType<typeof limit>
        >,
      )
      .prefault({}),
  };
}

function limit(name: keyof Limits) {
  const value = DEFAULT_LIMITS[name];
  if (name.endsWith('Bytes')) return whole(MIB, MOST_QUEUE_BYTES, 'bytes').default(value);
  if (name.endsWith('Messages')) return whole(1, MOST_MESSAGES, 'messages').default(value);
  if (name === 'deliveryLimit') return whole(1, 1_000, 'deliveries').default(value);
  return whole(1_000, name === 'interactionsTtlMs' ? INTERACTION_TOKEN_MS : MOST_TTL_MS, 'milliseconds').default(value);
}

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

/**
 * Of the topology's own settings, as JSON of the command line.
 * @throws SettingsError with every fault
 */
export function topologySettings(json: string) {
  const schema = z.strictObject(topologyShape());
  const { data, error } = schema.safeParse(merged({}, json));
  const faults = data === undefined ? (error?.issues.map(sentence) ?? []) : furtherFaults(data);
  if (data === undefined || faults.length > 0) throw new SettingsError('this topology', faults);
  return data;
}

/** The lists of which a budget tells that they are getting full. */
const WATCHED = {
  interactionsWaiting: 'interactionsMaxMessages',
  guildEventsWaiting: 'guildEventsMaxMessages',
  gatewayEventsWaiting: 'gatewayEventsMaxMessages',
  dispatchesWaiting: 'dispatchesMaxMessages',
} as const satisfies Partial<Record<string, keyof Limits>>;

/** What was chosen to be published. */
export function choiceOf({ events }: Pick<Settings, 'events'>): Choice {
  return parseEvents((events ?? DEFAULT_EVENTS).join(','));
}

/** @param zones their number, where it was chosen */
function contradictions(settings: Settings, zones: number | undefined): string[] {
  const { network, broker, task, shards, region, groups, tasks, natGateways } = settings;
  const faults: string[] = [];
  const refuse = (contradiction: boolean, fault: string) => {
    if (contradiction) faults.push(fault);
  };
  const named = network.availabilityZones ?? [];
  const foreign = named.filter((zone) => region !== undefined && !zone.startsWith(region));
  refuse(foreign.length > 0, `network.availabilityZones: expected zones of ${region}, got ${foreign.join(', ')}`);
  refuse(
    new Set(named).size < named.length,
    `network.availabilityZones: expected different zones, got ${named.join(', ')}`,
  );
  refuse(
    named.length > 0 && zones !== undefined && named.length !== zones,
    `network.zones: expected ${named.length}, the number of zones named, got ${zones}`,
  );
  refuse(
    !network.existing && broker.nodes > network.zones,
    `broker.nodes: expected 1 in ${network.zones} zones, got ${broker.nodes}: each node needs a zone of its own`,
  );
  refuse(
    settings.egress === 'nat' && natGateways === 0,
    "natGateways: expected at least 1 with egress 'nat', got 0. Raise it, or set egress to 'public-ip'",
  );
  refuse(
    !network.existing && natGateways > network.zones,
    `natGateways: expected at most one for each of ${network.zones} zones, got ${natGateways}`,
  );
  refuse(
    settings.discordTokenKeyArn !== undefined && settings.discordTokenSecretArn === undefined,
    'discordTokenKeyArn: expected discordTokenSecretArn beside it, got nothing: the secret of the stack has no key of your own',
  );
  const subnets = network.existing?.brokerSubnetIds.length ?? broker.nodes;
  refuse(
    broker.existing === undefined && subnets !== broker.nodes,
    `network.existing.brokerSubnetIds: expected one subnet per node (broker.nodes is ${broker.nodes}), got ${subnets}. They cannot change after the first deploy`,
  );
  refuse(
    broker.existing !== undefined && network.existing === undefined,
    'broker.existing: expected network.existing beside it, got a new network, which has no route to that broker. Name its VPC and subnets',
  );
  const { leastGb, mostGb } = BROKER_SIZES[broker.size];
  const disk = broker.storageGb ?? leastGb;
  refuse(
    broker.storageGb !== undefined && broker.nodes === 1,
    'broker.storageGb: a single node always has 200 GB. Remove it, or set broker.nodes to 3',
  );
  refuse(
    broker.nodes === 3 && (disk < leastGb || disk > mostGb || disk % 5 !== 0),
    `broker.storageGb: expected a multiple of 5 from ${leastGb} to ${mostGb} for ${broker.size}, got ${disk}`,
  );
  const { queues = Number.POSITIVE_INFINITY, connectionsPerNode = Number.POSITIVE_INFINITY } =
    brokerLimits(broker) ?? {};
  const choice = choiceOf(settings);
  faults.push(...furtherFaults(settings, choice));
  refuse(
    Object.keys(settings.workers).length > MOST_WORKERS,
    `workers: expected at most ${MOST_WORKERS}, as the functions that manage the broker have a list of their secrets, got ${Object.keys(settings.workers).length}`,
  );
  refuse(
    Object.keys(settings.queues).length > MOST_QUEUES,
    `queues: expected at most ${MOST_QUEUES}, as each is written out in the template, got ${Object.keys(settings.queues).length}`,
  );
  for (const [budget, limit] of Object.entries(WATCHED) as [keyof typeof WATCHED, keyof Limits][])
    refuse(
      settings.budgets[budget] >= settings.limits[limit],
      `budgets.${budget}: expected less than limits.${limit} (${settings.limits[limit]}), or the alarm is never on, got ${settings.budgets[budget]}`,
    );
  const held = (limits: Limits, queues: readonly { maxBytes: number }[]) =>
    limits.interactionsMaxBytes +
    limits.guildEventsMaxBytes +
    limits.dispatchesMaxBytes +
    2 * limits.deadLettersMaxBytes +
    queues.reduce((sum, { maxBytes }) => sum + maxBytes, 0);
  const full = held(settings.limits, Object.values(settings.queues));
  const diskBytes = (storageGb(broker) ?? SINGLE_NODE_GB) * 1e9;
  refuse(
    broker.existing === undefined && full > held(DEFAULT_LIMITS, []) && 2 * full > diskBytes - DISK_ALARM_BYTES,
    `limits, queues: expected queues that hold at most half of the disk of a node less 2 GB (${Math.floor((diskBytes - DISK_ALARM_BYTES) / 2e9)} GB), got ${Math.ceil(full / 1e9)} GB. Lower them, or raise broker.storageGb`,
  );
  const intents: readonly string[] = settings.gateway.intents ?? intentsFor(choice, settings.forward);
  const lackedOf = (name: Parameters<typeof intentsOf>[0]) =>
    intentsOf(name, settings.forward).filter((each) => !intents.includes(each));
  const lacking = [...choice.dispatches].filter((name) => lackedOf(name).length > 0);
  const lacked = [...new Set(lacking.flatMap(lackedOf))];
  refuse(
    lacking.length > 0,
    `gateway.intents: expected ${lacked.join(', ')} too, without which Discord does not send all that is chosen of ${lacking.join(', ')}, got ${intents.join(', ')}. Add them, or leave gateway.intents out`,
  );
  refuse(
    intents.includes('MessageContent') !== settings.forward.messageContent,
    `gateway.intents: expected MessageContent together with forward.messageContent, got one without the other. Leave gateway.intents out, and it follows`,
  );
  const others = Object.keys({ ...QUEUES, ...settings.queues }).length + Math.min(shards.count, MOST_IDENTIFY_QUEUES);
  const fits = groups <= MOST_GROUPS;
  refuse(
    !fits,
    `shards.perTask: expected at most ${MOST_GROUPS} groups, because each is written out in the template, got ${groups}. Raise it to at least ${Math.ceil(shards.count / MOST_GROUPS)}`,
  );
  refuse(
    fits && 2 * groups + others > queues,
    `shards.perTask: expected at most ${Math.floor((queues - others) / 2)} groups with two queues each on ${broker.size} (${queues} queues, of which ${others} are for events and IDENTIFYs), got ${groups}. Raise it, or broker.size`,
  );
  // Old and new tasks of a deployment.
  const connections = 2 * tasks * CONNECTIONS_OF_A_TASK;
  refuse(
    fits && connections > connectionsPerNode / 2,
    `shards.perTask: expected tasks that need at most half of the ${connectionsPerNode} connections of a ${broker.size} node while they are replaced, got ${connections} connections of ${tasks} tasks. Raise it, or broker.size`,
  );
  const memories = TASK_SIZES[task.cpu];
  refuse(memories === undefined, `task.cpu: expected one of ${Object.keys(TASK_SIZES).join(', ')}, got ${task.cpu}`);
  refuse(
    memories !== undefined && !memories.includes(task.memoryMiB),
    `task.memoryMiB: expected one of ${memories?.join(', ')} with task.cpu ${task.cpu}, got ${task.memoryMiB}`,
  );
  const heapMiB = heapLimitMiB(task.memoryMiB);
  const outboxMiB = task.outboxMaxBytes / MIB;
  // An event costs about three times its size on the wire while it is an object, a buffer and an entry.
  refuse(
    outboxMiB > heapMiB / 3,
    `task.outboxMaxBytes: expected at most a third of the heap (${Math.floor(heapMiB / 3)} of ${heapMiB} MiB), got ${Math.ceil(outboxMiB)} MiB. Lower it, or raise task.memoryMiB`,
  );
  return faults;
}

/**
 * Each group is a queue and a binding in the broker's template, whose limit is 1,000,000 bytes, and twice (old and new)
 * in the event of an update, whose limit is the same. Source: CloudFormation quotas; Lambda quotas, asynchronous invocation.
 */
export const MOST_GROUPS = 1000;

/** A function's environment has 4 KB, and an ARN some 120 bytes. */
const MOST_WORKERS = 12;
/** Of Amazon MQ: a single node's disk, and the free disk below which a cluster blocks publishers. */
const SINGLE_NODE_GB = 200;
const DISK_ALARM_BYTES = 2 * 1024 ** 3;

/** One for each of Discord's buckets (`max_concurrency`), which has not been seen above 64, and never more than shards. */
const MOST_IDENTIFY_QUEUES = 64;

function zonesOf({ network, broker }: Parsed, environment: Environment): 2 | 3 {
  const chosen = network.availabilityZones?.length ?? network.zones;
  return (chosen ?? (environment === 'production' ? 3 : broker.nodes)) === 3 ? 3 : 2;
}

/** V8's heap limit of a task: the rest is for buffers, code and the init process. */
export function heapLimitMiB(memoryMiB: number): number {
  return Math.floor(memoryMiB * 0.6);
}

/** The disk of one cluster node: 25 GB hold the queues' bounds twice over, unless the size starts higher. */
export function storageGb(broker: Pick<Settings['broker'], 'size' | 'nodes' | 'storageGb'>): number | undefined {
  return broker.nodes === 1 ? undefined : (broker.storageGb ?? Math.max(25, BROKER_SIZES[broker.size].leastGb));
}

/** One sentence of an issue: the setting's name, what was expected, what came. */
function sentence({ path, ...issue }: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return `${path.join('.') || 'settings'}: ${issue.message}`;
  const names = issue.keys.map((key) => [...path, key].join('.'));
  return `${names.join(', ')}: no such setting. See lib/settings.ts for those that exist`;
}

/** For zod's `error`: what was expected, and what came. */
function expected(what: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: (issue) => `expected ${what}, got ${show(issue.input)}` };
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  return typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value));
}

function whole(least: number, most: number, what: string) {
  const error = expected(`a whole number of ${what} from ${least} to ${most}`);
  return z.number(error).int(error).min(least, error).max(most, error);
}

/** A setting that the service has too. */
function within({ least, most, default: value }: (typeof BOUNDS)[keyof typeof BOUNDS], what: string) {
  return whole(least, most, what).default(value);
}

/** For zod: reads a text as the service does, whose sentence is the fault. */
function parsedBy(parse: (text: string) => unknown) {
  return (given: string, context: z.RefinementCtx) => {
    try {
      parse(given);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  };
}

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, expected(`one of ${values.join(', ')}`));
}

function text(pattern: RegExp, what: string) {
  return z.string(expected(what)).regex(pattern, expected(what));
}

/** Of a resource in EC2. */
function id(kind: 'vpc' | 'subnet' | 'sg') {
  return text(new RegExp(`^${kind}-([0-9a-f]{8}|[0-9a-f]{17})$`), `an id such as '${kind}-0123456789abcdef0'`);
}

function subnetIds() {
  return list(id('subnet'), "a list of ids such as 'subnet-0123456789abcdef0'", 1);
}

function list<T extends z.ZodType>(entry: T, what: string, least: number, most = Number.POSITIVE_INFINITY) {
  return z.array(entry, expected(what)).min(least, expected(what)).max(most, expected(what));
}

function secretArn() {
  return text(
    /^arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:.+-\w{6}$/,
    "a secret's whole ARN, with its last six characters",
  );
}

function keyArn() {
  return text(/^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key\/[\w-]+$/, "a key's ARN, not an alias");
}

function keys<K extends string>(record: Readonly<Record<K, unknown>>): [K, ...K[]] {
  return Object.keys(record) as [K, ...K[]];
}

const EMAIL = z.email(expected('an e-mail address'));

/** Amazon takes /16 at the widest, and nine subnets need /20. */
const CIDR = "an address range from /16 to /20 such as '10.73.0.0/16'";

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
