// The CDK CLI builds the image from the staged folder in the assembly, not from the working tree.
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { DockerImageAsset } from 'aws-cdk-lib/aws-ecr-assets';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IMAGE } from '../../lib/ingestor-service.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The one image of the assembly. */
function imageOf({ folder }: Synthesized) {
  const file = join(folder, 'discord-ingestor-staging-service.assets.json');
  const [[hash, { source }]] = Object.entries(JSON.parse(readFileSync(file, 'utf8')).dockerImages) as [
    [hash: string, { source: Readonly<Record<'directory' | 'dockerFile' | 'platform', string>> }],
  ];
  return { hash, source };
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
}

describe('the staged image', () => {
  const made = synthesized('staging');
  const image = imageOf(made);
  const staged = join(made.folder, image.source.directory);

  it("holds the Dockerfile, every source of the service, npm's files, and nothing else", () => {
    const { dockerFile } = image.source;
    expect(readFileSync(join(staged, dockerFile), 'utf8')).toBe(readFileSync(join(ROOT, dockerFile), 'utf8'));
    const sources = filesIn(join(ROOT, 'service')).filter((file) => file.endsWith('.ts'));
    const others = ['.dockerignore', 'package-lock.json', 'package.json', 'service/Dockerfile'];
    expect(filesIn(staged)).toEqual([...others, ...sources.map((file) => `service/${file}`)].sort());
  });

  it('is the image that the task runs, for its processor', () => {
    const { ContainerDefinitions, RuntimePlatform } = made.one('AWS::ECS::TaskDefinition').Properties;
    expect(JSON.stringify(ContainerDefinitions)).toContain(`:${image.hash}"`);
    expect([RuntimePlatform, image.source.platform]).toMatchObject([{ CpuArchitecture: 'ARM64' }, 'linux/arm64']);
  });
});

describe('the hash of the image', () => {
  const copy = mkdtempSync(join(tmpdir(), 'ingestor-context-'));
  afterAll(() => rmSync(copy, { recursive: true, force: true }));
  beforeAll(() => {
    for (const name of ['.dockerignore', '.gitignore', 'package.json', 'package-lock.json', 'service']) {
      cpSync(join(ROOT, name), join(copy, name), { recursive: true });
    }
  });

  const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8'));
  const hash = () =>
    new DockerImageAsset(new Stack(new App({ context }), 'Stack'), 'Image', { directory: copy, ...IMAGE }).assetHash;

  let before = '';

  it('is the same for the same files in another folder', () => {
    before = hash();
    expect(before).toBe(imageOf(synthesized('staging')).hash);
  });

  it.each([
    ...['service/Dockerfile', 'service/gateway/new.ts', 'package-lock.json'].map((file) => [file, true] as const),
    ...['docs/deploy.md', 'test/service/main.test.ts', 'service/node_modules/zod/index.ts'].map(
      (file) => [file, false] as const,
    ),
    ...['service/token', 'service/.env', '.git/HEAD'].map((file) => [file, false] as const),
  ])('changes with %s: %s', (file, changes) => {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    appendFileSync(join(copy, file), '\n');
    const after = hash();
    expect(after !== before).toBe(changes);
    before = after;
  });
});
