// The topology on the command line: what would change at a broker, and the change. The same code as in the deployment, and
// the same record on the broker, so that it removes what the deployment would. Queues, exchanges and users are removed only
// here, one at a time, after a look at what they hold.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ManagementApi } from '../lib/management/management-api.ts';
import { SettingsError } from '../lib/setting-values.ts';
import { topologySettings } from '../lib/settings.ts';
import { applyTopology, planTopology, type TopologyRefusedError } from '../lib/topology/apply.ts';
import type { Plan, Unwanted } from '../lib/topology/plan.ts';
import { held, removableTypes, remove } from '../lib/topology/removal.ts';
import { keptSentences, withoutPasswordSentence } from '../lib/topology/sentences.ts';
import { discordTopology, groupsOf, type Topology } from '../lib/topology/topology.ts';
import { BOUNDS, MAX_SHARD_GROUPS } from '../service/contract/limits.ts';
import { USERS, VHOST } from '../service/contract/names.ts';

/** By part of the product: the option with its user's name, and the variable with its password. */
const PARTS = {
  ingestor: { option: 'ingestor-user', variable: 'INGESTOR_PASSWORD' },
  worker: { option: 'worker-user', variable: 'WORKER_PASSWORD' },
  deadLetters: { option: 'dead-letters-user', variable: 'DEAD_LETTERS_PASSWORD' },
} as const satisfies Record<keyof typeof USERS, { option: string; variable: string }>;

const SHARDS = { count: BOUNDS.shardCount, perTask: BOUNDS.shardsPerTask };
const CHANGES_PENDING = 2;
const MARKS = { create: '+', change: '~', remove: '-' } as const;

const HELP = `Usage: npm run topology -- plan|apply [options]
       npm run topology -- remove queue|exchange|user NAME [--yes] [options]

  plan   reports what would change at the broker, and changes nothing
  apply  changes it; nothing at all where something is refused. Bindings, policies and permissions that
         were applied, are as they were applied, and are no longer wanted, are removed
  remove reports what one thing holds that is not of this topology; with --yes removes it, with all of that

  --url ADDRESS      management API: http://user:password@host:15672, https://host on Amazon MQ
  --vhost NAME       default: ${VHOST}
  --shard-count N, --shards-per-task N
                     as the service has them: each group of shards has two queues, each shard a binding for
                     commands; default: ${SHARDS.count.default} and ${SHARDS.perTask.default}
  --connection-limit N
                     connections that a node of the broker allows: the limits of the users follow from it;
                     default: limits are left as they are
  --settings JSON    queues, workers and limits, as in the settings of a deployment, such as
                     {"queues":{"events.analytics":{"keys":["member.#"]}},"workers":{"analytics":
                     {"queues":["events.analytics"]}}}; default: none, and the product's limits
  --ingestor-user NAME, --worker-user NAME, --dead-letters-user NAME
                     default: ${Object.values(USERS).join(', ')}; users belong to the whole broker,
                     so that a second topology there needs others
  --ca-file FILE     a further certificate authority (PEM)
  --json             one JSON object instead of lines
  --help

Environment, which a list of processes does not show:
  RABBITMQ_MANAGEMENT_URL     instead of --url
  RABBITMQ_ADMIN_USERNAME, RABBITMQ_ADMIN_PASSWORD
                              instead of the login in the address
  ${Object.values(PARTS)
    .map(({ variable }) => variable)
    .join(', ')}, and NAME_PASSWORD of a further worker
                              of the users of the topology; without one, an existing user
                              keeps its password, and a missing one is skipped

Lines: + create, ~ change, - remove, ! refused, = kept as it is

Exit code: 0 all is as wanted, or was applied; ${CHANGES_PENDING} plan: changes are pending, remove: --yes is missing;
1 refused or failed`;

type Env = Readonly<Record<string, string | undefined>>;
type Output = Pick<Console, 'log' | 'error'>;

if (import.meta.main) process.exitCode = await run(process.argv.slice(2), process.env, console);

/** @returns the exit code */
export async function run(args: readonly string[], env: Env, output: Output): Promise<number> {
  try {
    return await main(args, env, output);
  } catch (error) {
    const { message, reasons } = error as Error & Partial<TopologyRefusedError>;
    output.error(reasons ? ['nothing was applied:', ...reasons.map((reason) => `! ${reason}`)].join('\n') : message);
    return 1;
  }
}

async function main(args: readonly string[], env: Env, output: Output): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      url: { type: 'string', default: env.RABBITMQ_MANAGEMENT_URL ?? '' },
      vhost: { type: 'string', default: VHOST },
      'shard-count': { type: 'string', default: String(SHARDS.count.default) },
      'shards-per-task': { type: 'string', default: String(SHARDS.perTask.default) },
      'connection-limit': { type: 'string' },
      settings: { type: 'string', default: '{}' },
      'ingestor-user': { type: 'string', default: USERS.ingestor },
      'worker-user': { type: 'string', default: USERS.worker },
      'dead-letters-user': { type: 'string', default: USERS.deadLetters },
      yes: { type: 'boolean', default: false },
      'ca-file': { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    output.log(HELP);
    return 0;
  }
  const [command, ...more] = positionals;
  const removal = command === 'remove' ? removable(more) : undefined;
  if (!removal && ((command !== 'plan' && command !== 'apply') || more.length > 0))
    throw new Error(`expected plan, apply or remove, got '${positionals.join(' ')}'. More: npm run topology -- --help`);
  const shards = {
    count: wholeNumber('shard-count', values['shard-count'], SHARDS.count.most),
    perTask: wholeNumber('shards-per-task', values['shards-per-task'], SHARDS.perTask.most),
  };
  if (groupsOf(shards) > MAX_SHARD_GROUPS)
    throw new Error(
      `--shards-per-task: expected at most ${MAX_SHARD_GROUPS} groups, got ${groupsOf(shards)}. Raise it to at least ${Math.ceil(shards.count / MAX_SHARD_GROUPS)}`,
    );
  const limit = values['connection-limit'];
  const connectionLimit = limit === undefined ? undefined : wholeNumber('connection-limit', limit, 1_000_000);
  const { url, vhost } = values;
  const caFile = values['ca-file'];
  const api = new ManagementApi({ ...access(url, env), ...(caFile !== undefined && { ca: authority(caFile) }) });
  const further = settingsOf(values.settings);
  const parts = Object.entries(PARTS).map(([part, { option, variable }]) => ({ part, name: values[option], variable }));
  const workers = Object.keys(further.workers).map((name) => ({ name, variable: `${name.toUpperCase()}_PASSWORD` }));
  const variables = new Map([...parts, ...workers].map(({ name, variable }) => [name, variable]));
  const given = [...variables].flatMap(([name, variable]) => (env[variable] ? [[name, env[variable]]] : []));
  const passwords = Object.fromEntries(given);
  const userNames = Object.fromEntries(parts.map(({ part, name }) => [part, name]));
  const wanted = discordTopology({ vhost, shards, userNames, ...further, ...(connectionLimit && { connectionLimit }) });
  const print = (version: string, plan: Plan) => {
    const { unwanted: _, withoutPassword, ...rest } = plan;
    const skipped = withoutPassword.map((one) => `${withoutPasswordSentence(one)} (${variables.get(one.user)})`);
    const kept = keptSentences(plan, { vhost, url });
    const outcome: Outcome = { version, vhost, ...rest, kept, notes: [...skipped, ...plan.notes] };
    output.log(values.json ? JSON.stringify(outcome, null, 2) : linesOf(outcome).join('\n'));
  };
  try {
    if (removal) return await removeByHand(api, wanted, removal, values.yes, output);
    if (command === 'plan') {
      const { found, plan } = await planTopology(api, wanted, passwords);
      print(found.version, plan);
      if (plan.refusals.length > 0) return 1;
      return plan.steps.length > 0 ? CHANGES_PENDING : 0;
    }
    const { version, ...report } = await applyTopology(api, wanted, { passwords });
    print(version, { ...report, refusals: [] });
    return 0;
  } finally {
    api.close();
  }
}

function wholeNumber(option: string, text: string, most: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new Error(`--${option}: expected 1 to ${most}, got '${text}'`);
}

/** @throws Error with one line */
function settingsOf(json: string): ReturnType<typeof topologySettings> {
  try {
    return topologySettings(json);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new Error(`--settings: ${error.faults.join('; ')}`, { cause: error });
  }
}

function removable([type, name, ...more]: readonly string[]): Unwanted {
  const known = removableTypes.find((some) => some === type);
  if (known && name && more.length === 0) return { type: known, name };
  throw new Error(
    `remove: expected ${removableTypes.join(', ')} and one name, got '${[type, name, ...more].join(' ')}'`,
  );
}

async function removeByHand(
  api: ManagementApi,
  wanted: Topology,
  what: Unwanted,
  yes: boolean,
  output: Output,
): Promise<number> {
  const lines = await held(api, wanted, what);
  output.log([`${what.type} ${what.name}, vhost ${wanted.vhost}`, ...lines.map((line) => `  ${line}`)].join('\n'));
  if (!yes) {
    output.log('nothing was removed: the same command with --yes removes it, with all of this');
    return CHANGES_PENDING;
  }
  await remove(api, wanted.vhost, what);
  output.log(`- ${what.type} ${what.name}`);
  return 0;
}

/** @throws Error with one sentence. The address is not quoted: there is a password in it */
function access(url: string, env: Env): { url: string; username: string; password: string } {
  if (url === '')
    throw new Error('expected the address of the management API: give --url, or set RABBITMQ_MANAGEMENT_URL');
  if (!URL.canParse(url)) throw new Error('--url: expected an address such as http://user:password@host:15672');
  const login = new URL(url);
  const username = env.RABBITMQ_ADMIN_USERNAME || decoded(login.username);
  const password = env.RABBITMQ_ADMIN_PASSWORD || decoded(login.password);
  if (username === '' || password === '')
    throw new Error(
      'expected the login of an administrator: in the address (http://user:password@host:15672), or set RABBITMQ_ADMIN_USERNAME and RABBITMQ_ADMIN_PASSWORD',
    );
  return { url, username, password };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Error(
      "--url: expected special characters of user and password percent-encoded, got a '%' without two hexadecimal digits after it",
    );
  }
}

function authority(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`--ca-file: cannot read ${file}`, { cause: error });
  }
}

/** As `--json` prints it: what was not wanted, and whom no password was given for, in sentences. */
interface Outcome extends Omit<Plan, 'unwanted' | 'withoutPassword'> {
  readonly version: string;
  readonly vhost: string;
}

function linesOf({ version, vhost, steps, refusals, kept, notes }: Outcome): string[] {
  const count = (kind: keyof typeof MARKS): number => steps.filter((step) => step.kind === kind).length;
  return [
    `RabbitMQ ${version}, vhost ${vhost}`,
    ...steps.flatMap(({ kind, what, details }) => [
      `${MARKS[kind]} ${what}`,
      ...details.map((detail) => `    ${detail}`),
    ]),
    ...refusals.map((refusal) => `! ${refusal}`),
    ...[...kept, ...notes].map((sentence) => `= ${sentence}`),
    `create ${count('create')}, change ${count('change')}, remove ${count('remove')}, refused ${refusals.length}`,
  ];
}
