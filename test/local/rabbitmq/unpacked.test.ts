// The cache of unpacked suites: what is half made or was moved does not count.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { putInPlace, unpackedSuites } from '../../../local/rabbitmq/unpacked.ts';

let base: string;
let cache: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'cache-'));
  vi.stubEnv('XDG_CACHE_HOME', base);
  cache = join(base, 'discord-gateway-ingestor');
  mkdirSync(cache);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(base, { recursive: true, force: true });
});

/** As debian-root.sh and relocate leave it, with one file that tells who made it. */
function make(parent: string, madeFor: string, maker: string): string {
  const root = join(cache, parent);
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, '.unpacked-in'), madeFor);
  writeFileSync(join(root, maker), '');
  return root;
}

test('an empty cache holds no suite', () => {
  rmSync(cache, { recursive: true });
  expect(unpackedSuites()).toEqual([]);
});

test('a whole folder is a suite; one that is being made, was moved or was never finished is not', () => {
  make('rabbitmq-forky-1', join(cache, 'rabbitmq-forky-1'), 'first');
  make('.making-abc/root', join(cache, 'rabbitmq-trixie-1'), 'first');
  mkdirSync(join(cache, 'rabbitmq-bookworm-1'));
  expect(unpackedSuites()).toEqual(['forky']);
  renameSync(join(cache, 'rabbitmq-forky-1'), join(cache, 'rabbitmq-noble-1'));
  expect(unpackedSuites()).toEqual([]);
});

test('of two processes that make the same folder the first wins, and the second is content', () => {
  const folder = join(cache, 'rabbitmq-forky-1');
  const works = ['.making-1', '.making-2'].map((work) => ({ work, root: make(`${work}/root`, folder, work) }));
  for (const { work, root } of works) putInPlace(root, folder, join(cache, work));
  expect(unpackedSuites()).toEqual(['forky']);
  expect(() => rmSync(join(folder, '.making-1'))).not.toThrow();
});

test('a damaged folder is replaced', () => {
  const folder = join(cache, 'rabbitmq-forky-1');
  make('rabbitmq-forky-1', '/somewhere/else', 'damaged');
  putInPlace(make('.making-1/root', folder, 'new'), folder, join(cache, '.making-1'));
  expect(unpackedSuites()).toEqual(['forky']);
  expect(() => rmSync(join(folder, 'new'))).not.toThrow();
});
