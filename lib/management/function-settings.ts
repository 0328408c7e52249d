// The environment of the two functions that manage the broker: where the management API is, and with which secrets. It is
// not in their events, because a caller should not choose where the administrator's password is sent.
import { z } from 'zod';
import { isFirstOfPair } from './broker-login.ts';
import { jsonOf } from './json.ts';

export const MANAGEMENT_ENV = {
  /** `https://host` */
  managementUrl: 'MANAGEMENT_URL',
  administratorSecretArn: 'ADMINISTRATOR_SECRET_ARN',
  /** JSON: first user of a pair → ARN of the secret that has the current user of the pair, and its login. */
  loginSecretArns: 'LOGIN_SECRET_ARNS',
} as const;

export interface FunctionSettings {
  readonly managementUrl: string;
  readonly administratorSecretArn: string;
  readonly loginSecretArns: Readonly<Record<string, string>>;
}

const LOGINS = z.record(z.string().refine(isFirstOfPair), z.string().min(1));

/** @throws Error with one sentence, which quotes no value: there may be a password in it */
export function functionSettings(env: Readonly<Record<string, string | undefined>>): FunctionSettings {
  const variable = (key: keyof typeof MANAGEMENT_ENV): string => {
    const name = MANAGEMENT_ENV[key];
    const value = env[name];
    if (value) return value;
    throw new Error(`${name}: expected a value in the function's environment, got nothing`);
  };
  const managementUrl = variable('managementUrl');
  if (!URL.canParse(managementUrl) || new URL(managementUrl).protocol !== 'https:')
    throw new Error(
      `${MANAGEMENT_ENV.managementUrl}: expected https://host, as the administrator's password is sent there, got another address`,
    );
  const logins = LOGINS.safeParse(jsonOf(variable('loginSecretArns')));
  if (!logins.success)
    throw new Error(
      `${MANAGEMENT_ENV.loginSecretArns}: expected JSON such as {"ingestor":"arn:…"}, one secret for each first user of a pair`,
    );
  return {
    managementUrl,
    administratorSecretArn: variable('administratorSecretArn'),
    loginSecretArns: logins.data,
  };
}
