// `npm run deploy -- -c environment=staging [-c settings=…] [what cdk deploy takes]`: synthesizes, asks CloudFormation what
// is deployed under these names, refuses by sentences what must not or cannot become of it (lib/deployed-stacks.ts), and
// only then lets `cdk deploy` work on just what was checked. At the first deployment it makes the instance: the name of
// this bot's deployment, which stands in cdk.context.json from then on. Exits with the code of `cdk deploy`, or 1.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand, GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import { DescribeAvailabilityZonesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { deploymentFaults, type FoundStack, isThere, type Place, type Wanted } from '../lib/deployed-stacks.ts';
import { ENVIRONMENTS, type Settings, settingsFor } from '../lib/settings.ts';
import { DEPLOYED_TEMPLATE, METADATA_KEY, stackNames } from '../lib/stack-identity.ts';

const CDK = join(import.meta.dirname, '../node_modules/aws-cdk/bin/cdk');
/** Of the CDK: it is read from the folder of cdk.json, where the CLI is called. */
const CONTEXT_FILE = 'cdk.context.json';

const { context, others } = split(process.argv.slice(2));
const folder = mkdtempSync(join(tmpdir(), 'discord-ingestor-'));
try {
  process.exitCode = await deploy(folder);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function deploy(assembly: string): Promise<number> {
  const code = await synth(assembly);
  if (code !== 0) return code;
  const { settings, instance } = wanted(assembly);
  const { stacks, place } = await found(settings);
  const faults = deploymentFaults(stacks, { settings, instance }, place);
  if (faults.length > 0) {
    throw new Error(
      `${settings.environment} cannot be deployed over what is there:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
  }
  if (instance === undefined) {
    makeInstance();
    await synth(assembly);
  }
  const names = Object.values(stackNames(settings.environment));
  const chosen = others.some((other) => names.includes(other) || other.includes('*') || other === '--all');
  const all = chosen ? [] : ['--all'];
  return await cdk('inherit', 'deploy', '--app', assembly, ...all, ...others);
}

/** What the CLI is to do with the context, and what `cdk deploy` is to get. */
function split(args: readonly string[]): { context: string[]; others: string[] } {
  const context: string[] = [];
  const others: string[] = [];
  const left = [...args];
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    if (arg === '-c' || arg === '--context') context.push(left.shift() ?? '');
    else if (arg.startsWith('--context=')) context.push(arg.slice('--context='.length));
    else others.push(arg);
    // The same login for what is asked here.
    if (arg === '--profile' && left[0] !== undefined) process.env.AWS_PROFILE = left[0];
    if (arg.startsWith('--profile=')) process.env.AWS_PROFILE = arg.slice('--profile='.length);
  }
  return { context, others };
}

function synth(assembly: string): Promise<number> {
  // With --ci the CLI keeps stderr for what is wrong.
  return cdk('ignore', 'synth', '--quiet', '--ci', '--output', assembly, ...context.flatMap((pair) => ['-c', pair]));
}

/** What was synthesized says so itself, wherever the context came from. */
function wanted(assembly: string): Wanted {
  const json = (name: string): unknown => JSON.parse(readFileSync(join(assembly, name), 'utf8'));
  for (const environment of ENVIRONMENTS) {
    const template = `${stackNames(environment).broker}.template.json`;
    if (!existsSync(join(assembly, template))) continue;
    const { settings, instance } = DEPLOYED_TEMPLATE.parse(json(template)).Metadata[METADATA_KEY];
    return { settings: settingsFor(environment, settings), instance: instance ?? undefined };
  }
  throw new Error(`expected the stacks of ${ENVIRONMENTS.join(' or ')}, got none. Is "app" in cdk.json bin/app.ts?`);
}

async function found(settings: Settings): Promise<{ stacks: FoundStack[]; place: Place }> {
  const region = settings.region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION;
  const where = region === undefined ? {} : { region };
  const client = new CloudFormationClient(where);
  const identity = new STSClient(where);
  const network = new EC2Client(where);
  try {
    // The CLI is to look where this looks.
    process.env.AWS_REGION = await client.config.region();
    const stacks: FoundStack[] = [];
    for (const name of Object.values(stackNames(settings.environment))) {
      const stack = await describe(client, name);
      if (stack) stacks.push(stack);
    }
    const { Account: account } = await identity.send(new GetCallerIdentityCommand({}));
    // Who may not ask for the zones deploys without this check.
    const { AvailabilityZones } = await network
      .send(new DescribeAvailabilityZonesCommand({ Filters: [{ Name: 'zone-type', Values: ['availability-zone'] }] }))
      .catch(() => ({ AvailabilityZones: undefined }));
    return { stacks, place: { account, zones: AvailabilityZones?.flatMap(({ ZoneName }) => ZoneName ?? []) } };
  } catch (error) {
    const problem = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new Error(
      `expected to read the deployed stacks from CloudFormation (DescribeStacks, GetTemplate), got ${problem}. Log in to AWS, and set AWS_REGION or the setting region`,
      { cause: error },
    );
  } finally {
    for (const each of [client, identity, network]) each.destroy();
  }
}

async function describe(client: CloudFormationClient, name: string): Promise<FoundStack | undefined> {
  const described = await client.send(new DescribeStacksCommand({ StackName: name })).catch((error: unknown) => {
    // CloudFormation knows no other way to say it.
    if (error instanceof Error && error.name === 'ValidationError' && error.message.includes('does not exist')) return;
    throw error;
  });
  const stack = described?.Stacks?.[0];
  if (!stack) return undefined;
  const { StackId: arn = '', StackStatus: status = '', Tags = [], EnableTerminationProtection = false } = stack;
  let template: unknown;
  if (isThere(status)) {
    const { TemplateBody } = await client.send(new GetTemplateCommand({ StackName: name, TemplateStage: 'Original' }));
    template = parsed(TemplateBody);
  }
  const tags = Object.fromEntries(Tags.map(({ Key = '', Value = '' }) => [Key, Value]));
  return { name, arn, status, tags, terminationProtection: EnableTerminationProtection, template };
}

/** Somebody else's template may be YAML: then it is none of ours, and its tags say so. */
function parsed(body: string | undefined): unknown {
  try {
    return JSON.parse(body ?? '');
  } catch {
    return undefined;
  }
}

function contextFile(): Record<string, unknown> {
  if (!existsSync(CONTEXT_FILE)) return {};
  return JSON.parse(readFileSync(CONTEXT_FILE, 'utf8'));
}

function makeInstance(): void {
  if (process.env.CI) {
    throw new Error(
      `instance: expected one in ${CONTEXT_FILE}, got none, and what is made here would be lost with this machine. Commit {"instance": "<a name of your own>"}, or deploy for the first time from a machine of yours`,
    );
  }
  const instance = `bot-${randomBytes(4).toString('hex')}`;
  writeFileSync(CONTEXT_FILE, `${JSON.stringify({ ...contextFile(), instance }, null, 2)}\n`);
  console.error(`This bot's deployment is now instance ${instance}, written to ${CONTEXT_FILE}: commit it`);
}

async function cdk(stdout: 'inherit' | 'ignore', ...args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [CDK, ...args], { stdio: ['inherit', stdout, 'inherit'] });
  // The terminal interrupts both, and this one waits for what the CLI does about it; SIGTERM reaches only this one.
  const wait = () => {};
  const pass = () => void child.kill('SIGTERM');
  process.on('SIGINT', wait).on('SIGTERM', pass);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    process.off('SIGINT', wait).off('SIGTERM', pass);
  }
}
