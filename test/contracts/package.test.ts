// What a worker's project gets: the tarball of `npm run package`, installed in an empty project. A worker is compiled against it
// with both module resolutions, and run. No network: zod and discord-api-types are linked from this repository.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const MODULES = join(ROOT, 'node_modules');
const FOLDER = mkdtempSync(join(tmpdir(), 'ingestor-package-'));
const [COPY, WORKER] = [join(FOLDER, 'repository'), join(FOLDER, 'worker')];
const EXAMPLES = JSON.stringify(join(ROOT, 'docs/asyncapi.json'));

function run(cwd: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', shell: false });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stdout}\n${stderr}`);
  return stdout;
}

const SOURCE = `
import { readFileSync } from 'node:fs';
import { type DiscordCommand, Command } from 'discord-gateway-ingestor/command';
import { DiscordEventPayload, EVENTS } from 'discord-gateway-ingestor/payload';
import { PresenceUpdateStatus } from 'discord-api-types/v10';

function handle(event: DiscordEventPayload): string {
  if (event.eventType === 'member.leave') return event.data.user.username;
  if (event.eventType === 'gateway.gap') return event.data.reason;
  // @ts-expect-error: a message has no field of this name
  if (event.eventType === 'message.create') return event.data.text;
  // @ts-expect-error: there is no such event
  if (event.eventType === 'member.kick') return '';
  return event.eventId;
}
const command: DiscordCommand = { command: 'update_presence', data: { status: PresenceUpdateStatus.Online } };
// @ts-expect-error: a presence has no field of this name
const wrong: DiscordCommand = { command: 'update_presence', data: { status: PresenceUpdateStatus.Online, since_when: 1 } };
Command.parse(command);
if (Command.safeParse(wrong).success) throw new Error('a wrong command is accepted');

const { components } = JSON.parse(readFileSync(${EXAMPLES}, 'utf8'));
let handled = 0;
for (const { examples } of Object.keys(EVENTS).map((name) => components.messages[name]))
  for (const { payload } of examples) {
    // A field of a later version.
    if (typeof handle(DiscordEventPayload.parse({ ...payload, more: 1 })) === 'string') handled += 1;
    if (DiscordEventPayload.safeParse({ ...payload, shardId: 'one' }).success) throw new Error('a wrong event is accepted');
  }
console.log(handled);
`;

let packed: { readonly files: readonly { readonly path: string }[]; readonly size: number };

beforeAll(() => {
  const copied = ['package.json', 'tsconfig.json', 'tsconfig.package.json', 'service', 'local/package.ts', 'LICENSE'];
  for (const name of copied) cpSync(join(ROOT, name), join(COPY, name), { recursive: true });
  symlinkSync(MODULES, join(COPY, 'node_modules'));
  mkdirSync(WORKER);
  writeFileSync(join(WORKER, 'package.json'), '{ "type": "module" }');
  const output = run(COPY, 'npm', 'run', '--silent', 'package', '--', '--json', '--pack-destination', WORKER);
  const [{ filename, ...rest }] = JSON.parse(output.slice(output.indexOf('[')));
  packed = rest;
  const linked = ['zod', 'discord-api-types'].map((name) => join(MODULES, name));
  run(WORKER, 'npm', 'install', '--offline', '--no-audit', '--no-fund', `./${filename}`, ...linked);
  writeFileSync(join(WORKER, 'worker.ts'), SOURCE);
});

describe('npm run package', () => {
  it('packs only compiled modules with their types, package.json, LICENSE and its own README', () => {
    const others = packed.files.map(({ path }) => path).filter((path) => !/^[\w/-]+\.(js|d\.ts)$/.test(path));
    expect(others.toSorted()).toEqual(['LICENSE', 'README.md', 'package.json']);
    expect(packed.size).toBeLessThan(100_000);
  });

  it('leaves package.json unchanged; npm pack, which would pack the service, fails and names the command instead', () => {
    expect(() => run(COPY, 'npm', 'pack')).toThrow('expected npm run package');
    expect(readdirSync(COPY).filter((name) => name.endsWith('.tgz'))).toEqual([]);
    expect(readFileSync(join(COPY, 'package.json'), 'utf8')).toBe(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  });

  it('has two dependencies', () => {
    const { dependencies, optionalDependencies } = JSON.parse(
      readFileSync(join(WORKER, 'node_modules/discord-gateway-ingestor/package.json'), 'utf8'),
    );
    expect(Object.keys(dependencies)).toEqual(['discord-api-types', 'zod']);
    expect(optionalDependencies).toBeUndefined();
  });
});

describe('a worker', () => {
  it.each([
    ['nodenext', 'nodenext'],
    ['bundler', 'esnext'],
  ])('compiles with moduleResolution %s', (moduleResolution, module) => {
    const options = { moduleResolution, module, target: 'es2024', lib: ['es2024'], types: ['node'], strict: true };
    const compilerOptions = { ...options, skipLibCheck: false, noEmit: true, typeRoots: [join(MODULES, '@types')] };
    writeFileSync(join(WORKER, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['worker.ts'] }));
    run(WORKER, join(MODULES, '.bin/tsc'), '--project', '.');
  });

  it('accepts an example of every event, and no wrong one', () => {
    expect(Number(run(WORKER, process.execPath, 'worker.ts'))).toBeGreaterThan(20);
  });

  it('may be CommonJS', () => {
    const source = "console.log(typeof require('discord-gateway-ingestor/payload').DiscordEventPayload.safeParse)";
    expect(run(WORKER, process.execPath, '--input-type=commonjs', '--eval', source)).toBe('function\n');
  });
});
