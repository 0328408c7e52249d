// `npm run deploy` as an operator calls it, with the real CLI, against a fake CloudFormation over HTTP: a refused deployment does
// not reach `cdk deploy`, and an accepted one is passed on with all its flags. The application is ours where the context
// matters; elsewhere one that copies what was synthesized once.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Choices, choicesOf, type Environment, settingsFor } from '../../lib/settings.ts';
import { synthesized } from '../support/synthesized.ts';
import { type CloudFormation, type DeployedStack, startCloudFormation, THREE_ZONES } from './cloudformation.ts';

const ROOT = join(import.meta.dirname, '../..');
const tags = { Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' };

let aws: CloudFormation;
/** Where the command is called: the folder of a checkout, and one for temporary files. */
let folder: string;
let scratch: string;
/** By environment. */
const assemblies = new Map<Environment, string>();

beforeAll(async () => {
  aws = await startCloudFormation();
  for (const environment of ['staging', 'production'] as const)
    assemblies.set(environment, synthesized(environment).folder);
}, 600_000);
afterAll(() => aws.stop());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ingestor-checkout-'));
  scratch = mkdtempSync(join(tmpdir(), 'ingestor-scratch-'));
  const handOut = join(folder, 'hand-out.mjs');
  writeFileSync(handOut, HAND_OUT);
  application(handOut);
});
afterEach(() => {
  for (const each of [folder, scratch]) rmSync(each, { recursive: true, force: true });
  aws.stacks.clear();
  aws.asked.length = 0;
  aws.refusal = undefined;
  aws.zones = THREE_ZONES;
});

/** What the checkout's cdk.json runs. */
function application(file: string): void {
  const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8'));
  writeFileSync(join(folder, 'cdk.json'), JSON.stringify({ app: `${process.execPath} ${file}`, context }));
}
const ourApplication = () => application(join(ROOT, 'bin/app.ts'));

/** Copies the assembly of the environment, sets the instance, and notes both, a line each time. */
const HAND_OUT = `
  import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
  const { environment, instance } = JSON.parse(process.env.CDK_CONTEXT_JSON);
  appendFileSync(import.meta.dirname + '/asked.txt', environment + ' ' + instance + '\\n');
  const folder = process.env.CDK_OUTDIR;
  cpSync(JSON.parse(process.env.ASSEMBLIES)[environment], folder, { recursive: true });
  for (const stack of ['broker', 'service']) {
    const file = folder + '/discord-ingestor-' + environment + '-' + stack + '.template.json';
    const template = JSON.parse(readFileSync(file, 'utf8'));
    template.Metadata.DiscordIngestor.instance = instance ?? null;
    writeFileSync(file, JSON.stringify(template));
  }
`;
/** Environment and instance of each synthesis. */
const synths = () => readFileSync(join(folder, 'asked.txt'), 'utf8').trim().split('\n');

const contextFile = () => join(folder, 'cdk.context.json');
const checkoutOf = (instance: string) => writeFileSync(contextFile(), JSON.stringify({ instance, other: 1 }));

function deployed(environment: Environment = 'staging', choices: Choices = {}): DeployedStack {
  const settings = choicesOf(settingsFor(environment, choices));
  return {
    status: 'UPDATE_COMPLETE',
    tags,
    template: { Metadata: { DiscordIngestor: { instance: 'bot-1', settings } } },
  };
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function deploy(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const environment = {
    PATH: process.env.PATH,
    HOME: scratch,
    TMPDIR: scratch,
    AWS_ENDPOINT_URL: aws.url,
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'none',
    AWS_REGION: 'eu-central-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    CDK_DISABLE_CLI_TELEMETRY: 'true',
    ASSEMBLIES: JSON.stringify(Object.fromEntries(assemblies)),
    ...env,
  };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(ROOT, 'bin/deploy.ts'), ...args],
      { cwd: folder, env: environment },
      (error, stdout, stderr) =>
        resolve({
          code: error === null ? 0 : Number(error.code),
          stdout,
          stderr: stderr.replaceAll(/^Bundling .*\n/gm, ''),
        }),
    );
  });
}

/** `cdk deploy --help` needs no AWS. */
const HELP = /cdk deploy \[STACKS\.\.\]/;
const staging = ['-c', 'environment=staging'];

describe('refused before anything is created', { timeout: 600_000 }, () => {
  it('each reason by a sentence: the state of the stacks, their settings', async () => {
    checkoutOf('bot-1');
    const broken = { ...deployed('staging', { broker: { engineVersion: '4.4' } }), status: 'UPDATE_ROLLBACK_FAILED' };
    aws.stacks.set('discord-ingestor-staging-broker', broken);
    const { code, stdout, stderr } = await deploy([...staging, '--help']);
    expect(stderr).toMatch(
      /^staging cannot be deployed over the existing stacks:\n {2}- discord-ingestor-staging-broker is UPDATE_ROLLBACK_FAILED: .*\n {2}- broker\.engineVersion: deployed with 4\.4, got 4\.3.*\n$/,
    );
    // No output of `cdk deploy`, and no call but those that read.
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(aws.asked.filter((action) => action !== 'GetCallerIdentity')).toEqual([
      'DescribeStacks',
      'GetTemplate',
      'DescribeStacks',
      'DescribeAvailabilityZones',
    ]);
    expect(readdirSync(scratch).filter((name) => name.startsWith('discord-ingestor-'))).toEqual([]);
  });

  it('the instance of cdk.json counts like that of cdk.context.json: the stacks would get it', async () => {
    checkoutOf('bot-1');
    const file = join(folder, 'cdk.json');
    const { app, context } = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ app, context: { ...context, instance: 'bot-2' } }));
    aws.stacks.set('discord-ingestor-staging-broker', deployed());
    const { code, stderr } = await deploy([...staging, '--help']);
    expect(stderr).toMatch(/deployed as instance bot-1, and this checkout is instance bot-2/);
    expect(code).toBe(1);
  });

  it('a checkout without an instance, where something is deployed: none is made', async () => {
    aws.stacks.set('discord-ingestor-staging-broker', deployed());
    const { code, stderr } = await deploy([...staging, '--help']);
    expect(stderr).toMatch(
      /this checkout has no instance\. If it is the same bot, write "instance": "bot-1" into cdk\.context\.json/,
    );
    expect(code).toBe(1);
    expect(existsSync(contextFile())).toBe(false);
  });

  it('a region that has fewer zones than are wanted', async () => {
    aws.zones = ['us-west-1a'];
    const { code, stdout, stderr } = await deploy([...staging, '--help']);
    expect(stderr).toMatch(
      / {2}- network\.zones: expected at most the 1 zones of this region \(us-west-1a\), got 2\. Set network\.zones/,
    );
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(existsSync(contextFile())).toBe(false);
  });

  it('a CloudFormation that does not answer', async () => {
    aws.refusal = 'AccessDenied';
    const { code, stderr } = await deploy(staging);
    expect(stderr).toMatch(
      /^expected to read the deployed stacks from CloudFormation \(DescribeStacks, GetTemplate\), got AccessDenied: not allowed\. Log in/m,
    );
    expect(code).toBe(1);
    expect(existsSync(contextFile())).toBe(false);
  });
});

describe('passed to cdk deploy', { timeout: 600_000 }, () => {
  it('an accepted change, with its flags', async () => {
    checkoutOf('bot-1');
    for (const stack of ['broker', 'service']) aws.stacks.set(`discord-ingestor-staging-${stack}`, deployed());
    const { code, stdout } = await deploy([...staging, '--help']);
    expect(stdout).toMatch(HELP);
    expect(code).toBe(0);
  });

  it('all stacks where none is named; the exit code is that of cdk deploy', async () => {
    ourApplication();
    checkoutOf('bot-1');
    const settings = '--context=settings={"shards":{"count":2}}';
    const { code, stderr } = await deploy([...staging, settings, '--require-approval', 'never']);
    const checked = aws.asked.lastIndexOf('DescribeStacks');
    // It begins, and fails because the fake does not know its calls.
    expect(aws.asked.length, stderr).toBeGreaterThan(checked + 1);
    expect(stderr).not.toMatch(/specify which stacks/i);
    expect(code).toBe(1);
  });

  it('the first deployment makes the instance, and asks to commit it', async () => {
    writeFileSync(contextFile(), JSON.stringify({ other: 1 }));
    const { code, stdout, stderr } = await deploy([...staging, '--help'], { CI: '' });
    const { instance, ...others } = JSON.parse(readFileSync(contextFile(), 'utf8'));
    expect(instance).toMatch(/^bot-[0-9a-f]{8}$/);
    expect(others).toEqual({ other: 1 });
    // The stacks are synthesized again, with it.
    expect(synths()).toEqual(['staging undefined', `staging ${instance}`]);
    expect(stderr).toContain(
      `This bot's deployment is now instance ${instance}, written to cdk.context.json: commit it`,
    );
    expect(stdout).toMatch(HELP);
    expect(code).toBe(0);
  });

  it('a CI machine makes no instance, which would be lost with it', async () => {
    const { code, stderr } = await deploy([...staging, '--help'], { CI: 'true' });
    expect(stderr).toMatch(/^instance: expected one in cdk\.context\.json, got none, and one made here would be lost/m);
    expect(code).toBe(1);
    expect(existsSync(contextFile())).toBe(false);
  });
});
