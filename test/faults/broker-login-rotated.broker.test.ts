// The broker's login is rotated: the broker takes the old password no more, and Secrets Manager has the new one, now or a
// little later. Connections that are open stay; one that ends is refused, the secret is read again, and the task goes on.

import { randomBytes } from 'node:crypto';
import { afterAll, expect } from 'vitest';
import { startSecretsManager } from '../../local/secrets-manager.ts';
import type { Stage } from '../../local/stage.ts';
import { ENV, USERS, VHOST } from '../../service/contract/names.ts';
import { closeConnections } from '../support/connections.ts';
import { disastersOn } from './disaster.ts';

const SECRET = 'ingestor/rabbitmq';
const secrets = await startSecretsManager();
afterAll(() => secrets.stop());

const strikes = disastersOn({ tasks: 0, untilReady: false });

function put({ broker }: Stage, password: string): string {
  const login = {
    host: '127.0.0.1',
    port: broker.amqpPort,
    vhost: VHOST,
    username: USERS.ingestor,
    password,
    tls: false,
  };
  return secrets.put(SECRET, JSON.stringify(login));
}

/** A task that knows its login from the secret only. */
async function prepare(stage: Stage): Promise<void> {
  if (stage.tasks.length > 0) return;
  const arn = put(stage, new URL(stage.url(USERS.ingestor)).password);
  await stage.startTask({ [ENV.rabbitmqUrl]: '', [ENV.rabbitmqSecretArn]: arn, ...secrets.environment });
  await stage.ready();
}

const readings = () => secrets.requests.filter((request) => request.startsWith('GetSecretValue')).length;

/** The broker refuses the old password from now on, and everything open is closed. @returns the new one */
async function rotateAtBroker(stage: Stage): Promise<string> {
  const password = randomBytes(12).toString('hex');
  await stage.broker.ctl('change_password', USERS.ingestor, password);
  return password;
}

strikes('a login that was rotated is read again as soon as the old one is refused', {
  rate: 300,
  prepare,
  async happens(stage) {
    const before = readings();
    put(stage, await rotateAtBroker(stage));
    await closeConnections(stage.broker, / (publisher|lease)$/);
    await stage.until('the secret is read again', 30_000, () => readings() > before);
    await stage.ready();
    return undefined;
  },
});

strikes('a login that is refused before the new one is in the secret is read again until it is', {
  rate: 300,
  prepare,
  async happens(stage) {
    const before = readings();
    const password = await rotateAtBroker(stage);
    await closeConnections(stage.broker, / (publisher|lease)$/);
    await stage.until('the secret was read twice and had the old login', 60_000, () => readings() >= before + 2);
    put(stage, password);
    await stage.ready();
    const output = stage.tasks[0]?.output ?? '';
    expect(output).not.toContain(password);
    return { outputHasOldPassword: String(output.includes(new URL(stage.url(USERS.ingestor)).password)) };
  },
  bounds(_, { outputHasOldPassword }) {
    expect(outputHasOldPassword).toBe('false');
  },
});
