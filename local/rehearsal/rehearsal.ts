// A deployment on one machine, with the artifacts that are deployed: synthesis, image, first deployment, rotation, an
// update that fails and is rolled back, a time-out, a second version under load and back, tear-down.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { appendFile, cp, mkdir, mkdtemp, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { loginSecret } from '../../lib/secrets.ts';
import { Stage } from '../stage.ts';
import { type Assembly, synthesize } from './assembly.ts';
import { Cloud } from './cloud.ts';
import { rehearseDeployment, type Versions } from './deployment.ts';
import { type Architecture, findEngine } from './engine.ts';
import { buildImages, type Images } from './images.ts';
import type { Recorder } from './report.ts';

export interface RehearsalOptions {
  readonly architecture: Architecture;
  /** Ends when the image is built. */
  readonly onlyImage: boolean;
}

const PROJECT = dirname(dirname(import.meta.dirname));
const SHARDS = { count: 4, perTask: 2, standbys: 1 };
const SETTINGS = {
  shards: SHARDS,
  queues: { 'events.analytics': { keys: ['member.#'] } },
  workers: { analytics: { queues: ['events.analytics'] } },
};
/** What the application and the image are made of. */
const SOURCES = ['bin', 'lib', 'service', '.dockerignore', 'cdk.json', 'package.json', 'package-lock.json'];

/** @throws what fails, once it is recorded; nothing is left then either */
export async function rehearse(recorder: Recorder, { architecture, onlyImage }: RehearsalOptions): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ingestor-rehearsal-'));
  const removeFolder = (): void => {
    // Podman lays its storage over a mount of itself, which may outlive the last container.
    spawnSync('umount', [join(folder, 'images/overlay')]);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  };
  process.once('exit', removeFolder);
  let images: Images | undefined;
  try {
    const { first, more, next } = await synthesizeVersions(recorder, folder);
    const engine = await findEngine(folder);
    const packages = 'apt-get install --no-install-recommends podman runc catatonit';
    if (!engine) recorder.skip('image: build and run', `neither Docker nor Podman nor Buildah works here: ${packages}`);
    else
      images = await buildImages(recorder, engine, onlyImage ? [first.image] : [first.image, next.image], {
        work: join(folder, 'bases'),
        architecture,
      });
    if (!onlyImage) await rehearseOnStage(recorder, folder, { first, more, next }, images);
  } finally {
    await images?.remove();
    process.off('exit', removeFolder);
    removeFolder();
  }
}

async function synthesizeVersions(recorder: Recorder, folder: string): Promise<Versions> {
  let versions: Versions | undefined;
  await recorder.step('synthesize', async () => {
    const copy = join(folder, 'next');
    await mkdir(copy);
    for (const name of SOURCES) await cp(join(PROJECT, name), join(copy, name), { recursive: true });
    await symlink(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
    await appendFile(join(copy, 'service/main.ts'), "process.title = 'discord-ingestor-next';\n");
    const oneMore = { ...SHARDS, count: SHARDS.count + SHARDS.perTask };
    const [first, more, next] = await Promise.all([
      synthesize(PROJECT, SETTINGS, join(folder, 'assembly-first')),
      synthesize(PROJECT, { ...SETTINGS, shards: oneMore }, join(folder, 'assembly-more')),
      synthesize(copy, SETTINGS, join(folder, 'assembly-next')),
    ]);
    // The bundles' maps name the packages by another path in the copy.
    const masked = ({ broker, service }: Assembly) =>
      JSON.stringify([broker, service]).replaceAll(/\b[0-9a-f]{64}\b/g, 'ASSET');
    if (masked(first) !== masked(next) || first.image.hash === next.image.hash)
      throw new Error('expected another image, and nothing else, in the templates of another source');
    versions = { first, more, next };
    return `staging, ${SHARDS.count} shards in groups of ${SHARDS.perTask}; another source changes the image alone`;
  });
  if (!versions) throw new Error('nothing was synthesized');
  return versions;
}

async function rehearseOnStage(recorder: Recorder, folder: string, versions: Versions, images: Images | undefined) {
  let cloud: Cloud | undefined;
  const stage = await Stage.start({
    ...{ tasks: 0, untilReady: false, tls: true, shards: SHARDS.count, shardsPerTask: SHARDS.perTask },
    simulator: { guilds: 50, maxConcurrency: 16 },
    topology: async (broker) => {
      const made = await Cloud.start(broker, versions.first.broker);
      cloud = made;
      await recorder.step('topology: create', async () => {
        const { Data } = await made.topology('Create', versions.first);
        return `by the bundled function, twice, on RabbitMQ ${Data?.Version} over TLS`;
      });
      return (user) => made.login(loginSecret(user));
    },
  });
  try {
    if (!cloud) throw new Error('expected the topology to be applied');
    await rehearseDeployment({ recorder, stage, cloud, versions, images, folder });
  } finally {
    await stage.stop();
    await cloud?.stop();
  }
}
