// What `npm run logins` talks to, for the SDK's clients: the outputs of a stack (CloudFormation's query protocol), a
// function (Lambda's REST), and the start of a rotation, which the stand-in of Secrets Manager has no operation for.
// All else goes on to that one. Anything unknown is refused.

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { handler as Handler } from '../../lib/rotation/rotate.lambda.ts';
import type { SecretsManager } from '../../local/secrets-manager.ts';
import { listening } from './fake-servers.ts';

export interface AwsApis {
  /** For the environment of a process that uses the SDK. */
  readonly environment: Readonly<Record<string, string>>;
  /** Operations received, in order, but for those that only read. */
  readonly calls: readonly string[];
  stop(): Promise<void>;
}

export interface AwsApisOptions {
  readonly secrets: SecretsManager;
  readonly handler: typeof Handler;
  /** Names; each has the same outputs. */
  readonly stacks: readonly string[];
  readonly outputs: Readonly<Record<string, string>>;
  /** Whether the secrets have a schedule. @default true */
  readonly scheduled?: boolean;
}

export async function startAwsApis(options: AwsApisOptions): Promise<AwsApis> {
  const { secrets, handler, stacks, outputs, scheduled = true } = options;
  const calls: string[] = [];
  const rotations: Promise<unknown>[] = [];

  const server = createServer(async (request, response) => {
    const { status = 200, type = 'application/x-amz-json-1.1', headers, body } = await answer(request).catch(failed);
    response.writeHead(status, { 'content-type': type, 'x-amzn-requestid': randomUUID(), ...headers }).end(body);
  });

  async function answer(request: IncomingMessage): Promise<Answer> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const target = String(request.headers['x-amz-target'] ?? '').replace('secretsmanager.', '');
    if (target !== '') return await secretsManager(target, body, request);
    const [, invoked] = /^\/2015-03-31\/functions\/([^/]+)\/invocations/.exec(request.url ?? '') ?? [];
    if (invoked !== undefined) return await lambda(decodeURIComponent(invoked), body);
    return cloudFormation(new URLSearchParams(body));
  }

  async function secretsManager(target: string, body: string, { headers }: IncomingMessage): Promise<Answer> {
    const parameters = JSON.parse(body) as Record<string, unknown>;
    if (target === 'RotateSecret') {
      const rules = scheduled ? '' : ` ${String(parameters.RotationLambdaARN)}`;
      calls.push(`RotateSecret${rules}`);
      const started = Promise.withResolvers<string>();
      const rotation = secrets.rotate(String(parameters.SecretId), async (event) => {
        started.resolve(event.ClientRequestToken);
        await handler(event);
      });
      rotations.push(rotation.catch(started.reject));
      return { body: JSON.stringify({ ARN: parameters.SecretId, VersionId: await started.promise }) };
    }
    if (target === 'CancelRotateSecret') {
      calls.push(target);
      return { body: '{}' };
    }
    const passedOn = await fetch(secrets.endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': `secretsmanager.${target}`,
        authorization: headers.authorization ?? '',
      },
      body,
    });
    const text = await passedOn.text();
    const isDescription = target === 'DescribeSecret' && passedOn.ok;
    return {
      status: passedOn.status,
      body: isDescription ? JSON.stringify({ ...JSON.parse(text), RotationEnabled: scheduled }) : text,
    };
  }

  async function lambda(name: string, body: string): Promise<Answer> {
    if (!Object.values(outputs).includes(name)) throw new Error(`expected a function of the stack, got ${name}`);
    const event = JSON.parse(body);
    calls.push(`Invoke ${event.Step}`);
    try {
      return { type: 'application/json', body: JSON.stringify((await handler(event)) ?? null) };
    } catch (error) {
      const errorMessage = error instanceof Error ? error.message : String(error);
      const headers = { 'x-amz-function-error': 'Unhandled' };
      return { type: 'application/json', headers, body: JSON.stringify({ errorType: 'Error', errorMessage }) };
    }
  }

  function cloudFormation(query: URLSearchParams): Answer {
    if (query.get('Action') !== 'DescribeStacks') throw new Error(`expected DescribeStacks, got ${query}`);
    const stack = query.get('StackName') ?? '';
    if (!stacks.includes(stack)) {
      const message = `Stack with id ${stack} does not exist`;
      return {
        status: 400,
        type: 'text/xml',
        body: `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>${message}</Message></Error><RequestId>${randomUUID()}</RequestId></ErrorResponse>`,
      };
    }
    const members = Object.entries(outputs).map(
      ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
    );
    return {
      type: 'text/xml',
      body: `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>${stack}</StackName><Outputs>${members.join('')}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`,
    };
  }

  const { port, close } = await listening(server);
  const url = `http://127.0.0.1:${port}`;
  return {
    environment: { ...secrets.environment, AWS_ENDPOINT_URL_SECRETS_MANAGER: url, AWS_ENDPOINT_URL: url },
    calls,
    async stop() {
      await Promise.all(rotations);
      await close();
    },
  };
}

interface Answer {
  readonly status?: number;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

function failed({ message }: Error): Answer {
  return { status: 500, type: 'application/json', body: JSON.stringify({ message }) };
}
