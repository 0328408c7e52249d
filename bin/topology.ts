// The topology on the command line: what would change at a broker, and the change. The same code as in the deploy.
// Nothing is removed: only CloudFormation remembers what the topology was before.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ManagementApi } from '../lib/management/management-api.ts';
import { applyTopology, planTopology, TopologyRefusedError } from '../lib/topology/apply.ts';
import type { Step } from '../lib/topology/plan.ts';
import { discordTopology } from '../lib/topology/topology.ts';
import { USERS, VHOST } from '../service/contract.ts';

/** Where the passwords of the topology's users come from. */
const PASSWORD_VARIABLES = { ingestor: 'INGESTOR_PASSWORD', worker: 'WORKER_PASSWORD' } as const;
const PARTS = ['ingestor', 'worker'] as const;
type UserNames = Readonly<Record<(typeof PARTS)[number], string>>;

const MAX_SHARD_GROUPS = 4_096;
const CHANGES_PENDING = 2;
const MARKS = { create: '+', change: '~', remove: '-' } as const;

const HELP = `Usage: npm run topology -- plan|apply [options]

  plan   says what would change at the broker, and changes nothing
  apply  changes it; nothing at all where something is refused

  --url ADDRESS      management API: http://user:password@host:15672, https://host on Amazon MQ
  --vhost NAME       default: ${VHOST}
  --shard-groups N   one lease queue for each; default: 1
  --ingestor-user NAME, --worker-user NAME
                     default: ${USERS.ingestor}, ${USERS.worker}; users belong to the whole broker,
                     so that a second topology there needs others
  --ca-file FILE     a further certificate authority (PEM)
  --json             one JSON object instead of lines
  --help

Environment, which a list of processes does not show:
  RABBITMQ_MANAGEMENT_URL     instead of --url
  RABBITMQ_ADMIN_USERNAME, RABBITMQ_ADMIN_PASSWORD
                              instead of the login in the address
  ${Object.values(PASSWORD_VARIABLES).join(', ')}
                              of the users of the topology; without one, a user that is there
                              keeps its password, and one that is not there is left out

Lines: + create, ~ change, ! refused, = kept as it is

Exit code: 0 all is as it should be, or was applied; ${CHANGES_PENDING} plan: changes are pending; 1 refused or failed`;

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
      'ingestor-user': { type: 'string', default: USERS.ingestor },
      'worker-user': { type: 'string', default: USERS.worker },
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
  if ((command !== 'plan' && command !== 'apply') || more.length > 0)
    throw new Error(`expected plan or apply, got '${positionals.join(' ')}'. More: npm run topology -- --help`);
  const shardGroups = Number(values['shard-groups']);
  if (!Number.isInteger(shardGroups) || shardGroups < 1 || shardGroups > MAX_SHARD_GROUPS)
    throw new Error(`--shard-groups: expected 1 to ${MAX_SHARD_GROUPS}, got '${values['shard-groups']}'`);

  const api = new ManagementApi({ ...login(values.url), ...authority(values['ca-file']) });
  const userNames = { ingestor: values['ingestor-user'], worker: values['worker-user'] };
  const wanted = discordTopology({ vhost: values.vhost, shardGroups, userNames });
  const passwords = passwordsFromEnvironment(userNames);
  try {
    if (command === 'plan') {
      const { version, plan } = await planTopology(api, wanted, { passwords });
      print(values.json, withVariables({ version, vhost: values.vhost, ...plan }, userNames));
      if (plan.refusals.length > 0) return 1;
      return plan.steps.length > 0 ? CHANGES_PENDING : 0;
    }
    const report = await applyTopology(api, wanted, { passwords });
    print(values.json, withVariables({ vhost: values.vhost, refusals: [], ...report }, userNames));
    return 0;
  } finally {
    api.close();
  }
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
    PARTS.map((part) => [userNames[part], process.env[PASSWORD_VARIABLES[part]] ?? '']).filter(
      ([, password]) => password !== '',
    ),
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
function withVariables(outcome: Outcome, userNames: UserNames): Outcome {
  const notes = outcome.notes.map((note) => {
    const part = PARTS.find((some) => note.startsWith(`user ${userNames[some]} `));
    return part === undefined ? note : `${note} (${PASSWORD_VARIABLES[part]})`;
  });
  return { ...outcome, notes };
}
