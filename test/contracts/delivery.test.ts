// The delivery: by trust and not by keys, in the right order, and only onwards when healthy.
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { alarmName, UNHEALTHY } from '../../lib/monitoring.ts';

const ROOT = join(import.meta.dirname, '../..');
const workflow = readFileSync(join(ROOT, '.github/workflows/deploy.yml'), 'utf8');

describe('the workflow', () => {
  it('goes from check to diff to staging to production', () => {
    const needs = [...workflow.matchAll(/^ {2}(\w+):\n(?: {4}needs: (\w+)\n)?/gm)].map(
      ([, job, before]) => `${before ?? '-'} → ${job}`,
    );
    expect(needs.slice(needs.indexOf('- → check'))).toEqual([
      '- → check',
      'check → diff',
      'diff → staging',
      'staging → production',
    ]);
  });

  it('is trusted by OpenID Connect, and holds no key', () => {
    expect(workflow).toContain('id-token: write');
    expect(workflow).toMatch(/role-to-assume: .{3} vars\.AWS_DEPLOY_ROLE_ARN/);
    expect(workflow).not.toMatch(/secrets\.|aws-access-key|AKIA/i);
  });

  it('asks the environments, one deployment at a time, and cuts none off', () => {
    for (const environment of ['staging', 'production']) expect(workflow).toContain(`environment: ${environment}\n`);
    expect(workflow).toMatch(/concurrency:\n {2}group: deploy\n {2}cancel-in-progress: false/);
  });

  it('waits for health with a script that is there', () => {
    const [, script = ''] = /run: (\.github\/scripts\/\S+) "\$GITHUB_JOB"/.exec(workflow) ?? [];
    expect(readFileSync(join(ROOT, script), 'utf8')).toContain('describe-alarms');
  });
});

describe('waiting for health', () => {
  let folder: string;
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** With an `aws` that answers with these states, one after the other, and then stays with the last. */
  async function wait(states: readonly string[]) {
    folder = mkdtempSync(join(tmpdir(), 'healthy-'));
    const aws = join(folder, 'aws');
    writeFileSync(join(folder, 'states'), `${states.join('\n')}\n`);
    writeFileSync(
      aws,
      [
        '#!/bin/bash',
        `cd ${folder}; echo "$*" >> calls`,
        'case "$*" in',
        '  *"--alarm-types CompositeAlarm"*) head -1 states; [ $(wc -l < states) -gt 1 ] && sed -i 1d states; exit 0;;',
        '  *"--alarm-types MetricAlarm"*"--state-value ALARM"*) echo discord-ingestor-staging-shards-missing;;',
        '  *) echo "aws $*: not known" >&2; exit 2;;',
        'esac',
      ].join('\n'),
    );
    chmodSync(aws, 0o755);
    const env = {
      PATH: `${folder}:${process.env.PATH}`,
      QUIET_SECONDS: '1',
      PATIENCE_SECONDS: '4',
      PAUSE_SECONDS: '0.2',
    };
    const script = join(ROOT, '.github/scripts/wait-until-healthy.sh');
    const outcome = await promisify(execFile)(script, ['staging'], { env }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
    );
    return { ...outcome, calls: readFileSync(join(folder, 'calls'), 'utf8') };
  }

  it('ends well when the alarm has been quiet for long enough, and asks the alarm that the stack makes', async () => {
    const { code, calls } = await wait(['INSUFFICIENT_DATA', 'OK', 'ALARM', 'OK']);
    expect(code).toBe(0);
    expect(calls).toContain(`--alarm-names ${alarmName('staging', UNHEALTHY)} `);
  });

  it('fails, and names the alarms that are on, when it is not quiet in time', async () => {
    const { code, stdout } = await wait(['OK', 'ALARM']);
    expect(code).toBe(1);
    expect(stdout).toContain(
      '::error::staging did not become healthy within 4 s. Alarms that are on: discord-ingestor-staging-shards-missing',
    );
  });
});
