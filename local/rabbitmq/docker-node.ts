import type { RabbitMqNode, RabbitMqOptions } from '../rabbitmq.ts';

export async function startDockerNode(_options: RabbitMqOptions): Promise<() => Promise<RabbitMqNode>> {
  throw new Error('not yet');
}
