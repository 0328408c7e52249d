// In which order the launcher tries to get RabbitMQ.
import { expect, it } from 'vitest';
import { settingsFor } from '../../lib/settings.ts';
import { IMAGE } from '../../local/rabbitmq/docker-host.ts';
import { waysToRabbitMq } from '../../local/rabbitmq.ts';

it.each<[string, string | undefined, string | undefined, string[]]>([
  [
    "production's version first, that of the machine's Debian suite last",
    undefined,
    'bookworm',
    ['forky', 'installed', 'docker', 'bookworm'],
  ],
  ["the machine's suite only once", undefined, 'forky', ['forky', 'installed', 'docker']],
  ['no suite of the machine, on a Mac', undefined, undefined, ['forky', 'installed', 'docker']],
  ['only the requested one', 'docker', 'bookworm', ['docker']],
])('%s', (_, wanted, suite, ways) => {
  expect(waysToRabbitMq(wanted, suite)).toEqual(ways);
});

it("Docker's image has production's minor version and the management plugin, and is pinned by digest", () => {
  const { engineVersion } = settingsFor('production').broker;
  const [, version = ''] = /^rabbitmq:([\d.]+)-management@sha256:[0-9a-f]{64}$/.exec(IMAGE) ?? [];
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(version.startsWith(`${engineVersion}.`)).toBe(true);
});
