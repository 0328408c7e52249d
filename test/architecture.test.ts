// Who may import whom, which words belong in which room, and what is read where. Read from the sources.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const FOLDERS = ['bin', 'lib', 'service', 'local', 'bench', 'examples', 'test'];

interface Import {
  /** The file, from the root, or the package. */
  readonly of: string;
  /** Only types: nothing of it is loaded. */
  readonly types: boolean;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const sources: readonly Source[] = FOLDERS.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => sourceOf(join(folder, path))),
);

function sourceOf(path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const imports: Import[] = [];
  const add = (specifier: string, types: boolean) =>
    imports.push({
      of: specifier.startsWith('.') ? relative(ROOT, join(ROOT, dirname(path), specifier)) : packageOf(specifier),
      types,
    });
  for (const [, types, names = '', specifier = ''] of text.matchAll(
    /^(?:import|export)\s+(type\s+)?([^;'"]*?)\s*from\s+'([^']+)';/gm,
  ))
    add(specifier, types !== undefined || areTypes(names));
  for (const [, specifier = ''] of text.matchAll(/^import\s+'([^']+)';/gm)) add(specifier, false);
  for (const [, specifier = ''] of text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)) add(specifier, false);
  return { path, text, imports };
}

/** `{ type A, type B }` */
function areTypes(names: string): boolean {
  const [, list] = names.match(/^\{([\s\S]*)\}$/) ?? [];
  if (list === undefined) return false;
  const each = list.split(',').flatMap((name) => name.trim() || []);
  return each.length > 0 && each.every((name) => name.startsWith('type '));
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

const isPackage = (name: string): boolean =>
  !FOLDERS.some((folder) => name.startsWith(`${folder}/`)) && !name.includes('.ts');
const under = (...folders: string[]) =>
  sources.filter(({ path }) => folders.some((folder) => path.startsWith(`${folder}/`)));

/** Imports that the rule does not allow, as sentences. */
function offences(of: readonly Source[], allowed: (each: Import, source: Source) => boolean): string[] {
  return of.flatMap((source) =>
    source.imports.flatMap((each) =>
      allowed(each, source) ? [] : `${source.path} imports ${each.types ? 'types of ' : ''}${each.of}`,
    ),
  );
}

/** Everything that is loaded with the file, packages too. */
function loadedWith(path: string, seen = new Set<string>()): Set<string> {
  const source = sources.find((each) => each.path === path);
  if (source === undefined) expect.fail(`${path} is not there`);
  for (const { of, types } of source.imports) {
    if (types || seen.has(of)) continue;
    seen.add(of);
    if (of.endsWith('.ts')) loadedWith(of, seen);
  }
  return seen;
}

it('reads the sources: every relative import is a file that is there', () => {
  expect(sources.length).toBeGreaterThan(100);
  const paths = new Set(sources.map(({ path }) => path));
  expect(offences(sources, ({ of }) => isPackage(of) || paths.has(of) || !of.endsWith('.ts'))).toEqual([]);
  expect(sources.find(({ path }) => path === 'service/task.ts')?.imports.length).toBeGreaterThan(15);
});

describe('the direction', () => {
  it.each<[string, RegExp]>([
    ['service', /^service\//],
    // What a deployer may choose, events and a presence, and where a routing key leads; for an operator's tools, how the
    // service logs in at the broker, and masks.
    [
      'lib',
      /^(lib|service\/contract)\/|^service\/(events\/(choice|routing)|commands\/command|amqp\/(handshake|certificate-authority)|credentials|redact|errors)\.ts$/,
    ],
    // Bodies are joined as a worker does it.
    ['bin', /^(lib|service\/contract)\/|^local\/whole-body\.ts$/],
    ['local', /^(?!test\/|bench\/)/],
    // Users copy them.
    ['examples', /^examples\//],
  ])('%s imports packages, and what matches %s', (folder, own) => {
    expect(offences(under(folder), ({ of }) => isPackage(of) || own.test(of))).toEqual([]);
  });

  it('the contract imports nothing', () => {
    const contract = under('service/contract');
    expect(contract.length).toBeGreaterThan(0);
    expect(offences(contract, ({ of }) => of.startsWith('service/contract/'))).toEqual([]);
  });

  it('no file imports itself by way of others, not even types', () => {
    const names = new Set(sources.map(({ path }) => path));
    const reached = (from: string, seen = new Set<string>()): Set<string> => {
      for (const { of } of sources.find(({ path }) => path === from)?.imports ?? [])
        if (names.has(of) && !seen.has(of)) reached(of, seen.add(of));
      return seen;
    };
    expect([...names].filter((path) => reached(path).has(path))).toEqual([]);
  });

  it('no file passes on what another exports', () => {
    const barrels = sources.filter(({ text }) => /^export\s+(\*|(type\s+)?\{[^}]*\})\s*from/m.test(text));
    expect(barrels.map(({ path }) => path)).toEqual([]);
  });
});

describe('the rooms of the service', () => {
  const rooms = ['gateway', 'session', 'lease', 'events', 'commands', 'publisher', 'amqp', 'status', 'http'];
  /** What a room may import beside its own files. A lost session is found by two rooms and reported by neither. */
  const shared = ['service/errors.ts', 'service/wait.ts', 'service/outage-log.ts', 'service/lost-session.ts'];
  const typesOnly = ['log', 'metrics', 'connection-events', 'health', 'last-end'].map((each) => `service/${each}.ts`);

  it('are those of the table', () => {
    const found = under('service').flatMap(({ path }) => (path.split('/').length > 2 ? path.split('/')[1] : []));
    expect([...new Set(found)].toSorted()).toEqual([...rooms, 'contract'].toSorted());
  });

  it.each(rooms)('%s knows no other room', (room) => {
    const allowed = ({ of, types }: Import) =>
      isPackage(of) ||
      of.startsWith(`service/${room}/`) ||
      of.startsWith('service/contract/') ||
      shared.includes(of) ||
      (types && typesOnly.includes(of));
    expect(offences(under(`service/${room}`), allowed)).toEqual([]);
  });

  it.each<[string, readonly string[]]>([
    ['gateway', ['@discordjs/ws', 'discord-api-types', 'zod']],
    ['events', ['discord-api-types', 'zod']],
    ['commands', ['discord-api-types', 'zod']],
    ['publisher', ['amqplib']],
    ['session', []],
    ['lease', ['zod']],
    ['amqp', ['amqplib']],
    ['status', ['zod']],
    ['http', []],
  ])('%s uses the packages of its own side: %j', (room, packages) => {
    const allowed = ({ of }: Import) => !isPackage(of) || of.startsWith('node:') || packages.includes(of);
    expect(offences(under(`service/${room}`), allowed)).toEqual([]);
  });

  it.each<[string, readonly string[]]>([
    ['.', ['backpressure', 'health']],
    ['gateway', ['close-code', 'frame', 'send-window']],
    ['session', ['missed-resumed', 'session', 'watermark']],
    ['lease', ['lease', 'take-over']],
    ['commands', ['admit', 'shard-commands']],
    ['publisher', ['confirms', 'lane', 'outbox']],
    ['status', ['fleet', 'page']],
    ['http', ['pace']],
  ])('decisions are pure: in %s, %j load neither a socket nor a clock', (room, files) => {
    const impure = ['amqplib', '@discordjs/ws', '@discordjs/rest', 'node:net', 'node:http', 'node:timers', 'node:fs'];
    for (const file of files) {
      const found = [...loadedWith(join('service', room, `${file}.ts`))].filter((each) => impure.includes(each));
      expect(found, file).toEqual([]);
    }
  });

  it.each<[string, RegExp, readonly string[]]>([
    ['publisher', /shard|discordjs|dispatch/i, []],
    ['gateway', /amqp|rabbitmq|\b(lease|outbox|exchange|routing key)/i, []],
    // The bound of a routing key is AMQP's.
    ['events', /amqp|rabbitmq/i, ['service/events/routing.ts']],
    ['events', /\b(lease|outbox)/i, []],
    ['commands', /amqplib|discordjs|outbox|\blease/i, []],
    ['status', /amqp|discordjs/i, []],
    ['lease', /amqp|discordjs/i, ['service/lease/lease-channels.ts']],
  ])('the word of another room is not in %s: %s', (room, word, but) => {
    const found = under(`service/${room}`).filter(({ path, text }) => word.test(text) && !but.includes(path));
    expect(found.map(({ path }) => path)).toEqual([]);
  });
});

describe('what is read where', () => {
  it('in the service only main.ts reads process.env and ends the process', () => {
    const readers = under('service').filter(({ text }) =>
      /process\s*\.\s*(env|exit)\b/.test(text.replace(/\/\/.*$/gm, '')),
    );
    expect(readers.map(({ path }) => path)).toEqual(['service/main.ts']);
  });

  it('nothing that runs in AWS Lambda, no pure part of the topology, and no data of alarms and dashboards loads the CDK', () => {
    const cdkFree = sources.flatMap(({ path }) =>
      path.endsWith('.lambda.ts') ||
      /^lib\/(management\/[\w-]+|topology\/(?!broker-topology)[\w-]+|alarms|panels|promql|prometheus-rules|grafana)\.ts$/.test(
        path,
      )
        ? path
        : [],
    );
    expect(cdkFree.length).toBeGreaterThanOrEqual(19);
    for (const path of cdkFree) {
      const found = [...loadedWith(path)].filter((each) => /^(aws-cdk-lib|constructs|cdk-nag)$/.test(each));
      expect(found, path).toEqual([]);
    }
  });

  it('the service loads no CDK and no package of developers', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const packages = under('service').flatMap(({ imports }) => imports.filter(({ of }) => isPackage(of)));
    const missing = packages.filter(({ of }) => !of.startsWith('node:') && !Object.hasOwn(dependencies, of));
    expect(missing.map(({ of }) => of)).toEqual([]);
  });

  it('an example that is copied has the packages that it imports, as they are tested here', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'examples/worker/package.json'), 'utf8'));
    const tested = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const imported = under('examples').flatMap(({ imports }) => imports.flatMap(({ of }) => (isPackage(of) ? of : [])));
    const packages = [...new Set(imported)].filter((of) => !of.startsWith('node:')).toSorted();
    expect(Object.keys(dependencies).toSorted()).toEqual(packages);
    expect({ ...tested.dependencies, ...tested.devDependencies }).toMatchObject(dependencies);
  });

  it('nothing that is delivered escapes the compiler', () => {
    const escapes = /\bas any\b|@ts-(ignore|expect-error|nocheck)|: any\b/;
    const code = (text: string) => text.replace(/^\s*(\/\/|\/\*\*|\*)(?! @ts-).*$/gm, '');
    const found = under('bin', 'lib', 'service', 'local').filter(({ text }) => escapes.test(code(text)));
    expect(found.map(({ path }) => path)).toEqual([]);
  });
});
