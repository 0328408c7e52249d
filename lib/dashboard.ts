// The dashboard, to be read from top to bottom: is it healthy, how much flows, where is pressure, what does it cost.
import { Duration, Stack } from 'aws-cdk-lib';
import {
  type Alarm,
  AlarmStatusWidget,
  Dashboard as CloudWatchDashboard,
  Color,
  type CompositeAlarm,
  GraphWidget,
  type GraphWidgetProps,
  type IMetric,
  type IWidget,
  MathExpression,
  Metric,
  PeriodOverride,
  SingleValueWidget,
  Stats,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { FargateService } from 'aws-cdk-lib/aws-ecs';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { DEFAULT_METRICS_NAMESPACE, ENVIRONMENT_DIMENSION, METRICS } from '../service/contract/metrics.ts';
import { QUEUES } from '../service/contract/names.ts';
import { BROKER_NAMESPACE, type BrokerMetric, brokerNameOf } from './broker.ts';
import { nodeLimits } from './broker-limits.ts';
import { ingestorMetric } from './ingestor-metrics.ts';
import type { Settings } from './settings.ts';

export interface DashboardProps {
  readonly settings: Settings;
  readonly alarms: readonly Alarm[];
  readonly unhealthy: CompositeAlarm;
  readonly service: FargateService;
  readonly logGroup: LogGroup;
}

const HALF = 12;
const THIRD = 8;

export class Dashboard extends Construct {
  readonly url: string;
  private readonly settings: Settings;

  constructor(scope: Construct, id: string, props: DashboardProps) {
    super(scope, id);
    this.settings = props.settings;
    const name = `discord-ingestor-${props.settings.environment}`;
    new CloudWatchDashboard(this, 'Dashboard', {
      dashboardName: name,
      defaultInterval: Duration.hours(3),
      periodOverride: PeriodOverride.AUTO,
      widgets: [
        [heading('Is it healthy?')],
        ...this.health(props),
        [heading('How much flows?')],
        this.flow(),
        [heading('Where is pressure?')],
        ...this.pressure(props),
        [heading('What does it cost?')],
        this.cost(props),
      ],
    });
    const { region } = Stack.of(this);
    this.url = `https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#dashboards/dashboard/${name}`;
  }

  private health({ alarms, unhealthy }: DashboardProps): IWidget[][] {
    const { count } = this.settings.shards;
    return [
      [
        new AlarmStatusWidget({ title: 'Ingestor', alarms: [unhealthy], width: 4, height: 4 }),
        new AlarmStatusWidget({ title: 'Alarms', alarms: [...alarms], width: 20, height: 4 }),
      ],
      [
        graph(`Shards connected (of ${count}), tasks, standbys`, HALF, {
          left: [
            this.own('shardsConnected', Stats.SUM, 'shards connected', Color.GREEN),
            this.own('residentMemory', Stats.SAMPLE_COUNT, 'tasks', Color.GREY),
            this.own('shardsWaiting', Stats.SUM, 'shards waiting for token, budget or turn', Color.ORANGE),
            this.own('standby', Stats.SUM, 'standbys', Color.BLUE),
          ],
          leftAnnotations: [{ value: count, label: 'configured', color: Color.GREEN }],
        }),
        graph('Sessions: gaps, identifies, resumes, leases', HALF, {
          left: [
            this.own('gatewayGaps', Stats.SUM, 'gaps', Color.RED),
            this.own('gapsInHandOver', Stats.SUM, 'of these: in a hand-over', Color.BROWN),
            this.own('identifies', Stats.SUM, 'IDENTIFYs', Color.ORANGE),
            this.own('resumes', Stats.SUM, 'RESUMEs', Color.BLUE),
            this.own('leaseLosses', Stats.SUM, 'leases lost', Color.PURPLE),
          ],
          right: [this.own('identifiesRemaining', Stats.MINIMUM, "left of the day's IDENTIFYs", Color.GREY)],
        }),
      ],
    ];
  }

  private flow(): IWidget[] {
    const { frameToConfirmMs } = this.settings.budgets;
    return [
      graph('Events per minute', HALF, {
        left: [
          this.own('eventsReceived', Stats.SUM, 'received'),
          this.own('eventsConfirmed', Stats.SUM, 'confirmed by the broker', Color.GREEN),
          this.own('eventsFiltered', Stats.SUM, 'not for workers', Color.GREY),
          this.own('publishErrors', Stats.SUM, 'refused by the broker', Color.RED),
          this.own('messagesDropped', Stats.SUM, 'dropped', Color.BROWN),
        ],
      }),
      graph('From frame to confirm, and heartbeat (ms)', HALF, {
        left: [
          this.own('frameToConfirm', Stats.percentile(50), 'confirm p50'),
          this.own('frameToConfirm', Stats.percentile(95), 'confirm p95', Color.ORANGE),
          this.own('frameToConfirm', Stats.percentile(99), 'confirm p99', Color.RED),
          this.own('gatewayLatency', Stats.MAXIMUM, "slowest shard's heartbeat", Color.GREY),
        ],
        // Also while nothing is confirmed, and so no time is known.
        right: [this.own('oldestUnconfirmed', Stats.MAXIMUM, 'oldest unconfirmed (s)', Color.BROWN)],
        leftAnnotations: [{ value: frameToConfirmMs, label: 'alarm on p95', color: Color.ORANGE }],
      }),
    ];
  }

  private pressure({ service }: DashboardProps): IWidget[][] {
    const { outboxPercent } = this.settings.budgets;
    const limits = nodeLimits(this.settings.broker);
    const { deadLetters, unrouted, ...consumed } = QUEUES;
    return [
      [
        graph('Messages waiting for workers', THIRD, { left: this.depths(Object.values(consumed)) }),
        graph('Messages without a consumer', THIRD, { left: this.depths([deadLetters, unrouted]) }),
        graph('Outbox and heap of the fullest task (%)', THIRD, {
          left: [this.own('outboxUsed', Stats.MAXIMUM, 'outbox'), this.own('heapUsed', Stats.MAXIMUM, 'heap')],
          leftAnnotations: [{ value: outboxPercent, label: 'alarm on the outbox', color: Color.ORANGE }],
          leftYAxis: { min: 0, max: 100 },
        }),
      ],
      [
        graph('Broker: memory used of its limit, CPU, of each node (%)', THIRD, {
          left: [
            this.nodes('RabbitMQMemUsed', 'Maximum', limits.memoryBytes),
            this.nodes('SystemCpuUtilization', 'Maximum'),
          ],
          leftYAxis: { min: 0, max: 100 },
        }),
        graph('Broker: free disk (bytes) and connections of each node', THIRD, {
          left: [this.nodes('RabbitMQDiskFree', 'Minimum')],
          leftAnnotations: [{ value: limits.diskFreeBytes, label: 'publishers are blocked', color: Color.RED }],
          right: [this.nodes('ConnectionCount', 'Maximum')],
          rightAnnotations: [{ value: limits.connections, label: 'connections at most', color: Color.ORANGE }],
        }),
        graph('Service: CPU and memory of the fullest task (%)', THIRD, {
          left: [
            service.metricCpuUtilization({ statistic: Stats.MAXIMUM, label: 'CPU' }),
            service.metricMemoryUtilization({ statistic: Stats.MAXIMUM, label: 'memory' }),
          ],
          leftYAxis: { min: 0, max: 100 },
        }),
      ],
    ];
  }

  private cost({ logGroup }: DashboardProps): IWidget[] {
    const { tasks, task, broker, egress } = this.settings;
    const metrics = Object.keys(METRICS).length + Object.keys(QUEUES).length - 1;
    const address = egress === 'nat' ? 'behind NAT gateways' : 'each with a public address';
    const markdown = [
      `- **Broker** ${broker.existing ? 'not of this stack' : `${broker.nodes} × ${broker.size}`}: by far the most`,
      `- **Tasks** ${tasks} × ${task.cpu / 1024} vCPU, ${task.memoryMiB / 1024} GB, ${address}`,
      `- **Metrics** ${metrics} of \`${DEFAULT_METRICS_NAMESPACE}\` with ${ENVIRONMENT_DIMENSION}, $0.30 each at most`,
      '- What grows with use: logs (beside), and bytes through NAT gateways. The table of prices is in docs/deploy.md',
    ];
    const logged = new Metric({
      ...{ namespace: 'AWS/Logs', metricName: 'IncomingBytes' },
      dimensionsMap: { LogGroupName: logGroup.logGroupName },
      ...{ statistic: Stats.SUM, period: Duration.days(1), label: 'a day' },
    });
    const size = { width: HALF, height: 4 };
    return [
      new TextWidget({ ...size, markdown: markdown.join('\n') }),
      new SingleValueWidget({ ...size, title: 'Logged (bytes; $0.50 per GB)', sparkline: true, metrics: [logged] }),
    ];
  }

  private own(name: keyof typeof METRICS, statistic: string, label: string, color?: string, queue?: string): IMetric {
    const { environment } = this.settings;
    return ingestorMetric(name, { environment, statistic, label, queue, ...(color && { color }) });
  }

  private depths(queues: readonly string[]): IMetric[] {
    return queues.map((queue) => this.own('queueDepth', Stats.MAXIMUM, queue, undefined, queue));
  }

  /** Of every node: their names contain addresses that are not known beforehand. With a limit, in percent of it. */
  private nodes(name: BrokerMetric, statistic: 'Maximum' | 'Minimum', limit?: number): IMetric {
    const broker = brokerNameOf(this.settings);
    const search = `SEARCH('{${BROKER_NAMESPACE},Broker,Node} MetricName="${name}" Broker="${broker}"', '${statistic}')`;
    return new MathExpression({
      expression: limit === undefined ? search : `100 * ${search} / ${limit}`,
      usingMetrics: {},
      label: '',
    });
  }
}

function heading(text: string): IWidget {
  return new TextWidget({ markdown: `## ${text}`, width: 24, height: 1 });
}

function graph(title: string, width: number, props: GraphWidgetProps): IWidget {
  const fromZero = { leftYAxis: { min: 0 }, ...(props.right && { rightYAxis: { min: 0 } }) };
  return new GraphWidget({ title, width, height: 6, ...fromZero, ...props });
}
