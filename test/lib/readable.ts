// A template as a reviewer reads it: references as ${LogicalId}, hashes masked, long objects with one line for each value.
// It omits what follows from the rest and what no reviewer reads: tags, metadata, names, versions and roles of policies, the
// Update of a custom resource that equals its Create, the layout of the dashboard, descriptions and actions of alarms
// (lib/alarms.ts).
import { inspect } from 'node:util';
import type { Template } from './dependencies.ts';

/** By logical id, the lines of each resource and of the outputs. */
export function readable({ Resources, Outputs = {} }: Template): Map<string, string[]> {
  const resources = Object.entries(Resources)
    .filter(([, { Type }]) => Type !== 'AWS::CDK::Metadata')
    .map(([id, { Type, Properties = {}, ...rest }]): [string, string[]] => {
      const properties = Type === 'AWS::CloudWatch::Alarm' ? alarm({ ...Properties }) : Properties;
      const text = shown({ ...properties, ...rest });
      if (!text.includes('\n')) return [id, [`${id}: ${Type} ${text}`]];
      // Without the outer braces: a new last line changes no other line.
      return [id, [`${id}: ${Type}`, ...` ${text.slice(1, -2)}`.replaceAll(/,$/gm, '').split('\n')]];
    });
  const outputs = Object.entries(Outputs).map(([id, { Value }]) => `  ${id}: ${simplified(Value)}`);
  return new Map([...resources, ['outputs', ['outputs', ...outputs]]]);
}

/** The lines that differ: `- ` before those only in `base`, `+ ` before those only in `other`. */
export function difference(base: ReadonlyMap<string, string[]>, other: ReadonlyMap<string, string[]>): string[][] {
  return [...new Set([...base.keys(), ...other.keys()])].flatMap((id) => {
    const [before = [], after = []] = [base.get(id), other.get(id)];
    if (after.length === 0) return [[`- ${before[0]}`]];
    if (before.length === 0) return [after.map((line) => `+ ${line}`)];
    const changed = [
      ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
      ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
    ];
    return changed.length === 0 ? [] : [[`  ${before[0]}`, ...changed]];
  });
}

const LEFT_OUT = new Set([
  ...['Tags', 'Version', 'PolicyName', 'Roles', 'InstallLatestAwsSdk', 'ServiceToken', 'Metadata'],
  ...['x', 'y', 'width', 'height', 'view', 'region', 'yAxis', 'color', 'background'],
  ...['AlarmDescription', 'AlarmActions', 'OKActions', 'UpdateReplacePolicy'],
]);

function alarm({
  ComparisonOperator,
  Threshold,
  DatapointsToAlarm,
  EvaluationPeriods,
  ...rest
}: Record<string, unknown>) {
  const {
    AlarmName,
    TreatMissingData,
    Namespace,
    MetricName,
    Dimensions,
    Statistic,
    ExtendedStatistic,
    Period,
    ...more
  } = rest;
  const pairs = ((Dimensions ?? []) as { Name: string; Value: unknown }[]).map(({ Name, Value }) => `${Name}=${Value}`);
  return {
    AlarmName,
    On: `${ComparisonOperator} ${Threshold}, ${DatapointsToAlarm} of ${EvaluationPeriods}, missing data: ${TreatMissingData}`,
    ...(Namespace !== undefined && {
      Metric: `${Statistic ?? ExtendedStatistic} in ${Period} s of ${[Namespace, MetricName, ...pairs].join(' ')}`,
    }),
    ...more,
  };
}

const shown = (value: unknown): string =>
  inspect(simplified(value), {
    ...{ compact: true, breakLength: 130, depth: null, maxArrayLength: null, maxStringLength: null },
  });

/** Without omitted properties, with intrinsic functions as text, and with JSON text parsed. */
function simplified(value: unknown): unknown {
  if (typeof value === 'string') return parsed(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(simplified);
  const [[name, argument] = ['', undefined], ...others] = Object.entries(value);
  const text = others.length === 0 ? textOf(name, argument) : undefined;
  if (text !== undefined) return parsed(text);
  const { Create, Update } = value as Record<string, unknown>;
  const same = JSON.stringify(Update) === JSON.stringify(Create);
  const kept = Object.entries(value).filter(
    ([key, each]) =>
      !LEFT_OUT.has(key) && !(key === 'Update' && same) && !(key === 'DeletionPolicy' && each === 'Delete'),
  );
  return Object.fromEntries(kept.map(([key, each]) => [key, simplified(each)]));
}

/** An intrinsic function as text. */
function textOf(name: string, argument: unknown): string | undefined {
  const list = Array.isArray(argument) ? argument.map(simplified) : [];
  switch (name) {
    case 'Ref':
    case 'Fn::ImportValue':
      return `\${${argument}}`;
    case 'Fn::GetAtt':
      return `\${${list.join('.')}}`;
    case 'Fn::Sub':
    case 'Fn::Base64':
      return String(argument);
    case 'Fn::Join':
      return (argument as [string, unknown[]])[1].map(simplified).join(String(list[0]));
    case 'Fn::Split':
      return `${list[1]} split by '${list[0]}'`;
    case 'Fn::Select':
      return `part ${list[0]} of (${list[1]})`;
    case 'Fn::GetAZs':
      return 'zones';
    default:
      return undefined;
  }
}

/** Masks hashes of assets, which change with every line of code. */
function parsed(text: string): unknown {
  const masked = text.replaceAll(/\b[0-9a-f]{64}\b/g, '<hash>');
  if (!masked.startsWith('{"')) return masked;
  try {
    return simplified(JSON.parse(masked));
  } catch {
    return masked;
  }
}
