// The part of CloudWatch that the synthesized alarms use: data points by minute (from the embedded metric format, or as AWS
// writes them), statistics, metric math, queries over dimensions, M of N periods, and missing data as documented. It throws
// on everything else.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
import type { Synthesized } from '../support/synthesized.ts';

export type AlarmState = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA';

export interface MetricIdentity {
  readonly Namespace?: string;
  readonly MetricName?: string;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
}

/** An `AWS::CloudWatch::Alarm`. */
export interface AlarmProperties extends MetricIdentity {
  readonly AlarmName: string;
  readonly Statistic?: string;
  readonly ExtendedStatistic?: string;
  readonly Period?: number;
  readonly Metrics?: readonly {
    readonly Id: string;
    readonly Expression?: string;
    readonly Period?: number;
    readonly ReturnData?: boolean;
    readonly MetricStat?: { readonly Metric: MetricIdentity; readonly Period: number; readonly Stat: string };
  }[];
  readonly ComparisonOperator: string;
  readonly Threshold: number;
  readonly EvaluationPeriods: number;
  readonly DatapointsToAlarm?: number;
  readonly TreatMissingData?: string;
}

/** The alarms of an environment, by their ids in lib/alarms.ts. */
export function alarmsOf<T extends AlarmProperties>(
  { ofType, settings }: Synthesized,
  type: `${'' | 'Composite'}Alarm` = 'Alarm',
): Map<string, T> {
  const alarms = ofType(`AWS::CloudWatch::${type}`).map(([, { Properties }]) => Properties as unknown as T);
  const prefix = `discord-ingestor-${settings.environment}-`;
  return new Map(alarms.map((alarm) => [alarm.AlarmName.replace(prefix, ''), alarm]));
}

/** Every metric that an alarm reads, alone or in a calculation. */
export const readBy = (alarm: AlarmProperties): { Metric: MetricIdentity; Period: number }[] =>
  alarm.Metrics === undefined
    ? [{ Metric: alarm, Period: alarm.Period ?? 0 }]
    : alarm.Metrics.flatMap(({ MetricStat }) => MetricStat ?? []);

interface Point {
  readonly minute: number;
  readonly value: number;
}

interface Series {
  readonly metric: string;
  readonly dimensions: Readonly<Record<string, unknown>>;
  readonly byMinute: Map<number, number[]>;
}

type Value = number | undefined;

export class DataPoints {
  /** By namespace, name and dimensions. */
  readonly #series = new Map<string, Series>();

  add(metric: string, dimensions: Readonly<Record<string, unknown>>, { minute, value }: Point): void {
    const key = identity(metric, dimensions);
    const series = this.#series.get(key) ?? { metric, dimensions, byMinute: new Map() };
    this.#series.set(key, series);
    series.byMinute.set(minute, [...(series.byMinute.get(minute) ?? []), value]);
  }

  /** A line that a task wrote in this minute. */
  write(line: string, minute: number): void {
    const document = JSON.parse(line);
    for (const { Namespace, Dimensions, Metrics } of document._aws.CloudWatchMetrics)
      for (const names of Dimensions as string[][]) {
        const dimensions = Object.fromEntries(names.map((name) => [name, document[name]]));
        for (const { Name } of Metrics)
          for (const value of [document[Name]].flat()) this.add(`${Namespace} ${Name}`, dimensions, { minute, value });
      }
  }

  /** Identities of all metrics. */
  get metrics(): string[] {
    return [...this.#series.keys()];
  }

  /** Of the metric with exactly these dimensions, in the minutes from `from` to before `to`. */
  statistic(metric: MetricIdentity, stat: string, from: number, to: number): Value {
    const series = this.#series.get(identityOf(metric));
    return aggregate(stat, series ? [series] : [], from, to);
  }

  /** A query of Metrics Insights that gives one series. */
  select(query: string, from: number, to: number): Value {
    const [, fn = '', name, namespace, schema = '', key = '', wanted] =
      /^SELECT (MAX|MIN)\((\w+)\) FROM SCHEMA\("([^"]+)", (\w+(?:, \w+)*)\) WHERE (\w+) = '([^']*)'$/.exec(query) ?? [];
    if (name === undefined) throw new Error(`a query this evaluator does not know: ${query}`);
    const series = [...this.#series.values()].filter(
      ({ metric, dimensions }) =>
        metric === `${namespace} ${name}` &&
        Object.keys(dimensions).sort().join(', ') === schema &&
        dimensions[key] === wanted,
    );
    return aggregate({ MAX: 'Maximum', MIN: 'Minimum' }[fn] ?? fn, series, from, to);
  }
}

/** `namespace name {dimensions}` */
export function identity(metric: string, dimensions: Readonly<Record<string, unknown>>): string {
  return `${metric} ${JSON.stringify(Object.fromEntries(Object.entries(dimensions).sort()))}`;
}

const identities = new WeakMap<MetricIdentity, string>();

export function identityOf(metric: MetricIdentity): string {
  const { Namespace, MetricName, Dimensions = [] } = metric;
  const dimensions = () => Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value]));
  const found = identities.get(metric) ?? identity(`${Namespace} ${MetricName}`, dimensions());
  identities.set(metric, found);
  return found;
}

const STATISTICS: Readonly<Record<string, (values: readonly number[]) => number>> = {
  Sum: (values) => values.reduce((sum, value) => sum + value, 0),
  Maximum: (values) => Math.max(...values),
  Minimum: (values) => Math.min(...values),
  SampleCount: (values) => values.length,
  p95: (values) => values.toSorted((a, b) => a - b)[Math.ceil(0.95 * values.length) - 1] ?? Number.NaN,
};

function aggregate(statistic: string, series: readonly Series[], from: number, to: number): Value {
  const calculated = STATISTICS[statistic];
  if (calculated === undefined) throw new Error(`a statistic this evaluator does not know: ${statistic}`);
  const values: number[] = [];
  for (let minute = from; minute < to; minute += 1)
    for (const { byMinute } of series) values.push(...(byMinute.get(minute) ?? []));
  return values.length === 0 ? undefined : calculated(values);
}

/** The value that the alarm evaluates, in one period. */
function watchedValue(alarm: AlarmProperties, data: DataPoints, from: number, to: number): Value {
  const { Metrics } = alarm;
  if (Metrics === undefined) return data.statistic(alarm, alarm.Statistic ?? alarm.ExtendedStatistic ?? '', from, to);
  const queries = Metrics.filter(({ Expression }) => Expression?.startsWith('SELECT'));
  if (queries.length > 1) throw new Error(`${alarm.AlarmName}: CloudWatch takes one query in an alarm`);
  const value = (id: string): Value => {
    const found = Metrics.find(({ Id }) => Id === id);
    if (found === undefined) throw new Error(`${alarm.AlarmName}: no metric ${id}`);
    if (found.MetricStat) return data.statistic(found.MetricStat.Metric, found.MetricStat.Stat, from, to);
    const expression = found.Expression ?? '';
    return expression.startsWith('SELECT') ? data.select(expression, from, to) : calculate(expression, value);
  };
  const [watched, ...others] = Metrics.filter(({ ReturnData }) => ReturnData !== false);
  if (watched === undefined || others.length > 0) throw new Error(`${alarm.AlarmName}: expected one result`);
  return value(watched.Id);
}

/**
 * Metric math for one period: numbers, other metrics, arithmetic, comparisons and IF, evaluated as JavaScript. With a missing
 * value the result is missing too, except for FILL.
 */
function calculate(expression: string, value: (id: string) => Value): Value {
  const [, filled] = /^FILL\((\w+), 0\)$/.exec(expression) ?? [];
  if (filled !== undefined) return value(filled) ?? 0;
  const unknown = expression.replaceAll(/IF\(|[a-z]\w*|\d+(\.\d+)?|[<>]=?|[-+*/(),\s]/g, '');
  if (unknown !== '') throw new Error(`${expression}: metric math this evaluator does not know: ${unknown}`);
  const names = [...new Set(expression.match(/[a-z]\w*/g))];
  const values = names.map(value);
  if (values.includes(undefined)) return undefined;
  const choose = (condition: unknown, yes: number, no: number) => (condition ? yes : no);
  return Number(new Function('IF', ...names, `return ${expression}`)(choose, ...values));
}

const COMPARISONS: Readonly<Record<string, (value: number, threshold: number) => boolean>> = {
  LessThanThreshold: (value, threshold) => value < threshold,
  GreaterThanOrEqualToThreshold: (value, threshold) => value >= threshold,
};

/**
 * The states of an alarm at the end of each minute.
 * @param extra how many more periods CloudWatch reads when data points are missing: AWS does not document the number
 */
export function statesOf(alarm: AlarmProperties, data: DataPoints, minutes: number, extra: number): AlarmState[] {
  const period =
    (alarm.Period ??
      Math.max(...(alarm.Metrics ?? []).map(({ MetricStat, Period = 0 }) => MetricStat?.Period ?? Period))) / 60;
  const breaches = COMPARISONS[alarm.ComparisonOperator];
  if (breaches === undefined) throw new Error(`a comparison this evaluator does not know: ${alarm.ComparisonOperator}`);
  const needed = alarm.EvaluationPeriods;
  const enough = alarm.DatapointsToAlarm ?? needed;
  let state: AlarmState = 'INSUFFICIENT_DATA';
  return Array.from({ length: minutes }, (_, minute) => {
    const last = Math.floor((minute + 1) / period);
    const there: number[] = [];
    for (let back = 0; back < needed + extra; back += 1) {
      // An earlier period counts only in place of a missing one.
      if (back >= needed && there.length >= needed) break;
      const value = watchedValue(alarm, data, (last - back - 1) * period, (last - back) * period);
      if (value !== undefined && there.length < needed) there.push(value);
    }
    const missing = needed - there.length;
    const breaching = there.filter((value) => breaches(value, alarm.Threshold)).length;
    const { TreatMissingData = 'missing' } = alarm;
    if (there.length > 0 || TreatMissingData.endsWith('reaching')) {
      const counted = TreatMissingData === 'breaching' ? breaching + missing : breaching;
      state = counted >= enough ? 'ALARM' : 'OK';
    } else if (TreatMissingData === 'missing') {
      state = 'INSUFFICIENT_DATA';
    }
    return state;
  });
}

export interface Message {
  readonly minute: number;
  readonly state: AlarmState;
}

/**
 * What an alarm sends at the end of each minute: its state, when it differs from the last one sent and is not suppressed.
 * @param suppressor states of the alarm that suppresses it: while that one is on, and for `extension` minutes after it, nothing
 *   is sent. An alarm that turns on waits `wait` minutes for it
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html
 */
export function messagesOf(
  states: readonly AlarmState[],
  suppressor?: { readonly states: readonly AlarmState[]; readonly wait: number; readonly extension: number },
): Message[] {
  let sent: AlarmState = states[0] ?? 'OK';
  let [onFor, offFor] = [0, Number.POSITIVE_INFINITY];
  return states.flatMap((state, minute) => {
    onFor = state === 'ALARM' ? onFor + 1 : 0;
    if (suppressor) {
      offFor = suppressor.states[minute] === 'ALARM' ? 0 : offFor + 1;
      if (offFor <= suppressor.extension || (state === 'ALARM' && onFor <= suppressor.wait)) return [];
    }
    if (state === sent) return [];
    sent = state;
    return [{ minute, state }];
  });
}
