// `npm run deploy -- -c environment=staging [-c settings=…] [what cdk deploy takes]`: synthesizes, reads from CloudFormation
// what is deployed under these names, refuses with sentences what must not or cannot change (lib/deployed-stacks.ts), and
// only then runs `cdk deploy` on what was checked. The first deployment makes the instance: the name of this bot's
// deployment, written to cdk.context.json. Exits with the code of `cdk deploy`, or 1.
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CloudFormationClient, DescribeStacksCommand, GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import { DescribeAvailabilityZonesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { deploymentFaults, exists, type FoundStack, type Place, type Wanted } from '../lib/deployed-stacks.ts';
import { ENVIRONMENTS, type Settings, settingsFor } from '../lib/settings.ts';
import { DEPLOYED_TEMPLATE, METADATA_KEY, stackNames } from '../lib/stack-identity.ts';

const CDK = join(import.meta.dirname, '../node_modules/aws-cdk/bin/cdk');
const DOCKER_DEADLINE_MS = 30_000;
/** The CDK reads it from the folder of cdk.json, where the CLI is called. */
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
    const list = faults.map((fault) => `  - ${fault}`).join('\n');
    throw new Error(`${settings.environment} cannot be deployed over the existing stacks:\n${list}`);
  }
  const { broker, service } = stackNames(settings.environment);
  const everything = others.some((other) => other.includes('*') || other === '--all');
  const chosen = everything || others.includes(broker) || others.includes(service);
  if (everything || !chosen || others.includes(service)) await imageCanBeBuilt();
  if (instance === undefined) {
    makeInstance();
    await synth(assembly);
  }
  const all = chosen ? [] : ['--all'];
  return await cdk('inherit', 'deploy', '--app', assembly, ...all, ...others);
}

/** The context, which `cdk synth` gets, and the rest, which `cdk deploy` gets. */
function split(args: readonly string[]): { context: string[]; others: string[] } {
  const context: string[] = [];
  const others: string[] = [];
  const left = [...args];
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    if (arg === '-c' || arg === '--context') context.push(left.shift() ?? '');
    else if (arg.startsWith('--context=')) context.push(arg.slice('--context='.length));
    else others.push(arg);
    // The same login for the requests below.
    if (arg === '--profile' && left[0] !== undefined) process.env.AWS_PROFILE = left[0];
    if (arg.startsWith('--profile=')) process.env.AWS_PROFILE = arg.slice('--profile='.length);
  }
  return { context, others };
}

function synth(assembly: string): Promise<number> {
  // With --ci the CLI writes only errors to stderr.
  return cdk('ignore', 'synth', '--quiet', '--ci', '--output', assembly, ...context.flatMap((pair) => ['-c', pair]));
}

/** Read from what was synthesized, wherever the context came from. */
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
    // The CLI uses the same region.
    process.env.AWS_REGION = await client.config.region();
    const stacks: FoundStack[] = [];
    for (const name of Object.values(stackNames(settings.environment))) {
      const stack = await describe(client, name);
      if (stack) stacks.push(stack);
    }
    const { Account: account } = await identity.send(new GetCallerIdentityCommand({}));
    // Without the right to read the zones, this check is skipped.
    const filters = { Filters: [{ Name: 'zone-type', Values: ['availability-zone'] }] };
    const { AvailabilityZones } = await network
      .send(new DescribeAvailabilityZonesCommand(filters))
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
    // CloudFormation has no other code for it.
    if (error instanceof Error && error.name === 'ValidationError' && error.message.includes('does not exist')) return;
    throw error;
  });
  const stack = described?.Stacks?.[0];
  if (!stack) return undefined;
  const { StackId: arn = '', StackStatus: status = '', Tags = [], EnableTerminationProtection = false } = stack;
  let template: unknown;
  if (exists(status)) {
    const { TemplateBody } = await client.send(new GetTemplateCommand({ StackName: name, TemplateStage: 'Original' }));
    template = parsed(TemplateBody);
  }
  const tags = Object.fromEntries(Tags.map(({ Key = '', Value = '' }) => [Key, Value]));
  return { name, arn, status, tags, terminationProtection: EnableTerminationProtection, template };
}

/** A template that is YAML is not ours, and neither are its tags. */
function parsed(body: string | undefined): unknown {
  try {
    return JSON.parse(body ?? '');
  } catch {
    return undefined;
  }
}

/** Before anything is created: the CDK would find out when the broker's stack, a quarter of an hour, is done. */
async function imageCanBeBuilt(): Promise<void> {
  // The CDK's own variable.
  const docker = process.env.CDK_DOCKER ?? 'docker';
  try {
    await promisify(execFile)(docker, ['version'], { timeout: DOCKER_DEADLINE_MS });
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    const reason = stderr.trim().split('\n').at(-1) || message;
    throw new Error(
      `expected Docker, which builds the image of the service, got no answer of ${docker} version (${reason}). Install Docker and start it, or name a program like it in CDK_DOCKER`,
      { cause: error },
    );
  }
}

function makeInstance(): void {
  if (process.env.CI) {
    throw new Error(
      `instance: expected one in ${CONTEXT_FILE}, got none, and one made here would be lost with this machine. Commit {"instance": "<a name of your own>"}, or do the first deployment on your own machine`,
    );
  }
  const instance = `bot-${randomBytes(4).toString('hex')}`;
  const before: object = existsSync(CONTEXT_FILE) ? JSON.parse(readFileSync(CONTEXT_FILE, 'utf8')) : {};
  writeFileSync(CONTEXT_FILE, `${JSON.stringify({ ...before, instance }, null, 2)}\n`);
  console.error(`This bot's deployment is now instance ${instance}, written to ${CONTEXT_FILE}: commit it`);
}

async function cdk(stdout: 'inherit' | 'ignore', ...args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [CDK, ...args], { stdio: ['inherit', stdout, 'inherit'] });
  // The terminal sends SIGINT to both, and this process waits for the CLI's answer to it; SIGTERM reaches only this one.
  const wait = () => {};
  const pass = () => void child.kill('SIGTERM');
  process.on('SIGINT', wait).on('SIGTERM', pass);
  try {
    const [code] = await once(child, 'exit');
    return code ?? 1;
  } finally {
    process.off('SIGINT', wait).off('SIGTERM', pass);
  }
}
