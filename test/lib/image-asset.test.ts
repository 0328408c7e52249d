// What the CLI builds the image from: the folder that the synthesized assembly stages, not the working tree.
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
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

/** The one image of the assembly's manifests, with its hash. */
function imageOf({ folder }: Synthesized): ImageAsset & { readonly hash: string } {
  const manifests = readdirSync(folder).filter((name) => name.endsWith('.assets.json'));
  const images = manifests.flatMap((name) => {
    const { dockerImages = {} } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
      dockerImages?: Record<string, ImageAsset>;
    };
    return Object.entries(dockerImages);
  });
  const [only] = images;
  if (!only || images.length > 1)
    throw new Error(`expected one image in ${manifests.join(', ')}, got ${images.length}`);
  return { hash: only[0], ...only[1] };
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

describe.each(['staging', 'production'] as const)('the staged image of %s', (environment) => {
  const made = synthesized(environment);
  const staged = () => join(made.folder, imageOf(made).source.directory);

  it("holds the manifest's Dockerfile, as it is in the project", () => {
    const { dockerFile } = imageOf(made).source;
    expect(readFileSync(join(staged(), dockerFile), 'utf8')).toBe(readFileSync(join(ROOT, dockerFile), 'utf8'));
  });

  it('holds every source of the service, what npm needs, and nothing else', () => {
    const sources = filesIn(join(ROOT, 'service')).filter((file) => file.endsWith('.ts'));
    expect(filesIn(staged())).toEqual(
      [
        '.dockerignore',
        'package-lock.json',
        'package.json',
        'service/Dockerfile',
        ...sources.map((file) => `service/${file}`),
      ].sort(),
    );
  });

  it('is built for the processor of the task', () => {
    const { RuntimePlatform } = made.one('AWS::ECS::TaskDefinition').Properties;
    expect(RuntimePlatform).toMatchObject({ CpuArchitecture: 'ARM64' });
    expect(imageOf(made).source.platform).toBe('linux/arm64');
  });

  it('is the one that the task runs', () => {
    const { ContainerDefinitions } = made.one('AWS::ECS::TaskDefinition').Properties;
    const [container] = ContainerDefinitions as { Image: { 'Fn::Sub': string } }[];
    expect(container?.Image['Fn::Sub']).toMatch(new RegExp(`:${imageOf(made).hash}$`));
  });
});

describe('the hash of the image', () => {
  const copy = mkdtempSync(join(tmpdir(), 'ingestor-context-'));
  afterAll(() => rmSync(copy, { recursive: true, force: true }));
  beforeAll(() => {
    for (const name of [
      '.dockerignore',
      'package.json',
      'package-lock.json',
      'README.md',
      'service',
      'docs',
      '.gitignore',
    ])
      cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  });

  const hash = (): string =>
    new DockerImageAsset(new Stack(new App({ context: CONTEXT }), 'Stack'), 'Image', { directory: copy, ...IMAGE })
      .assetHash;
  const { context: CONTEXT } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };

  it('is that of the same files, wherever they are', () => {
    expect(hash()).toBe(imageOf(synthesized('staging')).hash);
  });

  it.each(['service/Dockerfile', 'service/main.ts', 'service/gateway/shard.ts', 'package-lock.json', 'package.json'])(
    'is another one when %s changes',
    (file) => {
      const before = hash();
      const text = readFileSync(join(copy, file), 'utf8');
      appendFileSync(join(copy, file), '\n');
      expect(hash()).not.toBe(before);
      writeFileSync(join(copy, file), text);
      expect(hash()).toBe(before);
    },
  );

  it('is another one for a new file of the service', () => {
    const before = hash();
    writeFileSync(join(copy, 'service/gateway/new.ts'), 'export {};\n');
    expect(hash()).not.toBe(before);
    rmSync(join(copy, 'service/gateway/new.ts'));
  });

  it.each([
    'README.md',
    'docs/deploy.md',
    'docs/new.md',
    '.gitignore',
    'test/service/main.test.ts',
    'node_modules/zod/index.ts',
    'service/node_modules/zod/index.ts',
    'service/.env',
    'service/gateway/token.txt',
    'service/token',
    'service/gateway/id_rsa',
    'cdk.out/manifest.json',
    '.env',
    '.git/HEAD',
  ])('is the same whatever %s is', (file) => {
    const before = hash();
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    appendFileSync(join(copy, file), 'changed\n');
    expect(hash()).toBe(before);
  });
});
