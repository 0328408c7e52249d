// `npm run bases`: pins the base images of service/Dockerfile to what their tags name today, all of them or none.
// With `--check` it only compares. Exit code: 0 all are pinned to the newest, or were; 2 --check: some are not; 1 failed.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '../service/errors.ts';
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
  const digests = await Promise.all(images.map(indexDigest));
  let renewed = dockerfile;
  for (const [index, image] of images.entries()) {
    const digest = digests[index] ?? '';
    const change = image.digest === digest ? `${digest} as it is` : `${image.digest ?? 'not pinned'} → ${digest}`;
    console.log(`${image.argument} ${nameOf(image)}\n  ${change}`);
    renewed = pinned(renewed, image, digest);
  }
  if (values.check) process.exitCode = renewed === dockerfile ? 0 : RENEWABLE;
  else await writeFile(values.file, renewed);
} catch (error) {
  console.error(`${errorMessage(error)}\nNothing was changed.`);
  process.exitCode = 1;
}
