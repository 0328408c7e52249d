// RabbitMQ's management API: parsed answers, a deadline for each call, and errors of one sentence without a password.
// A call is repeated only where its idle connection was just closed: the `kind` of an error tells a caller what may pass by
// itself. To delete what does not exist succeeds. An answer that is not RabbitMQ's is an error, and never an absence.
// https://www.rabbitmq.com/docs/http-api-reference

import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import { z } from 'zod';
import { jsonOf } from './json.ts';
import { withoutSecrets } from './redact.ts';

export interface ManagementApiOptions {
  /** http://host:15672 or https://host; a login in it is ignored. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** PEM of a further certificate authority. @default - those of Node.js */
  readonly ca?: string;
  /** For each call. @default 10000 */
  readonly deadlineMs?: number;
}

/**
 * - `unreachable`: no answer in time, or the broker failed (5xx). It may pass.
 * - `login`: the broker does not know this user, or has another password for it. With a new broker it may pass.
 * - `refused`: the broker's own answer, and the same call fails again: a wrong permission or value, or no trusted connection.
 * - `unexpected`: the answer is none that RabbitMQ gives, so that nothing follows from it: a wrong address, a proxy's page.
 */
export type ManagementApiErrorKind = 'unreachable' | 'login' | 'refused' | 'unexpected';

export class ManagementApiError extends Error {
  override readonly name = 'ManagementApiError';
  readonly kind: ManagementApiErrorKind;
  constructor(kind: ManagementApiErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

const ARGUMENTS = z.record(z.string(), z.unknown());
/** A list on RabbitMQ 4, a text with commas before. */
const TAGS = z.union([
  z.array(z.string()),
  z.string().transform((tags) => tags.split(',').filter((tag) => tag !== '')),
]);
const POLICY = z
  .object({
    name: z.string(),
    pattern: z.string(),
    'apply-to': z.string(),
    priority: z.number(),
    definition: ARGUMENTS,
  })
  .transform(({ 'apply-to': applyTo, ...rest }) => ({ ...rest, applyTo }));

/** What can be read, by the first segment of its path: one of its kind, as RabbitMQ answers. */
const KINDS = {
  overview: z.object({ rabbitmq_version: z.string().regex(/^\d+\.\d+/) }),
  whoami: z.object({ name: z.string(), tags: TAGS }),
  vhosts: z.object({ name: z.string() }),
  exchanges: z.object({
    name: z.string(),
    type: z.string(),
    durable: z.boolean(),
    auto_delete: z.boolean(),
    internal: z.boolean(),
    arguments: ARGUMENTS,
  }),
  queues: z.object({
    name: z.string(),
    type: z.string().optional(),
    durable: z.boolean(),
    auto_delete: z.boolean(),
    exclusive: z.boolean().nullish(),
    arguments: ARGUMENTS,
    /** null for none; undefined where the broker does not report it. */
    policy: z.string().nullish(),
    operator_policy: z.string().nullish(),
    /** Of both policies; an empty list for none on older versions. */
    effective_policy_definition: z.union([ARGUMENTS, z.tuple([]).transform(() => ({}))]).nullish(),
    /** Statistics, of a single queue only. What is missing is unknown, not 0. */
    messages: z.number().optional(),
    consumers: z.number().optional(),
  }),
  bindings: z.object({
    source: z.string(),
    destination: z.string(),
    destination_type: z.enum(['queue', 'exchange']),
    routing_key: z.string(),
    arguments: ARGUMENTS,
    /** Names it among the bindings of the same source and destination. */
    properties_key: z.string(),
  }),
  policies: POLICY,
  'operator-policies': POLICY,
  users: z.object({
    name: z.string(),
    tags: TAGS,
    password_hash: z.string().optional(),
    hashing_algorithm: z.string().optional(),
  }),
  permissions: z.object({
    user: z.string(),
    vhost: z.string(),
    configure: z.string(),
    write: z.string(),
    read: z.string(),
  }),
  'user-limits': z.object({
    user: z.string(),
    value: z.object({ 'max-connections': z.number().optional(), 'max-channels': z.number().optional() }),
  }),
  'global-parameters': z.object({ name: z.string(), value: z.unknown() }),
  connections: z.object({ name: z.string() }),
};
const PUBLISHED = z.object({ routed: z.boolean() });

type Kind = keyof typeof KINDS;
export type FoundIn<K extends Kind> = z.output<(typeof KINDS)[K]>;
export type FoundPolicy = FoundIn<'policies'>;
export type FoundUser = FoundIn<'users'>;
export type FoundPermissions = FoundIn<'permissions'>;
export type FoundUserLimits = FoundIn<'user-limits'>;

const schemaOf = <K extends Kind>(kind: K) => KINDS[kind] as unknown as z.ZodType<FoundIn<K>>;

/** A list without statistics, which a broker may keep late or not at all. */
const QUERIES: Partial<Record<Kind, string>> = {
  queues:
    '?disable_stats=true&columns=name,type,durable,auto_delete,exclusive,arguments,policy,operator_policy,effective_policy_definition',
};

/** Of the largest answer: the queues of a broker. */
const MAX_ANSWER_BYTES = 64 * 1024 ** 2;

/** Segments of a path below /api/, not encoded. */
export type ApiPath = readonly [kind: string, ...names: string[]];

export class ManagementApi {
  readonly #username: string;
  readonly #base: URL;
  readonly #authorization: string;
  readonly #password: string;
  readonly #deadlineMs: number;
  readonly #agent: http.Agent;

  /** @throws TypeError when the address is none */
  constructor({ url, username, password, ca, deadlineMs = 10_000 }: ManagementApiOptions) {
    this.#username = username;
    this.#base = baseOf(url);
    this.#authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    this.#password = password;
    this.#deadlineMs = deadlineMs;
    // A further authority is trusted in addition to those of Node.js.
    const authorities = ca === undefined ? {} : { ca: [...tls.getCACertificates('default'), ca] };
    this.#agent =
      this.#base.protocol === 'https:'
        ? new https.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, ...authorities })
        : new http.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  async get<K extends Kind>(kind: K, ...names: string[]): Promise<FoundIn<K>> {
    const path: ApiPath = [kind, ...names];
    return this.#parsed(schemaOf(kind), path, await this.#call('GET', path));
  }

  /** @returns undefined where there is none of this name */
  async find<K extends Kind>(kind: K, ...names: string[]): Promise<FoundIn<K> | undefined> {
    const path: ApiPath = [kind, ...names];
    const answer = await this.#call('GET', path, { mayBeMissing: true });
    if (answer === undefined) return undefined;
    const found = this.#parsed(schemaOf(kind), path, answer);
    const name = names.at(-1);
    if (Object(found).name === name) return found;
    throw this.#unexpected(`GET ${targetOf(path)}: expected the one of this name, got another`);
  }

  async list<K extends Kind>(kind: K, ...names: string[]): Promise<FoundIn<K>[]> {
    const path: ApiPath = [kind, ...names];
    const schema = z.array(schemaOf(kind));
    return this.#parsed(schema, path, await this.#call('GET', path, { query: QUERIES[kind] }));
  }

  async put(path: ApiPath, body: object): Promise<void> {
    await this.#call('PUT', path, { body });
  }

  async post(path: ApiPath, body: object): Promise<void> {
    await this.#call('POST', path, { body });
  }

  /**
   * A persistent message of JSON, with further properties as the management API names them. Resolves when a queue has it: RabbitMQ answers once it is confirmed.
   * @throws ManagementApiError when no queue takes it
   */
  async publish(
    vhost: string,
    exchange: string,
    routingKey: string,
    body: object,
    properties: Readonly<Record<string, string | number>>,
  ): Promise<void> {
    const path: ApiPath = ['exchanges', vhost, exchange, 'publish'];
    const answer = await this.#call('POST', path, {
      success: [200],
      body: {
        properties: { ...properties, delivery_mode: 2, content_type: 'application/json' },
        routing_key: routingKey,
        payload: JSON.stringify(body),
        payload_encoding: 'string',
      },
    });
    if (this.#parsed(PUBLISHED, path, answer).routed) return;
    const sentence = `a message to ${exchange} with the routing key ${routingKey} reached no queue`;
    throw new ManagementApiError('refused', sentence);
  }

  async delete(...path: ApiPath): Promise<void> {
    await this.#call('DELETE', path, { mayBeMissing: true });
  }

  /** @returns the body; undefined for a 404 that is expected */
  async #call(method: string, path: ApiPath, options: CallOptions = {}): Promise<string | undefined> {
    const { body, query = '', mayBeMissing, success = method === 'GET' ? [200] : [201, 204] } = options;
    const target = `${targetOf(path)}${query}`;
    const { origin } = this.#base;
    let { status, answer } = await this.#exchange(method, target, body);
    // RabbitMQ 4.3.6 fails to list users while one of them is deleted.
    if (status === 500 && method === 'GET') ({ status, answer } = await this.#exchange(method, target));
    if (success.includes(status)) return answer;
    if (status >= 500)
      throw new ManagementApiError(
        'unreachable',
        `the broker at ${origin} failed at ${method} ${target} (HTTP ${status}): try again later`,
      );
    const failure = status >= 400 ? FAILURE.safeParse(jsonOf(answer)).data : undefined;
    if (status === 404 && mayBeMissing) {
      if (failure?.error === 'Object Not Found') return undefined;
      // Another server's proves no absence.
      throw this.#unexpected(`${method} ${target}: HTTP ${status}`);
    }
    const reason = failure && this.#cleaned(failure.reason, body);
    // A wrong login is answered with `Login failed` or `Not_Authorized`, depending on the version.
    if (status === 401 && /^(login failed|not[_ ]authori[sz]ed)$/i.test(reason ?? 'login failed'))
      throw new ManagementApiError(
        'login',
        `the broker at ${origin} refuses the login of user '${this.#username}': the password is wrong, or there is no such user`,
      );
    // RabbitMQ's own answer for a method that it does not offer.
    const refused = reason ?? (status === 405 && answer === '' ? 'method not allowed' : undefined);
    if (refused === undefined) throw this.#unexpected(`${method} ${target}: HTTP ${status}`);
    throw new ManagementApiError('refused', `the broker refuses ${method} ${target} by ${this.#username}: ${refused}`);
  }

  async #exchange(method: string, target: string, body?: object): Promise<{ status: number; answer: string }> {
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const signal = AbortSignal.timeout(this.#deadlineMs);
    const request = (this.#base.protocol === 'https:' ? https : http).request(new URL(target, this.#base), {
      method,
      agent: this.#agent,
      signal,
      headers: {
        authorization: this.#authorization,
        // User limits offer no JSON to a PUT, and refuse a client that insists on it (406).
        accept: 'application/json, */*;q=0.1',
        ...(content && { 'content-type': 'application/json', 'content-length': content.length }),
      },
    });
    // Once the response has begun, an error ends the response as well, and is caught there.
    request.on('error', () => undefined);
    request.end(content);
    try {
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      return { status: response.statusCode ?? 0, answer: await this.#text(response) };
    } catch (error) {
      // The broker closed an idle connection in this moment: not the call failed, but its connection.
      if (request.reusedSocket && isReset(error)) return await this.#exchange(method, target, body);
      throw error instanceof ManagementApiError ? error : this.#failure(error, signal.aborted);
    }
  }

  async #text(response: http.IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw this.#unexpected(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #parsed<T>(schema: z.ZodType<T>, path: ApiPath, answer: string | undefined): T {
    const parsed = schema.safeParse(jsonOf(answer ?? ''));
    if (parsed.success) return parsed.data;
    // Where, and what was expected there: zod quotes nothing of what it read.
    const [issue] = parsed.error.issues;
    const what = [...(issue?.path ?? []), issue?.message].join(': ').slice(0, 150);
    throw this.#unexpected(`${targetOf(path)}: ${what}`);
  }

  /** One line, without what was sent: RabbitMQ's reasons have line breaks, and another server may repeat the request. */
  #cleaned(reason: string, body?: object): string {
    const sent = body !== undefined && 'password' in body ? [String(body.password)] : [];
    const secrets = [this.#password, this.#authorization.slice('Basic '.length), ...sent];
    return withoutSecrets(reason, secrets).replaceAll(/\s+/g, ' ').trim();
  }

  /** Without a cause: the error of a parser may quote what it read. */
  #unexpected(what: string): ManagementApiError {
    const message = `what answers at ${this.#base.origin} is not RabbitMQ's management API: check host and port`;
    return new ManagementApiError('unexpected', `${message} (${what})`);
  }

  #failure(cause: unknown, late: boolean): ManagementApiError {
    const { origin } = this.#base;
    if (late) {
      const seconds = this.#deadlineMs / 1_000;
      return new ManagementApiError('unreachable', `the broker at ${origin} did not answer within ${seconds} s`, cause);
    }
    // A host with two addresses fails twice, in one AggregateError.
    const first: NodeJS.ErrnoException = cause instanceof AggregateError ? cause.errors[0] : cause;
    const { code = '', message } = first;
    if (code.startsWith('HPE_')) return this.#unexpected('no HTTP');
    if (/^(EPROTO$|ERR_SSL_|ERR_TLS_)|CERT|SIGNATURE|ISSUER/.test(code)) {
      const advice = 'check host and port, and name the certificate authority if it is not a public one';
      return new ManagementApiError('refused', `no trusted TLS connection to ${origin} (${code}): ${advice}`, cause);
    }
    return new ManagementApiError(
      'unreachable',
      `cannot reach the broker at ${origin}: ${message}. Start it, or correct host and port`,
      cause,
    );
  }
}

/** For what a broker may refuse its administrator: undefined, with the reason. Anything but the broker's own refusal is thrown. */
export async function unlessRefused<T>(asked: Promise<T>, refused: (reason: string) => void): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    // Other calls have just shown that the login itself is good.
    if (!(error instanceof ManagementApiError) || (error.kind !== 'refused' && error.kind !== 'login')) throw error;
    refused(error.message);
    return undefined;
  }
}

const isReset = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ECONNRESET';

/** Calls at a time: the others wait. */
const MAX_SOCKETS = 16;

interface CallOptions {
  readonly body?: object;
  readonly query?: string | undefined;
  readonly mayBeMissing?: boolean;
  /** @default - 200 for GET, 201 and 204 for the others */
  readonly success?: readonly number[];
}

const targetOf = (path: ApiPath): string => `/api/${path.map(encodeURIComponent).join('/')}`;

const FAILURE = z.object({ error: z.string(), reason: z.string() });

function baseOf(address: string): URL {
  // Not quoted: there may be a password in it.
  if (!URL.canParse(address))
    throw new TypeError("expected the management API's address such as https://host:15671, got none");
  const url = new URL(address);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TypeError(`expected http:// or https:// of the management API, got ${url.protocol}//`);
  return new URL(url.origin);
}
