// A stage on the shared broker, for tests that do nothing to the broker itself: a broker of its own takes seconds to start.

import { applyTopology } from '../../lib/topology/apply.ts';
import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import type { Login } from '../../local/rabbitmq/types.ts';
import { Stage, type StageOptions } from '../../local/stage.ts';
import { USERS } from '../../service/contract/names.ts';
import { sharedBroker } from './broker.ts';
import { ownVhost } from './own-vhost.ts';

export async function startSharedStage(options: Omit<StageOptions, 'tls' | 'nodes' | 'worker'> = {}): Promise<Stage> {
  const { shards: count = 1, shardsPerTask: perTask = 16, limits = {} } = options;
  const own = await ownVhost('stage');
  const shared = sharedBroker();
  const broker: Partial<RabbitMq> = {
    ...{ managementUrl: shared.managementUrl, username: shared.username, password: shared.password },
    amqpUrl: (login?: Login) => shared.url(login),
    remove: async () => await own.remove(),
  };
  return await Stage.start({
    ...options,
    broker: broker as RabbitMq,
    vhost: own.vhost,
    async topology() {
      const { api, passwords, userNames } = own;
      await applyTopology(api, own.topology({ shards: { count, perTask }, limits }), { passwords });
      return (user) => {
        const [part] = Object.entries(USERS).find(([, name]) => name === user) ?? [];
        const username = userNames[part as keyof typeof USERS];
        return { username, password: passwords[username] ?? '' };
      };
    },
  });
}
