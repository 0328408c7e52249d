// One broker for the whole run of the tests, started before them and removed after them: a node takes seconds to start.
// Test files share it without seeing each other, each in its own vhost (broker.ts).

import type { TestProject } from 'vitest/node';
import { startRabbitMq } from '../../local/rabbitmq.ts';

/** What the processes of the tests know of it. */
export interface BrokerCoordinates {
  readonly version: string;
  readonly origin: string;
  /** With the administrator's login, without a vhost. */
  readonly amqpUrl: string;
  readonly managementUrl: string;
  /** By TLS: trust `caFile` for it. */
  readonly managementTlsUrl: string | undefined;
  readonly username: string;
  readonly password: string;
  readonly amqpsPort: number | undefined;
  readonly caFile: string | undefined;
}

declare module 'vitest' {
  export interface ProvidedContext {
    broker: BrokerCoordinates;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const node = await startRabbitMq({ tls: true, name: 'tests', log: (line) => console.log(line) });
  console.log(`RabbitMQ ${node.version} (${node.origin})`);
  const { version, origin, managementUrl, managementTlsUrl, username, password, amqpsPort, caFile } = node;
  const amqpUrl = node.amqpUrl();
  project.provide('broker', {
    ...{ version, origin, amqpUrl, managementUrl, managementTlsUrl, username, password, amqpsPort, caFile },
  });
  return async () => await node.remove();
}
