// The CLI builds the image from the folder that the synthesized assembly stages, not from the working tree.
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { DockerImageAsset } from 'aws-cdk-lib/aws-ecr-assets';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IMAGE } from '../../lib/ingestor-service.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

const ROOT = join(import.meta.dirname, '../..');

interface ImageAsset {
  readonly source: { readonly directory: string; readonly dockerFile: string; readonly platform: string };
}

/** The one image of the assembly, with its hash. */
function imageOf({ folder }: Synthesized): ImageAsset & { readonly hash: string } {
  const manifests = readdirSync(folder).filter((name) => name.endsWith('.assets.json'));
  const images = manifests.flatMap((name) =>
    Object.entries<ImageAsset>(JSON.parse(readFileSync(join(folder, name), 'utf8')).dockerImages ?? {}),
  );
  const [only] = images;
  if (!only || images.length > 1) throw new Error(`expected one image, got ${images.length}`);
  return { hash: only[0], ...only[1] };
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
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

  it('is the one that the task runs, for its processor', () => {
    const { ContainerDefinitions, RuntimePlatform } = made.one('AWS::ECS::TaskDefinition').Properties;
    expect(JSON.stringify(ContainerDefinitions)).toContain(`:${image.hash}"`);
    expect([RuntimePlatform, image.source.platform]).toMatchObject([{ CpuArchitecture: 'ARM64' }, 'linux/arm64']);
  });
});

describe('the hash of the image', () => {
  const copy = mkdtempSync(join(tmpdir(), 'ingestor-context-'));
  afterAll(() => rmSync(copy, { recursive: true, force: true }));
  beforeAll(() => {
    const npm = ['package.json', 'package-lock.json'];
    for (const name of ['.dockerignore', '.gitignore', ...npm, 'README.md', 'service', 'docs']) {
      cpSync(join(ROOT, name), join(copy, name), { recursive: true });
    }
  });

  const hash = (): string =>
    new DockerImageAsset(new Stack(new App({ context: CONTEXT }), 'Stack'), 'Image', { directory: copy, ...IMAGE })
      .assetHash;
  const { context: CONTEXT } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };

  it('is that of the same files, wherever they are', () => {
    expect(hash()).toBe(imageOf(synthesized('staging')).hash);
  });

  const hashAfter = (file: string) => {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    appendFileSync(join(copy, file), '\n');
    return hash();
  };

  it.each(['service/Dockerfile', 'service/gateway/shard.ts', 'service/gateway/new.ts', 'package-lock.json'])(
    'changes with %s',
    (file) => {
      const before = hash();
      expect(hashAfter(file)).not.toBe(before);
    },
  );

  it.each([
    'README.md',
    'docs/deploy.md',
    '.gitignore',
    'test/service/main.test.ts',
    'service/node_modules/zod/index.ts',
    'service/.env',
    'service/token',
    'cdk.out/manifest.json',
    '.env',
    '.git/HEAD',
  ])('does not change with %s', (file) => {
    const before = hash();
    expect(hashAfter(file)).toBe(before);
  });
});
