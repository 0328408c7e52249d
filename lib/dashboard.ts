// CloudWatch's dashboard: the chapters of panels.ts, the state of the alarms above them, and what it costs below.
import { Duration, Stack } from 'aws-cdk-lib';
import {
  AlarmStatusWidget,
  Dashboard as CloudWatchDashboard,
  GraphWidget,
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
import type { WorstNode } from './alarms.ts';
import { brokerNameOf } from './broker.ts';
import { BROKER_NAMESPACE, ingestorMetric } from './cloudwatch-metrics.ts';
import type { IngestorService } from './ingestor-service.ts';
import type { Monitoring } from './monitoring.ts';
import { COLORS, chapters, type Line, type Mark, type Panel } from './panels.ts';
import type { Settings } from './settings.ts';
import { prefixOf } from './stack-identity.ts';

export interface DashboardProps {
  readonly settings: Settings;
  readonly ingestor: IngestorService;
  readonly monitoring: Monitoring;
}

/** CloudWatch's and Grafana's grids are this wide. */
const WIDTH = 24;

export class Dashboard extends Construct {
  readonly url: string;
  private readonly settings: Settings;

  constructor(scope: Construct, id: string, props: DashboardProps) {
    super(scope, id);
    this.settings = props.settings;
    const { settings, monitoring } = props;
    const { service, logGroup } = props.ingestor;
    const sums = [monitoring.unhealthy, monitoring.impaired];
    const name = prefixOf(settings.environment);
    const states = [
      new AlarmStatusWidget({ title: 'Ingestor', alarms: sums, width: 4, height: 4 }),
      new AlarmStatusWidget({ title: 'Alarms', alarms: [...monitoring.alarms], width: 20, height: 4 }),
    ];
    const read = chapters(settings).map(({ title, rows }) => [
      [heading(title)],
      ...rows.map((panels) => panels.map((panel) => this.panel(panel, WIDTH / panels.length, service))),
    ]);
    read[0]?.splice(1, 0, states);
    new CloudWatchDashboard(this, 'Dashboard', {
      dashboardName: name,
      defaultInterval: Duration.hours(3),
      periodOverride: PeriodOverride.AUTO,
      widgets: [...read.flat(), [heading('What does it cost?')], this.cost(logGroup)],
    });
    const { region } = Stack.of(this);
    this.url = `https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#dashboards/dashboard/${name}`;
  }

  private panel(
    { title, left, right, leftMarks, rightMarks, most }: Panel,
    width: number,
    service: FargateService,
  ): IWidget {
    const lines = (of: readonly Line[]) => of.map((line) => this.line(line, service));
    return new GraphWidget({
      ...{ title, width, height: 6, left: lines(left), leftYAxis: { min: 0, ...(most && { max: most }) } },
      ...(right && { right: lines(right), rightYAxis: { min: 0 } }),
      ...(leftMarks && { leftAnnotations: leftMarks.map(colored) }),
      ...(rightMarks && { rightAnnotations: rightMarks.map(colored) }),
    });
  }

  private cost(logGroup: LogGroup): IWidget[] {
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
    const size = { width: WIDTH / 2, height: 4 };
    return [
      new TextWidget({ ...size, markdown: markdown.join('\n') }),
      new SingleValueWidget({ ...size, title: 'Logged (bytes; $0.50 per GB)', sparkline: true, metrics: [logged] }),
    ];
  }

  private line({ metric, label, color }: Line, service: FargateService): IMetric {
    if ('worst' in metric) return this.nodes(metric);
    if ('service' in metric) return service[`metric${metric.service}`]({ statistic: Stats.MAXIMUM, label });
    return ingestorMetric(metric, this.settings.environment, { label, ...(color && { color: COLORS[color] }) });
  }

  /** Of every node: their names contain addresses that are not known beforehand. With a limit, in percent of it. */
  private nodes({ broker: metric, worst, percentOf }: WorstNode): IMetric {
    const broker = brokerNameOf(this.settings);
    const statistic = worst === 'MAX' ? Stats.MAXIMUM : Stats.MINIMUM;
    const search = `SEARCH('{${BROKER_NAMESPACE},Broker,Node} MetricName="${metric}" Broker="${broker}"', '${statistic}')`;
    return new MathExpression({
      expression: percentOf === undefined ? search : `100 * ${search} / ${percentOf}`,
      usingMetrics: {},
      label: '',
    });
  }
}

function heading(text: string): IWidget {
  return new TextWidget({ markdown: `## ${text}`, width: WIDTH, height: 1 });
}

const colored = ({ color, ...mark }: Mark) => ({ ...mark, color: COLORS[color] });
