// One RabbitMQ node, whatever runs it (`Host`: processes of this machine, or a container).
// running: it answers. stopped: it ended by stop(), kill() or by itself; data and ports are kept, start() leads back.
// removed: nothing of it is left; only remove() may be called again.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { ManagementApi } from '../../lib/management/management-api.ts';
import { poll } from '../poll.ts';
import { makeCertificates } from './certificates.ts';
import { type NodePorts, portClash } from './ports.ts';
import {
  type Host,
  type HostFor,
  type Layout,
  type Login,
  MEMORY_HIGH_WATERMARK,
  nodeName,
  type RabbitMqOptions,
} from './types.ts';
import { type Watchdog, watch } from './watchdog.ts';

const START_WITHIN_MS = 90_000;
const ALARM_WITHIN_MS = 30_000;
const ANSWER_WITHIN_MS = 5_000;

/** What the demo and the tests do with a broker: with one node, or with a cluster behind one address. */
export type RabbitMq = Pick<RabbitMqNode, Exclude<keyof RabbitMqNode, 'name'>>;

export const newName = ({ name = 'rabbit' }: RabbitMqOptions): string => `${name}-${randomBytes(4).toString('hex')}`;
export const newAdministrator = (): Login => ({ username: 'administrator', password: randomBytes(16).toString('hex') });

/**
 * @param member what a node of a cluster shares with the others
 * @throws with the node's log when it does not start; nothing of it is left then
 */
export async function startNode(
  hostFor: HostFor,
  ports: NodePorts,
  options: RabbitMqOptions,
  member: Partial<Layout> = {},
): Promise<RabbitMqNode> {
  const layout: Layout = {
    name: newName(options),
    folder: realpathSync(mkdtempSync(join(tmpdir(), 'ingestor-rabbitmq-'))),
    ports,
    tls: options.tls ?? false,
    administrator: newAdministrator(),
    host: '127.0.0.1',
    enter: [],
    cookie: randomBytes(16).toString('hex'),
    cluster: [],
    ...member,
  };
  const node = new RabbitMqNode(layout, hostFor(layout));
  try {
    if (layout.tls) await makeCertificates(layout.folder);
    await node.start();
    return node;
  } catch (error) {
    await node.remove();
    throw error;
  }
}

export class RabbitMqNode {
  readonly nodes: readonly RabbitMqNode[] = [this];
  /** As Erlang and the management API call it. */
  readonly name: string;
  /** As the broker reports it: '4.3.6'. */
  version = '';
  readonly origin: string;
  /** Of the administrator. */
  readonly username: string;
  readonly password: string;
  readonly amqpPort: number;
  readonly amqpsPort: number | undefined;
  /** The certificate to trust for TLS, PEM. */
  readonly caFile: string | undefined;
  readonly managementUrl: string;
  readonly managementTlsUrl: string | undefined;
  readonly #layout: Layout;
  readonly #host: Host;
  readonly #watchdog: Watchdog;
  #removal: Promise<void> | undefined;

  constructor(layout: Layout, host: Host) {
    const { administrator, folder, host: address, ports, tls } = layout;
    this.name = nodeName(layout);
    this.origin = host.origin;
    this.username = administrator.username;
    this.password = administrator.password;
    this.amqpPort = ports.amqp;
    this.amqpsPort = tls ? ports.amqps : undefined;
    this.caFile = tls ? join(folder, 'ca.pem') : undefined;
    this.managementUrl = `http://${address}:${ports.management}`;
    this.managementTlsUrl = tls ? `https://${address}:${ports.managementTls}` : undefined;
    this.#layout = layout;
    this.#host = host;
    this.#watchdog = watch(folder, host.container);
  }

  /** @param login @default - the administrator's, with the default vhost */
  amqpUrl(login: Login = this.#layout.administrator): string {
    return urlOf(login, this.#layout.host, this.amqpPort);
  }

  /** After stop() or kill(), with the same data and ports. Resolves when AMQP and the management API answer. */
  async start(): Promise<void> {
    const { name } = this.#layout;
    if (this.#removal) throw new Error(`${name} was removed: start another node.`);
    if (await this.running()) throw new Error(`${name} is running already.`);
    await this.#host.launch();
    let refusal: unknown;
    const started = await poll(START_WITHIN_MS, async () => {
      const end = await this.#host.ended();
      if (end !== undefined) throw await this.#failure(`ended while starting (${end})`);
      try {
        this.version = await this.#answer();
        return true;
      } catch (error) {
        refusal = error;
        return false;
      }
    });
    if (!started) throw await this.#failure(`was not ready within ${START_WITHIN_MS / 1000} s`, refusal);
  }

  /** As the caller left it; one that ended by itself is not running either. */
  async running(): Promise<boolean> {
    return (await this.#host.ended()) === undefined;
  }

  /** SIGTERM, and waits for the end. */
  async stop(): Promise<void> {
    await this.#host.end('SIGTERM');
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** kill -9, and waits for the end. */
  async kill(): Promise<void> {
    await this.#host.end('SIGKILL');
  }

  /** SIGSTOP: connections stay open and silent. */
  freeze(): void {
    this.#host.pause(true);
  }

  thaw(): void {
    this.#host.pause(false);
  }

  /** rabbitmqctl. @returns what it prints @throws with what it prints */
  async ctl(...args: string[]): Promise<string> {
    return await this.#host.ctl(args);
  }

  /**
   * Before a kill -9 drill, after the topology is declared: a single node writes the names of its quorum queues to disk
   * only every three minutes, and a queue without its name is gone with its messages. A cluster has no such gap.
   */
  async rememberQueues(): Promise<void> {
    await this.ctl('eval', '[{T, dets:sync(T)} || T <- dets:all()].');
  }

  /** Resolves when the alarm is on (publishers get `connection.blocked`), or off. */
  async memoryAlarm(on: boolean): Promise<void> {
    const set = `vm_memory_monitor:set_vm_memory_high_watermark({absolute, ${on ? 1 : MEMORY_HIGH_WATERMARK}})`;
    const isOn = '[memory || {{resource_limit, memory, _}, _} <- rabbit_alarm:get_alarms()] =/= []';
    // One call: each starts an Erlang machine.
    const wait = `W = fun(_, 0) -> late; (F, N) -> case ${isOn} of ${on} -> done; _ -> timer:sleep(100), F(F, N - 1) end end`;
    const end = await this.ctl('eval', `${set}, ${wait}, W(W, ${ALARM_WITHIN_MS / 100}).`);
    if (!end.includes('done')) throw new Error(`The memory alarm did not go ${on ? 'on' : 'off'}.`);
  }

  /** Ends the node and deletes what it has. May be called again. */
  async remove(): Promise<void> {
    this.#removal ??= this.#host.remove().finally(() => this.#watchdog.clean());
    await this.#removal;
  }

  /** @returns the version, once AMQP accepts the administrator, by TLS too where it is offered */
  async #answer(): Promise<string> {
    const plain = this.amqpUrl();
    await (await connect(plain, { timeout: ANSWER_WITHIN_MS })).close();
    if (this.caFile !== undefined) {
      const secure = plain.replace('amqp:', 'amqps:').replace(`:${this.amqpPort}`, `:${this.amqpsPort}`);
      await (await connect(secure, { timeout: ANSWER_WITHIN_MS, ca: [readFileSync(this.caFile)] })).close();
    }
    const { managementUrl: url, username, password } = this;
    const api = new ManagementApi({ url, username, password, deadlineMs: ANSWER_WITHIN_MS });
    try {
      return (await api.get('overview')).rabbitmq_version;
    } finally {
      api.close();
    }
  }

  async #failure(what: string, cause?: unknown): Promise<Error> {
    const log = excerpt(await this.#host.log());
    return new Error(`${this.#layout.name} ${what}. Its log:\n${log}`, { cause });
  }
}

export function urlOf({ username, password, vhost }: Login, host: string, port: number): string {
  const path = vhost === undefined ? '' : `/${encodeURIComponent(vhost)}`;
  return `amqp://${encodeURIComponent(username)}:${encodeURIComponent(password)}@${host}:${port}${path}`;
}

/** The first errors, which name the cause, and the last lines: between them RabbitMQ prints a crash report. */
function excerpt(log: string): string {
  const lines = log.split('\n').map((line) => line.trimEnd().slice(0, 300));
  const errors = lines.filter((line) => /\[error\] <[\d.]+> .*\w|^ERROR/.test(line)).slice(0, 5);
  const clash = portClash(log);
  return [...(clash ? [`A port is in use: ${clash}`] : []), ...errors, '…', ...lines.filter(Boolean).slice(-20)].join(
    '\n',
  );
}
