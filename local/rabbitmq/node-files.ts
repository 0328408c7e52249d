// What a private node reads from its folder (configuration, plugins) and its environment. Pure.

import type { NodePorts } from './ports.ts';

export interface NodeLayout {
  /** Erlang's name of the node: `rabbit-1a2b@localhost`. */
  readonly name: string;
  readonly folder: string;
  readonly ports: NodePorts;
  readonly tls: boolean;
  /** The administrator. */
  readonly username: string;
  readonly password: string;
  /** Bytes. */
  readonly memoryHighWatermark: string;
}

export const DEFAULT_MEMORY_HIGH_WATERMARK = `${1024 ** 3}`;

export const ENABLED_PLUGINS = '[rabbitmq_management].\n';

/** The settings that do not depend on where the node runs. */
export function brokerSettings(broker: Pick<NodeLayout, 'username' | 'password' | 'memoryHighWatermark'>): string[] {
  return [
    `default_user = ${broker.username}`,
    `default_pass = ${broker.password}`,
    'loopback_users = none',
    'log.console = true',
    'log.file = false',
    `vm_memory_high_watermark.absolute = ${broker.memoryHighWatermark}`,
    'disk_free_limit.absolute = 50MB',
    // So that the management API shows a new connection within a second; the default is five.
    'collect_statistics_interval = 1000',
  ];
}

/** @param folder where the broker finds what makeCertificates wrote */
export function tlsSettings(listener: string, management: { ip: string; port: number }, folder: string): string[] {
  return [
    `listeners.ssl.1 = ${listener}`,
    `management.ssl.ip = ${management.ip}`,
    `management.ssl.port = ${management.port}`,
    `management.ssl.cacertfile = ${folder}/ca.pem`,
    `management.ssl.certfile = ${folder}/server.pem`,
    `management.ssl.keyfile = ${folder}/server.key`,
    `ssl_options.cacertfile = ${folder}/ca.pem`,
    `ssl_options.certfile = ${folder}/server.pem`,
    `ssl_options.keyfile = ${folder}/server.key`,
    'ssl_options.verify = verify_none',
    'ssl_options.fail_if_no_peer_cert = false',
  ];
}

export function configFile(layout: NodeLayout): string {
  const { ports, folder, tls } = layout;
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${ports.amqp}`,
    'management.tcp.ip = 127.0.0.1',
    `management.tcp.port = ${ports.management}`,
    ...brokerSettings(layout),
    ...(tls ? tlsSettings(`127.0.0.1:${ports.amqps}`, { ip: '127.0.0.1', port: ports.managementTls }, folder) : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** The whole environment of the node, its epmd and its rabbitmqctl: nothing of the caller's own leaks in. */
export function environment({ name, folder, ports }: NodeLayout, path: string): Record<string, string> {
  return {
    PATH: path,
    LANG: 'C.UTF-8',
    HOME: folder,
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_NODENAME: name,
    RABBITMQ_MNESIA_BASE: `${folder}/data`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
    RABBITMQ_PID_FILE: `${folder}/rabbitmq-wait`,
    RABBITMQ_DIST_PORT: `${ports.distribution}`,
    ERL_EPMD_PORT: `${ports.epmd}`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_CRASH_DUMP: `${folder}/crash.dump`,
    // Loopback only; epmd is started beforehand, as a child that can be ended; no busy waiting, since several nodes
    // share few cores.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +sbwt none +sbwtdcpu none +sbwtdio none',
    // RabbitMQ's scripts then replace themselves by the Erlang machine, so that the child's pid is the node's.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
}
