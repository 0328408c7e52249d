// The cloud assembly as the CLI makes it of the application: its templates, and the folders that would be uploaded.
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
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
  await promisify(execFile)(process.execPath, args, { cwd: project, env, maxBuffer: 64 * 1024 * 1024 }).catch(
    (error: { stdout: string; stderr: string }) => {
      throw new Error(
        `cdk synth failed:\n${`${error.stdout}${error.stderr}`.trim().split('\n').slice(-15).join('\n')}`,
      );
    },
  );
  const read = async <T>(ending: string): Promise<T[]> => {
    const names = (await readdir(folder)).filter((name) => name.endsWith(ending)).sort();
    return await Promise.all(names.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as T));
  };
  const [broker, service] = await read<Template>('.template.json');
  type Manifest = { dockerImages?: Record<string, { source: Omit<ImageAsset, 'hash'> }> };
  const images = (await read<Manifest>('.assets.json')).flatMap(({ dockerImages = {} }) =>
    Object.entries(dockerImages),
  );
  const [image] = images;
  if (!broker || !service || !image || images.length > 1)
    throw new Error(`expected two templates and one image in the assembly, got ${images.length} images`);
  const [hash, { source }] = image;
  return {
    broker,
    service,
    image: { ...source, hash, directory: join(folder, source.directory) },
    bundle: (asset) => join(folder, `asset.${asset.replace(/\.zip$/, '')}`),
  };
}
