// A stage on the shared broker, for tests that do nothing to the broker itself: a broker of its own takes seconds to start.

import type { DiscordSimulator } from '../../local/discord/simulator.ts';
import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import type { Login } from '../../local/rabbitmq/types.ts';
import { Stage, type StageOptions } from '../../local/stage.ts';
import { sharedBroker } from './broker.ts';
import { ownVhost } from './own-vhost.ts';

export type SharedStage = Stage & { readonly simulator: DiscordSimulator };

export async function startSharedStage(
  options: Omit<StageOptions, 'tls' | 'nodes' | 'botToken'> = {},
): Promise<SharedStage> {
  const { remove, userNames, vhost } = await ownVhost('stage');
  const { managementUrl, username, password, url } = sharedBroker();
  const broker: Partial<RabbitMq> = {
    ...{ managementUrl, username, password, remove },
    amqpUrl: (login?: Login) => url(login),
  };
  const shared = { broker: broker as RabbitMq, userNames, vhost };
  return (await Stage.start({ ...options, shared })) as SharedStage;
}
