// Which RabbitMQ a machine gets.
import { expect, it } from 'vitest';
import { settingsFor } from '../../lib/settings.ts';
import { IMAGE } from '../../local/rabbitmq/docker-host.ts';
import { waysToRabbitMq } from '../../local/rabbitmq.ts';

it.each<[string, string | undefined, string | undefined, string[]]>([
  ['production’s version first, its own last', undefined, 'bookworm', ['forky', 'installed', 'docker', 'bookworm']],
  ['a suite that is named once', undefined, 'forky', ['forky', 'installed', 'docker']],
  ['no suite of its own, on a Mac', undefined, undefined, ['forky', 'installed', 'docker']],
  ['only what was asked for', 'docker', 'bookworm', ['docker']],
])('%s', (_, wanted, suite, ways) => {
  expect(waysToRabbitMq(wanted, suite)).toEqual(ways);
});

it("Docker's image is pinned by digest, and of production's series, with the management plugin", () => {
  const { engineVersion } = settingsFor('production').broker;
  const [, version = ''] = /^rabbitmq:([\d.]+)-management@sha256:[0-9a-f]{64}$/.exec(IMAGE) ?? [];
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(version.startsWith(`${engineVersion}.`)).toBe(true);
});
