// The parts of AWS that a deployment of ours needs: secrets as the template makes them, functions run from their bundles
// with the template's environment, custom resources that receive what CloudFormation sends. Each event comes twice,
// because CloudFormation and Secrets Manager deliver at least once.
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { RabbitMq } from '../rabbitmq/node.ts';
import { ACCOUNT, REGION, type SecretsManager, startSecretsManager } from '../secrets-manager.ts';
import type { Assembly } from './assembly.ts';
import { only, references, type Template } from './template.ts';

const PSEUDO: Readonly<Record<string, string>> = {
  'AWS::AccountId': ACCOUNT,
  'AWS::Region': REGION,
  'AWS::Partition': 'aws',
  'AWS::URLSuffix': 'amazonaws.com',
};
const TOPOLOGY = 'Custom::BrokerTopology';

interface Outcome {
  readonly answer?: unknown;
  readonly error?: string;
}

interface Delivery {
  /** A single time. */
  readonly once?: boolean;
  /** Until Lambda ends the function. @default - the template's */
  readonly seconds?: number;
}

interface TopologyAnswer {
  readonly Data?: Readonly<Record<string, string>>;
}

export class Cloud {
  /** Everything that functions have logged. */
  log = '';
  /** Passwords and the token: in no log. */
  readonly confidential: string[] = [];
  /** While it is, the broker gives functions no answer. */
  silent = false;
  readonly secrets: SecretsManager;
  readonly #broker: RabbitMq;
  /** The ARNs of secrets, by logical id. */
  readonly #arns = new Map<string, string>();
  readonly #names: string[] = [];
  /** Between the functions and the management API. */
  readonly #proxy = createServer((socket) => {
    socket.on('error', () => undefined);
    if (this.silent) return;
    const onward = createConnection(Number(new URL(this.#broker.managementTlsUrl ?? '').port), '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });

  private constructor(broker: RabbitMq, secrets: SecretsManager) {
    this.#broker = broker;
    this.secrets = secrets;
  }

  /** Makes the secrets of the broker stack, with the broker's own administrator in theirs. */
  static async start(broker: RabbitMq, template: Template): Promise<Cloud> {
    const cloud = new Cloud(broker, await startSecretsManager());
    cloud.#proxy.listen(0, '127.0.0.1');
    await once(cloud.#proxy, 'listening');
    for (const [id, { Type, Properties }] of Object.entries(template.Resources)) {
      if (Type !== 'AWS::SecretsManager::Secret') continue;
      const { Name, GenerateSecretString: generated } = cloud.resolve([template], Properties) as {
        Name: string;
        GenerateSecretString?: { SecretStringTemplate: string; GenerateStringKey: string };
      };
      cloud.#names.push(Name);
      cloud.#arns.set(id, cloud.secrets.put(Name, generated && cloud.#generate(generated)));
    }
    return cloud;
  }

  async stop(): Promise<void> {
    this.#proxy.close();
    await this.secrets.stop();
  }

  #generate({ SecretStringTemplate, GenerateStringKey }: { SecretStringTemplate: string; GenerateStringKey: string }) {
    const fields = JSON.parse(SecretStringTemplate) as Record<string, unknown>;
    const { username, password, amqpsPort: port } = this.#broker;
    const administrator = fields.username === username;
    const value = administrator ? password : randomBytes(20).toString('hex');
    this.confidential.push(value);
    return JSON.stringify({ ...fields, ...(!administrator && { port }), [GenerateStringKey]: value });
  }

  /** What a person does with the output `PutDiscordToken`. */
  putToken(token: string): void {
    this.secrets.put(this.#name('discord-token'), token);
    this.confidential.push(token);
  }

  /** The broker's management API is not on port 443 here. */
  resolve(templates: readonly Template[], value: unknown): unknown {
    const resolved = references(templates, {
      ref: (id) => PSEUDO[id] ?? this.#arns.get(id) ?? id,
      attribute: (id, name) => {
        if (name === 'AmqpEndpoints') return ['amqps://127.0.0.1:5671'];
        return name === 'DnsEntries' ? ['zone:localhost'] : `${id}.${name}`;
      },
    })(value);
    const { port } = this.#proxy.address() as AddressInfo;
    return JSON.parse(JSON.stringify(resolved).replaceAll('"https://127.0.0.1"', `"https://127.0.0.1:${port}"`));
  }

  /** The current login of a secret whose name ends so. */
  login(name: string): { username: string; password: string } {
    return JSON.parse(this.secrets.value(this.#name(name)) ?? '{}');
  }

  #name(ending: string): string {
    const name = this.#names.find((each) => each.endsWith(`/${ending}`));
    if (name === undefined) throw new Error(`expected a secret */${ending} in the template, got none`);
    return name;
  }

  /** One event of the topology's resource. @returns what was answered @throws what was refused */
  async topology(
    type: 'Create' | 'Update' | 'Delete',
    now: Assembly,
    { before, ...delivery }: { before?: Assembly } & Delivery = {},
  ): Promise<TopologyAnswer> {
    const properties = ({ broker }: Assembly) => texts(this.resolve([broker], only(broker, TOPOLOGY)[1]));
    const event = {
      RequestType: type,
      RequestId: randomUUID(),
      ResponseURL: 'https://cloudformation-custom-resource-response.s3.amazonaws.com/x',
      StackId: `arn:aws:cloudformation:${REGION}:${ACCOUNT}:stack/discord-ingestor-staging-broker/1`,
      LogicalResourceId: only(now.broker, TOPOLOGY)[0],
      ResourceType: TOPOLOGY,
      ResourceProperties: properties(now),
      ...(before && { OldResourceProperties: properties(before) }),
      ...(type !== 'Create' && { PhysicalResourceId: 'topology of discord' }),
    };
    return (await this.#deliver(now, 'TopologyApply', event, delivery)) as TopologyAnswer;
  }

  /** Rotates every login that has a schedule, as Secrets Manager does. @returns the users that are current then */
  async rotate(assembly: Assembly): Promise<string[]> {
    const users: string[] = [];
    for (const arn of this.#rotated(assembly)) {
      const steps: object[] = [];
      await this.secrets.rotate(arn, async (event) => {
        steps.push(event);
        await this.#deliver(assembly, 'RotationRotate', event);
      });
      // What is late finds that all is done.
      for (const event of steps) await this.#deliver(assembly, 'RotationRotate', event, { once: true });
      const { username, password } = JSON.parse(this.secrets.value(arn) ?? '{}') as Record<string, string>;
      users.push(String(username));
      this.confidential.push(String(password));
    }
    if (users.length === 0) throw new Error('expected logins with a rotation schedule in the template, got none');
    return users;
  }

  /** Revokes the former login of every pair. @returns how many connections were closed */
  async revoke(assembly: Assembly): Promise<number> {
    let closed = 0;
    // The second time there is nothing left to close.
    for (const SecretId of this.#rotated(assembly))
      for (const _ of [1, 2]) {
        const report = await this.#deliver(assembly, 'RotationRotate', { Step: 'revoke', SecretId }, { once: true });
        closed += (report as { connectionsClosed: number }).connectionsClosed;
      }
    return closed;
  }

  #rotated({ broker }: Assembly): string[] {
    return Object.values(broker.Resources)
      .filter(({ Type }) => Type === 'AWS::SecretsManager::RotationSchedule')
      .map(({ Properties }) => String(this.resolve([broker], Properties?.SecretId)));
  }

  async #deliver(assembly: Assembly, name: string, event: object, delivery: Delivery = {}): Promise<unknown> {
    const first = await this.#invoke(assembly, name, event, delivery.seconds);
    const again = delivery.once ? first : await this.#invoke(assembly, name, event, delivery.seconds);
    if (!isDeepStrictEqual(first, again) && (first.error === undefined || again.error === undefined))
      throw new Error(`expected the same answer to an event that comes twice, got ${JSON.stringify([first, again])}`);
    if (first.error !== undefined) throw new Error(first.error);
    return first.answer;
  }

  /** Runs the bundle in its own process, which gets only what Lambda would give it. */
  async #invoke({ broker, bundle }: Assembly, name: string, event: object, seconds?: number): Promise<Outcome> {
    const found = Object.entries(broker.Resources).find(
      ([id, { Type }]) => Type === 'AWS::Lambda::Function' && id.startsWith(name),
    );
    if (!found) throw new Error(`expected a function ${name} in the template, got none`);
    const { Code, Environment, Handler, Timeout } = this.resolve([broker], found[1].Properties) as {
      Code: { S3Key: string };
      Environment: { Variables: Record<string, string> };
      Handler: string;
      Timeout: number;
    };
    const [file, exported = ''] = Handler.split('.');
    const cwd = bundle(Code.S3Key);
    const ms = 1_000 * (seconds ?? Timeout);
    const child = spawn(process.execPath, ['-e', LAMBDA, `${cwd}/${file}.js`, exported, String(ms)], {
      ...{ cwd, stdio: ['pipe', 'pipe', 'pipe', 'pipe'] },
      env: { ...Environment.Variables, ...this.secrets.environment, NODE_EXTRA_CA_CERTS: this.#broker.caFile },
      // Lambda ends what takes longer.
      ...{ timeout: ms, killSignal: 'SIGKILL' },
    });
    let answer = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (this.log += String(chunk)));
    child.stdio[3]?.on('data', (chunk) => (answer += String(chunk)));
    child.stdin?.end(JSON.stringify(event));
    await once(child, 'close');
    return answer === '' ? { error: `${name} was ended after ${ms / 1_000} s without an answer` } : JSON.parse(answer);
  }
}

const LAMBDA = `
  const [file, exported, ms] = process.argv.slice(1), until = Date.now() + Number(ms);
  const report = (outcome) => require('node:fs').writeSync(3, JSON.stringify(outcome));
  require(file)[exported](JSON.parse(require('node:fs').readFileSync(0, 'utf8')), { getRemainingTimeInMillis: () => until - Date.now() })
    .then((answer) => report({ answer }), (error) => report({ error: error.message })).then(() => process.exit());`;

/** CloudFormation makes a text of every number and boolean. */
function texts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(texts);
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, texts(inner)]));
}
