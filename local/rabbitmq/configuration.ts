// What a node reads: its configuration file, and on this machine its environment. Pure.

import { MAX_MESSAGE_BYTES } from '../../service/contract/limits.ts';
import { type Layout, MEMORY_HIGH_WATERMARK, nodeName } from './types.ts';

export const ENABLED_PLUGINS = '[rabbitmq_management].\n';

/** For a node on this machine: every listener is on the node's own address. */
export function nodeConfiguration(layout: Layout): string {
  const { cluster, folder, host, ports } = layout;
  return lines([
    `listeners.tcp.1 = ${host}:${ports.amqp}`,
    `management.tcp.ip = ${host}`,
    `management.tcp.port = ${ports.management}`,
    ...common(layout),
    ...(cluster.length > 0 ? CLUSTER : []),
    ...cluster.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
    ...tls(layout, { ip: host, amqps: ports.amqps, management: ports.managementTls, folder }),
  ]);
}

/** The same as Amazon MQ: quorum queues where a client names no type. */
const CLUSTER = ['cluster_formation.peer_discovery_backend = classic_config', 'default_queue_type = quorum'];

/** For a node in a container, which publishes its ports. @param folder with the certificate, in the container */
export function containerConfiguration(layout: Layout, folder: string): string {
  const listeners = tls(layout, { ip: '0.0.0.0', amqps: 5671, management: 15671, folder });
  return lines(['management.tcp.port = 15672', ...common(layout), ...listeners]);
}

function common({ administrator }: Layout): string[] {
  return [
    `default_user = ${administrator.username}`,
    `default_pass = ${administrator.password}`,
    'loopback_users = none',
    'log.console = true',
    'log.file = false',
    `vm_memory_high_watermark.absolute = ${MEMORY_HIGH_WATERMARK}`,
    'disk_free_limit.absolute = 50MB',
    // As deployed (lib/broker.ts).
    `max_message_size = ${MAX_MESSAGE_BYTES}`,
    // So that the management API shows a new connection within a second; the default is five.
    'collect_statistics_interval = 1000',
  ];
}

function tls(
  layout: Layout,
  at: { readonly ip: string; readonly amqps: number; readonly management: number; readonly folder: string },
): string[] {
  if (!layout.tls) return [];
  const files = { cacertfile: 'ca.pem', certfile: 'server.pem', keyfile: 'server.key' };
  return [
    `listeners.ssl.1 = ${at.ip}:${at.amqps}`,
    `management.ssl.ip = ${at.ip}`,
    `management.ssl.port = ${at.management}`,
    ...['management.ssl', 'ssl_options'].flatMap((section) =>
      Object.entries(files).map(([option, file]) => `${section}.${option} = ${at.folder}/${file}`),
    ),
    'ssl_options.verify = verify_none',
    'ssl_options.fail_if_no_peer_cert = false',
  ];
}

const lines = (settings: readonly string[]): string => `${settings.join('\n')}\n`;

/** The whole environment of the node, its epmd and its rabbitmqctl: nothing of the caller's own gets in. */
export function environment(layout: Layout, path: string): Record<string, string> {
  const { folder, host, ports } = layout;
  return {
    PATH: path,
    LANG: 'C.UTF-8',
    HOME: folder,
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_NODENAME: nodeName(layout),
    // So that the part after the @ may be an address.
    RABBITMQ_USE_LONGNAME: 'true',
    RABBITMQ_MNESIA_BASE: `${folder}/data`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
    RABBITMQ_PID_FILE: `${folder}/rabbitmq-wait`,
    RABBITMQ_DIST_PORT: `${ports.distribution}`,
    ERL_EPMD_PORT: `${ports.epmd}`,
    ERL_EPMD_ADDRESS: host,
    ERL_CRASH_DUMP: `${folder}/crash.dump`,
    // Its own address only; epmd is started beforehand, as a child that can be ended; no busy waiting, since several nodes
    // share few cores.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-kernel inet_dist_use_interface {${host.replaceAll('.', ',')}} -start_epmd false +sbwt none +sbwtdcpu none +sbwtdio none`,
    // RabbitMQ's scripts then replace themselves by the Erlang machine, so that the child's pid is the node's.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
}
