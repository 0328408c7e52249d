// What a private node reads from its folder: configuration, plugins, cookie; and its environment. Pure.

import type { Installation } from './private-node.ts';

export interface NodePorts {
  readonly amqp: number;
  readonly management: number;
  readonly distribution: number;
  readonly epmd: number;
  readonly amqps: number | undefined;
}

export interface NodeLayout {
  readonly nodeName: string;
  readonly folder: string;
  readonly ports: NodePorts;
  readonly username: string;
  readonly password: string;
  readonly memoryHighWatermark: string;
}

export const ENABLED_PLUGINS = '[rabbitmq_management].\n';

/** The settings that do not depend on where the node runs. */
export function brokerSettings(login: { username: string; password: string }, memoryHighWatermark: string): string[] {
  return [
    `default_user = ${login.username}`,
    `default_pass = ${login.password}`,
    'loopback_users = none',
    'log.console = true',
    'log.file = false',
    `vm_memory_high_watermark.absolute = ${memoryHighWatermark}`,
    'disk_free_limit.absolute = 50MB',
    // So that a test sees a new connection in the management API within a second; the default is five.
    'collect_statistics_interval = 1000',
  ];
}

export function tlsSettings(listener: string, folder: string): string[] {
  return [
    `listeners.ssl.1 = ${listener}`,
    `ssl_options.cacertfile = ${folder}/ca.pem`,
    `ssl_options.certfile = ${folder}/server.pem`,
    `ssl_options.keyfile = ${folder}/server.key`,
    'ssl_options.verify = verify_none',
    'ssl_options.fail_if_no_peer_cert = false',
  ];
}

export function configFile({ ports, folder, memoryHighWatermark, ...login }: NodeLayout): string {
  return `${[
    `listeners.tcp.1 = 127.0.0.1:${ports.amqp}`,
    'management.tcp.ip = 127.0.0.1',
    `management.tcp.port = ${ports.management}`,
    ...brokerSettings(login, memoryHighWatermark),
    ...(ports.amqps === undefined ? [] : tlsSettings(`127.0.0.1:${ports.amqps}`, folder)),
  ].join('\n')}\n`;
}

/** The whole environment of the node, its epmd and its rabbitmqctl: nothing of the caller's own leaks in. */
export function environment({ nodeName, folder, ports }: NodeLayout, { path }: Installation): Record<string, string> {
  return {
    PATH: path,
    LANG: 'C.UTF-8',
    HOME: folder,
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_NODENAME: nodeName,
    RABBITMQ_MNESIA_BASE: `${folder}/data`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
    RABBITMQ_PID_FILE: `${folder}/rabbitmq.pid`,
    RABBITMQ_DIST_PORT: `${ports.distribution}`,
    ERL_EPMD_PORT: `${ports.epmd}`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_CRASH_DUMP: `${folder}/crash.dump`,
    // Loopback only. No busy waiting: several nodes share few cores.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +sbwt none +sbwtdcpu none +sbwtdio none',
    // The scripts then replace themselves by the Erlang machine, so that the child's pid is the node's.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
}
