// The images of two versions, built from what the assemblies stage, as the CLI would build them.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseImages, nameOf } from '../base-images.ts';
import { assembledBases } from './assembled-bases.ts';
import type { ImageAsset } from './assembly.ts';
import {
  type Architecture,
  type Bases,
  buildArguments,
  type Engine,
  engineRun,
  npmSecrets,
  OWN,
  runArguments,
} from './engine.ts';
import type { Recorder } from './report.ts';
import type { Task } from './template.ts';

export interface Images {
  readonly engine: Engine;
  readonly architecture: Architecture;
  readonly bases: Bases;
  /** Docker's images are not in the rehearsal's folder. */
  remove(): Promise<void>;
}

export const tagOf = (hash: string): string => `localhost/discord-ingestor:${hash}`;

/** Undefined where this machine has no base images, which is recorded. @throws where a build fails */
export async function buildImages(
  recorder: Recorder,
  engine: Engine,
  images: readonly [ImageAsset, ...ImageAsset[]],
  { work, architecture }: { work: string; architecture: Architecture },
): Promise<Images | undefined> {
  const platform = `linux/${architecture}`;
  const pulled = await pulledBases(engine, images[0], platform).catch(() => undefined);
  const assembled = pulled ? undefined : await assembledBases(engine, work, architecture).catch(String);
  const bases = pulled ?? assembled;
  if (bases === undefined || typeof bases === 'string') {
    recorder.skip('image: build and run', `no base images: ${bases}`);
    return undefined;
  }
  const secrets = await npmSecrets();
  for (const [index, image] of images.entries())
    await recorder.step(`image: build ${index === 0 ? 'the first' : 'the next'} version`, async () => {
      const tag = tagOf(image.hash);
      const options = { tag, platform, ...(assembled && { bases }), secrets };
      await engineRun(engine, buildArguments(engine, image, options), image.directory);
      const what = `by ${engine.kind} from the staged asset ${image.hash.slice(0, 12)}, ${platform}`;
      if (engine.kind === 'buildah') return what;
      const size = await engineRun(engine, ['image', 'inspect', '--format', '{{.Size}}', tag]);
      return `${what}, ${(Number(size) / 1_000_000).toFixed(1)} MB`;
    });
  if (assembled)
    recorder.deviations.push(
      "image: on bases of Debian's packages and npm's Node, because the pinned ones were not pulled",
    );
  if (images[0].platform !== platform)
    recorder.deviations.push(`image: built for ${platform}, where the manifest has ${images[0].platform}`);
  const remove = async (): Promise<void> => {
    const made = [...images.map(({ hash }) => tagOf(hash)), ...(assembled ? Object.values(bases) : [])];
    if (engine.kind === 'docker') await engineRun(engine, ['image', 'rm', ...made]);
  };
  return { engine, architecture, bases, remove };
}

async function pulledBases(engine: Engine, { directory, dockerFile }: ImageAsset, platform: string): Promise<Bases> {
  const pulled = { BUILD_IMAGE: '', RUNTIME_IMAGE: '' };
  for (const image of baseImages(await readFile(join(directory, dockerFile), 'utf8'))) {
    const argument = image.argument as keyof Bases;
    const name = `${nameOf(image)}@${image.digest}`;
    pulled[argument] = name;
    await engineRun(engine, ['pull', '--platform', argument === 'BUILD_IMAGE' ? `linux/${OWN}` : platform, name]);
  }
  return pulled;
}

/** Why this machine cannot run containers as the task's, if so: tried with the base, so that the image is not blamed. */
export async function obstacleToRun({ engine, architecture, bases }: Images, task: Task): Promise<string | undefined> {
  if (engine.kind === 'buildah') return 'Buildah only builds: install Podman or Docker';
  if (architecture !== OWN) return `the image is for ${architecture}`;
  const args = runArguments(engine, task, { name: `rehearsal-probe-${process.pid}` });
  const [node = ''] = task.healthCheck;
  return await engineRun(engine, [...args, '--entrypoint', node, bases.RUNTIME_IMAGE, '--version']).then(
    () => undefined,
    (error: Error) => error.message.split('\n').at(-1),
  );
}
