// What the files of this folder share: a node's layout, and the host that runs it.

import type { NodePorts } from './ports.ts';

export type Log = (line: string) => void;

export interface RabbitMqOptions {
  /** Also listen for TLS, with a throw-away certificate. */
  readonly tls?: boolean;
  /** Receives what takes time. @default - silent */
  readonly log?: Log;
  /** First part of the node's name, to recognise it among processes. @default 'rabbit' */
  readonly name?: string;
  /** Of a cluster (cluster.ts). @default 1 */
  readonly nodes?: number;
}

export interface Login {
  readonly username: string;
  readonly password: string;
  /** @default '/' */
  readonly vhost?: string;
}

/** What a host makes a node of. */
export interface Layout {
  readonly name: string;
  /** Everything the node writes is in here; its processes have it as their HOME. */
  readonly folder: string;
  readonly ports: NodePorts;
  readonly tls: boolean;
  readonly administrator: Login;
  /** The address that it listens on. */
  readonly host: string;
  /** The command that runs a program where this address is: in a network namespace. */
  readonly enter: readonly string[];
  /** Erlang nodes trust each other by it. */
  readonly cookie: string;
  /** Every node of its cluster, itself too, by their Erlang names. */
  readonly cluster: readonly string[];
}

/** As Erlang and the management API call it. */
export const nodeName = ({ name, host }: Pick<Layout, 'name' | 'host'>): string => `${name}@${host}`;

export interface Host {
  /** For people: where the node comes from. */
  readonly origin: string;
  /** Of Docker. */
  readonly container?: string;
  launch(): Promise<void>;
  /** How the node ended: undefined while it runs. */
  ended(): Promise<string | undefined>;
  log(): Promise<string>;
  /** SIGTERM or SIGKILL, and waits for the end. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** @throws when the node does not run */
  pause(paused: boolean): void;
  /** Runs rabbitmqctl. @returns what it prints */
  ctl(args: readonly string[]): Promise<string>;
  /** Deletes what is not in the layout's folder. */
  remove(): Promise<void>;
}

export type HostFor = (layout: Layout) => Host;

/** Bytes at which publishers are blocked. */
export const MEMORY_HIGH_WATERMARK = String(1024 ** 3);
