// The image of a node in Docker: the same bytes for everybody, and of the series that is deployed.
import { expect, it } from 'vitest';
import { settingsFor } from '../../../lib/settings.ts';
import { IMAGE } from '../../../local/rabbitmq/docker-node.ts';

it("is pinned by digest, and of production's series, with the management plugin", () => {
  const { engineVersion } = settingsFor('production').broker;
  const [, version = ''] = /^rabbitmq:([\d.]+)-management@sha256:[0-9a-f]{64}$/.exec(IMAGE) ?? [];
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(version.startsWith(`${engineVersion}.`)).toBe(true);
});
