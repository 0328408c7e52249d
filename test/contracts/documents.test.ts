// The documents name only what exists: commands, files, settings, outputs, queues, secrets, alarms, log lines. What the sources
// do not show (a command of AWS, a statement about AWS) is not tested.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LOGIN_FUNCTION_OUTPUT } from '../../lib/rotation/rotation.ts';
import { SettingsError } from '../../lib/setting-values.ts';
import { ENVIRONMENTS, settingsFor } from '../../lib/settings.ts';
import { DEFAULT_METRICS_NAMESPACE, METRICS, type Metric } from '../../service/contract/metrics.ts';
import { ENV, QUEUES, USERS } from '../../service/contract/names.ts';
import { GROUPS } from '../../service/events/choice.ts';
import { ROUTING_KEY_FAMILIES } from '../../service/events/routing.ts';
import { MISTAKES_TABLE } from '../support/mistakes.ts';
import { synthesized } from '../support/synthesized.ts';

const ROOT = join(import.meta.dirname, '../..');
const names = [
  'README.md',
  'ARCHITECTURE.md',
  'bench/README.md',
  'docs/deploy.md',
  'docs/runbook.md',
  'docs/workers.md',
  'examples/worker/README.md',
] as const;
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const documents = names.map((name) => [name, read(name)] as const);
const readme = read('README.md');
const deploy = read('docs/deploy.md');
const workers = read('docs/workers.md');
const runbook = read('docs/runbook.md');
const both = ENVIRONMENTS.map((environment) => synthesized(environment));

/** The inline code of a document, each on one line. */
function quoted(document: string): string[] {
  const prose = document.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...prose.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text.replaceAll(/\s+/g, ' '));
}

/** The anchors of a document's headings, as GitHub generates them. */
function anchors(path: string): string[] {
  return [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}

const isFamily = (text: string): boolean => ROUTING_KEY_FAMILIES.some(({ family }) => family === text);

function sources(folder: string): string {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  const texts = files.filter((file) => file.endsWith('.ts')).map((file) => read(join(folder, file)));
  return texts.join('\n');
}

/** Whether a setting exists at this path. */
function isSetting(path: string): boolean {
  // No setting takes a function: an existing one refuses it with its own sentence.
  const choices = path.split('.').reduceRight<unknown>(
    (inner, key) => ({ [key]: inner }),
    () => undefined,
  );
  try {
    settingsFor('staging', choices);
    return false;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return !error.faults.some((fault) => fault.includes('no such setting'));
  }
}

describe.each(documents)('%s', (name, document) => {
  it('names only scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json'));
    for (const [, script] of document.matchAll(/npm run ([\w:-]+)/g)) expect(Object.keys(scripts)).toContain(script);
  });

  it("names only the CDK's commands, each with the context `environment` that the application requires", () => {
    const commands = ['bootstrap', 'cli-telemetry', 'destroy', 'diff', 'import', 'rollback', 'synth'];
    for (const [line, command] of document
      .replaceAll(/(?<=`[^`\n]*)\n *(?=[^`\n]*`)/g, ' ')
      .matchAll(/npx cdk ([\w-]+)[^\n`]*/g)) {
      expect(commands, line).toContain(command);
      if (command !== 'cli-telemetry') expect(line).toContain('-c environment=');
    }
    // A deployment goes through the checks of `npm run deploy`.
    expect(document).not.toMatch(/npx cdk deploy/);
    for (const [line] of document.matchAll(/npm run deploy[^\n`]*/g)) {
      expect(line === 'npm run deploy' || line.includes('-- -c environment='), line).toBe(true);
    }
  });

  it('names only files and headings that exist', () => {
    for (const [link, target = ''] of document.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target.startsWith('http')) continue;
      const [file = '', anchor] = target.split('#');
      const path = file === '' ? name : join(dirname(name), file);
      expect(existsSync(join(ROOT, path)), link).toBe(true);
      if (anchor) expect(anchors(path), link).toContain(anchor);
    }
    for (const path of quoted(document).filter((text) => /^\.?[\w./-]+\/[\w.-]+\.(ts|md|json|yml|sh)$/.test(text))) {
      expect(existsSync(join(ROOT, path)), path).toBe(true);
    }
  });

  it('names only settings that exist', () => {
    const group = /^(network|broker|shards|gateway|forward|task|limits|budgets)\.[a-zA-Z.]+$/;
    const single = /^(account|region|egress|natGateways|\w+(Arn|Days|Email|Revision))$/;
    const named = quoted(document).filter((text) => !isFamily(text) && (group.test(text) || single.test(text)));
    for (const path of named) expect(isSetting(path), path).toBe(true);
    for (const [text, json = ''] of document.matchAll(/settings='(\{[^']*\})'/g)) {
      if (!json.includes('…')) expect(() => settingsFor('staging', JSON.parse(json)), text).not.toThrow();
    }
  });

  it('names only queues and secrets that exist', () => {
    for (const queue of quoted(document).filter((text) => /^events\.\w+$/.test(text))) {
      // events.analytics is the example of an additional queue.
      expect([...Object.values(QUEUES), 'events.analytics']).toContain(queue);
    }
    const secrets = both.flatMap(({ ofType }) =>
      ofType('AWS::SecretsManager::Secret').map(([, { Properties }]) => Properties.Name),
    );
    for (const [, secret] of document.matchAll(/discord-ingestor\/\$ENV\/([\w-]+)/g)) {
      for (const environment of ENVIRONMENTS) expect(secrets).toContain(`discord-ingestor/${environment}/${secret}`);
    }
  });
});

it('scripts and sources name only documents and headings that exist', () => {
  const scripts = readdirSync(join(ROOT, '.github/scripts')).map((name) => read(`.github/scripts/${name}`));
  const text = [...scripts, ...['lib', 'bin', 'service', 'local', 'bench', 'test'].map(sources)].join('\n');
  const named = [...text.matchAll(/(?<![\w/])((?:docs\/[\w-]+|README|ARCHITECTURE)\.md)(?:#([\w-]+))?/g)];
  expect(named.length).toBeGreaterThan(10);
  for (const [reference, path = '', anchor] of named) {
    expect(existsSync(join(ROOT, path)), reference).toBe(true);
    if (anchor) expect(anchors(path), reference).toContain(anchor);
  }
});

it('the scripts of package.json run files that exist', () => {
  const { scripts } = JSON.parse(read('package.json'));
  const files = Object.values<string>(scripts).flatMap((script) => script.match(/[\w/.-]+\.(?:ts|cjs)\b/g) ?? []);
  expect(files.length).toBeGreaterThan(10);
  expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

it('ARCHITECTURE.md names every folder of sources', () => {
  const [, rooms = ''] = /^```\n(bin\/[\s\S]*?)^```$/m.exec(read('ARCHITECTURE.md')) ?? [];
  for (const folder of ['.', 'lib', 'service']) {
    const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const ours = folders.filter((name) => !/^\.|^(node_modules|dist|coverage)$|\.out$/.test(name));
    expect(ours.filter((name) => !new RegExp(`^ *${name}/ `, 'm').test(rooms))).toEqual([]);
  }
});

it('docs/deploy.md names every environment variable', () => {
  expect(Object.values(ENV).filter((variable) => !deploy.includes(`\`${variable}`))).toEqual([]);
});

it.each(ROUTING_KEY_FAMILIES)('docs/workers.md has $family with its priority and queue', (each) => {
  const { family, priority, queue } = each;
  expect(workers).toMatch(new RegExp(`^\\|.*\`${family}[.\`].*\\| ${priority} \\| \`${queue}\` \\|$`, 'm'));
});

it('docs/workers.md names every group of events', () => {
  const named = quoted(workers);
  expect([...GROUPS.keys()].filter((group) => !named.includes(group))).toEqual([]);
});

it('README.md quotes the sentences about first mistakes as the programs print them', () => {
  expect(readme).toContain(MISTAKES_TABLE);
});

describe('docs/deploy.md and the runbook', () => {
  const texts = [...quoted(deploy), ...quoted(runbook)];

  it('name only outputs and metrics that exist', () => {
    const outputs = both.flatMap((made) => [...made.outputs.keys()]);
    const metrics = Object.values(METRICS).map(({ cloudWatch }) => cloudWatch);
    // Names of AWS, and logical ids of the templates.
    const others = [
      'LogicalResourceId',
      'GetSecretValue',
      DEFAULT_METRICS_NAMESPACE,
      ...both.flatMap((made) => [...made.resources.keys()]),
    ];
    const found = [...texts, ...[...runbook.matchAll(/<([A-Z]\w+)>/g)].map(([, placeholder = '']) => placeholder)];
    const named = found.filter((text) => /^[A-Z][a-z]+([A-Z][a-z]+)+$/.test(text));
    expect(named.length).toBeGreaterThan(5);
    for (const text of named) expect([...outputs, ...metrics, ...others]).toContain(text);
  });

  it('quote lines of the log as the service writes them', () => {
    const service = [sources('service'), sources('lib')].join('\n').replaceAll(/\\(['"])/g, '$1');
    const commands = /^(aws|npx|npm|docker|cdk|git|read) /;
    const lines = quoted(runbook).filter((text) => /^[A-Za-z][\w']* [a-z]/.test(text) && !commands.test(text));
    expect(lines.length).toBeGreaterThan(3);
    // A message of RabbitMQ, which the log repeats.
    const others = ['node connection limit'];
    for (const line of lines) expect(service.includes(line) || others.includes(line), line).toBe(true);
  });

  it('count the secrets, metrics and alarms of the templates, and add up the costs', () => {
    const [, rows = ''] = /^\| \| staging \| production \|\n\|---\|---:\|---:\|\n([\s\S]*?)\n\n/m.exec(deploy) ?? [];
    const table = rows.split('\n').map((row) => row.slice(2, -2).split(' | '));
    const dollars = (cell = '') =>
      [...cell.matchAll(/(?<![\d,.])(\d[\d,]*\.\d\d)(?![\d.]| vCPU)/g)].reduce(
        (sum, [, n = '']) => sum + Number(n.replace(',', '')),
        0,
      );
    const metrics = Object.values<Metric>(METRICS).reduce(
      (sum, { label }) => sum + (label ? Object.keys(QUEUES).length : 1),
      0,
    );
    for (const [column, { ofType }] of both.entries()) {
      const row = (title: string) => table.find(([first = '']) => first.startsWith(title)) ?? [];
      const secrets = ofType('AWS::SecretsManager::Secret').length;
      expect(row('Secrets, ')[0]).toBe(`Secrets, ${secrets}`);
      expect(dollars(row('Secrets, ')[column + 1])).toBeCloseTo(0.4 * secrets);
      expect(row('Metrics ')[0]).toBe(`Metrics of the ingestor, ${metrics} at $0.30`);
      expect(dollars(row('Metrics ')[column + 1])).toBeCloseTo(0.3 * metrics);
      const [, ...alarms] = /^Alarms \((\d+) and (\d+);/.exec(row('Alarms ')[0] ?? '') ?? [];
      expect(Number(alarms[column])).toBe(ofType('AWS::CloudWatch::Alarm').length);
      const sum = table.slice(0, -1).reduce((total, cells) => total + dollars(cells[column + 1]), 0);
      expect(row('**Sum**')[column + 1], `${sum}`).toBe(`**${Math.round(sum)}**`);
      expect(readme).toMatch(new RegExp(`^\\| a month, about \\|.*\\$${Math.round(sum)} \\|`, 'm'));
    }
  });
});

it('the runbook names the command that revokes each login, and the output that it reads', () => {
  for (const login of Object.values(USERS)) expect(runbook).toMatch(new RegExp(`logins -- revoke .{0,60}${login}`));
  expect(runbook).toContain(`\`${LOGIN_FUNCTION_OUTPUT}\``);
});
