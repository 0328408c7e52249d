// The few calls of RabbitMQ's management API that the topology and the rotation of logins need. Each has a deadline and
// ends with what was asked for or with one sentence, which never holds a password. Nothing is tried twice here: what
// may pass by itself is told apart by `kind`. Deleting what is not there is success.

import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import { z } from 'zod';
import type { Binding, Exchange, Permissions, Policy, Queue } from '../topology/topology.ts';

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
 * - `away`: nobody answered in time, or the broker failed by itself (5xx). It may pass.
 * - `untrusted`: TLS failed. A certificate or an address is wrong.
 * - `login`: the broker does not know this user, or the password is another.
 * - `forbidden`: the user is known, and may not do this.
 * - `refused`: the broker says what is wrong with what it was asked.
 * - `stranger`: what answers is not the management API.
 */
export type ManagementApiErrorKind = 'away' | 'untrusted' | 'login' | 'forbidden' | 'refused' | 'stranger';

export class ManagementApiError extends Error {
  override readonly name = 'ManagementApiError';
  readonly kind: ManagementApiErrorKind;
  constructor(kind: ManagementApiErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

export class ManagementApi {
  readonly username: string;
  readonly #base: URL;
  readonly #authorization: string;
  readonly #password: string;
  readonly #deadlineMs: number;
  readonly #agent: http.Agent;

  /** @throws TypeError when the address is none */
  constructor(options: ManagementApiOptions) {
    this.username = options.username;
    this.#base = baseOf(options.url);
    this.#authorization = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString('base64')}`;
    this.#password = options.password;
    this.#deadlineMs = options.deadlineMs ?? 10_000;
    this.#agent =
      this.#base.protocol === 'https:'
        ? new https.Agent({ keepAlive: true, ...(options.ca !== undefined && { ca: withAuthority(options.ca) }) })
        : new http.Agent({ keepAlive: true });
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  async version(): Promise<string> {
    const overview = await this.#get(
      '/api/overview?columns=rabbitmq_version',
      z.object({ rabbitmq_version: z.string() }),
    );
    return overview.rabbitmq_version;
  }

  /** Who is logged in. */
  async whoami(): Promise<{ name: string; tags: string[] }> {
    return await this.#get('/api/whoami', z.object({ name: z.string(), tags: TAGS }));
  }

  async hasVhost(vhost: string): Promise<boolean> {
    return (await this.#call('GET', path('vhosts', vhost), { missing: 'fine' })) !== undefined;
  }

  async putVhost(vhost: string): Promise<void> {
    await this.#call('PUT', path('vhosts', vhost), { body: {} });
  }

  async exchanges(vhost: string): Promise<FoundExchange[]> {
    return await this.#get(
      `${path('exchanges', vhost)}?columns=name,type,durable,auto_delete,internal,arguments`,
      z.array(EXCHANGE),
    );
  }

  async putExchange(vhost: string, { name, type }: Exchange): Promise<void> {
    await this.#call('PUT', path('exchanges', vhost, name), { body: { type, durable: true, arguments: {} } });
  }

  async deleteExchange(vhost: string, name: string): Promise<void> {
    await this.#delete(path('exchanges', vhost, name));
  }

  /** Without statistics, which a broker may keep late or not at all. */
  async queues(vhost: string): Promise<FoundQueue[]> {
    const columns =
      'name,type,durable,auto_delete,exclusive,arguments,policy,operator_policy,effective_policy_definition';
    return await this.#get(`${path('queues', vhost)}?disable_stats=true&columns=${columns}`, z.array(QUEUE));
  }

  /** What a queue holds, as far as the broker keeps statistics; undefined where there is no such queue. */
  async queueStatistics(vhost: string, name: string): Promise<QueueStatistics | undefined> {
    const answer = await this.#call('GET', path('queues', vhost, name), { missing: 'fine' });
    return answer === undefined ? undefined : this.#parsed(answer, QUEUE_STATISTICS);
  }

  async putQueue(vhost: string, queue: Queue): Promise<void> {
    await this.#call('PUT', path('queues', vhost, queue.name), { body: { durable: true, arguments: queue.arguments } });
  }

  /** With its messages: quorum queues refuse the condition `if-empty`. */
  async deleteQueue(vhost: string, name: string): Promise<void> {
    await this.#delete(path('queues', vhost, name));
  }

  async bindings(vhost: string): Promise<FoundBinding[]> {
    return await this.#get(path('bindings', vhost), z.array(BINDING));
  }

  async bind(vhost: string, { exchange, queue, routingKey }: Binding): Promise<void> {
    const body = { routing_key: routingKey, arguments: {} };
    await this.#call('POST', path('bindings', vhost, 'e', exchange, 'q', queue), { body });
  }

  /** @param propertiesKey as `bindings` has it */
  async unbind(vhost: string, { exchange, queue }: Omit<Binding, 'routingKey'>, propertiesKey: string): Promise<void> {
    await this.#delete(path('bindings', vhost, 'e', exchange, 'q', queue, propertiesKey));
  }

  async policies(vhost: string): Promise<FoundPolicy[]> {
    return await this.#get(path('policies', vhost), z.array(POLICY));
  }

  async putPolicy(vhost: string, { name, pattern, applyTo, priority, definition }: Policy): Promise<void> {
    const body = { pattern, 'apply-to': applyTo, priority, definition };
    await this.#call('PUT', path('policies', vhost, name), { body });
  }

  async deletePolicy(vhost: string, name: string): Promise<void> {
    await this.#delete(path('policies', vhost, name));
  }

  async users(): Promise<FoundUser[]> {
    return await this.#get('/api/users', z.array(USER));
  }

  /** Creates the user, or changes it. Permissions are kept, or none. */
  async putUser(
    name: string,
    login: { readonly password: string } | { readonly passwordHash: string; readonly hashingAlgorithm: string },
    tags: readonly string[] = [],
  ): Promise<void> {
    const secret =
      'password' in login
        ? { password: login.password }
        : { password_hash: login.passwordHash, hashing_algorithm: login.hashingAlgorithm };
    await this.#call('PUT', path('users', name), { body: { ...secret, tags: tags.join(',') } });
  }

  async deleteUser(name: string): Promise<void> {
    await this.#delete(path('users', name));
  }

  /** Of all users in all vhosts. */
  async permissions(): Promise<FoundPermissions[]> {
    return await this.#get('/api/permissions', z.array(PERMISSIONS));
  }

  async putPermissions(vhost: string, user: string, { configure, write, read }: Permissions): Promise<void> {
    await this.#call('PUT', path('permissions', vhost, user), { body: { configure, write, read } });
  }

  async deletePermissions(vhost: string, user: string): Promise<void> {
    await this.#delete(path('permissions', vhost, user));
  }

  /** Of all users that have any. */
  async userLimits(): Promise<FoundUserLimits[]> {
    return await this.#get('/api/user-limits', z.array(USER_LIMITS));
  }

  /** -1 is no limit. Open connections are not closed. */
  async putUserLimit(user: string, name: UserLimitName, value: number): Promise<void> {
    await this.#call('PUT', path('user-limits', user, name), { body: { value } });
  }

  /** Policies of whoever runs the broker: they apply beside the policy of a queue, and limit it. */
  async operatorPolicies(vhost: string): Promise<FoundPolicy[]> {
    return await this.#get(path('operator-policies', vhost), z.array(POLICY));
  }

  /** @returns undefined where there is none of this name */
  async globalParameter(name: string): Promise<unknown> {
    const answer = await this.#call('GET', path('global-parameters', name), { missing: 'fine' });
    return answer === undefined ? undefined : this.#parsed(answer, z.object({ value: z.unknown() })).value;
  }

  async putGlobalParameter(name: string, value: object): Promise<void> {
    await this.#call('PUT', path('global-parameters', name), { body: { value } });
  }

  /** All connections of the user, at once: the broker tracks them by user, beside its statistics. @returns how many */
  async closeConnections(user: string): Promise<number> {
    const target = path('connections', 'username', user);
    const open = await this.#get(target, z.array(z.unknown()));
    await this.#delete(target);
    return open.length;
  }

  async #get<T>(target: string, schema: z.ZodType<T>): Promise<T> {
    return this.#parsed(await this.#call('GET', target), schema);
  }

  async #delete(target: string): Promise<void> {
    await this.#call('DELETE', target, { missing: 'fine' });
  }

  #parsed<T>(text: string | undefined, schema: z.ZodType<T>): T {
    const parsed = schema.safeParse(jsonOf(text ?? ''));
    if (parsed.success) return parsed.data;
    throw this.#stranger();
  }

  /** Without a cause: a parser's error may quote what came, and a stranger may send back what it was sent. */
  #stranger(): ManagementApiError {
    const message = `what answers at ${this.#base.origin} is not RabbitMQ's management API: check host and port`;
    return new ManagementApiError('stranger', message);
  }

  /** What the broker says, without what it was sent: for all its sentences, as a stranger may answer too. */
  #withoutSecrets(reason: string, body: object | undefined): string {
    const sent = body !== undefined && 'password' in body ? [String(body.password)] : [];
    const encoded = this.#authorization.slice('Basic '.length);
    return [this.#password, encoded, ...sent]
      .filter((secret) => secret !== '')
      .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)])
      .reduce((text, secret) => text.replaceAll(secret, '[redacted]'), reason);
  }

  /** @returns the body; undefined for a 404 that is fine */
  async #call(
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    target: string,
    { body, missing = 'refused' }: { body?: object; missing?: 'fine' | 'refused' } = {},
  ): Promise<string | undefined> {
    const { status, text } = await this.#exchange(method, target, body);
    if (status >= 200 && status < 300) return text;
    const answer = ANSWER.safeParse(jsonOf(text));
    if (status === 404 && missing === 'fine' && answer.success) return undefined;
    if (status >= 500)
      throw new ManagementApiError(
        'away',
        `the broker at ${this.#base.origin} failed by itself (HTTP ${status}): try again later`,
      );
    const said = answer.success ? (answer.data.reason ?? answer.data.error) : undefined;
    const reason = said === undefined ? undefined : oneLine(this.#withoutSecrets(said, body));
    // A wrong login is answered with `Login failed` or `Not_Authorized`, depending on the version.
    if (status === 401 && (reason === undefined || /^(login failed|not[_ ]authori[sz]ed)$/i.test(reason)))
      throw new ManagementApiError(
        'login',
        `the broker at ${this.#base.origin} refuses the login of user '${this.username}': the password is wrong, or there is no such user`,
      );
    if (status === 401 || status === 403)
      throw new ManagementApiError(
        'forbidden',
        `user '${this.username}' may not ${method} ${target}: ${reason ?? 'access refused'}. Expected a user with the tag administrator`,
      );
    // Without a body, so that it does not say who answers.
    if (status === 405)
      throw new ManagementApiError('refused', `the broker at ${this.#base.origin} does not allow ${method} ${target}`);
    if (reason === undefined) throw this.#stranger();
    throw new ManagementApiError('refused', `the broker refuses ${method} ${target}: ${reason}`);
  }

  async #exchange(method: string, target: string, body: object | undefined): Promise<{ status: number; text: string }> {
    const deadline = AbortSignal.timeout(this.#deadlineMs);
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const answered = Promise.withResolvers<{ status: number; text: string }>();
    const { request } = this.#base.protocol === 'https:' ? https : http;
    const call = request(
      new URL(target, this.#base),
      {
        method,
        agent: this.#agent,
        signal: deadline,
        headers: {
          authorization: this.#authorization,
          // User limits offer no JSON to a PUT, and refuse whoever insists on it (406).
          accept: 'application/json, */*;q=0.1',
          ...(content && { 'content-type': 'application/json', 'content-length': content.length }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          answered.resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
        response.on('error', answered.reject);
      },
    );
    call.on('error', answered.reject);
    call.end(content);
    try {
      return await answered.promise;
    } catch (error) {
      throw this.#failure(error, deadline.aborted);
    }
  }

  #failure(cause: unknown, late: boolean): ManagementApiError {
    const { origin } = this.#base;
    if (late) {
      const seconds = this.#deadlineMs / 1_000;
      return new ManagementApiError('away', `the broker at ${origin} did not answer within ${seconds} s`, cause);
    }
    const { code, message } = firstOf(cause);
    if (code.startsWith('HPE_')) return this.#stranger();
    if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
      const advice = 'expected TLS there; check https:// and the port';
      return new ManagementApiError('untrusted', `no TLS connection to ${origin} (${code}): ${advice}`, cause);
    }
    if (code.startsWith('ERR_TLS_') || /CERT|SIGNATURE|ISSUER/.test(code)) {
      const advice =
        code === 'ERR_TLS_CERT_ALTNAME_INVALID'
          ? 'it is for another host name'
          : 'name the certificate authority that signed it, if it is not a public one';
      return new ManagementApiError(
        'untrusted',
        `the certificate of ${origin} is not trusted (${code}): ${advice}`,
        cause,
      );
    }
    const what = REASONS[code] ?? message;
    return new ManagementApiError('away', `cannot reach the broker at ${origin}: ${what}`, cause);
  }
}

export type FoundExchange = z.output<typeof EXCHANGE>;
export type FoundQueue = z.output<typeof QUEUE>;
export type QueueStatistics = z.output<typeof QUEUE_STATISTICS>;
export type FoundBinding = z.output<typeof BINDING>;
export type FoundPolicy = z.output<typeof POLICY>;
export type FoundUser = z.output<typeof USER>;
export type FoundPermissions = z.output<typeof PERMISSIONS>;
export type FoundUserLimits = z.output<typeof USER_LIMITS>;
export type UserLimitName = keyof FoundUserLimits['limits'];

const ARGUMENTS = z.record(z.string(), z.unknown());
/** A list on RabbitMQ 4, a text with commas before. */
const TAGS = z.union([
  z.array(z.string()),
  z.string().transform((text) => text.split(',').filter((tag) => tag !== '')),
]);

const EXCHANGE = z
  .object({
    name: z.string(),
    type: z.string(),
    durable: z.boolean(),
    auto_delete: z.boolean(),
    internal: z.boolean(),
    arguments: ARGUMENTS,
  })
  .transform(({ auto_delete: autoDelete, ...rest }) => ({ ...rest, autoDelete }));

const QUEUE = z
  .object({
    name: z.string(),
    type: z.string().optional(),
    durable: z.boolean(),
    auto_delete: z.boolean(),
    exclusive: z.boolean().nullish(),
    arguments: ARGUMENTS,
    /** The broker's own word on what applies to the queue: null for none, undefined where it does not say. */
    policy: z.string().nullish(),
    operator_policy: z.string().nullish(),
    /** Of both together; an empty list for none on older versions. */
    effective_policy_definition: z.union([ARGUMENTS, z.tuple([]).transform(() => ({}))]).nullish(),
  })
  .transform((found) => ({
    name: found.name,
    type: found.type,
    durable: found.durable,
    autoDelete: found.auto_delete,
    exclusive: found.exclusive ?? false,
    arguments: found.arguments,
    policy: found.policy,
    operatorPolicy: found.operator_policy,
    effectivePolicy: found.effective_policy_definition ?? undefined,
  }));

/** What is missing is unknown, not 0. */
const QUEUE_STATISTICS = z.object({ messages: z.number().optional(), consumers: z.number().optional() });

const BINDING = z
  .object({
    source: z.string(),
    destination: z.string(),
    destination_type: z.enum(['queue', 'exchange']),
    routing_key: z.string(),
    arguments: ARGUMENTS,
    properties_key: z.string(),
  })
  .transform((found) => ({
    source: found.source,
    destination: found.destination,
    destinationType: found.destination_type,
    routingKey: found.routing_key,
    arguments: found.arguments,
    /** What names it among the bindings of the same two. */
    propertiesKey: found.properties_key,
  }));

const POLICY = z
  .object({
    name: z.string(),
    pattern: z.string(),
    'apply-to': z.string(),
    priority: z.number(),
    definition: ARGUMENTS,
  })
  .transform(({ 'apply-to': applyTo, ...rest }) => ({ ...rest, applyTo }));

const USER = z
  .object({
    name: z.string(),
    tags: TAGS,
    password_hash: z.string().optional(),
    hashing_algorithm: z.string().optional(),
  })
  .transform(({ name, tags, password_hash: passwordHash, hashing_algorithm: hashingAlgorithm }) => ({
    name,
    tags,
    passwordHash,
    hashingAlgorithm,
  }));

const PERMISSIONS = z.object({
  user: z.string(),
  vhost: z.string(),
  configure: z.string(),
  write: z.string(),
  read: z.string(),
});

const USER_LIMITS = z
  .object({
    user: z.string(),
    value: z.object({ 'max-connections': z.number().optional(), 'max-channels': z.number().optional() }),
  })
  .transform(({ user, value: limits }) => ({ user, limits }));

const ANSWER = z.object({ error: z.string(), reason: z.string().optional() });

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at this port (ECONNREFUSED)',
  ENOTFOUND: 'there is no such host (ENOTFOUND)',
  EAI_AGAIN: 'the name of the host cannot be looked up now (EAI_AGAIN)',
  EHOSTUNREACH: 'there is no way to this host (EHOSTUNREACH)',
  ENETUNREACH: 'there is no way to this network (ENETUNREACH)',
  ETIMEDOUT: 'the host does not answer (ETIMEDOUT)',
  ECONNRESET: 'the connection was closed before an answer (ECONNRESET)',
};

function baseOf(text: string): URL {
  if (!URL.canParse(text))
    throw new TypeError("expected the management API's address such as https://host:15671, got none");
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TypeError(`expected http:// or https:// of the management API, got ${url.protocol}//`);
  return new URL(url.origin);
}

/** Beside those that Node.js trusts, not instead of them. */
function withAuthority(ca: string): string[] {
  return [...tls.getCACertificates('default'), ca];
}

function path(...segments: readonly string[]): string {
  return `/api/${segments.map(encodeURIComponent).join('/')}`;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reasons of RabbitMQ have line breaks and Erlang in them. */
function oneLine(reason: string): string {
  return reason.replaceAll(/\s+/g, ' ').trim();
}

/** A host with two addresses fails twice, in one AggregateError. */
function firstOf(cause: unknown): { code: string; message: string } {
  const error: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  if (!(error instanceof Error)) return { code: '', message: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return { code, message: error.message };
}
