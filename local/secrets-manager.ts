// A stand-in for AWS Secrets Manager that speaks its real protocol (AWS JSON 1.1 over HTTP), so that the SDK,
// the service and the rotation run against it unchanged. It keeps versions and staging labels by the service's
// own rules and refuses loudly what it does not know. Values live in memory; signatures are demanded, not verified.
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The event that Secrets Manager sends to a rotation function, once per step. */
export interface RotationEvent {
  readonly Step: 'createSecret' | 'setSecret' | 'testSecret' | 'finishSecret';
  readonly SecretId: string;
  readonly ClientRequestToken: string;
}

export interface SecretsManager {
  /** For the SDK's `endpoint`, or `AWS_ENDPOINT_URL_SECRETS_MANAGER`. */
  readonly endpoint: string;
  /** What the SDK needs in a process's environment to find this stand-in and to sign for it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Operations received so far, as `GetSecretValue <name>`, in order. */
  readonly requests: readonly string[];
  /** Creates the secret or gives it a new current value; without a value it exists and is empty. Returns its ARN. */
  put(name: string, value?: string): string;
  /** The value under a staging label, or undefined. */
  value(name: string, stage?: string): string | undefined;
  /** Refuses every reading or writing of this secret, as IAM would, until `allow`. */
  deny(name: string): void;
  allow(name: string): void;
  /** Rotates as the service does: a pending version without a value, then the four steps in order. Throws what a step throws. */
  rotate(name: string, step: (event: RotationEvent) => Promise<unknown>): Promise<void>;
  stop(): Promise<void>;
}

interface Version {
  value?: string;
  readonly created: number;
}

interface Secret {
  readonly name: string;
  readonly arn: string;
  readonly versions: Map<string, Version>;
  /** Staging label to version id: a label is on one version at a time. */
  readonly stages: Map<string, string>;
  readonly tags: Map<string, string>;
}

type Parameters = Readonly<Record<string, unknown>>;
type Answer = Readonly<Record<string, unknown>>;

/** An error of the API; `type` is what the SDK makes the error's name of. */
class Refusal extends Error {
  readonly type: string;
  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

const REGION = 'eu-central-1';
const ACCOUNT = '111122223333';
const CURRENT = 'AWSCURRENT';
const PREVIOUS = 'AWSPREVIOUS';
const PENDING = 'AWSPENDING';

export async function startSecretsManager(): Promise<SecretsManager> {
  const secrets = new Map<string, Secret>();
  const denied = new Set<string>();
  const requests: string[] = [];

  const operations: Readonly<Record<string, (parameters: Parameters) => Answer>> = {
    CreateSecret(parameters) {
      const name = text(parameters, 'Name');
      const existing = secrets.get(name);
      const token = optional(parameters, 'ClientRequestToken') ?? randomUUID();
      const value = optional(parameters, 'SecretString');
      if (existing && existing.versions.get(token)?.value !== value) {
        throw new Refusal('ResourceExistsException', `The operation failed because the secret ${name} already exists.`);
      }
      const secret = existing ?? create(name);
      if (value === undefined) return { ARN: secret.arn, Name: name };
      write(secret, token, value, [CURRENT]);
      return { ARN: secret.arn, Name: name, VersionId: token };
    },

    GetSecretValue(parameters) {
      const secret = find(parameters);
      const wanted = optional(parameters, 'VersionId');
      const stage = optional(parameters, 'VersionStage') ?? (wanted === undefined ? CURRENT : undefined);
      const id = wanted ?? (stage === undefined ? undefined : secret.stages.get(stage));
      const version = id === undefined ? undefined : secret.versions.get(id);
      if (id === undefined || version?.value === undefined || (stage && secret.stages.get(stage) !== id)) {
        const what = wanted === undefined ? `staging label: ${stage}` : `VersionId: ${wanted}`;
        throw new Refusal(
          'ResourceNotFoundException',
          `Secrets Manager can't find the specified secret value for ${what}`,
        );
      }
      return {
        ARN: secret.arn,
        Name: secret.name,
        VersionId: id,
        SecretString: version.value,
        VersionStages: stagesOf(secret, id),
        CreatedDate: version.created,
      };
    },

    PutSecretValue(parameters) {
      const secret = find(parameters);
      const id = optional(parameters, 'ClientRequestToken') ?? randomUUID();
      const value = text(parameters, 'SecretString');
      const stages = parameters.VersionStages ?? [CURRENT];
      if (!Array.isArray(stages) || !stages.every((stage): stage is string => typeof stage === 'string')) {
        throw new Refusal('ValidationException', 'VersionStages must be a list of strings.');
      }
      const existing = secret.versions.get(id)?.value;
      if (existing !== undefined && existing !== value) {
        throw new Refusal(
          'ResourceExistsException',
          `You can't modify an existing version, you can only create a new version.`,
        );
      }
      write(secret, id, value, stages);
      return { ARN: secret.arn, Name: secret.name, VersionId: id, VersionStages: stagesOf(secret, id) };
    },

    DescribeSecret(parameters) {
      const secret = find(parameters);
      const ids = [...secret.versions.keys()].filter((id) => stagesOf(secret, id).length > 0);
      return {
        ARN: secret.arn,
        Name: secret.name,
        RotationEnabled: true,
        VersionIdsToStages: Object.fromEntries(ids.map((id) => [id, stagesOf(secret, id)])),
        Tags: [...secret.tags].map(([Key, Value]) => ({ Key, Value })),
      };
    },

    TagResource(parameters) {
      const secret = find(parameters);
      if (!Array.isArray(parameters.Tags)) throw new Refusal('ValidationException', 'Tags must be a list.');
      for (const tag of parameters.Tags as Parameters[]) secret.tags.set(text(tag, 'Key'), text(tag, 'Value'));
      return {};
    },

    UpdateSecretVersionStage(parameters) {
      const secret = find(parameters);
      const stage = text(parameters, 'VersionStage');
      const to = optional(parameters, 'MoveToVersionId');
      const from = optional(parameters, 'RemoveFromVersionId');
      const holder = secret.stages.get(stage);
      if (to !== undefined && !secret.versions.has(to)) {
        throw new Refusal(
          'ResourceNotFoundException',
          `Secrets Manager can't find the specified secret version: ${to}.`,
        );
      }
      if (holder !== undefined && holder !== to && holder !== from) {
        throw new Refusal(
          'InvalidParameterException',
          `The parameter RemoveFromVersionId must be ${holder}: staging label ${stage} is attached to that version.`,
        );
      }
      if (to === undefined) secret.stages.delete(stage);
      else attach(secret, stage, to);
      return { ARN: secret.arn, Name: secret.name };
    },
  };

  function create(name: string): Secret {
    const suffix = randomBytes(3).toString('hex');
    const arn = `arn:aws:secretsmanager:${REGION}:${ACCOUNT}:secret:${name}-${suffix}`;
    const secret: Secret = { name, arn, versions: new Map(), stages: new Map(), tags: new Map() };
    secrets.set(name, secret);
    return secret;
  }

  function find(parameters: Parameters): Secret {
    const id = text(parameters, 'SecretId');
    // The service accepts the name, the whole ARN, or the ARN without its six random characters.
    const secret = [...secrets.values()].find((s) => id === s.name || id === s.arn || id === s.arn.slice(0, -7));
    if (!secret) {
      throw new Refusal('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
    }
    if (denied.has(secret.name)) {
      throw new Refusal('AccessDeniedException', `User is not authorized to access the secret ${secret.name}.`);
    }
    return secret;
  }

  function known(name: string): Secret {
    const secret = secrets.get(name) ?? [...secrets.values()].find((candidate) => candidate.arn === name);
    if (!secret) throw new Error(`There is no secret ${name} in this stand-in: put it first.`);
    return secret;
  }

  function answer(request: IncomingMessage, body: string): Answer {
    if (!request.headers.authorization?.startsWith('AWS4-HMAC-SHA256 Credential=')) {
      throw new Refusal('MissingAuthenticationTokenException', 'Missing Authentication Token');
    }
    const target = String(request.headers['x-amz-target'] ?? '');
    const name = target.replace(/^secretsmanager\./, '');
    const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
    if (!operation) throw new Refusal('UnknownOperationException', `This stand-in does not know ${target}.`);
    const parameters = JSON.parse(body) as Parameters;
    requests.push(`${name} ${parameters.SecretId ?? parameters.Name ?? ''}`.trim());
    return operation(parameters);
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    let status = 200;
    let result: Answer;
    try {
      result = answer(request, Buffer.concat(chunks).toString('utf8'));
    } catch (error) {
      status = error instanceof Refusal ? 400 : 500;
      const type = error instanceof Refusal ? error.type : 'InternalServiceError';
      result = { __type: type, message: error instanceof Error ? error.message : String(error) };
    }
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID() });
    response.end(JSON.stringify(result));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    endpoint,
    environment: {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: endpoint,
      AWS_REGION: REGION,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'not-a-secret',
      // Otherwise the SDK looks for credentials and settings in the developer's own files.
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    },
    requests,
    put(name, value) {
      const secret = secrets.get(name) ?? create(name);
      if (value !== undefined) write(secret, randomUUID(), value, [CURRENT]);
      return secret.arn;
    },
    value(name, stage = CURRENT) {
      const secret = known(name);
      return secret.versions.get(secret.stages.get(stage) ?? '')?.value;
    },
    deny: (name) => void denied.add(known(name).name),
    allow: (name) => void denied.delete(known(name).name),
    async rotate(name, step) {
      const secret = known(name);
      // An unfinished rotation is taken up again with the version that is pending.
      const pending = secret.stages.get(PENDING);
      const unfinished = pending !== undefined && pending !== secret.stages.get(CURRENT) ? pending : undefined;
      const token = unfinished ?? randomUUID();
      if (!secret.versions.has(token)) secret.versions.set(token, { created: now() });
      attach(secret, PENDING, token);
      for (const Step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const) {
        await step({ Step, SecretId: secret.arn, ClientRequestToken: token });
      }
      if (secret.stages.get(CURRENT) !== token) {
        throw new Error(`The rotation of ${secret.name} ended without its version becoming ${CURRENT}.`);
      }
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      // Clients keep their connections alive for minutes.
      server.closeAllConnections();
      await closed;
    },
  };
}

function write(secret: Secret, id: string, value: string, stages: readonly string[]): void {
  secret.versions.set(id, { value, created: secret.versions.get(id)?.created ?? now() });
  for (const stage of stages) attach(secret, stage, id);
  // The first version of a secret is always its current one.
  if (!secret.stages.has(CURRENT) && !stages.includes(PENDING)) attach(secret, CURRENT, id);
}

/** Moves a label; whoever loses AWSCURRENT becomes AWSPREVIOUS. */
function attach(secret: Secret, stage: string, id: string): void {
  const loser = secret.stages.get(stage);
  secret.stages.set(stage, id);
  if (stage === CURRENT && loser !== undefined && loser !== id) secret.stages.set(PREVIOUS, loser);
}

function stagesOf(secret: Secret, id: string): string[] {
  return [...secret.stages].filter(([, holder]) => holder === id).map(([stage]) => stage);
}

function text(parameters: Parameters, name: string): string {
  const value = optional(parameters, name);
  if (value === undefined) throw new Refusal('ValidationException', `${name} is required.`);
  return value;
}

function optional(parameters: Parameters, name: string): string | undefined {
  const value = parameters[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new Refusal('ValidationException', `${name} must be a string.`);
  return value;
}

/** The API's dates are seconds since 1970 with a fraction. */
const now = (): number => Date.now() / 1000;
