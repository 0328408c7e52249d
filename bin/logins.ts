// Ends a leaked login of the broker: the pair gets a new password, every older one ends, and every connection that began
// with one is closed. The broker is private, so the function that rotates the logins does the work there; here it is only
// called. The service and the workers read the secret again, and continue.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  CancelRotateSecretCommand,
  DescribeSecretCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { RevokeEvent, RevokeReport } from '../lib/rotation/rotate.lambda.ts';
import { LOGIN_FUNCTION_OUTPUT } from '../lib/rotation/rotation.ts';
import { loginSecret, secretName } from '../lib/secrets.ts';
import { ENVIRONMENTS, type Environment } from '../lib/settings.ts';
import { mayBeWorker } from '../lib/topology/further-queues.ts';
import { USERS } from '../service/contract/names.ts';

const DEADLINE_SECONDS = 300;
const POLL_MS = 1_000;
/** The longest that Secrets Manager takes. It is switched off again at the end. */
const NO_SCHEDULE_DAYS = 1_000;

const HELP = `Usage: npm run logins -- revoke ${Object.values(USERS).join('|')}|WORKER --environment ${ENVIRONMENTS.join('|')} [options]

  revoke   gives the login a new password now, ends every older one, and closes the connections
           that began with one; clients that read the secret again continue. May be repeated.

  --environment NAME
  --region NAME      default: that of the AWS configuration
  --wait SECONDS     until the new password is current; default: ${DEADLINE_SECONDS}
  --help

Needs cloudformation:DescribeStacks, secretsmanager:DescribeSecret, RotateSecret and
CancelRotateSecret on the secret, and lambda:InvokeFunction on the function.

Exit code: 0 the older passwords do not work any more; 1 something failed: see the last line`;

if (import.meta.main)
  await run(process.argv.slice(2), console.log).catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });

/** @throws Error with one sentence */
export async function run(args: readonly string[], print: (line: string) => void): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      environment: { type: 'string' },
      region: { type: 'string' },
      wait: { type: 'string', default: String(DEADLINE_SECONDS) },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return print(HELP);
  const [command, name, ...more] = positionals;
  const isLogin = Object.values<unknown>(USERS).includes(name) || mayBeWorker(name ?? '');
  const environment = ENVIRONMENTS.find((known) => known === values.environment);
  const seconds = Number(values.wait);
  if (command !== 'revoke' || name === undefined || !isLogin || more.length > 0)
    throw new Error(
      `expected revoke ${Object.values(USERS).join(', ')} or the name of a further worker, got '${positionals.join(' ')}'. More: npm run logins -- --help`,
    );
  if (environment === undefined)
    throw new Error(`--environment: expected ${ENVIRONMENTS.join(' or ')}, got '${values.environment ?? ''}'`);
  if (!(seconds > 0)) throw new Error(`--wait: expected a number of seconds, got '${values.wait}'`);

  const region = values.region === undefined ? {} : { region: values.region };
  const lambda = new LambdaClient(region);
  const secrets = new SecretsManagerClient(region);
  const functionArn = await functionOf(environment, new CloudFormationClient(region));
  const secret = secretName(environment, loginSecret(name));
  const { ARN: secretArn = secret, RotationEnabled: hasSchedule = false } = await secrets.send(
    new DescribeSecretCommand({ SecretId: secret }),
  );
  // Before the rotation too, which makes the former user the current one, whose connections are not closed.
  print(sentenceOf(await revoke(lambda, functionArn, secretArn)));
  try {
    await rotate(secrets, secretArn, { seconds, ...(!hasSchedule && { functionArn }) });
  } finally {
    if (!hasSchedule) await secrets.send(new CancelRotateSecretCommand({ SecretId: secretArn }));
  }
  print(`${secret} has a new password`);
  print(sentenceOf(await revoke(lambda, functionArn, secretArn)));
}

async function functionOf(environment: Environment, client: CloudFormationClient): Promise<string> {
  const StackName = `discord-ingestor-${environment}-broker`;
  const { Stacks: [stack] = [] } = await client.send(new DescribeStacksCommand({ StackName }));
  const output = stack?.Outputs?.find(({ OutputKey }) => OutputKey === LOGIN_FUNCTION_OUTPUT)?.OutputValue;
  if (output !== undefined) return output;
  throw new Error(`stack ${StackName}: expected the output ${LOGIN_FUNCTION_OUTPUT}, got none. Deploy the stack first`);
}

/** Resolves when the new password is the current one. */
async function rotate(
  secrets: SecretsManagerClient,
  secret: string,
  { seconds, functionArn }: { readonly seconds: number; readonly functionArn?: string },
): Promise<void> {
  const deadline = Date.now() + seconds * 1_000;
  const { VersionId = '' } = await secrets.send(
    new RotateSecretCommand({
      SecretId: secret,
      ClientRequestToken: randomUUID(),
      RotateImmediately: true,
      // Where `rotationDays` is 0 the secret knows no function.
      ...(functionArn !== undefined && {
        RotationLambdaARN: functionArn,
        RotationRules: { AutomaticallyAfterDays: NO_SCHEDULE_DAYS },
      }),
    }),
  );
  while (true) {
    const { VersionIdsToStages = {} } = await secrets.send(new DescribeSecretCommand({ SecretId: secret }));
    if (VersionIdsToStages[VersionId]?.includes('AWSCURRENT')) return;
    if (Date.now() > deadline)
      throw new Error(
        `${secret}: expected a new password within ${seconds} s, got none, and the current one still works. See the log of the function in the output ${LOGIN_FUNCTION_OUTPUT}`,
      );
    await sleep(POLL_MS);
  }
}

async function revoke(lambda: LambdaClient, functionArn: string, secret: string): Promise<RevokeReport> {
  const event: RevokeEvent = { Step: 'revoke', SecretId: secret };
  const { FunctionError, Payload } = await lambda.send(
    new InvokeCommand({ FunctionName: functionArn, Payload: Buffer.from(JSON.stringify(event)) }),
  );
  const answer: unknown = JSON.parse(Buffer.from(Payload ?? []).toString() || 'null');
  if (FunctionError === undefined) return answer as RevokeReport;
  throw new Error((answer as { errorMessage?: string }).errorMessage ?? `the function failed: ${FunctionError}`);
}

function sentenceOf({ revoked, current, connectionsClosed }: RevokeReport): string {
  return revoked === undefined
    ? `${current} is the only user of its pair: nothing to revoke yet`
    : `${revoked}: its password does not work any more, ${connectionsClosed} connections closed; current: ${current}`;
}
