// What `npm pack` packs for workers: the compiled schemas and types, and a package.json of their own. With the service's, an
// installation would bring the AWS SDK and a second Node, 230 MB. Before packing it takes the place of package.json, which is
// put back afterwards; should npm be interrupted in between, `node local/package.ts` puts it back.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

const [MANIFEST, OWN] = ['package.json', 'package.json.orig'];

function restore(): void {
  if (existsSync(OWN)) renameSync(OWN, MANIFEST);
}

function prepare(): void {
  restore();
  rmSync('dist', { recursive: true, force: true });
  const { status } = spawnSync('tsc --project tsconfig.package.json', { shell: true, stdio: 'inherit' });
  if (status !== 0) process.exit(1);
  const { name, version, description, license, type, exports, files, dependencies } = JSON.parse(
    readFileSync(MANIFEST, 'utf8'),
  );
  const used = [...new Set(readdirSync('dist', { recursive: true, encoding: 'utf8' }).flatMap(packagesOf))];
  const manifest = {
    ...{ name, version, description, license, private: true, type, exports, files },
    // Map.groupBy
    engines: { node: '>=22' },
    // A range, so that a worker has one copy of each: two of discord-api-types have different enums.
    dependencies: Object.fromEntries(used.map((each) => [each, `^${dependencies[each]}`])),
  };
  renameSync(MANIFEST, OWN);
  writeFileSync(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`);
}

function packagesOf(file: string): string[] {
  if (!file.endsWith('.ts') && !file.endsWith('.js')) return [];
  const imports = readFileSync(`dist/${file}`, 'utf8').matchAll(/ from '(?!\.|node:)([^/']+)/g);
  return [...imports].flatMap(([, name]) => name ?? []);
}

if (process.env.npm_lifecycle_event === 'prepack') prepare();
else restore();
