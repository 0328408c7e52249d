// The images of two versions, built from what the assemblies stage, as the CLI would build them.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseImages, nameOf } from '../base-images.ts';
import { assembledBases } from './assembled-bases.ts';
import type { Assembly, ImageAsset } from './assembly.ts';
import {
  type Architecture,
  type Bases,
  buildArguments,
  type Engine,
  npmSecrets,
  OWN,
  runArguments,
  tell,
} from './engine.ts';
import type { Recorder } from './report.ts';
import type { Task } from './template.ts';

export type BasesFrom = 'pinned' | 'assembled' | 'either';

export interface Images {
  readonly engine: Engine;
  readonly architecture: Architecture;
  readonly bases: Bases;
  /** Of Docker's, which are not in the rehearsal's folder. */
  remove(): Promise<void>;
}

export const tagOf = (hash: string): string => `localhost/discord-ingestor:${hash}`;

/** Undefined where this machine has no base images, which is recorded as left out. @throws where a build fails */
export async function buildImages(
  recorder: Recorder,
  engine: Engine,
  assemblies: readonly Assembly[],
  { work, architecture, from }: { work: string; architecture: Architecture; from: BasesFrom },
): Promise<Images | undefined> {
  const platform = `linux/${architecture}`;
  const found = await basesFor(engine, assemblies, { work, platform, architecture, from });
  if (typeof found === 'string') {
    recorder.leaveOut('image: build and run', `no base images: ${found}`);
    return undefined;
  }
  const { bases, assembled } = found;
  const secrets = await npmSecrets();
  for (const [index, { image }] of assemblies.entries())
    await recorder.step(`image: build ${index === 0 ? 'the first' : 'the next'} version`, async () => {
      const tag = tagOf(image.hash);
      const options = { tag, platform, ...(assembled && { bases }), secrets };
      await tell(engine, buildArguments(engine, image, options), image.directory);
      const what = `by ${engine.kind} from the staged asset ${image.hash.slice(0, 12)}, ${platform}`;
      if (engine.kind === 'buildah') return what;
      const size = await tell(engine, ['image', 'inspect', '--format', '{{.Size}}', tag]);
      return `${what}, ${(Number(size) / 1_000_000).toFixed(1)} MB`;
    });
  if (assembled)
    recorder.deviations.push(
      "image: on bases of Debian's packages and npm's Node, because the pinned ones were not pulled",
    );
  const [first] = assemblies;
  if (first && first.image.platform !== platform)
    recorder.deviations.push(`image: built for ${platform}, where the manifest says ${first.image.platform}`);
  const remove = async (): Promise<void> => {
    if (engine.kind !== 'docker') return;
    const tags = assemblies.map(({ image }) => tagOf(image.hash));
    await tell(engine, ['image', 'rm', ...tags, ...(assembled ? Object.values(bases) : [])]);
  };
  return { engine, architecture, bases, remove };
}

/** @returns or why there are none */
async function basesFor(
  engine: Engine,
  [first]: readonly Assembly[],
  {
    work,
    platform,
    architecture,
    from,
  }: { work: string; platform: string; architecture: Architecture; from: BasesFrom },
): Promise<{ bases: Bases; assembled: boolean } | string> {
  if (from !== 'assembled' && first) {
    const bases = await pulledBases(engine, first.image, platform).catch((error: Error) => {
      if (from === 'pinned') throw error;
    });
    if (bases) return { bases, assembled: false };
  }
  return await assembledBases(engine, work, architecture).then(
    (bases) => ({ bases, assembled: true }),
    (error: Error) => error.message,
  );
}

async function pulledBases(engine: Engine, { directory, dockerFile }: ImageAsset, platform: string): Promise<Bases> {
  const pulled = { BUILD_IMAGE: '', RUNTIME_IMAGE: '' };
  for (const image of baseImages(await readFile(join(directory, dockerFile), 'utf8'))) {
    const argument = image.argument as keyof Bases;
    pulled[argument] = `${nameOf(image)}@${image.digest}`;
    await tell(engine, [
      'pull',
      '--platform',
      argument === 'BUILD_IMAGE' ? `linux/${OWN}` : platform,
      pulled[argument],
    ]);
  }
  return pulled;
}

/** Why this machine cannot run containers as the task's, if so: tried with the base, so that the image is not blamed. */
export async function obstacleToRun({ engine, architecture, bases }: Images, task: Task): Promise<string | undefined> {
  if (engine.kind === 'buildah') return 'Buildah only builds: install Podman or Docker';
  if (architecture !== OWN) return `the image is for ${architecture}`;
  const args = runArguments(engine, task, { name: `rehearsal-probe-${process.pid}` });
  const [node = ''] = task.healthCheck;
  return await tell(engine, [...args, '--entrypoint', node, bases.RUNTIME_IMAGE, '--version']).then(
    () => undefined,
    (error: Error) => error.message.split('\n').at(-1),
  );
}
