// What the tests write outside the checkout goes into one folder, which is removed after them.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'ingestor-tests-'));
  process.env.TMPDIR = folder;
  return async () => await rm(folder, { recursive: true, force: true });
}
