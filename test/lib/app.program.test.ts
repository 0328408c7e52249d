// The application as the CDK CLI starts it: a wrong argument ends it with one sentence, before it writes anything.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { PROGRAM_ENVIRONMENT } from '../../local/program-environment.ts';

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'ingestor-app-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function app(context: object): Promise<{ code: number; stderr: string }> {
  const env = { ...PROGRAM_ENVIRONMENT, CDK_CONTEXT_JSON: JSON.stringify(context), CDK_OUTDIR: folder };
  return await promisify(execFile)(process.execPath, [join(ROOT, 'bin/app.ts')], { env, cwd: ROOT }).then(
    ({ stderr }) => ({ code: 0, stderr }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
  );
}

describe('the application', () => {
  it.each<[context: object, faults: string]>([
    [
      { environment: 'staging', settings: '{"shards":{"count":0},"colour":"red"}' },
      'staging cannot be deployed:\n  - shards.count: expected a whole number of shards from 1 to 10000, got 0\n  - colour: no such',
    ],
    [{ environment: 'staging', instance: 'Bot 1' }, 'instance: expected 4 to 40 lower-case letters'],
  ])('refuses %j', async (context, faults) => {
    const { code, stderr } = await app(context);
    expect(code).toBe(1);
    expect(stderr).toContain(faults);
    expect(stderr).not.toContain('    at ');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('synthesizes both stacks of the environment, with the settings of the command line', async () => {
    const { code } = await app({ environment: 'production', settings: '{"alarmEmail":"ops@example.com"}' });
    expect(code).toBe(0);
    const [, service, ...others] = readdirSync(folder).filter((name) => name.endsWith('.template.json'));
    expect(service).toBe('discord-ingestor-production-service.template.json');
    expect(readFileSync(join(folder, service ?? ''), 'utf8')).toContain('ops@example.com');
    expect(others).toEqual([]);
  });

  it('runs AwsSolutions in each synthesis, and no rules that need a binary', () => {
    const source = readFileSync(join(ROOT, 'bin/app.ts'), 'utf8');
    expect(source).toContain('addPlugins(new AwsSolutionsChecks(app))');
    expect(source).not.toContain('@cdklabs/');
  });
});
