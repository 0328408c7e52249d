// The cloud assembly as the CLI makes it of the application: its templates, and the folders that would be uploaded.
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from '../run.ts';
import type { Template } from './template.ts';

export interface ImageAsset {
  readonly hash: string;
  /** The staged folder. */
  readonly directory: string;
  /** Within it. */
  readonly dockerFile: string;
  readonly platform: string;
}

export interface Assembly {
  readonly broker: Template;
  readonly service: Template;
  readonly image: ImageAsset;
  /** The folder of a function's bundle. @param asset the template's `S3Key` */
  bundle(asset: string): string;
}

/** @param project the folder with cdk.json @param folder where the assembly is written */
export async function synthesize(project: string, settings: object, folder: string): Promise<Assembly> {
  const cdk = join(project, 'node_modules/aws-cdk/bin/cdk');
  const context = ['-c', 'environment=staging', '-c', `settings=${JSON.stringify(settings)}`];
  // Without credentials, and with this Node for the application too.
  const env = { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, HOME: homedir(), CI: 'true' };
  const args = [cdk, 'synth', '--quiet', '--no-notices', '--output', folder, ...context];
  await run(process.execPath, args, { cwd: project, env });
  const names = (await readdir(folder)).sort();
  const read = async (ending: string) =>
    await Promise.all(
      names.flatMap((name) => (name.endsWith(ending) ? readFile(join(folder, name), 'utf8').then(JSON.parse) : [])),
    );
  const [broker, service] = (await read('.template.json')) as Template[];
  type Manifest = { dockerImages?: Record<string, { source: Omit<ImageAsset, 'hash'> }> };
  const manifests = (await read('.assets.json')) as Manifest[];
  const [image, ...others] = manifests.flatMap(({ dockerImages = {} }) => Object.entries(dockerImages));
  if (!broker || !service || !image || others.length > 0)
    throw new Error(`expected two templates and one image in the assembly, got ${names.join(', ')}`);
  const [hash, { source }] = image;
  return {
    broker,
    service,
    image: { ...source, hash, directory: join(folder, source.directory) },
    bundle: (asset) => join(folder, `asset.${asset.replace(/\.zip$/, '')}`),
  };
}
