// `npm run deploy` as an operator calls it, with the real CLI, against a fake CloudFormation over HTTP: a refused deployment does
// not call `cdk deploy`, and an accepted one passes all flags to it. To save time, the application copies an assembly that was
// synthesized once. The reasons to refuse: deployed-stacks.test.ts.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Choices, choicesOf, settingsFor } from '../../lib/settings.ts';
import { PROGRAM_ENVIRONMENT } from '../../local/program-environment.ts';
import { sentenceOf } from '../support/mistakes.ts';
import { synthesized } from '../support/synthesized.ts';
import { type CloudFormation, type DeployedStack, startCloudFormation } from './cloudformation.ts';

const ROOT = join(import.meta.dirname, '../..');

let aws: CloudFormation;
/** The checkout in which the command is called, and a folder for its temporary files. */
let folder: string;
let scratch: string;

beforeAll(async () => {
  aws = await startCloudFormation();
});
afterAll(() => aws.stop());
beforeEach(() => {
  aws.reset();
  folder = mkdtempSync(join(tmpdir(), 'ingestor-checkout-'));
  scratch = mkdtempSync(join(tmpdir(), 'ingestor-scratch-'));
  writeFileSync(join(folder, 'app.mjs'), APPLICATION);
  context({});
});
afterEach(() => {
  for (const each of [folder, scratch]) rmSync(each, { recursive: true, force: true });
});

/** Copies the assembly of staging, sets the instance, and appends a line with instance and settings to synths.txt. */
const APPLICATION = `
  import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
  const { instance, settings } = JSON.parse(process.env.CDK_CONTEXT_JSON);
  appendFileSync('synths.txt', instance + ' ' + settings + '\\n');
  cpSync(process.env.ASSEMBLY, process.env.CDK_OUTDIR, { recursive: true });
  for (const stack of ['broker', 'service']) {
    const file = process.env.CDK_OUTDIR + '/discord-ingestor-staging-' + stack + '.template.json';
    const template = JSON.parse(readFileSync(file, 'utf8'));
    template.Metadata.DiscordIngestor.instance = instance ?? null;
    writeFileSync(file, JSON.stringify(template));
  }
`;
/** The context of the checkout's cdk.json. */
function context(own: object): void {
  const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8'));
  const app = `${process.execPath} app.mjs`;
  writeFileSync(join(folder, 'cdk.json'), JSON.stringify({ app, context: { ...context, ...own } }));
}
const contextFile = () => join(folder, 'cdk.context.json');
const checkoutOf = (instance: string) => writeFileSync(contextFile(), JSON.stringify({ instance, other: 1 }));

/** A stack of the instance bot-1. */
function deployed(choices: Choices = {}, status = 'UPDATE_COMPLETE'): DeployedStack {
  const settings = choicesOf(settingsFor('staging', choices));
  const tags = { Application: 'discord-ingestor', Environment: 'staging', Instance: 'bot-1' };
  return { status, tags, template: { Metadata: { DiscordIngestor: { instance: 'bot-1', settings } } } };
}
const BROKER = 'discord-ingestor-staging-broker';

/** With `--help`, `cdk deploy` needs no AWS. */
async function deploy(args: readonly string[] = ['--help'], variables: Readonly<Record<string, string>> = {}) {
  const env = {
    ...{ ...PROGRAM_ENVIRONMENT, HOME: scratch, TMPDIR: scratch, ASSEMBLY: synthesized('staging').folder },
    ...{ AWS_ENDPOINT_URL: aws.url, AWS_REGION: 'eu-central-1', AWS_EC2_METADATA_DISABLED: 'true' },
    ...{
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'none',
      CDK_DISABLE_CLI_TELEMETRY: 'true',
      CDK_DOCKER: 'true',
    },
    ...variables,
  };
  const all = [join(ROOT, 'bin/deploy.ts'), '-c', 'environment=staging', ...args];
  return await new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, all, { cwd: folder, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

describe('refused before anything is created', { timeout: 600_000 }, () => {
  it.each<[reason: string, set: () => void, sentences: RegExp, variables?: Readonly<Record<string, string>>]>([
    [
      'by the state of the stacks, and by their settings',
      () => {
        checkoutOf('bot-1');
        aws.stacks.set(BROKER, deployed({ broker: { engineVersion: '4.4' } }, 'UPDATE_ROLLBACK_FAILED'));
      },
      /^staging cannot be deployed over the existing stacks:\n {2}- discord-ingestor-staging-broker is UPDATE_ROLLBACK_FAILED: .*\n {2}- broker\.engineVersion: deployed with 4\.4, got 4\.3.*$/,
    ],
    [
      'by the instance in cdk.json, which overrides that of cdk.context.json',
      () => {
        checkoutOf('bot-1');
        context({ instance: 'bot-2' });
        aws.stacks.set(BROKER, deployed());
      },
      /deployed as instance bot-1, and this checkout is instance bot-2/,
    ],
    [
      'by a region with too few zones',
      () => {
        aws.zones = ['us-west-1a'];
      },
      / {2}- network\.zones: expected at most the 1 zones of this region \(us-west-1a\), got 2/,
    ],
    [
      'when CloudFormation denies access',
      () => {
        aws.refusal = 'AccessDenied';
      },
      /^expected to read the deployed stacks from CloudFormation \(DescribeStacks, GetTemplate\), got AccessDenied: not allowed\. Log in/,
    ],
    [
      'without AWS credentials',
      () => undefined,
      sentenceOf('noAws'),
      { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' },
    ],
    [
      'without Docker',
      () => {
        checkoutOf('bot-1');
        aws.stacks.set(BROKER, deployed());
      },
      sentenceOf('noDocker'),
      { CDK_DOCKER: '/no/such/docker' },
    ],
  ])('%s', async (_, set, sentences, variables) => {
    set();
    const { code, stdout, stderr } = await deploy(['--help'], variables);
    expect(stderr.trimEnd()).toMatch(sentences);
    // `cdk deploy` did not run, and no call changed anything.
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(aws.actions.join()).not.toMatch(/Create|Execute|Update|Delete/);
    expect(readdirSync(scratch).filter((name) => name.startsWith('discord-ingestor-'))).toEqual([]);
  });

  it('on a CI machine without an instance: a new one would be lost with the machine', async () => {
    const { code, stderr } = await deploy(['--help'], { CI: 'true' });
    expect(stderr).toMatch(/^instance: expected one in cdk\.context\.json, got none, and one made here would be lost/m);
    expect(code).toBe(1);
    expect(existsSync(contextFile())).toBe(false);
  });
});

describe('passed to cdk deploy', { timeout: 600_000 }, () => {
  it('an accepted change, with settings and flags, for all stacks when none is named', async () => {
    checkoutOf('bot-1');
    for (const stack of ['broker', 'service']) aws.stacks.set(`discord-ingestor-staging-${stack}`, deployed());
    const { code, stderr } = await deploy(['--context=settings={"a":1}', '--require-approval', 'never']);
    expect(readFileSync(join(folder, 'synths.txt'), 'utf8')).toBe('bot-1 {"a":1}\n');
    // `cdk deploy` begins, and fails because the fake does not know its calls.
    expect(aws.actions.at(-1), stderr).not.toBe('DescribeAvailabilityZones');
    expect(stderr).not.toMatch(/specify which stacks/i);
    expect(code).toBe(1);
  });

  it('the broker stack alone, also without Docker', async () => {
    checkoutOf('bot-1');
    const { code, stderr } = await deploy([BROKER, '--help'], { CDK_DOCKER: '/no/such/docker' });
    expect([code, stderr]).toEqual([0, '']);
  });

  it('the first deployment, which creates the instance and asks to commit it', async () => {
    writeFileSync(contextFile(), JSON.stringify({ other: 1 }));
    const { code, stdout, stderr } = await deploy(['--help'], { CI: '' });
    const { instance, ...others } = JSON.parse(readFileSync(contextFile(), 'utf8'));
    expect(instance).toMatch(/^bot-[0-9a-f]{8}$/);
    expect(others).toEqual({ other: 1 });
    // The stacks are synthesized again with the instance.
    expect(readFileSync(join(folder, 'synths.txt'), 'utf8')).toBe(`undefined undefined\n${instance} undefined\n`);
    expect(stderr).toContain(`deployment is now instance ${instance}, written to cdk.context.json: commit it`);
    expect(stdout).toMatch(/cdk deploy \[STACKS\.\.\]/);
    expect(code).toBe(0);
  });
});
