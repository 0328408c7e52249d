// The topology on the command line: what would change at a broker, and the change. The same code as in the deploy, and
// the same record on the broker, so that it removes what the deploy would. Queues, exchanges and users are removed only
// here, one at a time, after a look at what they hold.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ManagementApi } from '../lib/management/management-api.ts';
import { applyTopology, planTopology, TopologyRefusedError } from '../lib/topology/apply.ts';
import type { Plan, Unwanted } from '../lib/topology/plan.ts';
import { held, removableTypes, remove } from '../lib/topology/removal.ts';
import { keptSentences, withoutPasswordSentence } from '../lib/topology/sentences.ts';
import type { Step } from '../lib/topology/steps.ts';
import { discordTopology, type Topology } from '../lib/topology/topology.ts';
import { USERS, VHOST } from '../service/contract/names.ts';

/** By part of the product: the option with its user's name, and the variable with its password. */
const PARTS = {
  ingestor: { option: 'ingestor-user', variable: 'INGESTOR_PASSWORD' },
  worker: { option: 'worker-user', variable: 'WORKER_PASSWORD' },
  deadLetters: { option: 'dead-letters-user', variable: 'DEAD_LETTERS_PASSWORD' },
} as const satisfies Record<keyof typeof USERS, { option: string; variable: string }>;
const parts = Object.keys(PARTS) as (keyof typeof PARTS)[];
type UserNames = Readonly<Record<keyof typeof PARTS, string>>;

const MAX_SHARD_GROUPS = 4_096;
const CHANGES_PENDING = 2;
const MARKS = { create: '+', change: '~', remove: '-' } as const;

const HELP = `Usage: npm run topology -- plan|apply [options]
       npm run topology -- remove queue|exchange|user NAME [--yes] [options]

  plan   reports what would change at the broker, and changes nothing
  apply  changes it; nothing at all where something is refused. Bindings, policies and permissions that
         were applied, are as they were applied, and are not wanted any more, are removed
  remove reports what one thing holds that is not of this topology; with --yes removes it, with all of that

  --url ADDRESS      management API: http://user:password@host:15672, https://host on Amazon MQ
  --vhost NAME       default: ${VHOST}
  --shard-groups N   one lease queue for each; default: 1
  --connection-limit N
                     connections that a node of the broker allows: the limits of the users follow from it;
                     default: limits are left as they are
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
    .join(', ')}
                              of the users of the topology; without one, a user that is there
                              keeps its password, and one that is not there is left out

Lines: + create, ~ change, - remove, ! refused, = kept as it is

Exit code: 0 all is as it should be, or was applied; ${CHANGES_PENDING} plan: changes are pending, remove: --yes is missing;
1 refused or failed`;

process.exitCode = await main().catch((error: unknown) => {
  const reasons = error instanceof TopologyRefusedError ? error.reasons : undefined;
  if (reasons === undefined) console.error(error instanceof Error ? error.message : String(error));
  else console.error(['nothing was applied:', ...reasons.map((reason) => `! ${reason}`)].join('\n'));
  return 1;
});

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      vhost: { type: 'string', default: VHOST },
      'shard-groups': { type: 'string', default: '1' },
      'connection-limit': { type: 'string' },
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
    console.log(HELP);
    return 0;
  }
  const [command, ...more] = positionals;
  const removal = command === 'remove' ? removable(more) : undefined;
  if (!removal && ((command !== 'plan' && command !== 'apply') || more.length > 0))
    throw new Error(`expected plan, apply or remove, got '${positionals.join(' ')}'. More: npm run topology -- --help`);
  const shardGroups = whole('shard-groups', values['shard-groups'], MAX_SHARD_GROUPS);
  const limit = values['connection-limit'];
  const connectionLimit = limit === undefined ? undefined : whole('connection-limit', limit, 1_000_000);

  const { url, ...administrator } = login(values.url);
  const api = new ManagementApi({ url, ...administrator, ...authority(values['ca-file']) });
  const userNames: UserNames = {
    ingestor: values['ingestor-user'],
    worker: values['worker-user'],
    deadLetters: values['dead-letters-user'],
  };
  const { vhost } = values;
  const wanted = discordTopology({ vhost, shardGroups, userNames, ...(connectionLimit && { connectionLimit }) });
  const passwords = passwordsFromEnvironment(userNames);
  try {
    if (removal) return await removeByHand(api, wanted, removal, values.yes);
    if (command === 'plan') {
      const { version, plan } = await planTopology(api, wanted, { passwords });
      print(values.json, outcomeOf({ version, vhost, url, userNames }, plan));
      if (plan.refusals.length > 0) return 1;
      return plan.steps.length > 0 ? CHANGES_PENDING : 0;
    }
    const { version, ...report } = await applyTopology(api, wanted, { passwords });
    print(values.json, outcomeOf({ version, vhost, url, userNames }, { ...report, refusals: [] }));
    return 0;
  } finally {
    api.close();
  }
}

function whole(option: string, text: string, most: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new Error(`--${option}: expected 1 to ${most}, got '${text}'`);
}

function removable([type, name, ...more]: readonly string[]): Unwanted {
  const known = removableTypes.find((some) => some === type);
  if (known && name && more.length === 0) return { type: known, name };
  throw new Error(
    `remove: expected ${removableTypes.join(', ')} and one name, got '${[type, name, ...more].join(' ')}'`,
  );
}

async function removeByHand(api: ManagementApi, wanted: Topology, what: Unwanted, yes: boolean): Promise<number> {
  const lines = await held(api, wanted, what);
  console.log([`${what.type} ${what.name}, vhost ${wanted.vhost}`, ...lines.map((line) => `  ${line}`)].join('\n'));
  if (!yes) {
    console.log('nothing was removed: the same command with --yes removes it, with all of this');
    return CHANGES_PENDING;
  }
  await remove(api, wanted.vhost, what);
  console.log(`- ${what.type} ${what.name}`);
  return 0;
}

function login(option: string | undefined): { url: string; username: string; password: string } {
  const text = option ?? process.env.RABBITMQ_MANAGEMENT_URL;
  if (text === undefined || text === '')
    throw new Error('expected the address of the management API: give --url, or set RABBITMQ_MANAGEMENT_URL');
  // Not quoted: there is a password in it.
  if (!URL.canParse(text)) throw new Error('--url: expected an address such as http://user:password@host:15672');
  const url = new URL(text);
  const username = process.env.RABBITMQ_ADMIN_USERNAME || decoded(url.username);
  const password = process.env.RABBITMQ_ADMIN_PASSWORD || decoded(url.password);
  if (username === '' || password === '')
    throw new Error(
      'expected the login of an administrator: in the address (http://user:password@host:15672), or set RABBITMQ_ADMIN_USERNAME and RABBITMQ_ADMIN_PASSWORD',
    );
  return { url: text, username, password };
}

/** Not quoted: there is a password in it. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Error(
      "--url: expected special characters of user and password percent-encoded, got a '%' without two hexadecimal digits behind it",
    );
  }
}

function authority(file: string | undefined): { ca?: string } {
  if (file === undefined) return {};
  try {
    return { ca: readFileSync(file, 'utf8') };
  } catch (error) {
    throw new Error(`--ca-file: cannot read ${file}`, { cause: error });
  }
}

function passwordsFromEnvironment(userNames: UserNames): Record<string, string> {
  return Object.fromEntries(
    parts
      .map((part) => [userNames[part], process.env[PARTS[part].variable] ?? ''])
      .filter(([, password]) => password !== ''),
  );
}

interface Outcome {
  readonly version: string;
  readonly vhost: string;
  readonly steps: readonly Step[];
  readonly refusals: readonly string[];
  readonly kept: readonly string[];
  readonly leftAlone: readonly string[];
  readonly notes: readonly string[];
}

function print(json: boolean, outcome: Outcome): void {
  if (json) {
    console.log(JSON.stringify(outcome, null, 2));
    return;
  }
  const { version, vhost, steps, refusals, kept, leftAlone, notes } = outcome;
  const count = (kind: Step['kind']): number => steps.filter((step) => step.kind === kind).length;
  const lines = [
    `RabbitMQ ${version}, vhost ${vhost}`,
    ...steps.flatMap(({ kind, what, details }) => [
      `${MARKS[kind]} ${what}`,
      ...details.map((detail) => `    ${detail}`),
    ]),
    ...refusals.map((refusal) => `! ${refusal}`),
    ...kept.map((reason) => `= ${reason}`),
    ...leftAlone.map((name) => `= ${name}: not of this topology`),
    ...notes.map((note) => `= ${note}`),
    `create ${count('create')}, change ${count('change')}, remove ${count('remove')}, refused ${refusals.length}`,
  ];
  console.log(lines.join('\n'));
}

/** The library knows of no environment, so that it cannot say where a password would come from. */
function outcomeOf(
  at: { readonly version: string; readonly vhost: string; readonly url: string; readonly userNames: UserNames },
  plan: Plan,
): Outcome {
  const variableOf = (user: string) =>
    parts.flatMap((part) => (at.userNames[part] === user ? PARTS[part].variable : []));
  const { steps, refusals, leftAlone, withoutPassword, notes } = plan;
  return {
    ...{ version: at.version, vhost: at.vhost, steps, refusals, leftAlone },
    kept: keptSentences(plan, at),
    notes: [
      ...withoutPassword.map((some) => `${withoutPasswordSentence(some)} (${variableOf(some.user).join()})`),
      ...notes,
    ],
  };
}
