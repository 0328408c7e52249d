// A cluster of RabbitMQ nodes behind one address for AMQP and one for the management API, as Amazon MQ's. What is done to
// the broker is done to every node; each of `nodes` can be stopped, killed, frozen and started by itself, with its data.

import { randomBytes } from 'node:crypto';
import { balance } from './balancer.ts';
import { newAdministrator, newName, type RabbitMq, type RabbitMqNode, startNode, urlOf } from './node.ts';
import type { NodePorts } from './ports.ts';
import { type HostFor, type Login, nodeName, type RabbitMqOptions } from './types.ts';
import { makeZones, type Zone, type Zones } from './zones.ts';

/** @throws when a node does not start, with its log; nothing is left then */
export async function startCluster(
  hostFor: HostFor,
  pick: () => Promise<NodePorts>,
  options: RabbitMqOptions,
): Promise<RabbitMqCluster> {
  const { nodes: count = 3, tls = false } = options;
  if (tls) throw new Error('A cluster has no TLS listener: leave out `tls` or `nodes`.');
  const zones = await makeZones(count);
  const started: RabbitMqNode[] = [];
  const closeBalancers: (() => void)[] = [];
  const remove = async () => {
    for (const close of closeBalancers) close();
    await Promise.all(started.map((node) => node.remove()));
    await zones.remove();
  };
  try {
    const name = newName(options);
    const own = await pick();
    const member = async (zone: Zone, index: number) => ({
      ...{ ...zone, name: `${name}-${index + 1}` },
      // At one address, one epmd serves all.
      ports: { ...(await pick()), epmd: own.epmd },
    });
    const members = await Promise.all(zones.zones.map(member));
    const targets = (port: 'amqp' | 'management') => members.map(({ host, ports }) => ({ host, port: ports[port] }));
    closeBalancers.push(await balance(own.amqp, targets('amqp')));
    closeBalancers.push(await balance(own.management, targets('management')));
    const cookie = randomBytes(16).toString('hex');
    const shared = { administrator: newAdministrator(), cookie, cluster: members.map(nodeName) };
    const starting = members.map(async (each) => {
      started.push(await startNode(hostFor, each.ports, options, { ...shared, ...each }));
    });
    // All of them, so that none is left behind by the failure of another.
    const failed = (await Promise.allSettled(starting)).find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
    started.sort((one, other) => one.name.localeCompare(other.name));
    return new RabbitMqCluster(started, zones, shared.administrator, own, remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

export class RabbitMqCluster implements RabbitMq {
  readonly version: string;
  readonly origin: string;
  readonly username: string;
  readonly password: string;
  readonly amqpPort: number;
  readonly amqpsPort = undefined;
  readonly caFile = undefined;
  readonly managementUrl: string;
  readonly managementTlsUrl = undefined;
  readonly nodes: readonly RabbitMqNode[];
  readonly remove: () => Promise<void>;
  readonly #zones: Zones;

  constructor(
    nodes: readonly RabbitMqNode[],
    zones: Zones,
    { username, password }: Login,
    ports: NodePorts,
    remove: () => Promise<void>,
  ) {
    this.nodes = nodes;
    this.version = nodes[0]?.version ?? '';
    this.origin = nodes[0]?.origin ?? '';
    this.username = username;
    this.password = password;
    this.amqpPort = ports.amqp;
    this.managementUrl = `http://127.0.0.1:${ports.management}`;
    this.remove = remove;
    this.#zones = zones;
  }

  amqpUrl(login: Login = this): string {
    return urlOf(login, '127.0.0.1', this.amqpPort);
  }

  readonly start = () => this.#each((node) => node.start());
  readonly stop = () => this.#each((node) => node.stop());
  readonly kill = () => this.#each((node) => node.kill());
  readonly rememberQueues = () => this.#each((node) => node.rememberQueues());

  async #each(act: (node: RabbitMqNode) => Promise<void>): Promise<void> {
    await Promise.all(this.nodes.map(act));
  }

  /** All of it. */
  async running(): Promise<boolean> {
    return (await Promise.all(this.nodes.map((node) => node.running()))).every(Boolean);
  }

  /** One node after the other, as Amazon MQ does in a maintenance window. */
  async restart(): Promise<void> {
    for (const node of this.nodes) await node.restart();
  }

  freeze(): void {
    for (const node of this.nodes) node.freeze();
  }

  thaw(): void {
    for (const node of this.nodes) node.thaw();
  }

  async ctl(...args: string[]): Promise<string> {
    return (await this.nodes[0]?.ctl(...args)) ?? '';
  }

  /** Of one node, which blocks the publishers of all. */
  async memoryAlarm(on: boolean): Promise<void> {
    await this.nodes[0]?.memoryAlarm(on);
  }

  /** Why `cut` is impossible on this machine, where it is. */
  get obstacle(): string | undefined {
    return this.#zones.obstacle;
  }

  /** Isolates the node, or only from the other nodes, until `heal`. @throws where this machine does not allow it */
  async cut(node: RabbitMqNode, from: 'its peers' | 'everything'): Promise<void> {
    const zone = this.#zones.zones[this.nodes.indexOf(node)];
    if (zone === undefined) throw new Error(`${node.name} is not of this cluster`);
    await this.#zones.cut(zone, from);
  }

  async heal(): Promise<void> {
    await this.#zones.heal();
  }
}
