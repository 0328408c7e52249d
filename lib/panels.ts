// The dashboard as data, to be read from top to bottom: is it healthy, how much flows, where is pressure. Pure: dashboard.ts
// makes CloudWatch's widgets of it, grafana.ts Grafana's panels.
import { QUEUES } from '../service/contract/names.ts';
import type { OwnMetric, WorstNode } from './alarms.ts';
import { nodeLimits } from './broker-limits.ts';
import type { Settings } from './settings.ts';

/** Of the dashboard both have, by CloudWatch's own colours. */
export const COLORS = {
  red: '#d62728',
  orange: '#ff7f0e',
  green: '#2ca02c',
  blue: '#1f77b4',
  purple: '#9467bd',
  brown: '#8c564b',
  grey: '#7f7f7f',
} as const;

export interface Line {
  /** `worst`: of every node of the broker. `service`: a metric of ECS. */
  readonly metric: OwnMetric | WorstNode | { readonly service: 'CpuUtilization' | 'MemoryUtilization' };
  /** Of every node: before its name, where that does not stand alone. */
  readonly label: string;
  readonly color?: keyof typeof COLORS;
}

/** A limit, drawn across a panel. */
export interface Mark {
  readonly value: number;
  readonly label: string;
  readonly color: keyof typeof COLORS;
}

export interface Panel {
  readonly title: string;
  /** Title outside of AWS, where some of its lines are missing. @default - title */
  readonly elsewhere?: string;
  readonly left: readonly Line[];
  readonly right?: readonly Line[];
  readonly leftMarks?: readonly Mark[];
  readonly rightMarks?: readonly Mark[];
  /** Its counts are those of a minute, however far apart its points are. @default - of the time between two points */
  readonly perMinute?: true;
  /** Of the left axis. @default - what is there */
  readonly most?: 100;
}

export interface Chapter {
  readonly title: string;
  /** Each row fills the width. */
  readonly rows: readonly (readonly Panel[])[];
}

export function chapters({ shards, budgets, broker }: Settings): Chapter[] {
  const limits = nodeLimits(broker);
  const memory = { worst: 'MAX', percentOf: limits.memoryBytes, limit: 'RabbitMQMemLimit' } as const;
  const { deadLetters, unrouted, ...consumed } = QUEUES;
  return [
    {
      title: 'Is it healthy?',
      rows: [
        [
          {
            title: `Shards connected (of ${shards.count}), tasks, standbys`,
            left: [
              own('shardsConnected', 'Sum', 'shards connected', 'green'),
              own('residentMemory', 'SampleCount', 'tasks', 'grey'),
              own('shardsWaiting', 'Sum', 'shards waiting for token, budget or turn', 'orange'),
              own('standby', 'Sum', 'standbys', 'blue'),
            ],
            leftMarks: [{ value: shards.count, label: 'configured', color: 'green' }],
          },
          {
            title: 'Sessions: gaps, identifies, resumes, leases',
            left: [
              own('gatewayGaps', 'Sum', 'gaps', 'red'),
              own('gapsInHandOver', 'Sum', 'of these: in a hand-over', 'brown'),
              own('identifies', 'Sum', 'IDENTIFYs', 'orange'),
              own('resumes', 'Sum', 'RESUMEs', 'blue'),
              own('leaseLosses', 'Sum', 'leases lost', 'purple'),
            ],
            right: [own('identifiesRemaining', 'Minimum', "left of the day's IDENTIFYs", 'grey')],
          },
        ],
      ],
    },
    {
      title: 'How much flows?',
      rows: [
        [
          {
            title: 'Events per minute',
            perMinute: true,
            left: [
              own('eventsReceived', 'Sum', 'received'),
              own('eventsConfirmed', 'Sum', 'confirmed by the broker', 'green'),
              own('eventsFiltered', 'Sum', 'not for workers', 'grey'),
              own('publishErrors', 'Sum', 'refused by the broker', 'red'),
              own('messagesDropped', 'Sum', 'dropped', 'brown'),
            ],
          },
          {
            title: 'From frame to confirm, and heartbeat (ms)',
            left: [
              own('frameToConfirm', 'p50', 'confirm p50'),
              own('frameToConfirm', 'p95', 'confirm p95', 'orange'),
              own('frameToConfirm', 'p99', 'confirm p99', 'red'),
              own('gatewayLatency', 'Maximum', "slowest shard's heartbeat", 'grey'),
            ],
            // Also while nothing is confirmed, and so no time is known.
            right: [own('oldestUnconfirmed', 'Maximum', 'oldest unconfirmed (s)', 'brown')],
            leftMarks: [{ value: budgets.frameToConfirmMs, label: 'alarm on p95', color: 'orange' }],
          },
        ],
      ],
    },
    {
      title: 'Where is pressure?',
      rows: [
        [
          { title: 'Messages waiting for workers', left: depths(Object.values(consumed)) },
          { title: 'Messages without a consumer', left: depths([deadLetters, unrouted]) },
          {
            title: 'Outbox and heap of the fullest task (%)',
            left: [own('outboxUsed', 'Maximum', 'outbox'), own('heapUsed', 'Maximum', 'heap')],
            leftMarks: [{ value: budgets.outboxPercent, label: 'alarm on the outbox', color: 'orange' }],
            most: 100,
          },
        ],
        [
          {
            title: 'Broker: memory used of its limit, CPU, of each node (%)',
            elsewhere: 'Broker: memory used of its limit, of each node (%)',
            left: [
              { metric: { broker: 'RabbitMQMemUsed', ...memory }, label: 'memory' },
              { metric: { broker: 'SystemCpuUtilization', worst: 'MAX' }, label: 'CPU' },
            ],
            most: 100,
          },
          {
            title: 'Broker: free disk (bytes) and connections of each node',
            left: [{ metric: { broker: 'RabbitMQDiskFree', worst: 'MIN' }, label: 'free disk' }],
            leftMarks: [{ value: limits.diskFreeBytes, label: 'publishers are blocked', color: 'red' }],
            right: [{ metric: { broker: 'ConnectionCount', worst: 'MAX' }, label: 'connections' }],
            rightMarks: [{ value: limits.connections, label: 'connections at most', color: 'orange' }],
          },
          {
            title: 'Service: CPU and memory of the fullest task (%)',
            left: [
              { metric: { service: 'CpuUtilization' }, label: 'CPU' },
              { metric: { service: 'MemoryUtilization' }, label: 'memory' },
            ],
            most: 100,
          },
        ],
      ],
    },
  ];
}

function own(
  ingestor: OwnMetric['ingestor'],
  statistic: OwnMetric['statistic'],
  label: string,
  color?: keyof typeof COLORS,
): Line {
  return { metric: { ingestor, statistic }, label, ...(color && { color }) };
}

function depths(queues: readonly string[]): Line[] {
  return queues.map((queue) => ({ metric: { ingestor: 'queueDepth', statistic: 'Maximum', queue }, label: queue }));
}
