// What workers install, as a folder for `npm pack`: the compiled schemas and types, with a package.json of its own. With the
// service's, an installation would bring the AWS SDK and a second Node, 230 MB. `npm run package` builds and packs it.

import { spawnSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const README = `# The contract of the Discord Gateway Ingestor

What a worker reads from RabbitMQ, and what it can send to Discord: schemas (zod) and types of TypeScript, no client and no
program. \`discord-gateway-ingestor/payload\` has \`DiscordEventPayload\`, \`discord-gateway-ingestor/command\` \`DiscordCommand\`.
`;

rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync('tsc --project tsconfig.package.json', { shell: true, stdio: 'inherit' });
if (status !== 0) process.exit(1);
const { name, version, description, license, type, dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const used = [...new Set(readdirSync('dist', { recursive: true, encoding: 'utf8' }).flatMap(packagesOf))];
const manifest = {
  ...{ name, version, description, license, private: true, type },
  exports: { './payload': './events/payload.js', './command': './commands/command.js' },
  // From there on CommonJS may require ES modules.
  engines: { node: '>=22.12' },
  // A range, so that a worker has one copy of each: two of discord-api-types have different enums.
  dependencies: Object.fromEntries(used.map((each) => [each, `^${dependencies[each]}`])),
};
writeFileSync('dist/package.json', `${JSON.stringify(manifest, null, 2)}\n`);
writeFileSync('dist/README.md', README);
copyFileSync('LICENSE', 'dist/LICENSE');

function packagesOf(file: string): string[] {
  if (!file.endsWith('.ts') && !file.endsWith('.js')) return [];
  const imports = readFileSync(`dist/${file}`, 'utf8').matchAll(/ from '(?!\.|node:)([^/']+)/g);
  return [...imports].flatMap(([, name]) => name ?? []);
}
