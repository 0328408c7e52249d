// The two functions that manage the broker, as AWS calls them: their environment, a Secrets Manager, and the shared broker's
// management API by TLS.

import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { vi } from 'vitest';
import { MANAGEMENT_ENV } from '../../lib/management/function-settings.ts';
import type { ManagementApi } from '../../lib/management/management-api.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { sharedBroker } from './broker.ts';

export interface BrokerFunctions {
  readonly secrets: SecretsManager;
  /** As the administrator, without TLS; of the class that the functions use. */
  readonly api: ManagementApi;
  readonly managementUrl: string;
  readonly apply: typeof import('../../lib/topology/apply.lambda.ts').handler;
  readonly rotate: typeof import('../../lib/rotation/rotate.lambda.ts').handler;
  /** The functions' environment. @param logins name of a secret by the first user of the pair */
  configure(
    logins: Readonly<Record<string, string>>,
    changes?: Partial<Record<keyof typeof MANAGEMENT_ENV, string>>,
  ): void;
  stop(): Promise<void>;
}

/** Name of the administrator's secret. */
export const ADMINISTRATOR = 'broker-administrator';

export function administratorSecret(password = sharedBroker().password): string {
  return JSON.stringify({ username: sharedBroker().username, password });
}

export async function brokerFunctions(): Promise<BrokerFunctions> {
  const secrets = await startSecretsManager();
  for (const [name, value] of Object.entries(secrets.environment)) vi.stubEnv(name, value);
  const { managementUrl: url, managementTlsUrl: managementUrl, caFile, username, password } = sharedBroker();
  if (managementUrl === undefined || caFile === undefined) throw new Error('expected a broker with TLS');
  const distrust = trust(caFile);
  secrets.put(ADMINISTRATOR, administratorSecret());
  // The SDK reads the environment when its client is made: each file of tests has a client of its own.
  vi.resetModules();
  const { ManagementApi } = await import('../../lib/management/management-api.ts');
  const { handler: apply } = await import('../../lib/topology/apply.lambda.ts');
  const { handler: rotate } = await import('../../lib/rotation/rotate.lambda.ts');
  const api = new ManagementApi({ url, username, password });
  return {
    ...{ secrets, api, managementUrl, apply, rotate },
    configure(logins, changes = {}) {
      const arns = Object.entries(logins).map(([user, name]) => [user, secrets.put(name)]);
      const settings = {
        managementUrl,
        administratorSecretArn: secrets.put(ADMINISTRATOR),
        loginSecretArns: JSON.stringify(Object.fromEntries(arns)),
        ...changes,
      };
      for (const [key, value] of Object.entries(settings))
        vi.stubEnv(MANAGEMENT_ENV[key as keyof typeof MANAGEMENT_ENV], value);
    },
    async stop() {
      api.close();
      distrust();
      vi.unstubAllEnvs();
      await secrets.stop();
    },
  };
}

/** From now on this process trusts the certificate, as Lambda trusts that of Amazon MQ. @returns ends it */
export function trust(caFile: string): () => void {
  const trusted = tls.getCACertificates('default');
  tls.setDefaultCACertificates([...trusted, readFileSync(caFile, 'utf8')]);
  return () => tls.setDefaultCACertificates(trusted);
}

/** A version of a secret as a rotation writes it in its first step. */
export async function putPending(
  { SecretId, ClientRequestToken }: { SecretId: string; ClientRequestToken: string },
  SecretString: string,
): Promise<void> {
  const { PutSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const put = { SecretId, ClientRequestToken, SecretString, VersionStages: ['AWSPENDING'] };
  await new SecretsManagerClient({}).send(new PutSecretValueCommand(put));
}
