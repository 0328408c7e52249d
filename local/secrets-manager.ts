// A simulated AWS Secrets Manager that uses its real protocol (AWS JSON 1.1 over HTTP), so that the SDK, the service and
// the rotation run against it unchanged. It keeps versions and staging labels by the service's own rules and refuses
// what it does not know. Values live in memory; a signature is required, and not verified.
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { z } from 'zod';

/** The event that Secrets Manager sends to a rotation function, once per step. */
export interface RotationEvent {
  readonly Step: 'createSecret' | 'setSecret' | 'testSecret' | 'finishSecret';
  readonly SecretId: string;
  readonly ClientRequestToken: string;
}

interface Secret {
  readonly name: string;
  readonly arn: string;
  /** By id; a pending version has no value until a rotation puts it. */
  readonly versions: Map<string, { value?: string; readonly created: number }>;
  /** Staging label to version id: a label is on one version at a time. */
  readonly stages: Map<string, string>;
  readonly tags: Map<string, string>;
}

type Answer = Readonly<Record<string, unknown>>;

/** An error of the API; the SDK makes the error's name of `type`. */
class Refusal extends Error {
  readonly type: string;
  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

export const REGION = 'eu-central-1';
export const ACCOUNT = '111122223333';
const CURRENT = 'AWSCURRENT';
const PREVIOUS = 'AWSPREVIOUS';
const PENDING = 'AWSPENDING';

const operation =
  <S extends z.ZodType>(schema: S, run: (secret: Secret, parameters: z.output<S>) => Answer) =>
  (secret: Secret, parameters: unknown): Answer =>
    run(secret, schema.parse(parameters));

const string = z.string();
const OPERATIONS: Readonly<Record<string, ReturnType<typeof operation>>> = {
  GetSecretValue: operation(
    z.object({ VersionId: string.optional(), VersionStage: string.optional() }),
    (secret, { VersionId, VersionStage }) => {
      const stage = VersionStage ?? (VersionId === undefined ? CURRENT : undefined);
      const id = VersionId ?? secret.stages.get(stage ?? '') ?? '';
      const version = secret.versions.get(id);
      if (version?.value === undefined || (stage && secret.stages.get(stage) !== id))
        throw notFound(`value for ${VersionId === undefined ? `staging label: ${stage}` : `VersionId: ${VersionId}`}`);
      const { value: SecretString, created: CreatedDate } = version;
      return { ...names(secret), VersionId: id, SecretString, VersionStages: stagesOf(secret, id), CreatedDate };
    },
  ),

  PutSecretValue: operation(
    z.object({
      ClientRequestToken: string.default(() => randomUUID()),
      SecretString: string,
      VersionStages: z.array(string).default([CURRENT]),
    }),
    (secret, { ClientRequestToken: id, SecretString, VersionStages }) => {
      const existing = secret.versions.get(id)?.value;
      if (existing !== undefined && existing !== SecretString)
        throw new Refusal('ResourceExistsException', "You can't modify an existing version, you can only create one.");
      write(secret, id, SecretString, VersionStages);
      return { ...names(secret), VersionId: id, VersionStages: stagesOf(secret, id) };
    },
  ),

  DescribeSecret: operation(z.object({}), (secret) => {
    const ids = [...secret.versions.keys()].filter((id) => stagesOf(secret, id).length > 0);
    return {
      ...names(secret),
      RotationEnabled: true,
      VersionIdsToStages: Object.fromEntries(ids.map((id) => [id, stagesOf(secret, id)])),
      Tags: [...secret.tags].map(([Key, Value]) => ({ Key, Value })),
    };
  }),

  TagResource: operation(
    z.object({ Tags: z.array(z.object({ Key: string, Value: string })) }),
    ({ tags }, { Tags }) => {
      for (const { Key, Value } of Tags) tags.set(Key, Value);
      return {};
    },
  ),

  UpdateSecretVersionStage: operation(
    z.object({ VersionStage: string, MoveToVersionId: string, RemoveFromVersionId: string.optional() }),
    (secret, { VersionStage: stage, MoveToVersionId: to, RemoveFromVersionId: from }) => {
      const holder = secret.stages.get(stage);
      if (!secret.versions.has(to)) throw notFound(`version: ${to}`);
      if (holder !== undefined && holder !== to && holder !== from)
        throw new Refusal(
          'InvalidParameterException',
          `The parameter RemoveFromVersionId must be ${holder}: staging label ${stage} is attached to that version.`,
        );
      attach(secret, stage, to);
      return names(secret);
    },
  ),
};

export async function startSecretsManager(): Promise<SecretsManager> {
  return await new SecretsManager().start();
}

export class SecretsManager {
  /** Operations received so far, as `GetSecretValue <name>`, in order. */
  readonly requests: string[] = [];
  readonly #secrets: Secret[] = [];
  readonly #denied = new Set<Secret>();
  readonly #server = createServer(async (request, response) => {
    const { status, body } = this.#answer(request, await text(request));
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID() });
    response.end(JSON.stringify(body));
  });

  async start(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return this;
  }

  /** For the SDK's `endpoint`, or `AWS_ENDPOINT_URL_SECRETS_MANAGER`. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What the SDK needs in a process's environment to find this one and to sign for it. */
  get environment(): Readonly<Record<string, string>> {
    return {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: this.endpoint,
      AWS_REGION: REGION,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'not-a-secret',
      // Otherwise the SDK looks for credentials and settings in the developer's own files.
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    };
  }

  /** Creates the secret or gives it a new current value; without a value it exists and is empty. @returns its ARN */
  put(name: string, value?: string): string {
    let secret = this.#secrets.find((each) => each.name === name);
    if (secret === undefined) {
      const arn = `arn:aws:secretsmanager:${REGION}:${ACCOUNT}:secret:${name}-${randomBytes(3).toString('hex')}`;
      secret = { name, arn, versions: new Map(), stages: new Map(), tags: new Map() };
      this.#secrets.push(secret);
    }
    if (value !== undefined) write(secret, randomUUID(), value, [CURRENT]);
    return secret.arn;
  }

  /** The value under a staging label, or undefined. */
  value(id: string, stage = CURRENT): string | undefined {
    const secret = this.#find(id);
    return secret.versions.get(secret.stages.get(stage) ?? '')?.value;
  }

  /** Refuses every operation on this secret, as IAM would, until `allow`. */
  deny(id: string): void {
    this.#denied.add(this.#find(id));
  }

  allow(id: string): void {
    this.#denied.delete(this.#find(id));
  }

  /** Rotates as the service does: a pending version without a value, then the four steps in order. @throws what a step throws */
  async rotate(id: string, step: (event: RotationEvent) => Promise<unknown>): Promise<void> {
    const secret = this.#find(id);
    // An unfinished rotation is continued with the version that is pending.
    const pending = secret.stages.get(PENDING);
    const token = pending === undefined || pending === secret.stages.get(CURRENT) ? randomUUID() : pending;
    if (!secret.versions.has(token)) secret.versions.set(token, { created: now() });
    attach(secret, PENDING, token);
    for (const Step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)
      await step({ Step, SecretId: secret.arn, ClientRequestToken: token });
    if (secret.stages.get(CURRENT) !== token)
      throw new Error(`The rotation of ${secret.name} ended without its version becoming ${CURRENT}.`);
  }

  async stop(): Promise<void> {
    this.#server.close();
    // Clients keep their connections alive for minutes.
    this.#server.closeAllConnections();
  }

  #answer({ headers }: IncomingMessage, body: string): { status: number; body: Answer } {
    try {
      if (!headers.authorization?.startsWith('AWS4-HMAC-SHA256 Credential='))
        throw new Refusal('MissingAuthenticationTokenException', 'Missing Authentication Token');
      const name = String(headers['x-amz-target'] ?? '').replace(/^secretsmanager\./, '');
      const run = OPERATIONS[name];
      if (!run) throw new Refusal('UnknownOperationException', `This Secrets Manager does not know ${name}.`);
      const parameters: unknown = JSON.parse(body);
      const { SecretId } = z.object({ SecretId: string }).parse(parameters);
      this.requests.push(`${name} ${SecretId}`);
      const secret = this.#find(SecretId);
      if (this.#denied.has(secret)) throw notAuthorized(name, secret);
      return { status: 200, body: run(secret, parameters) };
    } catch (error) {
      if (error instanceof Refusal) return { status: 400, body: { __type: error.type, message: error.message } };
      if (error instanceof z.ZodError)
        return { status: 400, body: { __type: 'ValidationException', message: z.prettifyError(error) } };
      return { status: 500, body: { __type: 'InternalServiceError', message: String(error) } };
    }
  }

  /** By name, ARN, or ARN without its six random characters. */
  #find(id: string): Secret {
    const secret = this.#secrets.find(({ name, arn }) => id === name || id === arn || id === arn.slice(0, -7));
    if (secret === undefined) throw notFound();
    return secret;
  }
}

function write(secret: Secret, id: string, value: string, stages: readonly string[]): void {
  secret.versions.set(id, { value, created: secret.versions.get(id)?.created ?? now() });
  for (const stage of stages) attach(secret, stage, id);
}

/** Moves a label; the version that loses AWSCURRENT becomes AWSPREVIOUS. */
function attach(secret: Secret, stage: string, id: string): void {
  const loser = secret.stages.get(stage);
  secret.stages.set(stage, id);
  if (stage === CURRENT && loser !== undefined && loser !== id) secret.stages.set(PREVIOUS, loser);
}

function stagesOf(secret: Secret, id: string): string[] {
  return [...secret.stages].filter(([, holder]) => holder === id).map(([stage]) => stage);
}

const names = ({ arn, name }: Secret): Answer => ({ ARN: arn, Name: name });

const notFound = (what?: string): Refusal =>
  new Refusal('ResourceNotFoundException', `Secrets Manager can't find the specified secret${what ? ` ${what}` : '.'}`);

const notAuthorized = (operation: string, { arn }: Secret): Refusal =>
  new Refusal(
    'AccessDeniedException',
    `User: arn:aws:sts::${ACCOUNT}:assumed-role/task/0 is not authorized to perform: secretsmanager:${operation} on resource: ${arn} because no identity-based policy allows the action`,
  );

/** The API's dates are seconds since 1970 with a fraction. */
const now = (): number => Date.now() / 1000;
