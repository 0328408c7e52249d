// `npm run bases`: pins the base images of service/Dockerfile to what their tags name today, all of them or none.
// With `--check` it only compares. Exit code: 0 all are pinned to the newest, or were; 2 --check: some are not; 1 failed.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { baseImages, nameOf, pinned } from './base-images.ts';
import { indexDigest } from './registry.ts';

const RENEWABLE = 2;

try {
  const { values } = parseArgs({
    options: {
      check: { type: 'boolean', default: false },
      file: { type: 'string', default: join(import.meta.dirname, '../service/Dockerfile') },
    },
  });
  const dockerfile = await readFile(values.file, 'utf8');
  const images = baseImages(dockerfile);
  const found = await Promise.allSettled(images.map(indexDigest));
  const failures = found.flatMap((each) => (each.status === 'rejected' ? [(each.reason as Error).message] : []));
  if (failures.length > 0) throw new Error([...failures, 'Nothing was changed.'].join('\n'));

  const digests = new Map(images.map(({ argument }, index) => [argument, (found[index] as { value: string }).value]));
  const old = images.filter(({ argument, digest }) => digest !== digests.get(argument));
  for (const image of images) {
    const [before, now] = [image.digest ?? 'not pinned', digests.get(image.argument)];
    console.log(`${image.argument} ${nameOf(image)}\n  ${before === now ? `${now} as it is` : `${before} → ${now}`}`);
  }
  if (values.check) process.exitCode = old.length > 0 ? RENEWABLE : 0;
  else if (old.length > 0) await writeFile(values.file, pinned(dockerfile, digests));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
