// The chapters of panels.ts as a dashboard of Grafana, for what Prometheus scrapes. Pure: bin/dashboards.ts writes
// docs/grafana-dashboard.json. What only AWS has (the tasks' processors, the limits of Amazon MQ's sizes, prices) is left out.
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
import { METRICS, type Metric } from '../service/contract/metrics.ts';
import type { OwnMetric, WorstNode } from './alarms.ts';
import { COLORS, chapters, type Line, type Panel } from './panels.ts';
import { drawn, missingMetric } from './promql.ts';
import type { Settings } from './settings.ts';

/** Both CloudWatch's grid and Grafana's have 24 columns. */
const WIDTH = 24;
const HEIGHT = 8;
/** Chosen on the dashboard, as the jobs are. */
const DATASOURCE = { type: 'prometheus', uid: `\${datasource}` };
const JOBS = { ingestor: '$job', rabbitmq: '$rabbitmq' };
const UNITS = { Count: 'short', Bytes: 'bytes', Milliseconds: 'ms', Percent: 'percent', Seconds: 's' } as const;

export function grafanaDashboard(settings: Settings) {
  const panels: object[] = [];
  let y = 0;
  const add = (panel: object, height: number, width = WIDTH, x = 0) =>
    panels.push({ id: panels.length + 1, gridPos: { x, y, w: width, h: height }, ...panel });
  for (const { title, rows } of chapters(settings)) {
    add({ type: 'row', title, collapsed: false, panels: [] }, 1);
    y += 1;
    if (panels.length === 1) {
      add(ALERTS, HEIGHT);
      y += HEIGHT;
    }
    for (const row of rows) {
      const known = row.map(timeSeries).filter((panel) => panel !== undefined);
      const width = Math.floor(WIDTH / known.length);
      for (const [index, panel] of known.entries()) add(panel, HEIGHT, width, index * width);
      y += HEIGHT;
    }
  }
  return {
    uid: 'discord-gateway-ingestor',
    title: 'Discord Gateway Ingestor',
    tags: ['discord', 'rabbitmq'],
    schemaVersion: 39,
    editable: true,
    refresh: '1m',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', label: 'Prometheus', query: 'prometheus' },
        jobVariable('job', 'Ingestor', METRICS.residentMemory.prometheus),
        jobVariable('rabbitmq', 'RabbitMQ', 'rabbitmq_process_resident_memory_bytes'),
      ],
    },
    panels,
  };
}

/** The jobs that have this metric, by their names. */
function jobVariable(name: string, label: string, metric: string) {
  const query = { query: `label_values(${metric}, job)`, refId: 'jobs' };
  return { name, label, type: 'query', datasource: DATASOURCE, query, refresh: 2, sort: 1 };
}

/** Of the rules in docs/prometheus-alerts.yml. */
const ALERTS = {
  type: 'table',
  title: 'Alerts that are on',
  datasource: DATASOURCE,
  fieldConfig: { defaults: { noValue: 'none' }, overrides: [] },
  options: { showHeader: true },
  targets: [
    {
      refId: 'A',
      datasource: DATASOURCE,
      expr: 'max by (severity, family, alertname) (ALERTS{job="$job",alertstate="firing"})',
      instant: true,
      format: 'table',
    },
  ],
  transformations: [{ id: 'organize', options: { excludeByName: { Time: true, Value: true } } }],
};

/** A panel of those lines that Prometheus has, if any. */
function timeSeries({ title, left, right = [], leftMarks = [], ...panel }: Panel): object | undefined {
  const known = [...left.map((line) => ({ line, onRight: false })), ...right.map((line) => ({ line, onRight: true }))]
    .flatMap(({ line, onRight }) => target(line, onRight))
    .map((each, index) => ({ ...each, refId: String.fromCharCode('A'.charCodeAt(0) + index) }));
  const [first] = known;
  if (first === undefined) return undefined;
  // The limits of Amazon MQ's sizes do not apply to another broker.
  const marks = left.some(({ metric }) => 'ingestor' in metric) ? leftMarks : [];
  const steps = marks.map(({ value, color }) => ({ color: COLORS[color], value }));
  return {
    type: 'timeseries',
    title: panel.elsewhere ?? title,
    datasource: DATASOURCE,
    // The least that a counter grows over: CloudWatch's period.
    interval: '1m',
    fieldConfig: {
      defaults: {
        unit: first.unit,
        min: 0,
        ...(panel.most && { max: panel.most }),
        custom: { fillOpacity: 5, showPoints: 'never', thresholdsStyle: { mode: steps.length > 0 ? 'line' : 'off' } },
        thresholds: { mode: 'absolute', steps: [{ color: 'transparent', value: null }, ...steps] },
      },
      overrides: known.flatMap(({ refId, unit, color, onRight }) => {
        const properties = [
          ...(color ? [{ id: 'color', value: { mode: 'fixed', fixedColor: COLORS[color] } }] : []),
          ...(onRight ? [{ id: 'custom.axisPlacement', value: 'right' }] : []),
          ...(unit === first.unit ? [] : [{ id: 'unit', value: unit }]),
        ];
        return properties.length > 0 ? [{ matcher: { id: 'byFrameRefID', options: refId }, properties }] : [];
      }),
    },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
    targets: known.map(({ refId, expr, legendFormat }) => ({
      ...{ refId, datasource: DATASOURCE },
      expr: panel.perMinute ? `${expr} * 60000 / $__interval_ms` : expr,
      legendFormat,
    })),
  };
}

function target({ metric, label, color }: Line, onRight: boolean) {
  if ('service' in metric || missingMetric(metric) !== undefined) return [];
  const legendFormat = 'ingestor' in metric ? label : `${label} of {{instance}}`;
  return [{ expr: drawn(metric, JOBS), legendFormat, unit: UNITS[unitOf(metric)], color, onRight }];
}

function unitOf(metric: OwnMetric | WorstNode): Metric['unit'] {
  if ('ingestor' in metric) return METRICS[metric.ingestor].unit;
  if (metric.percentOf !== undefined) return 'Percent';
  return metric.broker === 'ConnectionCount' ? 'Count' : 'Bytes';
}
