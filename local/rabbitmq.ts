// A RabbitMQ node for one machine: what the demo and the tests run on.
// The broker of RABBITMQ_URL if there is one; otherwise a private node with its own name, ports, data and cookie in
// a temporary folder, on loopback only. Several may run at once. Nothing is left behind, however the caller ends:
// `remove()`, its exit, or the watchdog after a kill -9. How a node is found: rabbitmq/ways.ts.

import { pullImage, startDockerNode } from './rabbitmq/docker-node.ts';
import { connectGivenNode } from './rabbitmq/given-node.ts';
import { installedAt } from './rabbitmq/installed.ts';
import { lookAround } from './rabbitmq/machine.ts';
import { type NodePorts, onFreePorts } from './rabbitmq/ports.ts';
import { startPrivateNode } from './rabbitmq/private-node.ts';
import { unpack } from './rabbitmq/unpacked.ts';
import { nothingFound, type Way, waysToRabbitMq } from './rabbitmq/ways.ts';

export interface RabbitMqOptions {
  /** Also listen for TLS, with a throw-away certificate authority. */
  tls?: boolean;
  /** Bytes at which publishers are blocked. @default 1 GiB */
  memoryHighWatermark?: string;
  /** Told what takes time and which way was taken. @default - silent */
  log?: (line: string) => void;
  /** First part of the node's name, to recognise it among processes. @default 'rabbit' */
  name?: string;
  /** Never the broker of RABBITMQ_URL: for drills that stop, kill or freeze it. @default false */
  private?: boolean;
}

export interface Login {
  username: string;
  password: string;
  /** @default '/' */
  vhost?: string;
}

export interface RabbitMqNode {
  /** As the broker says it: '4.3.6'. */
  readonly version: string;
  /** Where it comes from, for people. */
  readonly origin: string;
  /** The administrator. */
  readonly username: string;
  readonly password: string;
  readonly amqpPort: number;
  readonly amqpsPort: number | undefined;
  readonly caFile: string | undefined;
  readonly managementUrl: string;
  /** The management API by TLS, whose certificate the authority of `caFile` signed; where the node has such a listener. */
  readonly managementTlsUrl: string | undefined;
  /** With the administrator's login and the default vhost, unless told otherwise. */
  amqpUrl(login?: Login): string;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** Again, with the same data and ports; resolves when AMQP accepts and management answers. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** kill -9, and waits for the end. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and silent. */
  freeze(): void;
  thaw(): void;
  /** rabbitmqctl; resolves with what it prints. */
  ctl(...args: string[]): Promise<string>;
  /**
   * Before a kill -9 drill, after the topology is declared: a single node writes the names of its quorum queues to disk
   * only every three minutes, and a queue without its name is gone with its messages. A cluster has no such gap.
   */
  rememberQueues(): Promise<void>;
  /** Resolves when the alarm is in force: publishers get `connection.blocked`. */
  memoryAlarm(on: boolean): Promise<void>;
  /** Stops what was started and deletes its folder. May be called again. */
  remove(): Promise<void>;
}

/**
 * @throws when RABBITMQ_URL is set and does not answer; when this machine has no way to a node: the message then says
 *   what to install; when a node does not start: the message then has what its log says
 */
export async function startRabbitMq(options: RabbitMqOptions = {}): Promise<RabbitMqNode> {
  const env = options.private ? { ...process.env, RABBITMQ_URL: undefined } : process.env;
  const machine = await lookAround(env);
  const obstacles: string[] = [];
  for (const way of waysToRabbitMq(machine)) {
    if (way.kind === 'given') return await connectGivenNode(way);
    const start = await bring(way, options).catch((error: Error) => {
      obstacles.push(error.message);
      options.log?.(error.message);
      return undefined;
    });
    if (start) return await onFreePorts(start, options.log);
  }
  throw new Error([nothingFound(machine.wanted), ...obstacles].join('\n'));
}

/**
 * Brings what the way needs, from the network or not; what it resolves with starts a node. An obstacle in bringing is a
 * reason to try the next way. One in starting is not: another way would hide what is wrong.
 */
export async function bring(
  way: Exclude<Way, { kind: 'given' }>,
  options: RabbitMqOptions,
): Promise<(ports: NodePorts) => Promise<RabbitMqNode>> {
  if (way.kind === 'docker') {
    await pullImage(options.log);
    return (ports) => startDockerNode(ports, options);
  }
  const installation = way.kind === 'unpacked' ? await unpack(way.suite, options.log) : installedAt(way.server);
  return (ports) => startPrivateNode(installation, ports, options);
}
