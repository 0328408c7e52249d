// One broker for the whole run of the tests, started before them and removed after them: a node takes seconds to start.
// Test files share it without seeing each other, each in its own vhost (broker.ts).

import type { TestProject } from 'vitest/node';
import type { RabbitMq } from '../../local/rabbitmq/node.ts';
import { startRabbitMq } from '../../local/rabbitmq.ts';

/** What the processes of the tests know of it. */
export interface BrokerCoordinates
  extends Pick<
    RabbitMq,
    'version' | 'managementUrl' | 'managementTlsUrl' | 'username' | 'password' | 'amqpsPort' | 'caFile'
  > {
  /** With the administrator's login, without a vhost. */
  readonly amqpUrl: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    broker: BrokerCoordinates;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const node = await startRabbitMq({ tls: true, name: 'tests', log: (line) => console.log(line) });
  console.log(`RabbitMQ ${node.version} (${node.origin})`);
  const { version, managementUrl, managementTlsUrl, username, password, amqpsPort, caFile } = node;
  const amqpUrl = node.amqpUrl();
  project.provide('broker', {
    ...{ version, amqpUrl, managementUrl, managementTlsUrl, username, password, amqpsPort, caFile },
  });
  return async () => await node.remove();
}
